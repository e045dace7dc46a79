# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS parameters from a configuration dataclass: one definition gives type, default, description, range and validation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from ...config import SimulatorConfig, Validated
from ...datatypes import BadInput, one_line
from ...rig import rig_overrides

Config = TypeVar("Config", bound=Validated)


def declare(node: Node, kind: type[Config], on_change: Callable[[Config], None] | None = None) -> Config:
    """Declare every field of `kind` as a parameter of `node` and return the values it starts with.

    A later change is validated as a whole against `kind`: a valid one is passed to `on_change` as a new frozen instance, an
    invalid one is rejected with the reason. Without `on_change` every parameter is read-only. Raises BadInput, one line
    that names parameter and value, for an invalid start value. A rig `auto` is waited for and becomes the path of its file.
    """
    values = {}
    for field in dataclasses.fields(kind):
        descriptor = _descriptor(field)
        descriptor.read_only |= on_change is None
        try:
            values[field.name] = node.declare_parameter(field.name, field.default, descriptor).value
        except ParameterException as error:
            raise BadInput(f"{node.get_name()}: {one_line(error)}") from error
    if "rig" in values and kind is not SimulatorConfig and values.get("source") != "simulator":
        values["rig"] = _file_of_auto(node, values["rig"], values.get("bag", ""))
    config = kind(**values)
    if on_change is not None:
        _ParameterCallbacks(node, config, on_change)
    return config


def _file_of_auto(node: Node, rig: str, bag: str) -> str:
    """`rig`, or for the rig of the running robot or of the recording `bag` a file with it. Raises BadInput."""
    if rig_overrides(rig) is None:
        return rig
    # Imported here, because they import rosbags, which most nodes do without.
    from ...io.robot_rig import rig_of_recording
    from .rig_probe import rig_file

    return rig_of_recording(rig, bag) if bag else rig_file(node, rig)


class _ParameterCallbacks:
    """Holds the current values and replaces them as a whole after a change is accepted."""

    def __init__(self, node: Node, config: Any, on_change: Callable[[Any], None]) -> None:
        self._config = config
        self._names = {field.name for field in dataclasses.fields(config)}
        self._on_change = on_change
        node.add_on_set_parameters_callback(self._validate)
        node.add_post_set_parameters_callback(self._apply)

    def _changed(self, parameters: list[Parameter]) -> Any:
        return dataclasses.replace(self._config, **{p.name: p.value for p in parameters if p.name in self._names})

    def _validate(self, parameters: list[Parameter]) -> SetParametersResult:
        try:
            self._changed(parameters)
        except BadInput as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        config = self._changed(parameters)
        if config != self._config:
            self._config = config
            self._on_change(config)


def _descriptor(field: dataclasses.Field) -> ParameterDescriptor:
    rules = field.metadata
    descriptor = ParameterDescriptor(name=field.name, description=rules["description"], read_only=rules["read_only"])
    if rules["choices"]:
        descriptor.additional_constraints = "one of " + ", ".join(rules["choices"])
    if rules["minimum"] is not None:
        low, high = rules["minimum"], rules["maximum"]
        if isinstance(field.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor
