# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch file: its arguments, each with a description, and no installation at launch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

from mmllm_ros import config

ROOT = Path(__file__).parents[2]
ARGUMENTS = {
    "namespace", "params_file", "use_sim_time", "source", "bag", "rig", "model", "device", "composed", "rviz", "log_level"
}  # fmt: skip
SECTIONS = {
    "camera_encoder": config.EncoderConfig,
    "lidar_encoder": config.EncoderConfig,
    "imu_encoder": config.EncoderConfig,
    "context_monitor": config.MonitorConfig,
    "llm": config.LlmConfig,
    "simulator": config.SimulatorConfig,
    "replay": config.ReplayConfig,
    "visualizer": config.VisualizerConfig,
    "drive": config.DriveConfig,
}


@pytest.fixture
def description():
    pytest.importorskip("launch_ros", reason="launch_ros is not installed here")
    packages = pytest.importorskip("ament_index_python.packages")
    try:
        packages.get_package_share_directory("mmllm_ros")
    except packages.PackageNotFoundError:
        pytest.skip("mmllm_ros is not built")
    spec = importlib.util.spec_from_file_location("drive_launch", ROOT / "launch" / "drive.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def test_every_argument_is_there_and_has_a_description_and_a_default(description):
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert set(arguments) == ARGUMENTS
    for name, argument in arguments.items():
        assert argument.description and argument.description != "no description given", name
        assert argument.default_value is not None, name


def test_every_parameter_of_the_params_file_is_one_that_its_node_declares_with_a_value_it_accepts():
    content = yaml.safe_load((ROOT / "config" / "drive.yaml").read_text())
    for name, section in content.items():
        wildcard, _, node = name.rpartition("/")
        assert wildcard == "/**", "only a wildcard works in every namespace"
        SECTIONS[node](**section["ros__parameters"])
