# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Operator overrides: the service mmllm/set_modality and the modes in force."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rclpy.node import Node

from ...context.plan import Mode
from ...srv import SetModality


class Overrides:
    """`modes` maps a modality to its mode. `known` returns the modalities, `on_change` is called after a change."""

    def __init__(self, node: Node, known: Callable[[], Iterable[str]], on_change: Callable[[], None]) -> None:
        self.modes: dict[str, Mode] = {}
        self._known = known
        self._on_change = on_change
        self._log = node.get_logger()
        node.create_service(SetModality, "mmllm/set_modality", self._on_set_modality)

    def on_transition(self, modality: str, active: bool) -> None:
        """An operator has switched an encoder by its lifecycle, which is an override too.

        Activating an encoder that is unplugged by an override ends that override.
        """
        if not active:
            self.modes[modality] = Mode.UNPLUGGED
        elif self.modes.get(modality) == Mode.UNPLUGGED:
            self.modes[modality] = Mode.AUTOMATIC
        else:
            self.modes[modality] = Mode.PLUGGED
        what = "activated" if active else "deactivated"
        mode = self.modes[modality].name.lower()
        self._log.info(f"operator: {modality}_encoder was {what}, so {modality} is {mode}; mmllm/set_modality changes that")

    def _on_set_modality(self, request: SetModality.Request, response: SetModality.Response) -> SetModality.Response:
        known = sorted(set(self._known()))
        if request.modality not in known:
            response.message = f"modality {request.modality!r} is not one of {known}"
        elif request.mode not in list(Mode):
            response.message = f"mode {request.mode} is not 0 (automatic), 1 (plugged) or 2 (unplugged)"
        else:
            self.modes[request.modality] = Mode(request.mode)
            response.success = True
            response.message = f"{request.modality} is {Mode(request.mode).name.lower()}"
            self._log.info(f"operator: {response.message}")
            self._on_change()
        return response
