# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a client in the process of `mmllm mcp` knows of its robot."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from mmllm_ros.nodes.clients.robot_view import RobotView
from mmllm_ros.rig import load_rig


def test_the_faults_are_those_of_the_robot_in_this_namespace_by_their_names_in_it():
    names = ("robot1/llm: model", "robot10/llm: model", "llm: model")
    array = DiagnosticArray(status=[DiagnosticStatus(name=name, level=b"\2", message=f"of {name}") for name in names])
    with RobotView(load_rig("front"), "robot1") as view:
        view._on_diagnostics(array)
        assert view.faults == {"llm: model": "of robot1/llm: model"}
