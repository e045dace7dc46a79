# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The imu_encoder node: encodes windows of one second of one IMU, at any sample rate."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..rig import Rig
from .encoding.encoder_node import EncoderNode
from .encoding.sensor_source import ImuSource, SensorSource
from .ros_support.process import spin


class ImuEncoderNode(EncoderNode):
    """One source, called imu."""

    modality = "imu"

    @staticmethod
    def sensors(rig: Rig) -> int:
        return int(rig.imu is not None)

    def make_sources(self) -> list[SensorSource]:
        return [ImuSource(self, "imu", "imu", self.rig.imu)]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return spin(ImuEncoderNode, args)


if __name__ == "__main__":
    sys.exit(main())
