# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a node ends: well after Ctrl-C, whatever rclpy makes of it, and with its error after an error."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from harness import PATIENCE
from rclpy.node import Node

from mmllm_ros.nodes.ros_support.process import spin


def node(call: Callable[[], None]) -> Node:
    made = Node("brief")
    made.create_timer(0.01, call)
    return made


def interrupted() -> None:
    """As rclpy is when Ctrl-C comes while it converts a message."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise RuntimeError("Unable to convert call argument '0' to Python object") from None


def broken() -> None:
    raise RuntimeError("broken")


def test_an_interrupt_that_rclpy_turned_into_an_error_is_a_good_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    assert spin(lambda: node(interrupted), []) == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_without_an_interrupt_is_told() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        spin(lambda: node(broken), [])


HUNG = """
import ctypes, os, sys
from rclpy.node import Node
from mmllm_ros.nodes.ros_support.process import spin

class Hung(Node):
    def destroy_node(self):
        print("ending", flush=True)
        ctypes.PyDLL(None).sleep(600)  # in C, with Python's lock

def make():
    node = Hung("hung")
    node.create_timer(0.01, lambda: print("spinning", flush=True))
    return node

sys.exit(spin(make, []))
"""


def test_a_process_that_hangs_in_the_middleware_after_an_interrupt_is_ended_by_the_kernel() -> None:
    with subprocess.Popen([sys.executable, "-c", HUNG], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "spinning\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGALRM
