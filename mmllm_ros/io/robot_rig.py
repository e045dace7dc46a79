# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rig that a robot or a recording shows, with single values overridden: what it still lacks, and its file. Needs no ROS."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..datatypes import BadInput
from ..resources import cache_folder
from ..rig import AUTO, parse_rig, rig_overrides
from .atomic_write import atomic_file
from .camera_info import info_topic
from .recorded_rig import observed_in
from .rig_description import Chosen, Observed, choose_topics, rig_text

KINDS = ("lidar", "imu", "objects")
"""Sensors of which a rig has one, beside the cameras."""
LENS = {"fov", "calibration"}
MOUNT = {"camera": {"bearing", "position"}, "lidar": {"axes"}, "imu": {"axes"}, "objects": {"frame"}}
"""A sensor for which one of these settings is given needs no CameraInfo, and no transform."""


def chosen_topics(topics: Mapping[str, str], overrides: Mapping[str, Any]) -> Chosen:
    """The topics of the sensors, those that `overrides` name before those that look most like them."""
    chosen = choose_topics(topics)
    named = {name: f"/{topic.strip('/')}" for name, part in _cameras(overrides).items() if (topic := part.get("topic"))}
    others = {name: topic for name, topic in chosen.cameras.items() if name not in named and topic not in named.values()}
    one = {kind: f"/{topic.strip('/')}" for kind in KINDS if (topic := _part(overrides, kind).get("topic"))}
    return dataclasses.replace(chosen, cameras={**others, **named}, **one)


def missing(seen: Observed, overrides: Mapping[str, Any]) -> list[str]:
    """What a complete rig still needs, each in a few words; empty where nothing is missing."""
    chosen = chosen_topics(seen.topics, overrides)
    lacking = []
    for name, topic in chosen.cameras.items():
        given = set(_cameras(overrides).get(name, {}))
        if topic not in seen.topics:
            lacking.append(f"images on {topic}")
        elif not given & LENS and info_topic(topic) not in seen.infos:
            lacking.append(f"CameraInfo on {info_topic(topic)}")
        elif not given & MOUNT["camera"]:
            info = seen.infos.get(info_topic(topic))
            lacking += _mount(info.header.frame_id if info else seen.frames.get(topic, ""), topic, seen)
    for kind in KINDS:
        topic = getattr(chosen, kind)
        if topic and topic not in seen.topics:
            lacking.append(f"messages on {topic}")
        elif topic and not set(_part(overrides, kind)) & MOUNT[kind]:
            lacking += _mount(seen.frames.get(topic, ""), topic, seen)
    if not (chosen.cameras or any(getattr(chosen, kind) for kind in KINDS)):
        lacking.append("a topic with images, a point cloud, an IMU or detected objects")
    return lacking


def _mount(frame: str, topic: str, seen: Observed) -> list[str]:
    frame = frame.strip("/")
    if not frame:
        return [f"a message with a frame on {topic}"]
    return [] if seen.pose(frame) else [f"a transform from {frame} to {seen.base()}"]


def kept_rig(seen: Observed, overrides: Mapping[str, Any], path: Path) -> str:
    """Write the rig file of what was seen, with the values of `overrides`, to `path` and return that. Raises BadInput."""
    content = merged(yaml.safe_load(rig_text(seen, chosen_topics(seen.topics, overrides))), overrides)
    parse_rig(content, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as part:
        part.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


def rig_of_recording(name: str, recording: str | Path) -> str:
    """`name`, the name or file of a rig; for `auto` a file of the rig that the recording shows. Raises BadInput where it lacks
    something."""
    overrides = rig_overrides(name)
    if overrides is None:
        return name
    seen = observed_in(recording)
    if lacking := missing(seen, overrides):
        raise BadInput(
            f"rig auto: recording {recording} lacks {', '.join(lacking)}: `mmllm rig {recording} > my_robot.yaml` makes a "
            "file to complete, or give the values in a YAML file with `auto: true`"
        )
    return kept_rig(seen, overrides, cache_folder() / "rigs" / Path(recording).resolve().name / f"{AUTO}.yaml")


def merged(found: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict:
    """`found` with the values of `overrides`, mappings merged key by key."""
    both = dict(found)
    for key, value in overrides.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return both


def _part(overrides: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    part = overrides.get(kind, {})
    if not isinstance(part, Mapping):
        raise BadInput(f"{kind} of a rig with auto: true is {str(part)[:40]!r}, not a mapping of settings")
    return part


def _cameras(overrides: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: _part(_part(overrides, "cameras"), name) for name in _part(overrides, "cameras")}
