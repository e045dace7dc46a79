# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps one lifecycle node loaded and active exactly while that is wanted, without ever waiting in a callback."""

from __future__ import annotations

import time
from collections.abc import Callable

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future

_LONGEST_PAUSE = 30.0
"""A node that keeps refusing, for example because its weights are missing, is asked again this seldom [s]."""

_NAMES = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_ACTIVATE: "activate",
    Transition.TRANSITION_DEACTIVATE: "deactivate",
    Transition.TRANSITION_CLEANUP: "clean up",
}
_TOWARDS = {
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


class LifecycleClient:
    """Drives the lifecycle of the node called `target` (relative, so a namespace counts) from `node`.

    Call `step` regularly.
    """

    def __init__(self, node: Node, target: str) -> None:
        self.target = target
        self._trouble = f"{target} has not answered yet"
        self._log = node.get_logger()
        self._get = node.create_client(GetState, f"{target}/get_state")
        self._change = node.create_client(ChangeState, f"{target}/change_state")
        self._pending: tuple[Client, Future, str, float] | None = None
        self._goal = (False, True)
        self._state: int | None = None
        self._asked = False
        self._refusals = 0
        self._pause_until = 0.0

    @property
    def trouble(self) -> str:
        """Why the target does not follow, empty while it does."""
        return self._trouble

    @trouble.setter
    def trouble(self, line: str) -> None:
        if line and line != self._trouble:
            self._log.warning(line)
        self._trouble = line

    def step(self, active: bool, timeout: float, loaded: bool = True) -> None:
        """One step towards `active`, or where `loaded` is false towards no weights in memory.

        At most one request is on its way, and it is given up after `timeout` [s].
        """
        self._goal, now = (active, loaded), time.monotonic()  # an answer that is on its way finds the newest goal
        if self._pending:
            client, future, what, sent = self._pending
            if now - sent < timeout:
                return
            client.remove_pending_request(future)
            self._pending = None
            self.trouble = f"{self.target} did not answer '{what}' within {timeout:g} s"
        elif not self._get.service_is_ready():
            self.trouble = f"{self.target} is not running"
        elif now >= self._pause_until:
            self._asked = False  # a plan that changes is followed from the state last told
            if not self._transit():
                self._ask()

    def _ask(self) -> None:
        self._send(self._get, GetState.Request(), "get_state", self._on_state)

    def _on_state(self, answer: GetState.Response) -> None:
        self._state, self._asked = answer.current_state.id, True
        if not self._transit():
            ended = self._state == State.PRIMARY_STATE_FINALIZED
            self.trouble = f"{self.target} has been shut down" if ended else ""

    def _transit(self) -> bool:
        """Send the next transition from the known state to the goal; False where there is none."""
        transition = _TOWARDS.get((self._state, *self._goal))
        if transition is None:
            return False
        request = ChangeState.Request(transition=Transition(id=transition))
        self._send(self._change, request, _NAMES[transition], lambda answer: self._on_change(answer, _NAMES[transition]))
        return True

    def _on_change(self, answer: ChangeState.Response, what: str) -> None:
        self._state = None
        if answer.success:
            self._refusals, self.trouble = 0, ""
        elif self._asked:
            self._refusals += 1
            self._pause_until = time.monotonic() + min(2.0**self._refusals, _LONGEST_PAUSE)
            self.trouble = f"{self.target} refused to {what}; its log says why"
            return
        self._ask()  # the next transition at once; or it was in another state than it last told

    def _send(self, client: Client, request: object, what: str, on_answer: Callable) -> None:
        future = client.call_async(request)
        self._pending = (client, future, what, time.monotonic())

        def arrived(future: Future) -> None:
            # An answer after its timeout is late: the next step asks for the state anew.
            if self._pending and self._pending[1] is future:
                self._pending = None
                on_answer(future.result())

        future.add_done_callback(arrived)
