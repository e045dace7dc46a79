# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Switches the lifecycle of every encoder node according to the plan, and frees unused weights while memory is low."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from rclpy.node import Node

from ...context.machine_load import MEMORY_LIMIT
from ..ros_support.diagnostics import Level, Status
from ..ros_support.sensor_topics import encoder_name
from .lifecycle_client import LifecycleClient

MEMORY_RELOAD = 85.0
"""Memory in use [%] below which freed weights are loaded again: freeing them is what brings it just below MEMORY_LIMIT."""


class EncoderLifecycles:
    """One LifecycleClient per modality. `unloaded` are the modalities whose weights are freed.

    `on_operator` gets a modality and whether an operator has activated or deactivated its encoder.
    """

    def __init__(self, node: Node, modalities: Iterable[str], on_operator: Callable[[str, bool], None]) -> None:
        self._clients = {
            modality: LifecycleClient(node, encoder_name(modality), partial(on_operator, modality)) for modality in modalities
        }
        self._used = dict.fromkeys(self._clients, time.monotonic())
        self.unloaded: set[str] = set()

    def follow(self, plugged: Mapping[str, bool], timeout: float, memory: float, unload_after: float) -> None:
        """One step of every client. Requests end after `timeout` [s].

        While `memory` in use [%] is above MEMORY_LIMIT, weights that were not used for `unload_after` [s] are freed.
        """
        now = time.monotonic()
        for modality, client in self._clients.items():
            if plugged[modality] or (modality in self.unloaded and memory < MEMORY_RELOAD):
                self._used[modality] = now
                self.unloaded.discard(modality)
            if memory > MEMORY_LIMIT and now - self._used[modality] > unload_after:
                self.unloaded.add(modality)
            client.step(plugged[modality], timeout, modality not in self.unloaded)

    def use(self, modalities: Iterable[str]) -> None:
        """Count `modalities` as used now, as for an answer that had them encoded on request."""
        self._used |= dict.fromkeys(self._used.keys() & set(modalities), time.monotonic())

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities with sensors in the rig."""
        return tuple(self._clients)

    def statuses(self) -> Iterator[Status]:
        """For /diagnostics."""
        for modality, client in self._clients.items():
            level = Level.WARN if client.problem else Level.OK
            state = "unloaded, memory is low" if modality in self.unloaded else "follows the plan"
            yield Status(f"{modality} encoder", level, client.problem or state)
