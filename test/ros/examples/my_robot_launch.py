# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The same with launch_testing, a process per node: `launch_test my_robot_launch.py bag:=FOLDER`. Copy it, change RIG, KNOWN."""

import tempfile
import unittest
from pathlib import Path

import launch
import launch_testing
import rclpy
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.substitutions import LaunchConfiguration
from mmllm_ros.srv import Ask

RIG = "front"  # or the path of your rig file
KNOWN = {"Am I moving?": {"yes"}}


def generate_test_description() -> launch.LaunchDescription:
    looping = Path(tempfile.mkdtemp(), "looping.yaml")
    looping.write_text("/**/replay: {ros__parameters: {loop: true}}")
    drive = str(Path(get_package_share_directory("mmllm_ros")) / "launch" / "drive.launch.py")
    arguments = {"source": "bag", "bag": LaunchConfiguration("bag"), "rig": RIG, "params_file": str(looping)}
    robot = IncludeLaunchDescription(drive, launch_arguments=arguments.items())
    return launch.LaunchDescription([DeclareLaunchArgument("bag"), robot, launch_testing.actions.ReadyToTest()])


class TestMyRobot(unittest.TestCase):
    def test_the_recorded_robot_answers_from_its_sensors(self) -> None:
        rclpy.init()
        node = rclpy.create_node("tester")
        client = node.create_client(Ask, "mmllm/ask")
        self.assertTrue(client.wait_for_service(300.0))
        for question, accepted in KNOWN.items():
            for _ in range(60):  # until the model is loaded and the sensors are plugged
                future = client.call_async(Ask.Request(question=question))
                rclpy.spin_until_future_complete(node, future, timeout_sec=30.0)
                if future.done() and future.result().success and future.result().answer.evidence:
                    break
                rclpy.spin_once(node, timeout_sec=0.5)
            self.assertIn(future.result().answer.answer, accepted)
        node.destroy_node()
        rclpy.shutdown()


@launch_testing.post_shutdown_test()
class TestTheEnd(unittest.TestCase):
    def test_every_node_ended_well(self, proc_info) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
