# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters come from the dataclasses: described, ranged, validated as they start and as they change."""

from __future__ import annotations

import dataclasses

import pytest
import rclpy
from rclpy.parameter import Parameter

from mmllm_ros.config import EncoderConfig, SimulatorConfig
from mmllm_ros.datatypes import BadInput
from mmllm_ros.nodes.ros_support.parameters import declare


def node_with(ros, **values):
    return ros.add(rclpy.create_node("configured", parameter_overrides=[Parameter(k, value=v) for k, v in values.items()]))


def test_every_field_is_a_parameter_with_its_default_description_and_range(ros):
    node = node_with(ros)
    assert declare(node, EncoderConfig, lambda config: None) == EncoderConfig()
    for field in dataclasses.fields(EncoderConfig):
        descriptor = node.describe_parameter(field.name)
        assert descriptor.description == field.metadata["description"]
        assert descriptor.read_only == field.metadata["read_only"]
    assert node.describe_parameter("rate").floating_point_range[0].to_value == 50.0


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (EncoderConfig, "rate", float("nan")),
        (EncoderConfig, "rate", "fast"),
        (EncoderConfig, "rate", 1000.0),
        (SimulatorConfig, "seed", -1),
        (SimulatorConfig, "context", "snow"),
        (SimulatorConfig, "rig", [1, 2]),
    ],
)
def test_a_bad_start_value_is_refused_in_one_line_that_names_it(ros, kind, name, value):
    with pytest.raises(BadInput, match=name) as refusal:
        declare(node_with(ros, **{name: value}), kind)
    assert "\n" not in str(refusal.value)


def test_a_good_change_arrives_as_a_whole_and_a_bad_one_changes_nothing(ros):
    seen = []
    node = node_with(ros)
    declare(node, EncoderConfig, seen.append)
    assert node.set_parameters([Parameter("rate", value=5.0)])[0].successful
    assert seen == [EncoderConfig(rate=5.0)]
    for bad in (Parameter("rate", value=float("nan")), Parameter("rate", value=5), Parameter("model", value="other")):
        result = node.set_parameters([bad])[0]
        assert not result.successful and result.reason
    assert seen == [EncoderConfig(rate=5.0)]


def test_without_a_listener_every_parameter_is_fixed(ros):
    node = node_with(ros)
    declare(node, EncoderConfig)
    assert not node.set_parameters([Parameter("rate", value=5.0)])[0].successful
