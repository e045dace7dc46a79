# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps a lifecycle node loaded and active as requested, without blocking in a callback."""

from __future__ import annotations

import time
from collections.abc import Callable

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future

_MAX_BACKOFF = 30.0
"""Longest pause before a transition that failed is requested again [s], for example while weights are missing."""

START_GRACE = 30.0
"""A node that has not been seen for so long [s] since the start is logged as missing; nodes take time to start."""

_NAMES = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_ACTIVATE: "activate",
    Transition.TRANSITION_DEACTIVATE: "deactivate",
    Transition.TRANSITION_CLEANUP: "clean up",
}
_TRANSITIONS = {
    (State.PRIMARY_STATE_UNCONFIGURED, True, True): Transition.TRANSITION_CONFIGURE,
    (State.PRIMARY_STATE_UNCONFIGURED, True, False): Transition.TRANSITION_CONFIGURE,
    (State.PRIMARY_STATE_UNCONFIGURED, False, True): Transition.TRANSITION_CONFIGURE,
    (State.PRIMARY_STATE_INACTIVE, True, True): Transition.TRANSITION_ACTIVATE,
    (State.PRIMARY_STATE_INACTIVE, True, False): Transition.TRANSITION_ACTIVATE,
    (State.PRIMARY_STATE_INACTIVE, False, False): Transition.TRANSITION_CLEANUP,
    (State.PRIMARY_STATE_ACTIVE, False, True): Transition.TRANSITION_DEACTIVATE,
    (State.PRIMARY_STATE_ACTIVE, False, False): Transition.TRANSITION_DEACTIVATE,
}
"""The next transition from a state to a goal: (state, active, loaded)."""

_BY_OPERATOR = {
    (State.PRIMARY_STATE_ACTIVE, State.PRIMARY_STATE_INACTIVE): False,
    (State.PRIMARY_STATE_INACTIVE, State.PRIMARY_STATE_ACTIVE): True,
}
"""Changes of state that nobody but an operator causes, if this client has requested none; a restarted node is unconfigured."""


class LifecycleClient:
    """Drives the lifecycle of the node called `target` (relative, so a namespace counts) from `node`.

    Call `step` regularly. `on_operator` is called with True or False when someone else has activated or deactivated the node.
    """

    def __init__(self, node: Node, target: str, on_operator: Callable[[bool], None]) -> None:
        self.target = target
        self._on_operator = on_operator
        self._started = time.monotonic()
        self._seen = False
        self._found: int | None = None
        self._problem = f"{target} has not answered yet"
        self._log = node.get_logger()
        self._get = node.create_client(GetState, f"{target}/get_state")
        self._change = node.create_client(ChangeState, f"{target}/change_state")
        self._pending: tuple[Client, Future, str, float] | None = None
        self._goal = (False, True)
        self._state: int | None = None
        self._state_known = False
        self._rejections = 0
        self._backoff_until = 0.0

    @property
    def problem(self) -> str:
        """Why the target is not in the requested state, empty while it is."""
        return self._problem

    @problem.setter
    def problem(self, line: str) -> None:
        starting = not self._seen and time.monotonic() - self._started < START_GRACE
        if line and line != self._problem and not starting:
            self._log.warning(line)
        self._problem = line

    def step(self, active: bool, timeout: float, loaded: bool = True) -> None:
        """One step towards `active`, or towards unconfigured (no weights in memory) where `loaded` is false.

        At most one request is pending, and it is given up after `timeout` [s].
        """
        self._goal, now = (active, loaded), time.monotonic()  # the response to a pending request uses the latest goal
        if self._pending:
            client, future, what, sent = self._pending
            if now - sent < timeout:
                return
            client.remove_pending_request(future)
            self._pending = None
            self._forget()
            self.problem = f"{self.target} did not answer '{what}' within {timeout:g} s"
        elif not self._get.service_is_ready():
            self._forget()
            self.problem = f"{self.target} is not running"
        elif now >= self._backoff_until:
            self._state_known = False  # a changed goal starts from the last known state
            if not self._request_transition():
                self._request_state()

    def _forget(self) -> None:
        """The node may be another process now, so its last known state says nothing."""
        self._state = self._found = None

    def _request_state(self) -> None:
        self._send(self._get, GetState.Request(), "get_state", self._on_state)

    def _on_state(self, answer: GetState.Response) -> None:
        self._seen = True
        before, self._found = self._found, answer.current_state.id
        self._state, self._state_known = self._found, True
        if self._found == State.PRIMARY_STATE_UNCONFIGURED and before not in (None, self._found):
            self._log.info(f"{self.target} has been restarted or cleaned up: it is configured again")
        if (before, self._found) in _BY_OPERATOR:
            self._on_operator(_BY_OPERATOR[before, self._found])
        elif not self._request_transition():
            ended = self._state == State.PRIMARY_STATE_FINALIZED
            self.problem = f"{self.target} has been shut down" if ended else ""

    def _request_transition(self) -> bool:
        """Request the next transition from the known state to the goal; False where there is none."""
        transition = _TRANSITIONS.get((self._state, *self._goal))
        if transition is None:
            return False
        request = ChangeState.Request(transition=Transition(id=transition))
        self._found = None
        self._send(self._change, request, _NAMES[transition], lambda answer: self._on_change(answer, _NAMES[transition]))
        return True

    def _on_change(self, answer: ChangeState.Response, what: str) -> None:
        self._state = None
        if answer.success:
            self._rejections, self.problem = 0, ""
        elif self._state_known:
            self._rejections += 1
            self._backoff_until = time.monotonic() + min(2.0**self._rejections, _MAX_BACKOFF)
            self.problem = f"{self.target} rejected '{what}'; its log says why"
            return
        self._request_state()  # the next transition at once, or the state has changed meanwhile

    def _send(self, client: Client, request: object, what: str, on_answer: Callable) -> None:
        future = client.call_async(request)
        self._pending = (client, future, what, time.monotonic())

        def arrived(future: Future) -> None:
            # A response after the timeout is ignored: the next step requests the state again.
            if self._pending and self._pending[1] is future:
                self._pending = None
                on_answer(future.result())

        future.add_done_callback(arrived)
