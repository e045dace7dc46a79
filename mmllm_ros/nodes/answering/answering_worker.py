# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker thread of the llm node: loads the model and answers the questions of a bounded queue, those that wait together."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence

from rclpy.task import Future

from ...assistant import Asked, Assistant
from ...datatypes import Answer, BadInput, one_line
from ..ros_support.process import END_TIMEOUT

MOST_TOGETHER = 16
"""Questions that are answered in one pass; the first of them waits for the last."""


class PendingQuestion:
    """A question in the queue. The future `outcome` is set once, to an Answer or to an error message of one line."""

    def __init__(
        self,
        question: str,
        question_id: str,
        on_text: Callable[[str], None] | None = None,
        conversation: str = "",
        standing: bool = False,
    ) -> None:
        self.question = question
        self.conversation = conversation
        self.standing = standing
        self.question_id = question_id
        self.on_text = on_text
        self.outcome = Future()
        self._lock = threading.Lock()

    def finish(self, outcome: Answer | str) -> None:
        """Set the outcome. Only the first call has an effect: an answer after a timeout or a cancel is dropped."""
        with self._lock:
            if not self.outcome.done():
                self.outcome.set_result(outcome)

    def finished(self) -> bool:
        """Whether the outcome is set: answered, cancelled or timed out."""
        return self.outcome.done()


class AnsweringWorker:
    """Loads an assistant, then answers the queued questions in order; what has queued up meanwhile is answered together.

    Args:
        load: makes the assistant, in the worker's thread. What it raises is stored in `failure`, as one line.
        capacity: length of the queue.
        on_failure: called in the worker's thread once `failure` is set.
    """

    def __init__(self, load: Callable[[], Assistant], capacity: int, on_failure: Callable[[], None]) -> None:
        self._load = load
        self._on_failure = on_failure
        self._capacity = capacity
        self._queue: deque[PendingQuestion] = deque()
        self._changes: deque[Callable[[], None]] = deque()
        self._current: list[PendingQuestion] = []
        self._stopping = False
        self._condition = threading.Condition()
        self.assistant: Assistant | None = None
        self.failure = ""
        self._thread = threading.Thread(target=self._work, name="answering", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of questions in the queue."""
        return len(self._queue)

    def submit(self, *pending: PendingQuestion) -> None:
        """Queue questions, all or none. Raises BadInput when there is no model or no room."""
        if self.failure:
            raise BadInput(f"there is no model: {self.failure}")
        if self.assistant is None:
            raise BadInput("the model is still loading, ask again in a moment")
        with self._condition:
            if len(self._queue) + len(pending) > self._capacity:
                # Questions that were cancelled or have timed out wait for nothing.
                self._queue = deque(waiting for waiting in self._queue if not waiting.finished())
            if len(self._queue) + len(pending) > self._capacity:
                raise BadInput(f"{len(self._queue)} questions are waiting already, ask again later")
            self._queue.extend(pending)
            self._condition.notify()

    def between(self, change: Callable[[], None]) -> None:
        """Run `change` in the worker's thread, after the current questions and before the next ones."""
        with self._condition:
            self._changes.append(change)
            self._condition.notify()

    def stop(self) -> None:
        """Finish every question with an error message and end the thread."""
        with self._condition:
            self._stopping = True
            unanswered = [*self._current, *self._queue]
            self._queue.clear()
            self._condition.notify()
        for pending in unanswered:
            pending.finish("the node is shutting down")
        self._thread.join(timeout=END_TIMEOUT)

    def _work(self) -> None:
        try:
            self.assistant = self._load()
        except Exception as error:
            if isinstance(error, (BadInput, OSError, MemoryError)):
                self.failure = one_line(error)
            else:  # such as a GPU without memory for the model
                traceback.print_exc()
                self.failure = f"the model cannot be loaded: {type(error).__name__}: {one_line(error)}"
            self._on_failure()
            return
        while self._take():
            self._answer(self._current)
            self._current = []

    def _take(self) -> bool:
        """Wait for questions and make them the current ones; False when the thread shall end."""
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._queue or self._changes or self._stopping)
                if self._stopping:
                    return False
                changes, self._changes = self._changes, deque()
                while not changes and self._queue and len(self._current) < MOST_TOGETHER:
                    pending = self._queue.popleft()
                    self._current += [] if pending.finished() else [pending]
            for change in changes:
                change()
            if self._current:
                return True

    def _answer(self, questions: Sequence[PendingQuestion]) -> None:
        asked = [
            Asked(item.question, item.question_id, item.on_text, item.finished, item.conversation, item.standing)
            for item in questions
        ]
        answered = 0
        try:
            for outcome in self.assistant.ask_all(asked):
                questions[answered].finish(outcome if isinstance(outcome, Answer) else str(outcome) or "cancelled")
                answered += 1
        except Exception as error:  # a failing question does not end the node: it is reported, with its traceback
            traceback.print_exc()
            if len(questions) == 1:
                questions[0].finish(f"answering failed: {type(error).__name__}: {one_line(error)[:200]}")
                return
            for left in questions[answered:]:  # which of them failed is not known
                self._answer([left])
