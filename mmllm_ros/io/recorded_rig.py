# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a recording shows of the robot's sensors and their mounts. Needs no ROS."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from ..datatypes import BadInput
from .camera_info import info_topic
from .rig_description import TRANSFORMS, Observed, choose_topics
from .rosbag import Recording

SCENES = "scene.json"
"""`mmllm simulate` writes this file beside a recording."""
MOVING = 200
"""Messages of moving transforms that are read."""


def observed_in(path: str | Path) -> Observed:
    """The topics of a recording, the first message of each sensor, and /tf_static. Raises BadInput."""
    recording = Recording(path)
    seen = Observed({name: topic.type for name, topic in recording.topics.items() if topic.count})
    seen.simulated = (Path(path).resolve().parent / SCENES).is_file()
    chosen = choose_topics(seen.topics)
    infos = {info_topic(topic) for topic in chosen.cameras.values()}

    def read(topic: str, kind: str, data: bytes) -> Any:
        try:
            return recording.message(data, kind)
        except BadInput as error:
            raise BadInput(f"recording {path}: {topic}: {error}") from error

    static, moving = (
        [name for name, kind in seen.topics.items() if kind == TRANSFORMS and name.endswith("tf_static") == fixed]
        for fixed in (True, False)
    )
    # Mounts that a robot publishes as moving transforms are all in the first of them.
    for topic, kind, _, data in (*recording.raw(static), *islice(recording.raw(moving), MOVING)):
        seen.add_transforms(read(topic, kind, data))
    sensors = {*infos, *chosen.cameras.values(), chosen.lidar, chosen.imu, chosen.objects}
    missing = {topic for topic in sensors & set(seen.topics) if seen.topics[topic] in recording.store.types}
    for topic, kind, _, data in recording.raw(set(missing)):
        if topic in missing:
            missing.discard(topic)
            message = read(topic, kind, data)
            if topic in infos:
                seen.infos[topic] = message
            else:
                seen.frames[topic] = frame_of(message)
        if not missing:
            break
    if not seen.parents:
        seen.transforms = "the recording has no /tf_static"
    return seen


def frame_of(message: Any) -> str:
    """The frame id of a message; of the first marker where it has no header of its own."""
    first = getattr(message, "markers", None) or [message]
    return getattr(getattr(first[0], "header", None), "frame_id", "")
