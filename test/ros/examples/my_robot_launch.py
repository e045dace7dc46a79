# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The same with launch_testing, a process per node: `launch_test my_robot_launch.py bag:=FOLDER`. Copy it, change RIG, KNOWN."""

import signal
import time
import unittest
from collections.abc import Callable
from pathlib import Path

import launch
import launch_testing
import rclpy
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, SetLaunchConfiguration
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_testing.proc_info_handler import ActiveProcInfoHandler, ProcInfoHandler
from mmllm_ros.msg import Answer
from mmllm_ros.srv import Ask

RIG = "front"  # or the path of your rig file
KNOWN = {"Am I moving?": {"yes"}}
PATIENCE = 900.0  # seconds: until the model is loaded and sensors are plugged in, an answer may rest on too little


def generate_test_description() -> launch.LaunchDescription:
    drive = str(Path(get_package_share_directory("mmllm_ros")) / "launch" / "drive.launch.py")
    arguments = {"source": "bag", "bag": LaunchConfiguration("bag"), "rig": RIG, "loop": "true"}
    robot = IncludeLaunchDescription(drive, launch_arguments=arguments.items())
    patience = SetLaunchConfiguration("sigterm_timeout", "120")  # a busy machine ends its nodes late, and well
    bag = DeclareLaunchArgument("bag")
    return launch.LaunchDescription([bag, patience, robot, launch_testing.actions.ReadyToTest()])


class TestMyRobot(unittest.TestCase):
    def setUp(self) -> None:
        rclpy.init()
        self.addCleanup(rclpy.shutdown)
        self.node = rclpy.create_node("tester")
        self.addCleanup(self.node.destroy_node)

    def wait(self, ready: Callable[[], bool], seconds: float, proc_info: ActiveProcInfoHandler) -> bool:
        """Whether it is `ready` within so many seconds. Fails at once when a node ends."""
        end = time.monotonic() + seconds
        while not ready() and time.monotonic() < end:
            events = [proc_info[process] for process in proc_info.processes()]
            self.assertFalse([event.process_name for event in events if isinstance(event, ProcessExited)])
            rclpy.spin_once(self.node, timeout_sec=0.5)
        return ready()

    def test_the_recorded_robot_answers_from_its_sensors(self, proc_info: ActiveProcInfoHandler) -> None:
        client = self.node.create_client(Ask, "mmllm/ask")
        self.assertTrue(self.wait(client.service_is_ready, PATIENCE, proc_info))
        for question, accepted in KNOWN.items():
            answer, end = Answer(), time.monotonic() + PATIENCE
            while not (answer.evidence and answer.answer in accepted) and time.monotonic() < end:
                future = client.call_async(Ask.Request(question=question, timeout=60.0))
                answer = future.result().answer if self.wait(future.done, 90.0, proc_info) else Answer()
                time.sleep(0.5)
            self.assertTrue(answer.evidence, answer)
            self.assertIn(answer.answer, accepted, answer)


@launch_testing.post_shutdown_test()
class TestTheEnd(unittest.TestCase):
    def test_every_node_ended_well(self, proc_info: ProcInfoHandler) -> None:
        interrupted = -signal.SIGINT  # by the end of the test, while it loaded
        launch_testing.asserts.assertExitCodes(proc_info, [0, interrupted])
