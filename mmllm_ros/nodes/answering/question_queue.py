# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a question waits: handed to the worker, awaited without holding the executor, given up at its timeout, counted."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ...config import LlmConfig
from ...datatypes import Answer, BadInput
from .answering_worker import AnsweringWorker, Job


class QuestionQueue:
    """Await `answer` in callbacks of a reentrant group: a waiting coroutine keeps its callback group busy.

    Args:
        node: whose executor runs the coroutines, and whose log gets a line for every question without answer.
        worker: answers.
        config: the node's configuration now; its `timeout` counts for a question that brings none.
        on_answer: called with every answer given.
    """

    def __init__(
        self, node: Node, worker: AnsweringWorker, config: Callable[[], LlmConfig], on_answer: Callable[[Answer], None]
    ) -> None:
        self.answered = 0
        self.refused = 0
        self._latencies: deque[float] = deque(maxlen=500)
        self._node = node
        self._worker = worker
        self._config = config
        self._on_answer = on_answer
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)

    async def answer(self, job: Job, timeout: float = 0.0) -> Answer | str:
        """The answer, or one line that says why there is none. `timeout` [s], 0 = the node's own."""
        timer = None
        # Setting a future does not wake an rclpy executor, and one that sleeps never looks at it.
        job.outcome.add_done_callback(lambda _: self._node.executor.wake())
        try:
            config = self._config()
            longest = dataclasses.replace(config, timeout=timeout or config.timeout).timeout
            if not job.given_up():
                self._worker.submit(job)
                refusal = f"no answer within {longest:g} s"
                timer = self._node.create_timer(longest, lambda: job.finish(refusal), clock=self._steady)
            outcome = await job.outcome
        except BadInput as error:
            outcome = str(error)
        if timer:
            self._node.destroy_timer(timer)
        if isinstance(outcome, Answer):
            self.answered += 1
            self._latencies.append(outcome.latency)
            self._on_answer(outcome)
        else:
            self.refused += 1
            self._node.get_logger().warning(f"question {job.question_id} has no answer: {outcome}")
        return outcome

    def latency(self, percent: float) -> float:
        """Percentile of the latency [s] of the last 500 answers, 0 before the first."""
        return float(np.percentile(self._latencies, percent)) if self._latencies else 0.0
