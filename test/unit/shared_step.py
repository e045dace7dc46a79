# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trains tiny connectors for a few steps of two shares each; `torchrun` starts it twice, test_connector_training.py compares."""

from __future__ import annotations

import sys
from pathlib import Path

import scenes
from test_connector_training import TRUTHS, tiny_model, token_tables

from mmllm_ros.training.connectors import train_connectors
from mmllm_ros.training.loop import Schedule
from mmllm_ros.training.processes import joined


def train(folder: Path) -> None:
    """Three steps; which blocks are linked is drawn anew in each share, so weights of some blocks train in one process only."""
    schedule = Schedule(3, 1e-2, warmup=1, shares=2)
    train_connectors(tiny_model(), token_tables(), TRUTHS, scenes.AROUND, schedule, (3, 4), folder, seed=3)


if __name__ == "__main__":
    with joined():
        train(Path(sys.argv[1]))
