# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Standing questions: the llm node asks the questions of its parameter `watch` at a rate; answers are on mmllm/answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType

from ...datatypes import NANOSECONDS
from .answering_worker import PendingQuestion

if TYPE_CHECKING:
    from ..llm import Llm
    from .question_servers import QuestionServers

SEPARATOR = "|"


class StandingQuestions:
    """Asks all questions together, `watch_rate` times a second; a round that is not over delays the next one.

    They are answered in one forward pass, and each text's lower blocks are computed once.
    """

    def __init__(self, node: Llm, servers: QuestionServers) -> None:
        self._node = node
        self._servers = servers
        self._busy = False
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(
            1.0 / node.config.watch_rate, self._ask, callback_group=ReentrantCallbackGroup(), clock=steady
        )

    def follow_config(self) -> None:
        """Use the parameters of the node's present configuration."""
        self._timer.timer_period_ns = int(NANOSECONDS / self._node.config.watch_rate)

    async def _ask(self) -> None:
        if self._busy or self._node.worker.assistant is None:
            return
        self._busy = True
        try:
            texts = list(filter(None, map(str.strip, self._node.config.watch.split(SEPARATOR))))
            most = self._node.config.queue
            for start in range(0, len(texts), most):
                together = texts[start : start + most]
                questions = [PendingQuestion(text, self._servers.number("watch"), standing=True) for text in together]
                await self._servers.answer_all(questions)
        finally:
            self._busy = False
