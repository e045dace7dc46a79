# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The SROS 2 policy allows what running nodes do, no more and no less; DDS enforces it only where it is built with security."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from rclpy.action import get_action_client_names_and_types_by_node, get_action_server_names_and_types_by_node
from rclpy.node import Node
from rclpy.parameter import Parameter

from mmllm_ros.nodes.camera_encoder import CameraEncoderNode
from mmllm_ros.nodes.context_monitor import ContextMonitor
from mmllm_ros.nodes.llm import Llm
from mmllm_ros.nodes.visualizer import Visualizer

POLICY = Path(__file__).parents[2] / "config" / "sros2" / "front.xml"
WHERE_SUBSCRIBED = {"/camera/front/image_raw", "/camera/front/image_raw/compressed", "/lidar/points", "/imu/data", "/clock"}
"""Topics that a node subscribes to when they are there."""


def allowed(node: Node) -> dict[tuple[str, str], set[str]]:
    """Full names by kind and permission, for a node in an enclave of its own."""
    profile = ElementTree.parse(POLICY).find(f".//enclave[@path='/mmllm_ros/{node.get_name()}']/profiles/profile")
    names: dict[tuple[str, str], set[str]] = {}
    for rule in profile:
        for permission in rule.attrib:
            names[rule.tag, permission] = {node.resolve_topic_name(item.text) for item in rule}
    return names


def done(node: Node) -> dict[tuple[str, str], set[str]]:
    """What the graph shows of a node; the topics and services of an action belong to the action."""
    name, space = node.get_name(), node.get_namespace()

    def without_actions(found: list) -> set[str]:
        return {topic for topic, _ in found if "/_action/" not in topic}

    return {
        ("topics", "publish"): without_actions(node.get_publisher_names_and_types_by_node(name, space)),
        ("topics", "subscribe"): without_actions(node.get_subscriber_names_and_types_by_node(name, space)),
        ("services", "reply"): without_actions(node.get_service_names_and_types_by_node(name, space)),
        ("services", "request"): without_actions(node.get_client_names_and_types_by_node(name, space)),
        ("actions", "execute"): {topic for topic, _ in get_action_server_names_and_types_by_node(node, name, space)},
        ("actions", "call"): {topic for topic, _ in get_action_client_names_and_types_by_node(node, name, space)},
    }


def test_the_policy_allows_what_running_nodes_do_and_no_more(ros, tiny_model):
    parameters = [Parameter("model", value=str(tiny_model))]
    for kind in (CameraEncoderNode, ContextMonitor, Llm, Visualizer):
        node = ros.add(kind(parameter_overrides=parameters))
        ros.until(lambda: done(node)["topics", "publish"] >= {"/rosout", "/parameter_events"})  # noqa: B023
        rules = allowed(node)
        for what, names in done(node).items():
            assert names <= rules.get(what, set()), f"{node.get_name()} {what}"
            optional = WHERE_SUBSCRIBED | {"/parameter_events"} if what == ("topics", "subscribe") else set()
            assert rules.get(what, set()) - names <= optional, f"{node.get_name()} {what}"
