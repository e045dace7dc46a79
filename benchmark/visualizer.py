# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CPU load of the visualizer: without subscribers, for each of its topics, and for all of them at 2 Hz.

    python benchmark/visualizer.py --json out/visualizer.json

The node runs in a separate process; this process publishes six cameras, a lidar and the health of eight sensors. CPU time is
measured, which depends less on other load of the machine than wall time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import psutil

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import rclpy
from mmllm_ros.msg import Answer as AnswerMessage
from mmllm_ros.msg import ModalityPlan, SensorHealth
from rclpy.node import Node
from rich.console import Console
from rich.table import Table
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from mmllm_ros.context.health_signals import camera_signals, imu_signals, lidar_signals
from mmllm_ros.datatypes import MODALITIES, NANOSECONDS, Answer, Evidence, Health, Plan
from mmllm_ros.io.frames import shifted
from mmllm_ros.io.serialization import Serializer
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.nodes.ros_support.messages import answer_to_message, health_to_message, plan_to_message
from mmllm_ros.nodes.ros_support.polled_subscription import PolledSubscription
from mmllm_ros.nodes.sources.recorded_topics import message_class
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive

LIMIT = 0.10
"""Largest CPU load, in cores, of all topics together at 2 Hz."""

TOPICS = {"overlay": Image, "markers": MarkerArray, "points": PointCloud2}


class Robot(Node):
    """Publishes one simulated moment repeatedly, with new stamps."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__("robot_of_a_benchmark")
        rig = load_rig("nuscenes")
        drive = Drive(1_000_000_000, rig, "day")
        drive.advance(5.0)
        moment = drive.capture()
        cameras = [dataclasses.replace(f, image=cv2.resize(f.image, size)) if size[0] else f for f in moment.cameras]
        self._frames = [*cameras, moment.lidar]
        self._signals = {("camera", frame.source): camera_signals(frame.image) for frame in cameras}
        self._signals["lidar", "lidar"] = lidar_signals(moment.lidar.points)
        self._signals["imu", "imu"] = imu_signals(moment.imu)
        self._serializer = Serializer(rig)
        topics = self._serializer.topics()
        self._sensors = {name: self.create_publisher(message_class(kind), name, 1) for name, kind in topics.items()}
        self._health = self.create_publisher(SensorHealth, "mmllm/health", qos.RELIABLE)
        self._answers = self.create_publisher(AnswerMessage, "mmllm/answers", qos.RELIABLE)
        plan = self.create_publisher(ModalityPlan, "mmllm/plan", qos.LATCHED)
        healthy = dict.fromkeys(MODALITIES, "healthy")
        plan.publish(plan_to_message(Plan(1, dict.fromkeys(MODALITIES, True), healthy, "day, moving", 0, 0.1, 0.3)))

    def send(self) -> None:
        """Publish every sensor, its health, and an answer with the current stamp."""
        now = self.get_clock().now().nanoseconds
        for frame in self._frames:
            for message in self._serializer.messages(shifted(frame, now - frame.stamp)):
                self._sensors[message.topic].publish(message.data)
        for (modality, source), signals in self._signals.items():
            self._health.publish(health_to_message(Health(modality, source, now, 10.0, 0.1, 0.0, 0, signals, True)))
        evidence = tuple(Evidence(modality, source, now, 0.1) for modality, source in self._signals)
        answer = Answer(now, "", f"Are there any cars after {now / NANOSECONDS:.1f} s?", "yes", 0.8, evidence, {}, 0.1, "m", "r")
        self._answers.publish(answer_to_message(answer))


def share(robot: Robot, process: psutil.Process, topics: list[str], seconds: float) -> float:
    """CPU seconds of `process` a second while `topics` topics are subscribed to."""
    subscriptions = [PolledSubscription(robot, TOPICS[name], f"mmllm/{name}") for name in topics]
    _send(robot, 4.0)  # found by DDS, first pictures drawn
    before, started = process.cpu_times(), time.monotonic()
    _send(robot, seconds)
    after, took = process.cpu_times(), time.monotonic() - started
    if any(subscription.take() is None for subscription in subscriptions):
        raise SystemExit(f"nothing came on {topics}")
    for subscription in subscriptions:
        subscription.destroy()
    return (after.user - before.user + after.system - before.system) / took


def _send(robot: Robot, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        robot.send()
        time.sleep(0.5)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each of the five measurements")
    parser.add_argument("--camera", default="0x0", help="size of the pictures, for example 1600x900; 0x0 = as simulated")
    parser.add_argument("--json", type=Path, default=Path("out/visualizer.json"))
    arguments = parser.parse_args()
    width, height = map(int, arguments.camera.split("x"))
    rclpy.init(args=[])
    robot = Robot((width, height))
    command = [sys.executable, "-m", "mmllm_ros.nodes.visualizer", "--ros-args", "-p", "rig:=nuscenes", "-p", "rate:=2.0"]
    node = subprocess.Popen(command)
    try:
        while not robot.count_subscribers("mmllm/health"):
            time.sleep(0.1)
        phases = {"no subscriber": [], **{name: [name] for name in TOPICS}, "all": list(TOPICS)}
        report = {what: share(robot, psutil.Process(node.pid), names, arguments.seconds) for what, names in phases.items()}
    finally:
        node.terminate()
        node.wait()
        robot.destroy_node()
        rclpy.try_shutdown()
    table = Table("subscribed", "of a core", title=f"visualizer at 2 Hz, six cameras ({arguments.camera}), at most {LIMIT:.0%}")
    for what, part in report.items():
        table.add_row(what, f"{part:.1%}")
    Console().print(table)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(
        json.dumps({"share of a core": report, "limit": LIMIT, "camera": arguments.camera}, indent=1) + "\n"
    )
    sys.exit(int(report["all"] > LIMIT))


if __name__ == "__main__":
    main()
