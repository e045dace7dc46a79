# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A robot that answers questions: a source of sensor topics, the encoders, the context monitor, the llm and the visualizer."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import EqualsSubstitution, IfElseSubstitution, LaunchConfiguration, NotEqualsSubstitution
from launch_ros.actions import Node, PushRosNamespace, SetParameter
from launch_ros.parameter_descriptions import ParameterValue

CONFIG = Path(get_package_share_directory("mmllm_ros")) / "config"
NODES = ("camera_encoder", "lidar_encoder", "imu_encoder", "context_monitor", "llm", "visualizer")
TRUTH = ("true", "false")


def _arguments() -> list[DeclareLaunchArgument]:
    sources, levels = ("simulator", "bag", "robot"), ("debug", "info", "warn", "error", "fatal")
    return [
        DeclareLaunchArgument("namespace", default_value="", description="namespace of every node and topic: one per robot"),
        DeclareLaunchArgument("source", default_value="simulator", choices=sources, description="where the sensor topics come from"),
        DeclareLaunchArgument("use_sim_time", default_value="auto", choices=("auto", *TRUTH),
                              description="time from /clock; auto: unless source is robot"),
        DeclareLaunchArgument("bag", default_value="", description="rosbag2 folder or mcap file to replay, with source:=bag"),
        DeclareLaunchArgument("rig", default_value="front", description="sensor layout: front, nuscenes, radiate or a YAML file"),
        DeclareLaunchArgument("model", default_value="", description="model folder or hub name, empty = the shipped one"),
        DeclareLaunchArgument("device", default_value="auto", description="torch device: auto, cpu, cuda or cuda:N"),
        DeclareLaunchArgument("params_file", default_value=str(CONFIG / "drive.yaml"), description="parameters of every node"),
        DeclareLaunchArgument("composed", default_value="false", choices=TRUTH, description="one process for all nodes, less memory"),
        DeclareLaunchArgument("rviz", default_value="false", choices=TRUTH, description="open rviz with config/drive.rviz"),
        DeclareLaunchArgument("log_level", default_value="info", choices=levels, description="least severity that is logged"),
    ]


def generate_launch_description() -> LaunchDescription:
    source, composed = LaunchConfiguration("source"), LaunchConfiguration("composed")
    texts = {name: ParameterValue(LaunchConfiguration(name), value_type=str) for name in ("bag", "rig", "model", "device")}
    common = {
        "package": "mmllm_ros",
        "output": "screen",
        "arguments": ["--ros-args", "--log-level", LaunchConfiguration("log_level")],
    }
    clock = LaunchConfiguration("use_sim_time")
    use_sim_time = IfElseSubstitution(EqualsSubstitution(clock, "auto"), NotEqualsSubstitution(source, "robot"), clock)
    parameters = [LaunchConfiguration("params_file"), texts, {"clock": ParameterValue(use_sim_time, value_type=bool)}]
    one_process = Node(executable="drive", parameters=[*parameters, {"source": source, "duration": 0.0}], **common)
    sources = [
        Node(executable=name, parameters=parameters, condition=IfCondition(EqualsSubstitution(source, kind)), **common)
        for name, kind in (("simulator", "simulator"), ("replay", "bag"))
    ]
    processes = [Node(executable=name, parameters=parameters, **common) for name in NODES]
    rviz = Node(package="rviz2", executable="rviz2", arguments=["-d", str(CONFIG / "drive.rviz")],
                condition=IfCondition(LaunchConfiguration("rviz")))
    return LaunchDescription([
        *_arguments(),
        PushRosNamespace(LaunchConfiguration("namespace")),
        GroupAction([one_process], condition=IfCondition(composed)),
        # The source makes the time that the others go by.
        GroupAction([*sources, SetParameter("use_sim_time", use_sim_time), *processes], condition=UnlessCondition(composed)),
        rviz,
    ])
