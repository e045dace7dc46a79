# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""env.sh in a shell with `set -eu`, with setup files that use unset variables as those of colcon do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ENV = Path(__file__).resolve().parents[2] / "env.sh"


@pytest.fixture
def checkout(tmp_path):
    """A folder with env.sh and setup files that fail under -e and under -u."""
    for name in (".venv/bin/activate", "install/local_setup.bash", "install/local_setup.sh"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('export FOUND="$NO_SUCH_VARIABLE$COLCON_CURRENT_PREFIX"\nVIRTUAL_ENV=venv\nfalse\ntrue\n')
    shutil.copy(ENV, tmp_path)
    return tmp_path


def bash(script: str) -> subprocess.CompletedProcess:
    environment = {"PATH": "/usr/bin:/bin", "ROS_DISTRO": "jazzy"}
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("options", ["-eu", "-u", "-e"])
def test_it_works_under_strict_options_and_restores_them(checkout, options):
    done = bash(f"set {options}\n. {checkout}/env.sh\necho $-\necho $FOUND")
    assert done.returncode == 0 and done.stderr == ""
    shown, found = done.stdout.split()
    assert set(options[1:]) <= set(shown) and found == f"{checkout}/install"


def test_it_leaves_options_off_that_were_off(checkout):
    done = bash(f". {checkout}/env.sh\necho $-")
    assert done.returncode == 0 and not set("eu") & set(done.stdout)


def test_without_a_build_it_says_what_to_run(checkout):
    shutil.rmtree(checkout / "install")
    done = bash(f"set -eu\n. {checkout}/env.sh")
    assert done.returncode == 1 and "run `make build` there first" in done.stderr
