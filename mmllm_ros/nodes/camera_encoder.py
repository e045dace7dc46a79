# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera_encoder node: encodes the images of any number of cameras, raw or compressed, in one batch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sensor_msgs.msg import CompressedImage, Image

from ..rig import Rig
from .encoding.encoder_node import EncoderNode
from .encoding.sensor_source import FrameSource, SensorSource
from .ros_support.process import spin


class CameraEncoderNode(EncoderNode):
    """One source per camera of the rig. A topic whose (remapped) name ends in /compressed carries CompressedImage."""

    modality = "camera"

    @staticmethod
    def sensors(rig: Rig) -> int:
        return len(rig.cameras)

    def make_sources(self) -> list[SensorSource]:
        def kind(topic: str) -> type:
            return CompressedImage if self.resolve_topic_name(topic).endswith("/compressed") else Image

        return [FrameSource(self, "camera", mount.name, mount, kind(mount.topic)) for mount in self.rig.cameras]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return spin(CameraEncoderNode, args)


if __name__ == "__main__":
    sys.exit(main())
