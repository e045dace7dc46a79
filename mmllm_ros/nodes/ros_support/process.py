# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs nodes in a process: the `main` of every node is one call of `spin`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from ...datatypes import BadInput

END_TIMEOUT = 2.5
"""A process ends at the latest after so long [s] from Ctrl-C on, whatever a node or the middleware waits for."""

HUNG_AFTER = END_TIMEOUT + 2.0
"""After so long [s] the kernel ends it by SIGALRM: with Python's lock held, as in Fast DDS where a process with which it shared
memory was killed, no thread of Python can."""


def spin(make_node: Callable[[], Node | list[Node]], args: Sequence[str] | None = None) -> int:
    """Run one node, or several in one executor, until Ctrl-C, SIGTERM or their own shutdown, and return the exit status.

    Args:
        make_node: the node's class, or a function that makes it or them. `destroy_node` must stop the threads of its node.
        args: the command line as ROS wants it, None = sys.argv.

    Returns:
        0 after a shutdown, 2 after BadInput (one line on stderr).
    """
    with _interrupt_event() as interrupted:
        return _spin(make_node, args, interrupted)


def _spin(make_node: Callable[[], Node | list[Node]], args: Sequence[str] | None, interrupted: threading.Event) -> int:
    nodes: list[Node] = []
    rclpy.init(args=args)
    executor = SingleThreadedExecutor()
    try:
        made = make_node()
        nodes = made if isinstance(made, list) else [made]
        for node in nodes:
            executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except Exception:
        # After Ctrl-C the middleware may be shut down while a node is constructed or a callback runs.
        if rclpy.ok() and not interrupted.is_set():
            raise
    finally:
        with _sigint_ignored():
            # The threads of the nodes wake the executor, so it is shut down after them.
            for node in nodes:
                node.destroy_node()
            executor.shutdown()
            rclpy.try_shutdown()
    return 0


@contextmanager
def _interrupt_event() -> Iterator[threading.Event]:
    """An event that is set on Ctrl-C: while rclpy converts a message, a RuntimeError replaces the KeyboardInterrupt.

    From then on the process has END_TIMEOUT to leave this context, or it ends with status 0 and one line, or at HUNG_AFTER.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    deadline = threading.Timer(END_TIMEOUT, _end_now)
    deadline.daemon = True

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not interrupted.is_set():
            deadline.start()
            signal.setitimer(signal.ITIMER_REAL, HUNG_AFTER)
        interrupted.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)  # before rclpy.init, whose handler calls the previous one
    try:
        yield interrupted
    finally:
        deadline.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGINT, before)


def _end_now() -> None:
    waiting = ", ".join(thread.name for thread in threading.enumerate() if not thread.daemon)
    print(f"not cleaned up within {END_TIMEOUT:g} s, ended all the same; threads: {waiting}", file=sys.stderr, flush=True)
    os._exit(0)


@contextmanager
def _sigint_ignored() -> Iterator[None]:
    """Ignore Ctrl-C: `ros2 launch` and the terminal both send it, and an interrupted clean-up leaves threads that never end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
