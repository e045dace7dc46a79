# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From the command line to a spinning node and back: every node's `main` is one call of `spin`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node

from ..datatypes import BadInput


def spin(make_node: Callable[[], Node], args: Sequence[str] | None = None, threads: int = 1) -> int:
    """Run one node until Ctrl-C, SIGTERM or its own `context.try_shutdown()`, and return the exit status.

    Args:
        make_node: the node's class, or a function that makes it. Its `destroy_node` must stop the threads it started.
        args: the command line as ROS wants it, None = sys.argv.
        threads: how many callbacks may run at once; nodes compute in their own worker, so one is usual.

    Returns:
        0 after a shutdown, 2 after BadInput (one line on stderr).
    """
    node = None
    rclpy.init(args=args)
    executor = SingleThreadedExecutor() if threads == 1 else MultiThreadedExecutor(threads)
    try:
        node = make_node()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        executor.shutdown()
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
