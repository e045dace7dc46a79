# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Configuration dataclasses with all defaults. Node parameters, launch arguments and command line options are generated from
them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import yaml

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
    """A dataclass field with a description and a range; `read_only` = fixed after the start of the node."""
    rules = {"description": description, "minimum": minimum, "maximum": maximum, "choices": choices, "read_only": read_only}
    return dataclasses.field(default=default, metadata=rules)


class Validated:
    """Base of the dataclasses. Raises BadInput at construction for a value out of range or of another type."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))


def check(field: dataclasses.Field, value: Any) -> None:
    """Raise BadInput unless `value` has the type and the range of `field`."""
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


def load_yaml(text: str) -> Any:
    """Plain data from YAML. A key that is given twice is an error, while PyYAML lets the last one win. Raises yaml.YAMLError."""
    _refuse_duplicates(yaml.compose(text, Loader=yaml.SafeLoader))
    return yaml.safe_load(text)


def _refuse_duplicates(node: yaml.Node | None) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(f"{key.value!r} is given twice, the second time in line {key.start_mark.line + 1}")
                seen.add(key.value)
            _refuse_duplicates(value)


RIG = "sensor layout: front, nuscenes, radiate, a YAML file, or auto = that of the running robot or of the recording"


LOST_AFTER = 3.0
"""A sensor whose encoder has not reported health for longer [s] is lost."""


@dataclass(frozen=True)
class ModelConfig(Validated):
    """Parameters of every node that runs a part of the model."""

    rig: str = parameter("front", RIG, read_only=True)
    model: str = parameter("", "model folder or hub name, empty = the default model", read_only=True)
    device: str = parameter("auto", "torch device: auto, cpu, cuda or cuda:N", read_only=True)
    threads: int = parameter(
        1, "CPU threads of torch; more than 1 only for a large model on idle cores", minimum=1, maximum=256, read_only=True
    )


@dataclass(frozen=True)
class EncoderConfig(ModelConfig):
    """The encoder nodes."""

    rate: float = parameter(2.0, "largest rate of encoding [Hz]", minimum=0.1, maximum=50.0)
    health_rate: float = parameter(2.0, "rate of the health messages [Hz]", minimum=0.1, maximum=50.0)
    stale_after: float = parameter(1.0, "a sensor without a message for longer is unhealthy [s]", minimum=0.05, maximum=60.0)


@dataclass(frozen=True)
class LlmConfig(ModelConfig):
    """The llm node."""

    max_age: float = parameter(1.5, "largest age of tokens that are used [s]", minimum=0.05, maximum=60.0)
    timeout: float = parameter(10.0, "longest time for one answer [s]", minimum=0.1, maximum=600.0)
    queue: int = parameter(8, "longest queue of questions; further ones are refused", minimum=1, maximum=1000, read_only=True)
    fresh_for: float = parameter(
        0.6, "tokens older than this are encoded again when a question needs them [s]", minimum=0.0, maximum=60.0
    )
    encode_timeout: float = parameter(
        1.0, "longest wait for an encoding that a question requests [s]", minimum=0.01, maximum=60.0
    )
    epsilon: float = parameter(0.005, "accuracy given up for a cheaper answer, 0 to 1", minimum=0.0, maximum=1.0)
    state: str = parameter(
        "", "folder for labelled samples and adapted weights, empty = ~/.local/state/mmllm_ros", read_only=True
    )
    max_samples: int = parameter(
        2000, "labelled samples that are stored; one more replaces the oldest", minimum=1, maximum=10**6, read_only=True
    )
    own_answers: float = parameter(
        0.0, "own answers of at least this confidence are stored as labelled samples, 0 = none", minimum=0.0, maximum=1.0
    )
    watch: str = parameter("", "standing questions, separated by |, asked again and again; answers are on mmllm/answers")
    watch_rate: float = parameter(2.0, "how often each standing question is asked [Hz]", minimum=0.01, maximum=20.0)
    require_evidence: bool = parameter(False, "refuse to answer while nothing is connected")
    least_confidence: float = parameter(
        0.0, "an answer of lower confidence becomes 'I cannot tell', 0 = none does", minimum=0.0, maximum=1.0
    )
    linked_blocks: int = parameter(0, "how many of the last LLM blocks are linked, 0 = as the plan says", minimum=0, maximum=512)


@dataclass(frozen=True)
class MonitorConfig(Validated):
    """The context monitor."""

    rig: str = parameter("front", RIG, read_only=True)
    model: str = parameter("", "model folder with a plan table, empty = the default model", read_only=True)
    rate: float = parameter(4.0, "rate of decisions [Hz]", minimum=0.1, maximum=20.0)
    lost_after: float = parameter(
        LOST_AFTER, "a source without a health message for longer is lost [s]", minimum=0.1, maximum=60.0
    )
    hysteresis: float = parameter(
        5.0, "another set of modalities must be better for so long before it is connected [s]", minimum=0.0, maximum=600.0
    )
    recover_after: float = parameter(
        1.0, "a source that was unhealthy must be healthy for so long before it is used [s]", minimum=0.0, maximum=60.0
    )
    epsilon: float = parameter(0.005, "accuracy given up for a cheaper plan, 0 to 1", minimum=0.0, maximum=1.0)
    budget: float = parameter(
        0.0, "time of an answer [s], 0 = as fast as possible; else encoders run only on request where that suffices",
        minimum=0.0, maximum=600.0,
    )  # fmt: skip
    budget_flops: float = parameter(0.0, "floating point operations of an answer, 0 = no limit", minimum=0.0, maximum=1e18)
    budget_memory: float = parameter(0.0, "memory of connected encoders [MiB], 0 = no limit", minimum=0.0, maximum=1e6)
    encode_rate_share: float = parameter(
        1.0, "share of their rate at which encoders run without a request", minimum=0.0, maximum=1.0
    )
    unload_after: float = parameter(
        30.0, "while memory is short, weights not used for so long are freed [s]", minimum=0.0, maximum=86400.0
    )
    service_timeout: float = parameter(5.0, "longest wait for a lifecycle transition [s]", minimum=0.05, maximum=60.0)


CONTEXTS = ("day", "night", "rain", "fog", "glare", "mixed", "changing")
WEATHER = "light and weather; mixed = drawn from the seed, changing = another one every 12 s"


@dataclass(frozen=True)
class SimulatorConfig(Validated):
    """The simulator node."""

    rig: str = parameter("front", "sensor layout: front, nuscenes, radiate or a YAML file", read_only=True)
    seed: int = parameter(0, "seed of the world, the weather and the questions", minimum=0, maximum=2**31 - 1, read_only=True)
    context: str = parameter("changing", WEATHER, choices=CONTEXTS, read_only=True)
    duration: float = parameter(
        30.0, "length of the drive [s], 0 = until interrupted", minimum=0.0, maximum=86400.0, read_only=True
    )
    rate: float = parameter(10.0, "camera and lidar frames per second [Hz]", minimum=1.0, maximum=30.0, read_only=True)
    clock: bool = parameter(True, "publish /clock; of several robots only one may", read_only=True)


@dataclass(frozen=True)
class ReplayConfig(Validated):
    """The replay node."""

    bag: str = parameter("", "rosbag2 folder (mcap or sqlite3), or one mcap file", read_only=True)
    rate: float = parameter(1.0, "speed, 1 = as recorded", minimum=0.01, maximum=100.0, read_only=True)
    loop: bool = parameter(False, "start again at the end", read_only=True)
    start: float = parameter(0.0, "skip this part of the beginning [s]", minimum=0.0, maximum=86400.0, read_only=True)
    topics: str = parameter("", "only these topics, comma-separated, empty = all", read_only=True)
    wait: float = parameter(
        0.0, "longest wait for the nodes to be ready before it plays [s]", minimum=0.0, maximum=3600.0, read_only=True
    )
    clock: bool = parameter(True, "publish /clock; of several robots only one may", read_only=True)


@dataclass(frozen=True)
class VisualizerConfig(Validated):
    """The visualizer node."""

    rig: str = parameter("front", RIG, read_only=True)
    rate: float = parameter(2.0, "rate of drawing [Hz]", minimum=0.1, maximum=10.0)


@dataclass(frozen=True)
class DriveConfig(ModelConfig):
    """The drive: every node in one process, and a client that asks questions."""

    source: str = parameter("simulator", "source of the sensor data", choices=("simulator", "bag", "robot"), read_only=True)
    bag: str = parameter("", "rosbag2 folder or mcap file, with source bag", read_only=True)
    loop: bool = parameter(False, "start the recording again at its end; else the drive ends with it", read_only=True)
    seed: int = parameter(
        1_000_000_000,
        "seed of the simulated world; training uses seeds below 1,000,000,000",
        minimum=0,
        maximum=2**31 - 1,
        read_only=True,
    )
    context: str = parameter("changing", WEATHER, choices=CONTEXTS, read_only=True)
    duration: float = parameter(
        60.0, "length of the drive [s], 0 = until interrupted", minimum=0.0, maximum=86400.0, read_only=True
    )
    interval: float = parameter(
        2.0, "period of the questions [s], 0 = it asks nothing and writes nothing", minimum=0.0, maximum=3600.0, read_only=True
    )
    out: str = parameter("out", "folder for drive.jsonl and drive.png; a namespace gets its own in it", read_only=True)
    rerun: str = parameter("", "file for a rerun recording (.rrd), empty = none; needs rerun-sdk", read_only=True)
    clock: bool = parameter(True, "publish and use /clock; of several robots only one may", read_only=True)
