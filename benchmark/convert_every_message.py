# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For ingest.py: the usual rclpy node, which deserializes and converts every message of a modality in a callback.

With --take none it subscribes and takes nothing: what the transport alone costs. It ends on Ctrl-C and prints, as JSON, how many
messages were received and how many were sent from the first to the last one received.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections import defaultdict
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2

from mmllm_ros.nodes.ros_support.messages import frame_from_message, imu_from_message
from mmllm_ros.nodes.ros_support.polled_subscription import PolledSubscription, sensor_data
from mmllm_ros.rig import load_rig

MODALITIES = ("camera", "lidar", "imu")


class ConvertEveryMessage(Node):
    """Subscribes to the sensors of one modality of a rig."""

    def __init__(self, rig_name: str, modality: str, jpeg: bool, take: bool) -> None:
        super().__init__(f"{modality}_encoder")  # the name of ours, so that both are asked the same
        rig = load_rig(rig_name)
        kind, mounts = {
            "camera": (CompressedImage if jpeg else Image, rig.cameras),
            "lidar": (PointCloud2, [rig.lidar]),
            "imu": (Imu, [rig.imu]),
        }[modality]
        self.numbers: dict[str, list[int]] = defaultdict(list)
        self.untaken = []
        for mount in mounts:
            topic = f"{mount.topic}/compressed" if kind is CompressedImage else mount.topic
            if take:
                self._subscribe(kind, topic, mount)
            else:
                self.untaken.append(PolledSubscription(self, kind, topic))

    def _subscribe(self, kind: type, topic: str, mount: Any) -> None:
        def convert(message: Any, info: dict) -> None:
            self.numbers[topic].append(info["publication_sequence_number"])
            if kind is Imu:
                imu_from_message(message, mount)
            else:
                frame_from_message(message, topic, mount)

        self.create_subscription(kind, topic, convert, sensor_data(100 if kind is Imu else 5))

    def counts(self) -> dict[str, int]:
        """Messages received, and sent meanwhile."""
        received = [numbers for numbers in self.numbers.values() if numbers]
        sent = sum(numbers[-1] - numbers[0] + 1 for numbers in received)
        return {"received": sum(len(numbers) for numbers in received), "sent": sent}


def main() -> None:
    """Receive until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modality", choices=MODALITIES)
    parser.add_argument("--rig", default="nuscenes")
    parser.add_argument("--jpeg", action="store_true")
    parser.add_argument("--take", choices=("every", "none"), default="every")
    options = parser.parse_args()
    rclpy.init(args=[])
    node = ConvertEveryMessage(options.rig, options.modality, options.jpeg, options.take == "every")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:  # rclpy's, where Ctrl-C falls into the taking of a message
        if rclpy.ok():
            raise
    finally:
        print(json.dumps(node.counts()), flush=True)
        with contextlib.suppress(RuntimeError):  # rclpy's, where its own handler of Ctrl-C shuts down at this moment
            rclpy.try_shutdown()


if __name__ == "__main__":
    main()
