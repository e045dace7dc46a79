# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Generates docs/nodes.md: `python -m docs.node_tables`. test/unit/test_readme.py compares it with the sources.

Parameters are read from mmllm_ros/config.py. Topics, services and actions are listed here, and the test compares them.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmllm_ros import config

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "nodes.md"

ENCODERS = ("camera_encoder", "lidar_encoder", "imu_encoder", "object_encoder", "universal_encoder")
WITH_DIAGNOSTICS = (*ENCODERS, "context_monitor", "llm")
LATEST, RELIABLE, LATCHED = "best effort, depth 1", "reliable, depth 10", "reliable, depth 1, transient local"
PICTURES = "reliable, depth 1"
BY_RIG = "(by the rig)"

# (nodes, name, type, QoS, what). A name in parentheses is not fixed in the sources: the rig or the recording gives it.
SUBSCRIBED = (
    (("camera_encoder", "visualizer", "drive"), BY_RIG, "sensor_msgs/Image or CompressedImage", LATEST,
     "a topic per camera, with or without `/compressed`; the graph tells its type"),
    (("lidar_encoder", "visualizer", "drive"), BY_RIG, "sensor_msgs/PointCloud2", LATEST, "any fields with x, y, z"),
    (("imu_encoder",), BY_RIG, "sensor_msgs/Imu", "best effort, depth 100", "any rate; every sample is used"),
    (("object_encoder",), BY_RIG, "vision_msgs/Detection3DArray or Detection2DArray, visualization_msgs/MarkerArray", LATEST,
     "what another perception stack reports; vision_msgs where it is installed"),
    (("object_encoder",), BY_RIG, "sensor_msgs/CameraInfo, sensor_msgs/PointCloud2", LATEST,
     "lens and ranges of boxes in an image; camera_encoder takes ranges from the lidar, too, where the rig names a detector"),
    (("object_encoder",), "(/tf, /tf_static)", "tf2_msgs/TFMessage", "as tf2_ros", "frames that the rig lacks, with tf2_ros"),
    (("universal_encoder",), BY_RIG, "Image, CompressedImage, PointCloud2, Imu, std_msgs/UInt8MultiArray, Float32MultiArray",
     "best effort", "the `signals` of the rig; sound also as audio_common_msgs/AudioData where that is installed"),
    (("context_monitor", "llm", "visualizer"), "mmllm/health", "mmllm_ros/SensorHealth", RELIABLE, "of every sensor"),
    (("llm",), "mmllm/tokens", "mmllm_ros/SensorTokens", RELIABLE, "the latest of each source is kept"),
    ((*ENCODERS, "llm", "visualizer", "drive"), "mmllm/plan", "mmllm_ros/ModalityPlan", LATCHED,
     "which modalities are connected"),
    (("llm",), "mmllm/questions", "std_msgs/String", RELIABLE, "ask without a client"),
    (("visualizer",), "mmllm/answers", "mmllm_ros/Answer", RELIABLE, "the latest are drawn"),
    (("context_monitor",), "mmllm/answers", "mmllm_ros/Answer", RELIABLE, "the types of recent questions"),
    (("replay",), "/diagnostics", "diagnostic_msgs/DiagnosticArray", RELIABLE, "whether the nodes are ready, with `wait`"),
)  # fmt: skip
PUBLISHED = (
    (ENCODERS, "mmllm/tokens", "mmllm_ros/SensorTokens", "reliable, 1 per source", "while active; header of the sensor message"),
    (ENCODERS, "mmllm/health", "mmllm_ros/SensorHealth", RELIABLE, "always, also while inactive"),
    (("context_monitor",), "mmllm/plan", "mmllm_ros/ModalityPlan", LATCHED, "when it changes, with a reason per modality"),
    (("llm",), "mmllm/answers", "mmllm_ros/Answer", RELIABLE, "every answer, whoever asked"),
    (("visualizer",), "mmllm/overlay", "sensor_msgs/Image", PICTURES, "sensors, plan and answers; drawn only with subscribers"),
    (("visualizer",), "mmllm/markers", "visualization_msgs/MarkerArray", PICTURES, "answer, sensors and their state, motion"),
    (("visualizer",), "mmllm/points", "sensor_msgs/PointCloud2", PICTURES, "the lidar in the colours of the cameras"),
    (WITH_DIAGNOSTICS, "/diagnostics", "diagnostic_msgs/DiagnosticArray", RELIABLE, "once a second (REP-107)"),
    (("simulator",), BY_RIG, "Image, CameraInfo, PointCloud2, Imu", RELIABLE, "every sensor of the rig"),
    (("simulator",), "(/tf_static)", "tf2_msgs/TFMessage", LATCHED, "the sensor mounts, where tf2_msgs is installed"),
    (("replay",), "(as recorded)", "as recorded", "as recorded", "every topic whose type is installed"),
    (("simulator", "replay"), "/clock", "rosgraph_msgs/Clock", LATEST, "unless `clock` is false"),
)  # fmt: skip
SERVICES = (
    (("llm",), "mmllm/ask", "mmllm_ros/Ask", "server", "one question, answered within its timeout"),
    (("llm",), "mmllm/teach", "mmllm_ros/Teach", "server", "stores a question, its right answer and the current tokens"),
    (("context_monitor",), "mmllm/set_modality", "mmllm_ros/SetModality", "server",
     "override: 1 PLUGGED (connected), 2 UNPLUGGED, 0 AUTOMATIC again"),
    (("context_monitor",), "(NAME_encoder/change_state, get_state)", "lifecycle_msgs", "client", "switches the encoders"),
    (("llm",), "(NAME_encoder/encode)", "mmllm_ros/Encode", "client", "requests what a question needs and is not encoded ahead"),
    (ENCODERS, "~/encode", "mmllm_ros/Encode", "server", "encodes the latest frames now, connected or not"),
    (("camera_encoder",), "~/ask", "mmllm_ros/Ask", "server",
     "questions about things of any name, where the rig has `open_vocabulary`"),
    (("llm",), "(camera_encoder/ask)", "mmllm_ros/Ask", "client", "asks that, where the rig has it"),
    (ENCODERS, "(~/change_state, ~/get_state, ...)", "lifecycle_msgs", "server", "the interface of a lifecycle node"),
)  # fmt: skip
ACTIONS = (
    (("llm",), "mmllm/ask_question", "mmllm_ros/AskQuestion", "server", "one question with streamed text; can be cancelled"),
    (
        ("llm",),
        "mmllm/adapt",
        "mmllm_ros/Adapt",
        "server",
        "trains connectors while questions are answered; replaces them if better",
    ),
    (("drive",), "mmllm/ask_question", "mmllm_ros/AskQuestion", "client", "asks every `interval` seconds"),
)
PARAMETERS = (
    (ENCODERS, config.EncoderConfig),
    (("llm",), config.LlmConfig),
    (("context_monitor",), config.MonitorConfig),
    (("visualizer",), config.VisualizerConfig),
    (("simulator",), config.SimulatorConfig),
    (("replay",), config.ReplayConfig),
    (("drive",), config.DriveConfig),
)
FIXED_IN = (config.SimulatorConfig, config.ReplayConfig, config.DriveConfig)
"""Nodes whose parameters cannot change at run time."""


