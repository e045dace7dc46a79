# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a source of sensor topics ends: well after its last message, with its error where it can publish no more."""

from __future__ import annotations

import pytest
import rclpy
from harness import PATIENCE

from mmllm_ros.datatypes import BadInput
from mmllm_ros.nodes.ros_support.process import spin
from mmllm_ros.nodes.sources.source_node import SourceNode


class Source(SourceNode):
    """Publishes nothing: it ends at once, with `error` where there is one."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__("source", rclpy.try_shutdown)
        self._error = error
        self.create_timer(PATIENCE, rclpy.try_shutdown)
        self.start()

    def publish_all(self) -> None:
        if self._error:
            raise self._error


def test_a_source_that_has_published_everything_ends_the_process_with_status_0() -> None:
    assert spin(lambda: Source(None), []) == 0


def test_input_that_turns_out_bad_while_it_is_published_ends_the_process_with_one_line_and_status_2(capfd) -> None:
    assert spin(lambda: Source(BadInput("recording drive cannot be read")), []) == 2
    assert capfd.readouterr().err == "recording drive cannot be read\n"


def test_any_other_error_while_publishing_ends_the_process_too_so_that_it_is_started_again() -> None:
    with pytest.raises(OSError, match="no space left"):
        spin(lambda: Source(OSError("no space left")), [])
