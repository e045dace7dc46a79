# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera_encoder node: encodes the images of any number of cameras, raw or compressed, in one batch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ..encoders import Encoder
from ..rig import Rig
from .encoding.encoder_node import EncoderNode
from .encoding.nearest_sweep import NearestSweep
from .encoding.open_vocabulary_server import OpenVocabularyServer
from .encoding.sensor_source import FrameSource, SensorSource
from .ros_support.process import spin


class CameraEncoderNode(EncoderNode):
    """One source per camera of the rig. The graph says whether its topic carries Image or CompressedImage.

    Where the rig names a detector, that encodes the images, with ranges from the lidar's sweeps where there is one. Where it
    names a zero-shot detector, the service ~/ask answers about things beyond the ten classes.
    """

    modality = "camera"

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(**node_arguments)
        self._sweep = NearestSweep(self, self.rig) if self.rig.detector and self.rig.lidar else None
        self._server = OpenVocabularyServer(self, self.rig, lambda: self._sources) if self.rig.open_vocabulary else None

    @staticmethod
    def sensors(rig: Rig) -> int:
        return len(rig.cameras)

    def make_sources(self) -> list[SensorSource]:
        return [FrameSource(self, "camera", mount.name, mount) for mount in self.rig.cameras]

    def _load(self) -> Encoder:
        encoder = super()._load()
        if self._sweep:
            encoder.sweep_at = self._sweep.at
        if self._server:
            self._server.load(self.config.device)
        return encoder

    def _release(self) -> None:
        super()._release()
        if self._server:
            self._server.release()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return spin(CameraEncoderNode, args)


if __name__ == "__main__":
    sys.exit(main())
