# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real nodes over DDS, spun in the background, and real processes.

A busy machine is slow, not wrong. So a test waits, for long, for what must come to be true, and asserts what holds on any
machine: the order of things, what is never seen. It does not assert how soon or how many.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import rclpy
from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.task import Future

PATIENCE = 240.0
"""What has not come after so long [s] never will, whatever else the machine has to do."""

ASK_AGAIN = 20.0
"""A server that has not found its client yet loses the response; the client asks again after so long [s]."""


class Spun:
    """A node in an executor and a thread of its own, as it has them in a process of its own."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self._stopping = False
        self._thread = threading.Thread(target=self._spin, name=f"executor of {node.get_name()}", daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            while not self._stopping:
                self.executor.spin_once(timeout_sec=0.5)

    def stop(self) -> None:
        """End the thread, then the executor: one that is shut down while it waits, or calls back, raises in its thread."""
        self._stopping = True
        self.executor.wake()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"a callback of {self.node.get_name()} never returned"
        self.executor.shutdown()


class Ros:
    """A graph in a context of its own, with the few things that a test does to one."""

    def __init__(self) -> None:
        rclpy.init(args=[])
        self._spun: dict[Node, Spun] = {}
        self._clients: dict[tuple[type, str], Client] = {}
        self._action_clients: list[ActionClient] = []
        self.tester = self.add(rclpy.create_node("tester"))

    def add(self, node: Node) -> Node:
        """Spin `node` from now on; it is destroyed when the test ends."""
        self._spun[node] = Spun(node)
        return node

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait until `condition()` is true and return what it returned."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if result := condition():
                return result
            time.sleep(0.02)
        pytest.fail(f"still not true after {PATIENCE} s: {getattr(condition, '__name__', condition)}")

    def collect(self, kind: type, topic: str, qos: QoSProfile | int = 10) -> list:
        """A list that grows with every message received on `topic`."""
        received: list = []
        self.tester.create_subscription(kind, topic, received.append, qos)
        return received

    def publisher(self, kind: type, topic: str, qos: QoSProfile | int = 10, matched: int = 1) -> Publisher:
        """A publisher that has already found `matched` subscriptions."""
        publisher = self.tester.create_publisher(kind, topic, qos)
        self.until(lambda: publisher.get_subscription_count() >= matched)
        return publisher

    def client(self, kind: type, name: str) -> Client:
        """The one client that this graph has of a service, which it has found."""
        if (kind, name) not in self._clients:
            self._clients[kind, name] = self.tester.create_client(kind, name)
        client = self._clients[kind, name]
        self.until(client.service_is_ready)
        return client

    def call(self, kind: type, name: str, request: Any) -> Any:
        """The response of a service."""
        return self.ask(self.client(kind, name), request)

    def ask(self, client: Client, request: Any) -> Any:
        """The response to a client that has found its server."""
        sent = [(time.monotonic(), client.call_async(request))]

        def answered() -> Future | None:
            if time.monotonic() - sent[-1][0] > ASK_AGAIN:
                sent.append((time.monotonic(), client.call_async(request)))
            return next((future for _, future in sent if future.done()), None)

        return self.until(answered).result()

    def action_client(self, kind: type, name: str, **options) -> ActionClient:
        """A client of an action that has found its server."""
        self._action_clients.append(ActionClient(self.tester, kind, name, **options))
        self.until(self._action_clients[-1].server_is_ready)
        return self._action_clients[-1]

    def transit(self, node: LifecycleNode, *transitions: str) -> bool:
        """Take `node` through transitions such as `configure`, with nothing between them; whether each went well."""

        def go() -> bool:
            return all(getattr(node, f"trigger_{name}")() == TransitionCallbackReturn.SUCCESS for name in transitions)

        task = self._spun[node].executor.create_task(go)
        self.until(task.done)
        return task.result()

    def close(self) -> None:
        """Stop every thread before the first node goes."""
        for spun in self._spun.values():
            spun.stop()
        for client in self._action_clients:
            client.destroy()  # its node does not know it
        while self._spun:
            self._spun.popitem()[0].destroy_node()
        rclpy.try_shutdown()


@contextmanager
def process(module: str, *arguments: str) -> Iterator[subprocess.Popen]:
    """`python -m module arguments`, never left behind: neither by a test that fails nor by one that is killed."""
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", module, *arguments]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.communicate()
