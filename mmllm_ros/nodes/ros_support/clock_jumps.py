# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Callback for a clock that jumps back, as when a bag restarts under use_sim_time."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

# Two /clock messages may arrive in the wrong order; a restarted bag goes back further.
_JUMP = Duration(seconds=-0.1)


def on_jump_back(node: Node, callback: Callable[[], None]) -> None:
    """Call `callback` whenever the clock of `node` jumps back, or changes between system time and /clock."""
    threshold = JumpThreshold(min_forward=None, min_backward=_JUMP, on_clock_change=True)
    # The callback is removed when the handle is garbage-collected, so the node holds it.
    node.jump_handle = node.get_clock().create_jump_callback(threshold, post_callback=lambda _: callback())
