# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of the running ROS graph: QoS, rate and stamps of the rig's topics, the nodes of mmllm_ros, the clock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .doctor_findings import FAULT, NOTE, OK, Finding

if TYPE_CHECKING:
    from ..nodes.clients.graph_probe import Graph, LiveTopic

SKEW = 0.5
"""A sensor message whose stamp differs more from now [s] is a fault: older data than max_age is not used."""

LARGE_IMAGES = (
    "for raw images with Fast DDS set FASTRTPS_DEFAULT_PROFILES_FILE to config/fastdds.xml on both sides, or use /compressed"
)


def live_findings(graph: Graph, listen: float) -> Iterator[Finding]:
    """One finding for each topic of the rig, then the nodes, then the clock. `listen` is how long the probe waited [s]."""
    for topic, seen in graph.sensors.items():
        if not seen:
            cure = "start the robot or `mmllm drive`; name another topic in the rig file; look at ROS_DOMAIN_ID and --namespace"
            found = f"no publisher seen within {listen:g} s ({graph.topics} other topics seen)"
            yield Finding(topic, NOTE, found, f"{cure}; a busy machine needs a longer --listen")
        for live in [live for live in seen if live.fits] or seen:
            yield _topic(live, graph, listen)
    if graph.nodes:
        yield Finding("nodes", OK, ", ".join(graph.nodes))
    elif any(graph.sensors.values()):
        cure = "`mmllm drive --source robot`, or `ros2 launch mmllm_ros drive.launch.py source:=robot`"
        yield Finding("nodes", NOTE, "sensor topics are present, but no node of mmllm_ros runs", cure)
    yield _clock(graph)


def _topic(live: LiveTopic, graph: Graph, listen: float) -> Finding:
    offered = "; ".join(sorted(set(live.offers)))
    text = f"{', '.join(live.kinds)} from {len(live.offers)} publisher{'s' * (len(live.offers) != 1)} ({offered})"
    if missing := [kind for kind in live.kinds if not live.fits and live.carriers.get(kind, kind) is None]:
        package = missing[0].split("/")[0]
        installed = " or ".join(name for name, kind in live.carriers.items() if kind)
        cure = f"`apt install ros-$ROS_DISTRO-{package.replace('_', '-')}`, or publish {installed}"
        return Finding(live.name, FAULT, f"{text}, but {package} is not installed", cure)
    if not live.fits:
        return Finding(live.name, FAULT, text, "unsupported message type: name the topic of the sensor in the rig file")
    if live.skew is None:
        return Finding(
            live.name, FAULT, f"{text}, but no message arrived within {listen:g} s", f"is the driver running? {LARGE_IMAGES}"
        )
    text += f", {live.rate:.0f} Hz"
    if abs(live.skew) <= SKEW:
        when = f"stamped {live.skew:+.2f} s ago" if live.stamped else "without stamps: of the time at which a message arrives"
        return Finding(live.name, OK, f"{text}, {when}")
    when = f"{live.skew:.1f} s in the past" if live.skew > 0 else f"{-live.skew:.1f} s in the future"
    clock = "/clock" if graph.ticks else "the system's clock"
    cure = "synchronise the clocks (chrony, ptp), let the driver stamp with ROS time, or publish /clock with a recording"
    return Finding(live.name, FAULT, f"{text}, but stamped {when} by {clock}: such messages are not used", cure)


def _clock(graph: Graph) -> Finding:
    if graph.clocks > 1:
        text = f"{graph.clocks} nodes publish /clock: time jumps"
        return Finding("clock", FAULT, text, "stop all but one, or set clock:=false there")
    if graph.clocks:
        return Finding(
            "clock",
            OK,
            f"/clock at {graph.clock_rate:.0f} Hz: `mmllm drive --source robot --use-sim-time`, use_sim_time:=true for nodes",
        )
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    return Finding("clock", OK, f"no /clock in domain {domain}: nodes use the system time")
