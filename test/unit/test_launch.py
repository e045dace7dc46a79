# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch file: its arguments, each with a description, and no installation at launch."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mmllm_ros import config, launch_setup
from mmllm_ros.datatypes import BadInput
from mmllm_ros.launch_setup import Process, log_levels, processes

ROOT = Path(__file__).parents[2]
ARGUMENTS = {
    "namespace", "params_file", "use_sim_time", "source", "bag", "loop", "rig", "model", "device", "composed", "rviz", "mcp",
    "log_level",
}  # fmt: skip
VALUES = {
    "namespace": "", "use_sim_time": "auto", "source": "simulator", "bag": "", "loop": "false", "rig": "front",
    "model": "drive_tiny", "device": "cpu", "composed": "false", "log_level": "info",
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


def started(**arguments: str) -> dict[str, Process]:
    return {process.executable: process for process in processes(VALUES | arguments)}


def test_each_source_has_its_node_which_ends_the_launch_and_the_others_use_its_clock():
    by_simulator, by_robot = started(), started(source="robot")
    assert set(by_simulator) - set(by_robot) == {"simulator"}
    assert [name for name, process in by_simulator.items() if process.ends] == ["simulator"]
    assert {name: process.parameters["use_sim_time"] for name, process in by_simulator.items()} == {
        name: name != "simulator" for name in by_simulator
    }
    assert not any(process.parameters["use_sim_time"] or process.ends for process in by_robot.values())
    assert all(process.parameters["use_sim_time"] for process in started(source="robot", use_sim_time="true").values())


def test_a_recording_waits_for_the_nodes_and_loops_only_on_request(tmp_path):
    replay = started(source="bag", bag=str(tmp_path))["replay"]
    assert replay.parameters["wait"] > 30.0 and replay.parameters["loop"] is False and replay.ends
    assert started(source="bag", bag=str(tmp_path), loop="true")["replay"].parameters["loop"] is True


def test_the_encoders_are_those_of_the_rig(tmp_path):
    file = tmp_path / "rig.yaml"
    file.write_text("cameras:\n  front: {bearing: 0}\n")
    assert [name for name in started(rig=str(file)) if name.endswith("encoder")] == ["camera_encoder"]


def test_composed_is_one_process_that_asks_nothing_of_itself():
    composed = started(composed="true")
    assert set(composed) == {"drive"}
    assert composed["drive"].parameters["interval"] == composed["drive"].parameters["duration"] == 0.0
    settings = {name: value for name, value in composed["drive"].parameters.items() if name != "use_sim_time"}
    config.DriveConfig(**settings)


def test_what_publishes_images_gets_the_large_shared_memory_unless_the_user_has_set_up_fast_dds(monkeypatch):
    for name in launch_setup.DDS_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    with_profile = {name for name, process in started().items() if process.environment}
    assert with_profile == {"simulator", "visualizer"}, "67 MB of shared memory for each: only where images are published"
    file = Path(started()["simulator"].environment["FASTRTPS_DEFAULT_PROFILES_FILE"])
    assert "<segment_size>67108864</segment_size>" in file.read_text()
    assert started(composed="true")["drive"].environment
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")
    assert not any(process.environment for process in started().values())


def test_the_log_level_is_that_of_the_nodes_own_loggers():
    assert log_levels("/fleet/one/", ["llm"], "debug") == ("--ros-args", "--log-level", "fleet.one.llm:=debug")
    assert log_levels("", ["llm"], "warn")[-1] == "llm:=warn"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "/nosuch"}, "'/nosuch' does not exist"),
        ({"rig": "nosuch"}, "nosuch"),
        ({"device": "tpu"}, "'tpu' is not auto, cpu"),
        ({"device": "cuda:99"}, "which has"),
        ({"source": "bag", "bag": "/no/bag"}, "/no/bag does not exist"),
    ],
)
def test_bad_input_is_refused_before_a_process_starts(arguments, words):
    with pytest.raises(BadInput, match=re.escape(words)):
        processes(VALUES | arguments)


def test_what_is_started_is_decided_without_torch():
    script = f"import sys; from mmllm_ros.launch_setup import processes; processes({VALUES}); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
