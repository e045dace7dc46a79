# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys

from hypothesis import settings

# Tests use the embedded model, whatever the user has fetched.
os.environ["MMLLM_MODEL"] = "drive_tiny"

# Tests run in as many processes as there are cores: with more threads than that, OpenMP's spin while they wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is slow, not wrong.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")


def pytest_runtest_setup() -> None:
    """Random weights are the same whichever tests ran before in this process."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(4)
