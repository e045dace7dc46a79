# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The scenario add_pack: the laser scan that is simulated, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from mmllm_ros.adaptation.pack_scenario import FARTHEST, RAYS, planar_scan
from mmllm_ros.cli import main


def test_a_planar_scan_has_the_nearest_return_of_its_slice_in_each_ray():
    points = np.float32([[4.0, 0.02, -1.0], [3.0, 0.02, 0.0], [9.0, 0.02, -1.0], [0.05, 6.0, -1.0], [-2.0, -0.02, -1.7]])
    ranges = planar_scan(points)
    assert ranges.shape == (1, RAYS) and ranges.dtype == np.float32
    # Ahead is the middle: 4 m, for the return at 3 m is above the slice and that at 9 m behind. A quarter more is left.
    assert ranges[0, RAYS // 2] == pytest.approx(4.0, abs=1e-3)
    assert ranges[0, RAYS * 3 // 4 - 1] == pytest.approx(6.0, abs=1e-3)
    # Behind there is the ground only.
    assert (ranges == FARTHEST).sum() == RAYS - 2


def test_a_model_without_a_universal_encoder_is_refused(capsys):
    assert main(["adapt-scenario", "add_pack", "--model", "drive_tiny"]) == 2
    assert "drive_tiny has no universal encoder" in capsys.readouterr().err
