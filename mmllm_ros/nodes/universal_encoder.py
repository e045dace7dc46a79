# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The universal_encoder executable: encodes the `signals` of the rig, one lifecycle node for each modality, one set of weights.

The nodes are called <modality>_encoder, for example audio_encoder and depth_encoder, so that the context monitor switches each.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import rclpy
import torch
from rclpy.node import Node
from rclpy.parameter import Parameter

from ..config import EncoderConfig
from ..datatypes import BadInput
from ..encoders.universal.packs import Packs
from ..encoders.universal.shared import ModalityEncoder, SharedEncoder
from ..latent.manifest import Manifest
from ..resources import model_folder
from ..rig import Rig, SignalMount, load_rig
from .encoding.encoder_node import EncoderNode
from .encoding.sensor_source import SensorSource
from .encoding.signal_source import make_source
from .ros_support.parameters import declare
from .ros_support.process import spin
from .ros_support.sensor_topics import encoder_name

NAME = "universal_encoder"


class UniversalEncoderNode(EncoderNode):
    """The sensors of one modality among the `signals` of the rig."""

    def __init__(self, modality: str, shared: SharedEncoder, **node_arguments: Any) -> None:
        self.modality = modality
        self._shared = shared
        self._holding = False
        super().__init__(**node_arguments)

    def sensors(self, rig: Rig) -> int:
        return len(self._mounts(rig))

    def make_sources(self) -> list[SensorSource]:
        return [make_source(self, mount) for mount in self._mounts(self.rig)]

    def _mounts(self, rig: Rig) -> list[SignalMount]:
        return [mount for mount in rig.signals if mount.modality == self.modality]

    def _load(self) -> ModalityEncoder:
        torch.set_num_threads(self.config.threads)
        folder = model_folder(self.config.model)
        self._release()
        encoder = self._shared.acquire(self.modality, lambda: Packs.of_model(folder, self.rig, self.config.device))
        self._holding = True
        kind = self._mounts(self.rig)[0].kind
        if encoder.layout.kind != kind:
            raise BadInput(f"modality {self.modality} is {encoder.layout.kind} in the model, {kind} in rig {self.rig.name}")
        # A pack is checked against the model where its connector is loaded.
        expected = Manifest.read(folder).encoder_revisions.get(self.modality)
        if not encoder.is_pack and encoder.revision != expected:
            raise BadInput(f"encoder {NAME} has revision {encoder.revision}, {self.modality} in {folder} is made for {expected}")
        return encoder

    def _release(self) -> None:
        super()._release()
        if self._holding:
            self._holding = False
            self._shared.release()


def signal_encoders(rig: Rig) -> list[Callable[..., UniversalEncoderNode]]:
    """What makes the nodes of a rig, one for each modality of its signals; they share one encoder."""
    shared = SharedEncoder()
    return [partial(UniversalEncoderNode, modality, shared) for modality in dict.fromkeys(m.modality for m in rig.signals)]


def make_nodes() -> list[Node]:
    """The nodes for the rig that the parameters name. Raises BadInput where it has no signals."""
    config = _parameters_of(NAME)
    rig = load_rig(config.rig)
    if not rig.signals:
        raise BadInput(f"rig {rig.name} has no signals for the universal encoder: name them under signals in the rig file")
    modalities = dict.fromkeys(mount.modality for mount in rig.signals)
    makers = zip(modalities, signal_encoders(rig), strict=True)
    return [make(parameter_overrides=_overrides(modality, config)) for modality, make in makers]


def _overrides(modality: str, config: EncoderConfig) -> list[Parameter]:
    """What the node of `modality` has from its executable: rig and model, and what is not set for that node itself."""
    shared = [Parameter("rig", value=config.rig), Parameter("model", value=config.model)]
    own = _parameters_of(encoder_name(modality), parameter_overrides=shared)
    others = [field.name for field in dataclasses.fields(config) if getattr(own, field.name) == field.default]
    return [*shared, *(Parameter(name, value=getattr(config, name)) for name in others)]


def _parameters_of(name: str, **node_arguments: Any) -> EncoderConfig:
    """The values with which a node of this name would start. Raises BadInput."""
    probe = rclpy.create_node(name, **node_arguments)
    try:
        return declare(probe, EncoderConfig)
    finally:
        probe.destroy_node()


def main(args: Sequence[str] | None = None) -> int:
    """`ros2 run mmllm_ros universal_encoder --ros-args -p rig:=my_robot.yaml -p model:=universal`."""
    return spin(make_nodes, args)


if __name__ == "__main__":
    sys.exit(main())
