# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Base class of the replay and simulator nodes: publishes from a thread of its own."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from rclpy.node import Node


class SourceNode(Node, ABC):
    """Call `start` after construction. `on_end` is called in the thread when everything is published.

    An error in the thread is raised in the executor: a node that publishes no more must not stay alive.
    """

    def __init__(self, name: str, on_end: Callable[[], None] | None = None, **node_arguments) -> None:
        super().__init__(name, **node_arguments)
        self.stopping = threading.Event()
        self._on_end = on_end
        self._failure: Exception | None = None
        self._failed = self.create_guard_condition(self._on_failure)
        self._thread = threading.Thread(target=self._run, name=name)

    @abstractmethod
    def publish_all(self) -> None:
        """Publish until the end, or until `stopping` is set."""

    def start(self) -> None:
        """Start publishing."""
        self._thread.start()

    def destroy_node(self) -> None:
        """Stop publishing."""
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        super().destroy_node()

    def _run(self) -> None:
        try:
            self.publish_all()
        except Exception as error:
            if self.context.ok():  # else Ctrl-C has shut down the middleware while this thread publishes
                self._failure = error
                self._failed.trigger()
            return
        if self._on_end and not self.stopping.is_set():
            self._on_end()

    def _on_failure(self) -> None:
        raise self._failure
