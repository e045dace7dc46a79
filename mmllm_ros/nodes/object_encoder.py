# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The object_encoder node: what another perception stack reports, as vision_msgs detections or as markers, is modality
`objects`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..encoders import Encoder
from ..encoders.reported_objects import ReportedObjectsEncoder
from ..rig import Rig
from .encoding.encoder_node import EncoderNode
from .encoding.object_source import ObjectSource
from .encoding.sensor_source import SensorSource
from .ros_support.process import spin


class ObjectEncoderNode(EncoderNode):
    """One source, called objects. There are no weights: the model's modality-agnostic connector reads the tokens."""

    modality = "objects"

    @staticmethod
    def sensors(rig: Rig) -> int:
        return int(rig.objects is not None)

    def make_sources(self) -> list[SensorSource]:
        return [ObjectSource(self, self.rig)]

    def _load(self) -> Encoder:
        return ReportedObjectsEncoder(self.rig)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return spin(ObjectEncoderNode, args)


if __name__ == "__main__":
    sys.exit(main())
