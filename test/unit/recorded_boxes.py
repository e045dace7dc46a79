# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recording of a lidar and of detected boxes, for tests. vision_msgs is defined by the recording itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from mmllm_ros.datatypes import NANOSECONDS, LidarScan
from mmllm_ros.io.serialization import Serializer
from mmllm_ros.rig import load_rig

DEFINITIONS = {
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "vision_msgs/msg/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
    "vision_msgs/msg/Detection3D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\nvision_msgs/BoundingBox3D bbox\nstring id"
    ),
    "vision_msgs/msg/Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections",
}
"""As in vision_msgs 4."""
START = 1_000 * NANOSECONDS
SIZE = (4.4, 1.8, 1.6)
Boxes = Sequence[tuple[str, tuple[float, float, float]]]


def write_recording(folder: Path, moments: Sequence[Boxes], frame: str = "base_link") -> Path:
    """A moment every second: a sweep with points on each box, and 20 ms later the boxes, pairs of a class and a position."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in DEFINITIONS.items():
        store.register(get_types_from_msg(text, name))
    serializer, connections = Serializer(load_rig("front")), {}
    rng = np.random.default_rng(0)
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:

        def put(topic: str, kind: str, stamp: int, data: bytes) -> None:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], stamp, data)

        for number, boxes in enumerate(moments):
            stamp = START + number * NANOSECONDS
            ground = np.stack([rng.uniform(3, 40, 400), rng.uniform(-15, 15, 400), np.full(400, -1.8), np.ones(400)], 1)
            # The sweep is in the sensor's frame, 1.8 m above the ground.
            on = [[x, y, z - 1.8, 0.5] + rng.normal(0, 0.2, 4) * [1, 1, 1, 0] for _, (x, y, z) in boxes for _ in range(30)]
            points = np.concatenate([ground, np.array(on).reshape(-1, 4)]).astype(np.float32)
            for message in serializer.messages(LidarScan(stamp, "lidar", points)):
                put("/" + message.topic.strip("/"), message.type, message.stamp, message.data)
            array = _detections(store, stamp, frame, boxes)
            data = store.serialize_cdr(array, "vision_msgs/msg/Detection3DArray")
            put("/labels", "vision_msgs/msg/Detection3DArray", stamp + NANOSECONDS // 50, bytes(data))
    return folder


def _detections(store, stamp: int, frame: str, boxes: Boxes):
    def make(name: str, **fields):
        return store.types[name](**fields)

    time = make("builtin_interfaces/msg/Time", sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS)
    header = make("std_msgs/msg/Header", stamp=time, frame_id=frame)
    level = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)

    def pose(x: float, y: float, z: float):
        return make("geometry_msgs/msg/Pose", position=make("geometry_msgs/msg/Point", x=x, y=y, z=z), orientation=level)

    found = []
    for kind, place in boxes:
        unsure = make("geometry_msgs/msg/PoseWithCovariance", pose=pose(*place), covariance=np.zeros(36))
        guess = make("vision_msgs/msg/ObjectHypothesis", class_id=kind, score=0.95)
        result = make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=guess, pose=unsure)
        size = make("geometry_msgs/msg/Vector3", **dict(zip("xyz", SIZE, strict=True)))
        box = make("vision_msgs/msg/BoundingBox3D", center=pose(*place), size=size)
        found.append(make("vision_msgs/msg/Detection3D", header=header, results=[result], bbox=box, id=""))
    return make("vision_msgs/msg/Detection3DArray", header=header, detections=found)
