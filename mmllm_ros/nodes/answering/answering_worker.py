# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker thread of the llm node: loads the model and answers the questions of a bounded queue, one at a time."""

from __future__ import annotations

import contextlib
import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable

from rclpy.task import Future

from ...assistant import Assistant, Cancelled
from ...datatypes import Answer, BadInput, one_line
from ..ros_support.process import END_TIMEOUT


class PendingQuestion:
    """A question in the queue. The future `outcome` is set once, to an Answer or to an error message of one line."""

    def __init__(
        self, question: str, question_id: str, on_text: Callable[[str], None] | None = None, conversation: str = ""
    ) -> None:
        self.question = question
        self.conversation = conversation
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
    """Loads an assistant, then answers the queued questions in order.

    Args:
        load: makes the assistant, in the worker's thread. BadInput, OSError and MemoryError are stored in `failure`.
        capacity: length of the queue.
        on_failure: called in the worker's thread once `failure` is set.
    """

    def __init__(self, load: Callable[[], Assistant], capacity: int, on_failure: Callable[[], None]) -> None:
        self._load = load
        self._on_failure = on_failure
        self._queue: queue.Queue[PendingQuestion | None] = queue.Queue(capacity)
        self._changes: deque[Callable[[], None]] = deque()
        self._current: PendingQuestion | None = None
        self._stopping = False
        self.assistant: Assistant | None = None
        self.failure = ""
        self._thread = threading.Thread(target=self._work, name="answering", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of questions in the queue."""
        return self._queue.qsize()

    def submit(self, pending: PendingQuestion) -> None:
        """Queue a question. Raises BadInput when there is no model or the queue is full."""
        if self.failure:
            raise BadInput(f"there is no model: {self.failure}")
        if self.assistant is None:
            raise BadInput("the model is still loading, ask again in a moment")
        if self._queue.full():
            self._drop_finished()
        try:
            self._queue.put_nowait(pending)
        except queue.Full:
            raise BadInput(f"{self._queue.maxsize} questions are waiting already, ask again later") from None

    def _drop_finished(self) -> None:
        """Make room: questions that were cancelled or have timed out wait for nothing."""
        with self._queue.mutex:
            waiting = [pending for pending in self._queue.queue if pending is None or not pending.finished()]
            self._queue.queue.clear()
            self._queue.queue.extend(waiting)

    def between(self, change: Callable[[], None]) -> None:
        """Run `change` in the worker's thread, after the current question and before the next one."""
        self._changes.append(change)
        wake = PendingQuestion("", "")
        wake.finish("")
        with contextlib.suppress(queue.Full):  # a full queue wakes the thread as well
            self._queue.put_nowait(wake)

    def stop(self) -> None:
        """Finish every question with an error message and end the thread."""
        self._stopping = True
        while True:
            try:
                pending = self._queue.get_nowait()
            except queue.Empty:
                break
            if pending is not None:
                pending.finish("the node is shutting down")
        if current := self._current:
            current.finish("the node is shutting down")
        self._queue.put(None)
        self._thread.join(timeout=END_TIMEOUT)

    def _work(self) -> None:
        try:
            self.assistant = self._load()
        except (BadInput, OSError, MemoryError) as error:
            self.failure = one_line(error) or type(error).__name__
            self._on_failure()
            return
        while not self._stopping and (pending := self._queue.get()) is not None:
            while self._changes:
                self._changes.popleft()()
            if not pending.finished():
                self._current = pending
                pending.finish(self._outcome(pending))
                self._current = None

    def _outcome(self, pending: PendingQuestion) -> Answer | str:
        try:
            return self.assistant.ask(
                pending.question, pending.question_id, pending.on_text, pending.finished, pending.conversation
            )
        except BadInput as error:
            return str(error)
        except Cancelled:
            return "cancelled"
        except Exception as error:  # a failing question does not end the node: it is reported, with its traceback
            traceback.print_exc()
            return f"answering failed: {type(error).__name__}: {one_line(error)[:200]}"
