# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera_encoder node: encodes the images of any number of cameras, raw or compressed, in one batch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch

from ..encoders import Encoder, load_encoder
from ..encoders.nanodet import detector_folder
from ..rig import Rig
from .encoding.encoder_node import EncoderNode
from .encoding.nearest_sweep import NearestSweep
from .encoding.sensor_source import FrameSource, SensorSource
from .ros_support.process import spin


class CameraEncoderNode(EncoderNode):
    """One source per camera of the rig. The graph says whether its topic carries Image or CompressedImage.

    Where the rig names a detector, that encodes the images, with ranges from the lidar's sweeps where there is one.
    """

    modality = "camera"

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__(**node_arguments)
        self._sweep = NearestSweep(self, self.rig) if self.rig.detector and self.rig.lidar else None

    @staticmethod
    def sensors(rig: Rig) -> int:
        return len(rig.cameras)

    def make_sources(self) -> list[SensorSource]:
        return [FrameSource(self, "camera", mount.name, mount) for mount in self.rig.cameras]

    def _load(self) -> Encoder:
        if not self.rig.detector:
            return super()._load()
        torch.set_num_threads(self.config.threads)
        encoder = load_encoder(detector_folder(self.rig.detector), self.rig, self.config.device)
        if self._sweep:
            encoder.sweep_at = self._sweep.at
        return encoder


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return spin(CameraEncoderNode, args)


if __name__ == "__main__":
    sys.exit(main())
