# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shipped model in models/drive_tiny is small, safe to load and consistent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmllm_ros.latent.checkpoint import model_revision
from mmllm_ros.resources import model_folder

MODELS = Path(__file__).parents[2] / "models"
SHIPPED = MODELS / "drive_tiny"


def test_the_shipped_model_is_under_thirty_megabytes_and_has_no_executable_content():
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 30e6
    assert {path.suffix for path in files} == {".safetensors", ".json", ".md"}


def test_a_shipped_model_is_found_by_its_name():
    assert all(model_folder(name) == MODELS / name for name in ("drive_tiny", "drive_smollm2", "universal"))


TABLES = (
    "drive_tiny/plan_table.json",
    "drive_tiny/depths.json",
    "drive_smollm2/plan_table.json",
    "drive_smollm2/depths.json",
    "universal/plan_table.json",
)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_in_a_model_folder_was_measured_with_its_weights(table):
    path = MODELS / table
    assert json.loads(path.read_text())["revision"] == model_revision(path.parent)
