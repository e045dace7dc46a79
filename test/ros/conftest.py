# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real nodes over DDS, in a domain of their own, spun in the background. Left out, saying so, where ROS is missing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RUNNABLE = find_spec("rclpy") is not None and find_spec("mmllm_ros.msg") is not None

# A robot in the user's own domain must not hear a test; two test runs on one machine must not hear each other.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 99)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

if RUNNABLE:
    import rclpy
    from lifecycle_msgs.srv import ChangeState
    from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
    from rclpy.node import Node
    from rclpy.qos import QoSProfile
else:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.ros)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not RUNNABLE:
        terminalreporter.write_line("test/ros was left out: rclpy or the built messages of mmllm_ros are missing (`. ./env.sh`)")


class Ros:
    """An executor spinning in the background, with the few things that a test does to a graph."""

    def __init__(self) -> None:
        rclpy.init(args=[])
        self._executor = MultiThreadedExecutor(4)
        self._nodes: list[Node] = []
        self._stopping = False
        self.tester = self.add(rclpy.create_node("tester"))
        self._thread = threading.Thread(target=self._spin, name="test executor")
        self._thread.start()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            while not self._stopping:
                self._executor.spin_once(timeout_sec=0.1)

    def add(self, node: Node) -> Node:
        """Spin `node` from now on; it is destroyed when the test ends."""
        self._executor.add_node(node)
        self._nodes.append(node)
        return node

    def until(self, condition: Callable[[], Any], timeout: float = 30.0) -> Any:
        """Wait until `condition()` is true and return what it returned; fails after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if result := condition():
                return result
            time.sleep(0.02)
        pytest.fail(f"still not true after {timeout} s: {getattr(condition, '__name__', condition)}")

    def collect(self, kind: type, topic: str, qos: QoSProfile | int = 10) -> list:
        """A list that grows with every message received on `topic`."""
        received: list = []
        self.tester.create_subscription(kind, topic, received.append, qos)
        return received

    def publisher(self, kind: type, topic: str, qos: QoSProfile | int = 10, matched: int = 1):
        """A publisher that has already found `matched` subscriptions."""
        publisher = self.tester.create_publisher(kind, topic, qos)
        self.until(lambda: publisher.get_subscription_count() >= matched)
        return publisher

    def call(self, kind: type, name: str, request: Any, timeout: float = 60.0) -> Any:
        """The response of a service."""
        client = self.tester.create_client(kind, name)
        response = self.ask(client, request, timeout)
        self.tester.destroy_client(client)
        return response

    def ask(self, client: Any, request: Any, timeout: float = 60.0) -> Any:
        """The response to `client`. Asked again while none comes: a server that has not found the client yet loses it."""
        assert client.wait_for_service(timeout), f"no service {client.srv_name}"
        sent = [(time.monotonic(), client.call_async(request))]

        def answered() -> Any:
            if time.monotonic() - sent[-1][0] > 10.0:
                sent.append((time.monotonic(), client.call_async(request)))
            return next((future for _, future in sent if future.done()), None)

        return self.until(answered, timeout).result()

    def change_state(self, node: str, transition: int) -> bool:
        """Ask a lifecycle node for a transition (`lifecycle_msgs.msg.Transition`), and say whether it went well."""
        request = ChangeState.Request()
        request.transition.id = transition
        return self.call(ChangeState, f"{node}/change_state", request).success

    def close(self) -> None:
        # The thread goes first: an executor that is shut down, or loses its nodes, while it waits raises in its thread.
        self._stopping = True
        self._thread.join(60.0)
        assert not self._thread.is_alive(), "a callback never returned"
        self._executor.shutdown()
        for node in reversed(self._nodes):
            node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def ros() -> Iterator[Ros]:
    """A fresh graph for one test."""
    harness = Ros()
    try:
        yield harness
    finally:
        harness.close()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete random model folder, small enough for tests."""
    from tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("model"))