INTRODUCTION = """# Nodes

For integrators: the topics, services, actions and parameters of each node. Written by `python -m docs.node_tables`.

`ros2 run mmllm_ros NAME` starts a node; with ROS 2 from PyPI wheels use for example
`python -m mmllm_ros.nodes.llm`. Names are relative:
a namespace makes a second robot. The encoders are lifecycle nodes: configure loads the weights, activate starts encoding,
deactivate stops it and keeps the weights, cleanup frees them. `drive` runs all nodes in one process and asks questions.
Topics "by the rig" are named in the [rig file](own_robot.md#the-rig-file). The fields of messages, services and actions, with
units and frames, are described in `msg/`, `srv/` and `action/`; `plugged` in a message = connected to the LLM. The public
interface is what this page names, the messages, and the JSON that `mmllm` writes.
"""


def page() -> str:
    """The whole page: five tables per node; the encoders share theirs."""
    names = sorted({name for nodes, _ in PARAMETERS for name in nodes} - set(ENCODERS), key=_order)
    return "\n".join((INTRODUCTION, *(_section(nodes) for nodes in (ENCODERS, *((name,) for name in names)))))


def _order(name: str) -> int:
    return [node for nodes, _ in PARAMETERS for node in nodes].index(name)


def _section(nodes: tuple[str, ...]) -> str:
    """One node, or the three encoders: the first paragraph of its docstring, and its tables."""
    what = " ".join(dict.fromkeys(_docstring(name) for name in nodes))
    parts = (
        ("Subscribed topics", ("Topic", "Type", "QoS", "What"), _interfaces(SUBSCRIBED, nodes)),
        ("Published topics", ("Topic", "Type", "QoS", "What"), _interfaces(PUBLISHED, nodes)),
        ("Services", ("Service", "Type", "Side", "What"), _interfaces(SERVICES, nodes)),
        ("Actions", ("Action", "Type", "Side", "What"), _interfaces(ACTIONS, nodes)),
        ("Parameters", ("Parameter", "Type", "Default", "Range", "Live", "What"), _parameters(nodes)),
    )
    text, missing = "", []
    for title, heads, rows in parts:
        found = list(rows)
        text += f"**{title}**\n\n{_table(heads, found)}\n" if found else ""
        missing += [] if found else [title.lower()]
    none = f"No {', no '.join(missing)}.\n\n" if missing else ""
    return f"## {', '.join(nodes)}\n\n{what}\n\n{text}{none}".rstrip() + "\n"


def _docstring(name: str) -> str:
    module = ast.parse((ROOT / "mmllm_ros" / "nodes" / f"{name}.py").read_text())
    what = " ".join(ast.get_docstring(module).split("\n\n")[0].split())
    what = re.sub(rf"^The {name.replace('_', '.')}( node)?: ", "", what)  # the name stands above it
    return what[0].upper() + what[1:]


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(heads), *rows]
    lines.insert(1, ("---",) * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _interfaces(rows: Iterable[tuple], of: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for nodes, name, kind, quality, what in rows:
        if not (chosen := [node for node in of if node in nodes]):
            continue
        whose = "" if len(chosen) == len(of) else f"{', '.join(chosen)}: "
        yield name[1:-1] if name.startswith("(") else f"`{name}`", kind, quality, whose + what


def _parameters(of: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for nodes, kind in PARAMETERS:
        for field in dataclasses.fields(kind) if set(of) & set(nodes) else ():
            rules = field.metadata
            default = f'"{field.default}"' if isinstance(field.default, str) else str(field.default).lower()
            live = "no" if rules["read_only"] or kind in FIXED_IN else "yes"
            yield f"`{field.name}`", type(field.default).__name__, default, _range(rules), live, rules["description"]


def _range(rules: dict) -> str:
    if rules["choices"]:
        return ", ".join(rules["choices"])
    return "" if rules["minimum"] is None else f"{rules['minimum']:,} to {rules['maximum']:,}"


if __name__ == "__main__":
    PAGE.write_text(page())
