# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The lidar_encoder node: encodes the scans of one spinning lidar, of any field layout."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..rig import Rig
from .encoding.encoder_node import EncoderNode
from .encoding.sensor_source import FrameSource, SensorSource
from .ros_support.process import spin


class LidarEncoderNode(EncoderNode):
    """One source, called lidar. Where the rig says so, its encoder is that of clusters, not the model's own."""

    modality = "lidar"

    @staticmethod
    def sensors(rig: Rig) -> int:
        return int(rig.lidar is not None)

    def make_sources(self) -> list[SensorSource]:
        return [FrameSource(self, "lidar", "lidar", self.rig.lidar)]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return spin(LidarEncoderNode, args)


if __name__ == "__main__":
    sys.exit(main())
