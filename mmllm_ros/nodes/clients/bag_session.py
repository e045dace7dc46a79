# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Replays a bag over DDS and asks questions about it: encoders, monitor, llm, replay and bag client in one process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from rclpy.node import Node
from rclpy.parameter import Parameter

from ...config import LlmConfig, ReplayConfig
from ...io.rosbag import Recording
from ...rig import load_rig
from ...visualization.drawing import AnswerSnapshot
from ..camera_encoder import CameraEncoderNode
from ..context_monitor import ContextMonitor
from ..imu_encoder import ImuEncoderNode
from ..lidar_encoder import LidarEncoderNode
from ..llm import Llm
from ..replay import Replay
from ..ros_support.process import spin
from ..sources.recorded_topics import sensor_remapping
from ..visualization.rerun_recorder import RerunRecorder
from .bag_client import BagClient

_ENCODERS = (CameraEncoderNode, LidarEncoderNode, ImuEncoderNode)


def run(
    replay: ReplayConfig, llm: LlmConfig, questions: Sequence[str], on_answer: Callable[[AnswerSnapshot], None], rerun: str = ""
) -> int:
    """Play `replay.bag` until all questions are answered. `on_answer` gets each answer; `rerun` names a recording of everything.

    Returns the exit status.
    """
    return spin(lambda: _make_nodes(replay, llm, questions, on_answer, rerun), [])


def _make_nodes(
    replay: ReplayConfig, llm: LlmConfig, questions: Sequence[str], on_answer: Callable[[AnswerSnapshot], None], rerun: str
) -> list[Node]:
    rig = load_rig(llm.rig)
    recording = Recording(replay.bag)
    sensors, remap = sensor_remapping(recording, rig, replay.topics)
    model = [Parameter(name, value=getattr(llm, name)) for name in ("rig", "model", "device", "threads")]
    common = {"parameter_overrides": [*model, Parameter("use_sim_time", value=True)]}
    nodes: list[Node] = []
    try:
        modalities, remapped = {mount.modality for mount in sensors.values()}, {"cli_args": remap, **common}
        nodes.append(BagClient(questions, rig, modalities, on_answer, **remapped))
        nodes += [node(**remapped) for node in _ENCODERS if node.sensors(rig)]
        nodes += [ContextMonitor(**common), Llm(**common)]
        if rerun:
            nodes.append(RerunRecorder(rerun, rig, **remapped))
        settings = {**dataclasses.asdict(replay), "loop": True}
        overrides = [Parameter(name, value=value) for name, value in settings.items()]
        nodes.append(Replay(hold=nodes[0].ready, parameter_overrides=overrides))
    except BaseException:
        for node in reversed(nodes):
            node.destroy_node()
        raise
    return nodes
