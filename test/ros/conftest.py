# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tests over DDS, in a domain of their own. Left out, saying so, where ROS is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RUNNABLE = find_spec("rclpy") is not None and find_spec("mmllm_ros.msg") is not None

if RUNNABLE:
    from domain_coordinator import domain_id

    # A robot in the user's domain must not receive messages of a test, nor two test runs on one machine those of each other.
    reserved = ExitStack()
    os.environ["ROS_DOMAIN_ID"] = str(reserved.enter_context(domain_id()))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    from harness import Ros
else:
    collect_ignore_glob = ["test_*.py", "examples/*"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.ros)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not RUNNABLE:
        terminalreporter.write_line("test/ros was left out: rclpy or the built messages of mmllm_ros are missing (`. ./env.sh`)")


@pytest.fixture
def ros() -> Iterator[Ros]:
    """A fresh graph for one test."""
    graph = Ros()
    try:
        yield graph
    finally:
        graph.close()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete random model folder, small enough for tests."""
    from tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("model"))
