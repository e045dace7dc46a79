# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""20,000 hostile messages to a running robot over DDS, good sensors and questions between them.

All nodes run in one process, the hostile and the good publishers in this one. Measured: crashes, the memory of the process
before and after, answers that rest on sensors, rejected messages by reason. The exit status is 1 where the process ended, its
memory grew by 10 % or more, a node did not count rejections, or the last question has no answer from sensors.

    python benchmark/hostile_publisher.py --messages 20000 --json out/hostile_publisher.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from mmllm_ros.msg import ModalityPlan
from mmllm_ros.srv import Ask
from rclpy.node import Node

from mmllm_ros.io.frames import shifted
from mmllm_ros.io.serialization import Serializer
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.nodes.ros_support.rejections import without_values
from mmllm_ros.nodes.sources.recorded_topics import message_class
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive

sys.path.insert(0, str(Path(__file__).parents[1] / "test"))
from hostile_messages import HostileMessages

QUESTION = "Are there any cars?"
QUESTIONS = 20
MOST_GROWTH = 0.10
PAUSE = 0.002
"""Between two hostile messages [s]: 500 a second, on all topics in turn."""


class Surroundings(Node):
    """Good sensors at 10 Hz, hostile messages, questions, and what the robot reports."""

    def __init__(self, seed: int) -> None:
        super().__init__("hostile_publisher")
        rig = load_rig("front")
        self._drive = Drive(500_000_000 + seed, rig, "day")
        self._serializer = Serializer(rig)
        self._sensors = {
            name: self.create_publisher(message_class(kind), name, 5) for name, kind in self._serializer.topics().items()
        }
        self.hostile = HostileMessages(seed)
        self.attackers = {
            name: self.create_publisher(kind, name, qos.LATCHED if kind is ModalityPlan else 10)
            for name, (kind, _) in self.hostile.topics.items()
        }
        self.ask_client = self.create_client(Ask, "mmllm/ask")
        self.rejected: dict[str, dict[str, str]] = {}
        self.left_out: Counter[str] = Counter()
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self.create_timer(0.1, self._send)

    def _send(self) -> None:
        self._drive.advance(0.1)
        moment = self._drive.capture()
        shift = time.time_ns() - moment.truth.stamp
        for frame in (*moment.cameras, moment.lidar, moment.imu):
            for message in self._serializer.messages(shifted(frame, shift)):
                self._sensors[message.topic].publish(message.data)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            counts = {item.key: item.value for item in status.values if item.key.startswith("rejected: ")}
            if counts:
                self.rejected[status.name] = counts

    def call(self, client, request, seconds: float = 30.0):
        """The response, None where none comes."""
        future = client.call_async(request)
        rclpy.spin_until_future_complete(self, future, timeout_sec=seconds)
        return future.result() if future.done() else None

    def answered(self) -> bool:
        """Whether a question is answered from sensors."""
        response = self.call(self.ask_client, Ask.Request(question=QUESTION, timeout=20.0))
        if response is None or not response.success:
            self.left_out[f"no answer: {response.message if response else 'none came'}"] += 1
            return False
        answer = response.answer
        if not answer.evidence:
            self.left_out.update(f"{m}: {without_values(why)}" for m, why in zip(answer.unplugged, answer.reasons, strict=True))
        return bool(answer.evidence)

    def until_answered(self, seconds: float) -> bool:
        """The same, asked again until then."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.ask_client.service_is_ready() and self.answered():
                return True
            rclpy.spin_once(self, timeout_sec=0.1)
        return False


def attack(node: Surroundings, robot: subprocess.Popen, messages: int, questions: int) -> dict[str, Any]:
    """Publish hostile messages and ask so many questions between them; returns how many of these were answered from sensors,
    and why the others were not."""
    asked = answered = 0
    node.left_out.clear()
    topics = sorted(node.attackers)
    for number in range(messages):
        topic = topics[number % len(topics)]
        node.attackers[topic].publish(node.hostile.topics[topic][1]())
        rclpy.spin_once(node, timeout_sec=0.0)
        time.sleep(PAUSE)
        if (number + 1) % (messages // questions) == 0:
            if robot.poll() is not None:
                break
            asked, answered = asked + 1, answered + node.answered()
    return {"asked": asked, "answered from sensors": answered, "left out": dict(node.left_out.most_common())}


def main() -> None:
    """Attack, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=str(default_model()))
    parser.add_argument("--json", type=Path, default=Path("out/hostile_publisher.json"))
    arguments = parser.parse_args()
    # A domain of its own: other robots and measurements must not be heard.
    os.environ |= {"ROS_DOMAIN_ID": "92", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    rclpy.init(args=[])
    node = Surroundings(arguments.seed)
    settings = {"source": "robot", "duration": "0.0", "interval": "0.0", "model": arguments.model, "device": "cpu"}
    words = [word for name, value in settings.items() for word in ("-p", f"{name}:={value}")]
    robot = subprocess.Popen([sys.executable, "-m", "mmllm_ros.nodes.drive", "--ros-args", *words, "--log-level", "error"])
    try:
        if not node.until_answered(300.0):
            raise SystemExit("the robot does not answer before the attack")
        attack(node, robot, 500, 1)  # what is allocated once counts as before
        before = psutil.Process(robot.pid).memory_info().rss
        started = time.monotonic()
        questions = attack(node, robot, arguments.messages, QUESTIONS)
        took = time.monotonic() - started
        alive = robot.poll() is None
        growth = psutil.Process(robot.pid).memory_info().rss / before - 1.0 if alive else float("nan")
        last = alive and node.until_answered(60.0)
    finally:
        robot.terminate()
        robot.wait()
        node.destroy_node()
        rclpy.try_shutdown()
    counting = {name.split(":")[0] for name in node.rejected}
    report = {
        "messages": arguments.messages, "seconds": round(took, 1), "alive": alive, "memory growth": round(growth, 4),
        "answered at the end": last, **questions, "rejected": node.rejected,
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    complete = {"camera_encoder", "lidar_encoder", "imu_encoder", "llm", "context_monitor"} <= counting
    sys.exit(int(not (alive and growth < MOST_GROWTH and last and complete)))


if __name__ == "__main__":
    main()
