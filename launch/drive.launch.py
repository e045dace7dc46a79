# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Launches a source of sensor topics, the encoders, the context monitor, the llm and the visualizer."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import Condition, LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import EqualsSubstitution, IfElseSubstitution, LaunchConfiguration, NotEqualsSubstitution
from launch_ros.actions import Node, PushRosNamespace, SetParameter
from launch_ros.parameter_descriptions import ParameterValue

CONFIG = Path(get_package_share_directory("mmllm_ros")) / "config"
NODES = ("camera_encoder", "lidar_encoder", "imu_encoder", "context_monitor", "llm", "visualizer")
SOURCES = (("simulator", "simulator"), ("replay", "bag"))
TRUTH = ("true", "false")
ARGUMENTS = (
    ("namespace", "", "namespace of every node and topic: one per robot", None),
    ("source", "simulator", "where the sensor topics come from", ("simulator", "bag", "robot")),
    ("use_sim_time", "auto", "time from /clock; auto = true unless source is robot", ("auto", *TRUTH)),
    ("bag", "", "rosbag2 folder or mcap file to replay, with source:=bag", None),
    ("rig", "front", "sensor layout: front, nuscenes, radiate or a YAML file", None),
    ("model", "", "model folder or hub name, empty = the shipped one", None),
    ("device", "auto", "torch device: auto, cpu, cuda or cuda:N", None),
    ("params_file", str(CONFIG / "drive.yaml"), "parameters of every node", None),
    ("composed", "false", "run all nodes in one process, with less memory", TRUTH),
    ("rviz", "false", "start rviz with config/drive.rviz", TRUTH),
    ("log_level", "info", "lowest logged severity", ("debug", "info", "warn", "error", "fatal")),
)


def generate_launch_description() -> LaunchDescription:
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
        for name, default, description, choices in ARGUMENTS
    ]
    source, composed = LaunchConfiguration("source"), LaunchConfiguration("composed")
    texts = {name: ParameterValue(LaunchConfiguration(name), value_type=str) for name in ("bag", "rig", "model", "device")}
    clock = LaunchConfiguration("use_sim_time")
    use_sim_time = IfElseSubstitution(EqualsSubstitution(clock, "auto"), NotEqualsSubstitution(source, "robot"), clock)
    simulated = ParameterValue(use_sim_time, value_type=bool)
    logging = ["--ros-args", "--log-level", LaunchConfiguration("log_level")]

    def node(name: str, *changes: dict, condition: Condition | None = None) -> Node:
        """A node of this package; its prefix ends it when the launch process is killed."""
        parameters = [LaunchConfiguration("params_file"), texts, {"clock": simulated}, *changes]
        settings = {"package": "mmllm_ros", "output": "screen", "prefix": "setpriv --pdeathsig TERM", "arguments": logging}
        return Node(executable=name, exec_name=name, parameters=parameters, condition=condition, **settings)

    sources = [node(name, condition=IfCondition(EqualsSubstitution(source, kind))) for name, kind in SOURCES]
    layout = {"arguments": ["-d", str(CONFIG / "drive.rviz")], "parameters": [{"use_sim_time": simulated}]}
    rviz = Node(package="rviz2", executable="rviz2", condition=IfCondition(LaunchConfiguration("rviz")), **layout)
    one = GroupAction([node("drive", {"source": source, "duration": 0.0})], condition=IfCondition(composed))
    # The source publishes /clock; the other nodes use it.
    nodes = [*sources, SetParameter("use_sim_time", use_sim_time), *map(node, NODES)]
    several = GroupAction(nodes, condition=UnlessCondition(composed))
    return LaunchDescription([*arguments, PushRosNamespace(LaunchConfiguration("namespace")), one, several, rviz])
