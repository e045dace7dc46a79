# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For ingest.py and two_machines.py: publishes sensors of the size and rate of a car's, until it is ended.

The pictures and sweeps are simulated ones, enlarged. Messages are serialized once; one that is due gets its stamp and is sent.
"""

from __future__ import annotations

import argparse
import heapq
import struct
import time

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage

from mmllm_ros.datatypes import CameraFrame, LidarScan
from mmllm_ros.io.serialization import Serializer
from mmllm_ros.nodes.ros_support.polled_subscription import sensor_data
from mmllm_ros.nodes.sources.recorded_topics import message_class
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive

VARIANTS = 3
"""Different messages of a sensor, sent in turn: a sensor that repeats one is judged frozen."""

LATE = 0.2
"""A publisher that is later [s] skips what was due, instead of sending it in a burst."""

STAMP = struct.Struct("<iI")
STAMP_OFFSET = 4
"""The header comes first in each of these messages, after the four bytes that name the encoding."""


class SensorPublisher(Node):
    """The first `cameras` cameras of `rig`, its lidar and its IMU; a rate of 0 leaves a sensor out."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__("sensor_publisher")
        rig = load_rig(options.rig)
        serializer, rng = Serializer(rig), np.random.default_rng(0)
        drive = Drive(500_000_000, rig, "day")
        moments = []
        for _ in range(VARIANTS):
            drive.advance(0.5)
            moments.append(drive.capture())
        self._due: list[tuple[float, int]] = []
        self._streams: list[tuple] = []
        width, height = (int(number) for number in options.size.split("x"))
        for index, mount in enumerate(rig.cameras[: options.cameras]):
            images = [enlarged(moment.cameras[index].image, width, height, rng) for moment in moments]
            if options.jpeg:
                data, kind, topic = [jpeg(image) for image in images], "CompressedImage", f"{mount.topic}/compressed"
            else:
                data = [next(serializer.messages(CameraFrame(0, mount.name, image))).data for image in images]
                kind, topic = "Image", mount.topic
            self._add(topic, kind, data, options.camera_rate)
        scans = [LidarScan(0, "lidar", moment.lidar.points[rng.integers(len(moment.lidar.points), size=options.points)])
                 for moment in moments]  # fmt: skip
        self._add(rig.lidar.topic, "PointCloud2", [next(serializer.messages(scan)).data for scan in scans], options.lidar_rate)
        samples = [message.data for message in serializer.messages(moments[0].imu)]
        self._add(rig.imu.topic, "Imu", samples, options.imu_rate)

    def _add(self, topic: str, kind: str, data: list[bytes], rate: float) -> None:
        if rate <= 0.0:
            return
        publisher = self.create_publisher(message_class(f"sensor_msgs/msg/{kind}"), topic, sensor_data(5))
        # Sensors start at different times, so that the large messages do not come at once.
        self._due.append((0.013 * len(self._streams), len(self._streams)))
        self._streams.append((publisher, [bytearray(content) for content in data], 1.0 / rate))

    def run(self) -> None:
        """Publish until the process is interrupted."""
        started, count = time.monotonic(), 0
        heapq.heapify(self._due)
        while self.context.ok():
            due, index = heapq.heappop(self._due)
            wait = started + due - time.monotonic()
            if wait > 0.0:
                time.sleep(wait)
            publisher, variants, period = self._streams[index]
            message, count = variants[count % len(variants)], count + 1
            STAMP.pack_into(message, STAMP_OFFSET, *divmod(time.time_ns(), 1_000_000_000))
            try:
                publisher.publish(bytes(message))
            except rclpy_implementation.RCLError:
                if self.context.ok():  # else Ctrl-C came meanwhile
                    raise
                return
            heapq.heappush(self._due, (due + period if wait > -LATE else time.monotonic() - started + period, index))


def enlarged(image: np.ndarray, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """The image in the size of a real camera's, with the noise of one: without, JPEG would be far smaller than in reality."""
    large = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return np.clip(large + rng.normal(0.0, 4.0, large.shape).astype(np.int16), 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray) -> bytes:
    """A serialized CompressedImage."""
    data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return serialize_message(CompressedImage(format="rgb8; jpeg compressed bgr8", data=data.tobytes()))


def main() -> None:
    """Publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rig", default="nuscenes")
    parser.add_argument("--cameras", type=int, default=6)
    parser.add_argument("--camera-rate", type=float, default=12.0)
    parser.add_argument("--size", default="1600x900")
    parser.add_argument("--jpeg", action="store_true")
    parser.add_argument("--points", type=int, default=34_000)
    parser.add_argument("--lidar-rate", type=float, default=20.0)
    parser.add_argument("--imu-rate", type=float, default=100.0)
    options = parser.parse_args()
    rclpy.init(args=[])
    try:
        SensorPublisher(options).run()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
