# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What happens when time jumps back, as it does when a bag starts again under use_sim_time."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

# Two /clock messages may overtake each other; a bag that starts again goes back further.
_JUMP = Duration(seconds=-0.1)


def on_jump_back(node: Node, forget: Callable[[], None]) -> None:
    """Call `forget` whenever the clock of `node` jumps back, or changes from system time to /clock or the other way."""
    threshold = JumpThreshold(min_forward=None, min_backward=_JUMP, on_clock_change=True)
    # The handle removes the callback when it is collected, so the node keeps it.
    node.jump_handle = node.get_clock().create_jump_callback(threshold, post_callback=lambda _: forget())
