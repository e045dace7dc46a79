# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command rig."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ..datatypes import BadInput
from .options import Namespace


def rig(
    recording: Annotated[Path | None, typer.Argument(help="rosbag2 folder or mcap file to read the sensors from")] = None,
    from_topics: Annotated[bool, typer.Option("--from-topics", help="read them from the running robot")] = False,
    listen: Annotated[float, typer.Option(help="time to listen for topics, then for messages [s]", min=0.5, max=60.0)] = 3.0,
    wait: Annotated[
        str, typer.Option(help="wait until nothing is missing: auto, or a YAML file with `auto: true` whose values override")
    ] = "",
    namespace: Namespace = "",
) -> None:
    """Print a rig file of a robot: sensors by the types of its topics, lenses by CameraInfo, mounts by /tf_static.

    `mmllm rig --from-topics > my_robot.yaml`. Comments in the file, and lines on stderr, say what is not known. With --wait auto
    it is the rig that nodes use with rig:=auto.
    """
    from ..io.recorded_rig import observed_in
    from ..io.rig_description import rig_text

    if (recording is None) != from_topics:
        raise BadInput("name a recording, or --from-topics for the running robot")
    if recording is not None:
        seen = observed_in(recording)
    else:
        if find_spec("rclpy") is None:
            raise BadInput("--from-topics needs ROS 2: source its setup file, or `. ./env.sh` after `make build`")
        from ..nodes.ros_support.rig_probe import observe, waited_rig

        if wait:
            sys.stdout.write(Path(waited_rig(wait, namespace)).read_text())
            return
        seen = observe(listen, namespace)
    text = rig_text(seen)
    sys.stdout.write(text)
    for line in text.splitlines():
        entry, _, remark = line.partition("  # ")
        if remark:
            print(f"{entry.strip().split(':')[0]}: {remark}", file=sys.stderr)
    if seen.transforms:
        print(f"no mounts: {seen.transforms}; fill in bearing, pitch, position and axes", file=sys.stderr)
