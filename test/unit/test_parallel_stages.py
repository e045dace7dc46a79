# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Independent stages run in processes of their own, and an error of one is raised."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from mmllm_ros.training.parallel_stages import side_by_side


def test_every_stage_runs_and_has_a_log(tmp_path):
    parts = {name: partial(Path.write_text, tmp_path / name, name) for name in ("camera", "lidar", "llm")}
    (tmp_path / "camera.csv").write_text("step,loss\n0,1.0\n")
    side_by_side(parts, {"camera": 5, "words": 0}, tmp_path)
    assert all((tmp_path / name).read_text() == name and (tmp_path / f"{name}.log").is_file() for name in parts)


def test_an_error_of_one_stage_is_raised(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing here"):
        side_by_side({"camera": partial(Path.read_text, tmp_path / "nothing here")}, {}, tmp_path)
