# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""rclpy's lifecycle node of Jazzy with two fixes: an invalid transition does not end it, and destroy_node is complete."""

from __future__ import annotations

from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode

from ...datatypes import one_line


class SafeLifecycleNode(LifecycleNode):
    """Rejects an invalid transition; rclpy raises an exception in the executor, which ends all its nodes."""

    def __init__(self, name: str, **node_arguments: Any) -> None:
        super().__init__(name, **node_arguments)
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._change

    def _change(self, request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return self._change_state(request, response)
        except rclpy_implementation.RCLError as error:
            state = self._state_machine.current_state[1]
            wanted = request.transition.label or request.transition.id
            self.get_logger().warning(f"transition {wanted} rejected, the node is {state}: {one_line(error)}")
            response.success = False
            return response

    def destroy_node(self) -> None:
        """Also destroys the state machine: until then the graph shows the services of the lifecycle."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()
