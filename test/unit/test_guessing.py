# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What guessing without sensors would score on a drive."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmllm_ros.context.plan_table import FILE, Option, PlanTable
from mmllm_ros.evaluation import guessing
from mmllm_ros.evaluation.guessing import Guessing
from mmllm_ros.rig import load_rig

QUESTION = "Are there any cars?"


def write_table(folder: Path, right: float) -> Path:
    """A table in which the bare LLM gave `right` of 60 answers by day."""
    folder.mkdir()
    blind = Option((), 1, 1.0, 0.0, {kind: {"day": (right, 60.0)} for kind in ("exist", "exist car")})
    PlanTable("m", "r", "front", {}, (blind,)).write(folder / FILE)
    return folder


@pytest.mark.parametrize(("own", "tiny"), [(48.0, 30.0), (30.0, 48.0)])
def test_it_is_the_better_one_of_the_model_and_the_small_one(tmp_path, monkeypatch, own, tiny):
    folders = {"own": write_table(tmp_path / "own", own), guessing.EMBEDDED: write_table(tmp_path / "tiny", tiny)}
    monkeypatch.setattr(guessing, "model_folder", folders.__getitem__)
    assert Guessing("own", load_rig("front")).right(QUESTION, "day, rain") == pytest.approx(0.8)


def test_without_a_table_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(guessing, "model_folder", lambda name: tmp_path)
    assert Guessing("own", load_rig("front")).right(QUESTION, "day") == 0.0
