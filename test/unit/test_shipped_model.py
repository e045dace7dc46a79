# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shipped model in models/drive_tiny is small, safe to load and consistent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmllm_ros.latent.checkpoint import model_revision

SHIPPED = Path(__file__).parents[2] / "models" / "drive_tiny"


def test_the_shipped_model_is_under_thirty_megabytes_and_has_no_executable_content():
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 30e6
    assert {path.suffix for path in files} == {".safetensors", ".json", ".md"}


@pytest.mark.parametrize("table", ["plan_table.json", "depths.json"])
def test_a_table_in_the_model_folder_was_measured_with_its_weights(table):
    assert json.loads((SHIPPED / table).read_text())["revision"] == model_revision(SHIPPED)
