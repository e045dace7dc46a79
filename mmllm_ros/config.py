# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every default once. Node parameters, launch arguments and the command line are made from these dataclasses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from .datatypes import BadInput


def parameter(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    read_only: bool = False,
) -> Any:
    """A dataclass field that knows its description and its range; `read_only` means fixed once the node has started."""
    rules = {"description": description, "minimum": minimum, "maximum": maximum, "choices": choices, "read_only": read_only}
    return dataclasses.field(default=default, metadata=rules)


class Validated:
    """Base of every section: a value outside its range, or of another type, is refused by name when it is made."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))


def check(field: dataclasses.Field, value: Any) -> None:
    """Raise BadInput, naming the parameter and its value, unless `value` has the type and the range of `field`."""
    rules = field.metadata
    kind = type(field.default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise BadInput(f"parameter {field.name} is {value!r}, not a {kind.__name__}")
    if rules["choices"] and value not in rules["choices"]:
        raise BadInput(f"parameter {field.name} is {value!r}, not one of {list(rules['choices'])}")
    low, high = rules["minimum"], rules["maximum"]
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        raise BadInput(f"parameter {field.name} is {value!r}, not between {low} and {high}")


@dataclass(frozen=True)
class ModelConfig(Validated):
    """What every node that runs a part of the model takes."""

    rig: str = parameter("front", "sensor layout: front, nuscenes, radiate or a YAML file", read_only=True)
    model: str = parameter("", "model folder or hub name, empty = the default model", read_only=True)
    device: str = parameter("auto", "torch device: auto, cpu, cuda or cuda:N", read_only=True)
    threads: int = parameter(
        1, "CPU threads of torch; more serve a large model on cores that idle", minimum=1, maximum=256, read_only=True
    )


@dataclass(frozen=True)
class EncoderConfig(ModelConfig):
    """The three encoder nodes."""

    rate: float = parameter(2.0, "encode at most so often [Hz]", minimum=0.1, maximum=50.0)
    health_rate: float = parameter(2.0, "publish health so often [Hz]", minimum=0.1, maximum=50.0)
    stale_after: float = parameter(1.0, "a sensor silent for longer is unhealthy [s]", minimum=0.05, maximum=60.0)


@dataclass(frozen=True)
class LlmConfig(ModelConfig):
    """The llm node."""

    max_age: float = parameter(1.5, "older tokens do not count [s]", minimum=0.05, maximum=60.0)
    timeout: float = parameter(10.0, "longest time for one answer [s]", minimum=0.1, maximum=600.0)
    queue: int = parameter(8, "questions that may wait; one more is refused", minimum=1, maximum=1000, read_only=True)
    fresh_for: float = parameter(
        0.6, "tokens older than this are encoded anew when a question needs them [s]", minimum=0.0, maximum=60.0
    )
    encode_timeout: float = parameter(
        1.0, "wait so long for an encoding that a question asked for [s]", minimum=0.01, maximum=60.0
    )
    epsilon: float = parameter(0.005, "accuracy given up for a cheaper answer, 0 to 1", minimum=0.0, maximum=1.0)
    state: str = parameter("", "folder for what the robot learns, empty = ~/.local/state/mmllm_ros", read_only=True)
    lessons: int = parameter(
        2000, "lessons that are kept; one more replaces the oldest", minimum=1, maximum=10**6, read_only=True
    )
    own_answers: float = parameter(
        0.0, "own answers from this confidence on are kept as lessons, 0 = none", minimum=0.0, maximum=1.0
    )
    require_evidence: bool = parameter(False, "refuse to answer while nothing is plugged")
    linked_blocks: int = parameter(0, "how many of the last LLM blocks are linked, 0 = as the plan says", minimum=0, maximum=512)


@dataclass(frozen=True)
class MonitorConfig(Validated):
    """The context monitor."""

    rig: str = parameter("front", "sensor layout: front, nuscenes, radiate or a YAML file", read_only=True)
    model: str = parameter("", "model folder with a plan table, empty = the default model", read_only=True)
    rate: float = parameter(4.0, "decide so often [Hz]", minimum=0.1, maximum=20.0)
    lost_after: float = parameter(1.5, "a source without health for longer is lost [s]", minimum=0.1, maximum=60.0)
    dwell: float = parameter(5.0, "another set must be better for so long before it is plugged [s]", minimum=0.0, maximum=600.0)
    recover_after: float = parameter(1.0, "what was out of order must be in order for so long [s]", minimum=0.0, maximum=60.0)
    epsilon: float = parameter(0.005, "accuracy given up for a cheaper plan, 0 to 1", minimum=0.0, maximum=1.0)
    budget: float = parameter(
        0.0, "time of an answer [s], 0 = as fast as can be; else encoders work only when asked if that keeps it",
        minimum=0.0, maximum=600.0,
    )  # fmt: skip
    budget_flops: float = parameter(0.0, "floating point operations of an answer, 0 = no limit", minimum=0.0, maximum=1e18)
    budget_memory: float = parameter(0.0, "memory of plugged encoders [MiB], 0 = no limit", minimum=0.0, maximum=1e6)
    duty: float = parameter(1.0, "share of their rate at which encoders work ahead of questions", minimum=0.0, maximum=1.0)
    unload_after: float = parameter(
        30.0, "while memory is short, weights unused for so long are freed [s]", minimum=0.0, maximum=86400.0
    )
    service_timeout: float = parameter(5.0, "wait so long for a lifecycle transition [s]", minimum=0.05, maximum=60.0)


@dataclass(frozen=True)
class SimulatorConfig(Validated):
    """The simulator node."""

    rig: str = parameter("front", "sensor layout: front, nuscenes, radiate or a YAML file", read_only=True)
    seed: int = parameter(0, "seed of the world, the weather and the questions", minimum=0, maximum=2**31 - 1, read_only=True)
    context: str = parameter(
        "mixed", "light and weather", choices=("day", "night", "rain", "fog", "glare", "mixed"), read_only=True
    )
    duration: float = parameter(
        30.0, "length of the drive [s], 0 = until interrupted", minimum=0.0, maximum=86400.0, read_only=True
    )
    rate: float = parameter(10.0, "camera and lidar frames per second [Hz]", minimum=1.0, maximum=30.0, read_only=True)
    clock: bool = parameter(True, "publish /clock; of several robots only one may", read_only=True)


@dataclass(frozen=True)
class ReplayConfig(Validated):
    """The replay node."""

    bag: str = parameter("", "rosbag2 folder (mcap or sqlite3), or one mcap file", read_only=True)
    rate: float = parameter(1.0, "speed, 1 = as it was recorded", minimum=0.01, maximum=100.0, read_only=True)
    loop: bool = parameter(False, "start again at the end", read_only=True)
    start: float = parameter(0.0, "skip so much of the beginning [s]", minimum=0.0, maximum=86400.0, read_only=True)
    topics: str = parameter("", "only these topics, comma-separated, empty = all", read_only=True)
    clock: bool = parameter(True, "publish /clock; of several robots only one may", read_only=True)


@dataclass(frozen=True)
class VisualizerConfig(Validated):
    """The visualizer node."""

    rig: str = parameter("front", "sensor layout: front, nuscenes, radiate or a YAML file", read_only=True)
    rate: float = parameter(2.0, "draw so often [Hz]", minimum=0.1, maximum=10.0)


@dataclass(frozen=True)
class DriveConfig(ModelConfig):
    """The drive: every node in one process, and questions on the way."""

    source: str = parameter("simulator", "where the sensors come from", choices=("simulator", "bag", "robot"), read_only=True)
    bag: str = parameter("", "rosbag2 folder or mcap file, with source bag", read_only=True)
    seed: int = parameter(
        1_000_000_000,
        "seed of the simulated world; nothing from 1,000,000,000 on is trained on",
        minimum=0,
        maximum=2**31 - 1,
        read_only=True,
    )
    context: str = parameter(
        "mixed", "light and weather", choices=("day", "night", "rain", "fog", "glare", "mixed"), read_only=True
    )
    duration: float = parameter(
        60.0, "length of the drive [s], 0 = until interrupted", minimum=0.0, maximum=86400.0, read_only=True
    )
    interval: float = parameter(2.0, "ask so often [s]", minimum=0.1, maximum=3600.0, read_only=True)
    out: str = parameter("out", "folder for drive.jsonl and drive.png; a namespace gets its own in it", read_only=True)
    rerun: str = parameter("", "file for a rerun recording (.rrd), empty = none; needs rerun-sdk", read_only=True)
    clock: bool = parameter(True, "publish /clock and go by it; of several robots only one may", read_only=True)
