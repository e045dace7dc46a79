# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Makes the lifecycle of every encoder node follow the plan, and frees weights that nobody uses while memory is short."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from rclpy.node import Node

from ..ros_support.diagnostics import Level, Status
from .lifecycle_client import LifecycleClient


class EncoderLifecycles:
    """One LifecycleClient for each modality. `unloaded` are the modalities whose weights have been let go."""

    def __init__(self, node: Node, modalities: Iterable[str]) -> None:
        self._switches = {modality: LifecycleClient(node, f"{modality}_encoder") for modality in modalities}
        self._used = dict.fromkeys(self._switches, time.monotonic())
        self.unloaded: set[str] = set()

    def follow(self, plugged: Mapping[str, bool], timeout: float, memory_short: bool, unload_after: float) -> None:
        """One step of every switch. Transitions are given up after `timeout` [s], weights let go after `unload_after` [s]."""
        now = time.monotonic()
        for modality, switch in self._switches.items():
            if plugged[modality]:
                self._used[modality] = now
            if memory_short and now - self._used[modality] > unload_after:
                self.unloaded.add(modality)
            elif not memory_short:
                if modality in self.unloaded:
                    self._used[modality] = now
                self.unloaded.discard(modality)
            switch.step(plugged[modality], timeout, modality not in self.unloaded)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that the robot has sensors for."""
        return tuple(self._switches)

    def statuses(self) -> Iterator[Status]:
        """For /diagnostics."""
        for modality, switch in self._switches.items():
            level = Level.WARN if switch.trouble else Level.OK
            rest = "unloaded, memory is short" if modality in self.unloaded else "follows the plan"
            yield Status(f"{modality} encoder", level, switch.trouble or rest)
