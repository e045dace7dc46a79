# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch_testing example runs, where launch_testing is: it comes with ROS 2 from apt, not with the wheels."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "my_robot_launch.py"


@pytest.mark.skipif(
    not (find_spec("launch_testing") and find_spec("launch_ros")), reason="launch_testing and launch_ros are not installed"
)
def test_the_launch_example_passes(bag: Path) -> None:
    command = [sys.executable, "-m", "launch_testing.launch_test", str(EXAMPLE), f"bag:={bag}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2400)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
