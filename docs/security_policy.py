# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Prints the SROS 2 policy of a robot: `python -m docs.security_policy front > config/sros2/front.xml`, or a rig file.

An enclave for each process of the launch file, one for all nodes in one process (`drive`) and one for `mmllm ask`. What a node
may do is what docs/node_tables.py lists; test/ros/test_security_policy.py compares it with running nodes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from xml.etree import ElementTree

from mmllm_ros.io.camera_info import info_topic
from mmllm_ros.io.serialization import Serializer
from mmllm_ros.launch_setup import ENCLAVES, SOURCES, node_names
from mmllm_ros.rig import Rig, load_rig

from . import node_tables

PARAMETER_SERVICES = (
    "describe_parameters", "get_parameter_types", "get_parameters", "list_parameters", "set_parameters",
    "set_parameters_atomically", "get_type_description",
)  # fmt: skip
LIFECYCLE_SERVICES = ("change_state", "get_available_states", "get_available_transitions", "get_state", "get_transition_graph")

Rules = dict[tuple[str, str], set[str]]
"""Names by kind and permission, such as ("topic", "publish")."""


def policy(rig: Rig) -> str:
    """The policy of a robot with sensors `rig`, as XML of version 0.2.0."""
    robot = [name for executable in node_names(rig) for name in nodes_of(executable, rig)]
    enclaves = {name: nodes_of(name, rig) for name in (*SOURCES.values(), *node_names(rig))}
    enclaves |= {"drive": [*SOURCES.values(), *robot, "drive"], "ask": ["ask_*"]}
    root = ElementTree.Element("policy", version="0.2.0")
    parent = ElementTree.SubElement(root, "enclaves")
    for enclave, nodes in sorted(enclaves.items()):
        profiles = ElementTree.SubElement(ElementTree.SubElement(parent, "enclave", path=f"{ENCLAVES}/{enclave}"), "profiles")
        for node in nodes:
            profile = ElementTree.SubElement(profiles, "profile", ns="/", node=node)
            for (kind, permission), names in sorted(rules(node, rig).items()):
                listed = ElementTree.SubElement(profile, f"{kind}s", {permission: "ALLOW"})
                for name in sorted(names):
                    ElementTree.SubElement(listed, kind).text = name
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def nodes_of(executable: str, rig: Rig) -> list[str]:
    """The nodes in the process of an executable."""
    return (
        [executable, *(f"{mount.modality}_encoder" for mount in rig.signals)]
        if executable == "universal_encoder"
        else [executable]
    )


def rules(node: str, rig: Rig) -> Rules:
    """What a node may do."""
    signals = {f"{mount.modality}_encoder": mount.topic for mount in rig.signals}
    table = "universal_encoder" if node in signals else "drive" if node == "ask_*" else node
    allowed: Rules = {
        ("topic", "publish"): {"rosout", "/parameter_events"},
        ("topic", "subscribe"): {"/parameter_events", "/clock"},
        ("service", "reply"): {f"~/{name}" for name in PARAMETER_SERVICES},
    }

    def allow(kind: str, permission: str, names: Iterable[str]) -> None:
        allowed.setdefault((kind, permission), set()).update(names)

    def listed(rows: Iterable[tuple], side: str = "") -> set[str]:
        names = {row[1] for row in rows if table in row[0] and (not side or row[3] == side)}
        return {name for name in names if not name.startswith("(")}

    if node == "universal_encoder":  # reads the parameters for its nodes
        return allowed
    if node != "ask_*":
        allow("topic", "subscribe", listed(node_tables.SUBSCRIBED) | subscribed_by_rig(table, rig, signals.get(node)))
        allow("topic", "publish", listed(node_tables.PUBLISHED))
        allow("service", "reply", listed(node_tables.SERVICES, "server"))
        allow("action", "execute", listed(node_tables.ACTIONS, "server"))
    allow("action", "call", listed(node_tables.ACTIONS, "client"))
    if node == "ask_*":  # waits as long as the llm node does
        allow("service", "request", ["llm/get_parameters"])
    if table in node_tables.ENCODERS:
        allow("service", "reply", (f"~/{name}" for name in LIFECYCLE_SERVICES))
        allow("topic", "publish", {"~/transition_event"})
    if node in SOURCES.values():
        allow("topic", "publish", {*Serializer(rig).topics(), "/tf_static"})
    encoders = [f"{modality}_encoder" for modality in ("camera", "lidar", "imu", *rig.modalities)]
    encoders = ["object_encoder" if name == "objects_encoder" else name for name in encoders]
    if node == "context_monitor":
        allow("service", "request", (f"{name}/{service}" for name in encoders for service in ("change_state", "get_state")))
    if node == "llm":
        allow("service", "request", (f"{name}/encode" for name in encoders))
        allow("service", "request", ["camera_encoder/ask"] if rig.open_vocabulary else [])
    if not rig.open_vocabulary:
        allowed["service", "reply"].discard("~/ask")
    return {what: names for what, names in allowed.items() if names}


def subscribed_by_rig(node: str, rig: Rig, signal: str | None) -> set[str]:
    """The sensor topics that a node subscribes to, cameras with and without /compressed."""
    plain = {mount.topic.removesuffix("/compressed") for mount in rig.cameras}
    cameras, infos = plain | {f"{name}/compressed" for name in plain}, {info_topic(mount.topic) for mount in rig.cameras}
    lidar = {rig.lidar.topic} if rig.lidar else set()
    by_node = {
        "camera_encoder": cameras | (infos | lidar if rig.detector or rig.open_vocabulary else set()),
        "lidar_encoder": lidar,
        "imu_encoder": {rig.imu.topic} if rig.imu else set(),
        "object_encoder": {rig.objects.topic, "/tf", "/tf_static"} | infos | lidar if rig.objects else set(),
        "universal_encoder": {signal} if signal else set(),
        "visualizer": cameras | lidar,
        "drive": cameras | lidar,
    }
    return by_node.get(node, set())


if __name__ == "__main__":
    print(policy(load_rig(sys.argv[1] if len(sys.argv) > 1 else "front")), end="")
