# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera_encoder node: encodes the images of any number of cameras, raw or compressed, in one batch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..rig import Rig
from .encoding.encoder_node import EncoderNode
from .encoding.sensor_source import FrameSource, SensorSource
from .ros_support.process import spin


class CameraEncoderNode(EncoderNode):
    """One source per camera of the rig. The graph says whether its topic carries Image or CompressedImage."""

    modality = "camera"

    @staticmethod
    def sensors(rig: Rig) -> int:
        return len(rig.cameras)

    def make_sources(self) -> list[SensorSource]:
        return [FrameSource(self, "camera", mount.name, mount) for mount in self.rig.cameras]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return spin(CameraEncoderNode, args)


if __name__ == "__main__":
    sys.exit(main())
