# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Load shedding: when the encoders' rate falls, when it comes back, and when a step is not worth taking."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import pytest

from mmllm_ros.context.load_shedding import (
    ENCODE_SHARES,
    LEAST_OWN_CPU,
    LEAST_RELIEF,
    RECOVER_AFTER,
    RETRY_AFTER,
    STEP_AFTER,
    LoadShedding,
)
from mmllm_ros.context.machine_load import MachineLoad, runs_this_package
from mmllm_ros.datatypes import NANOSECONDS

BUSY, CALM, BETWEEN = {"cpu": 97.0}, {"cpu": 40.0}, {"cpu": 80.0}
OWN_CPU = (60.0, 40.0, 25.0)
"""CPU of this package by level [% of one core], where each level relieves something."""


def run(shedding: LoadShedding, load: dict[str, float], seconds: float, start: float = 0.0, own: tuple = OWN_CPU) -> float:
    """Four readings a second; returns the time at the end [s]."""
    for step in range(int(seconds * 4) + 1):
        shedding.step(load, own[shedding.level], int((start + step / 4) * NANOSECONDS))
    return start + seconds


def test_on_a_busy_machine_the_rate_of_encoding_ahead_falls_to_half_and_then_to_zero():
    shedding, levels = LoadShedding(), []
    now = 0.0
    for _ in range(4):
        levels.append(shedding.encode_share)
        now = run(shedding, BUSY, STEP_AFTER + 0.5, now)
    assert levels == [1.0, 0.5, 0.0, 0.0]
    assert shedding.reason == "machine cpu 97, this package 40 % of one core"


def test_a_calm_machine_gets_its_full_rate_back_one_level_at_a_time():
    shedding = LoadShedding()
    now = run(shedding, BUSY, 2 * STEP_AFTER + 1)
    assert shedding.level == 2
    now = run(shedding, CALM, RECOVER_AFTER + 0.5, now + 0.25)
    assert shedding.level == 1
    run(shedding, CALM, RECOVER_AFTER + 0.5, now + 0.25)
    assert (shedding.level, shedding.reason) == (0, "")


def test_between_the_limits_nothing_changes():
    shedding = LoadShedding()
    now = run(shedding, BUSY, STEP_AFTER + 0.5)
    run(shedding, BETWEEN, 60.0, now + 0.25)
    assert shedding.level == 1


def test_nothing_is_shed_for_other_programs_when_this_package_uses_next_to_nothing():
    shedding = LoadShedding()
    run(shedding, BUSY, 60.0, own=(LEAST_OWN_CPU - 1,) * 3)
    assert shedding.level == 0


def test_a_level_that_relieves_nothing_is_taken_back_and_not_tried_again_at_once():
    shedding = LoadShedding()
    own = (60.0, 60.0 - LEAST_RELIEF + 1, 0.0)
    now = run(shedding, BUSY, STEP_AFTER + 0.25, own=own)
    assert shedding.level == 1
    now = run(shedding, BUSY, STEP_AFTER + 0.25, now + 0.25, own=own)
    assert (shedding.level, shedding.reason) == (0, "")
    now = run(shedding, BUSY, RETRY_AFTER - 2 * STEP_AFTER, now + 0.25, own=own)
    assert shedding.level == 0
    run(shedding, BUSY, 3 * STEP_AFTER, now + 0.25, own=(60.0, 40.0, 25.0))
    assert shedding.level >= 1


def test_a_hot_machine_sheds_as_a_busy_one_does():
    shedding = LoadShedding()
    run(shedding, {"cpu": 50.0, "temperature": 95.0}, STEP_AFTER + 0.5)
    assert shedding.level == 1 and "temperature 95" in shedding.reason


def test_full_memory_alone_sheds_nothing_because_a_lower_rate_frees_no_memory():
    shedding = LoadShedding()
    run(shedding, {"cpu": 30.0, "memory": 99.0}, 60.0)
    assert shedding.level == 0


def test_a_jump_back_of_the_clock_starts_the_waiting_times_again():
    shedding = LoadShedding()
    run(shedding, BUSY, STEP_AFTER - 0.5, start=100.0)
    run(shedding, BUSY, 1.0, start=10.0)
    assert shedding.level == 0


def test_no_level_removes_a_modality():
    assert ENCODE_SHARES[-1] == 0.0 and len(ENCODE_SHARES) == 3


@pytest.mark.parametrize(
    ("command", "own"),
    [
        (["python3", "/ws/install/mmllm_ros/lib/mmllm_ros/camera_encoder", "--ros-args"], True),
        (["python3", "-m", "mmllm_ros.nodes.llm"], True),
        (["/ws/.venv/bin/python", "/ws/install/mmllm_ros/bin/mmllm", "drive"], True),
        (["vim", "src/mmllm_ros/model.py"], False),
        (["python3", "-c", "while True: pass"], False),
        ([], False),
    ],
)
def test_processes_of_this_package_are_known_by_their_command_line(command, own):
    assert runs_this_package(command) is own


def test_the_cpu_of_this_process_counts_as_the_package_s_own():
    load = MachineLoad()
    sum(range(3_000_000))
    assert load.own_cpu() > 0.0
    assert {"cpu", "memory"} <= set(load.read())


def test_a_reading_that_a_gpu_does_not_support_is_left_out_and_the_others_are_taken(monkeypatch):
    # One GPU supports every reading, one no temperature, one is lost.
    used, temperatures = {"whole": 1, "shared": 3}, {"whole": 71}
    library = SimpleNamespace(
        __spec__=ModuleSpec("pynvml", None),
        NVMLError=KeyError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 3,
        nvmlDeviceGetHandleByIndex=lambda index: {0: "whole", 1: "shared"}[index],
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(used=used[gpu], total=4),
        nvmlDeviceGetTemperature=lambda gpu, sensor: temperatures[gpu],
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr("psutil.sensors_temperatures", dict, raising=False)
    load = MachineLoad()
    reading = load.read()
    assert (reading["gpu memory"], reading["temperature"]) == (75.0, 71.0)
    used.clear()
    temperatures.clear()
    assert load.read().keys() == {"cpu", "memory"}
