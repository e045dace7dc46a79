# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The installed `mmllm`, as its own worker processes meet it."""

from __future__ import annotations

import runpy
import shutil
import sys


def test_a_worker_process_reads_the_command_file_and_does_not_start_the_command_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mmllm", "--help"])
    assert callable(runpy.run_path(shutil.which("mmllm"), run_name="__mp_main__")["main"])
