# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that loads the model and answers, behind a bounded queue, so that no callback ever computes."""

from __future__ import annotations

import contextlib
import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable

from rclpy.task import Future

from ...assistant import Assistant, Cancelled
from ...datatypes import Answer, BadInput


class Job:
    """One question on its way. `outcome` resolves once, to an Answer or to the line that says why there is none."""

    def __init__(self, question: str, question_id: str, on_text: Callable[[str], None] | None = None) -> None:
        self.question = question
        self.question_id = question_id
        self.on_text = on_text
        self.outcome = Future()
        self._lock = threading.Lock()

    def finish(self, outcome: Answer | str) -> None:
        """Give the outcome; the first one counts, so a late answer to a question given up is dropped."""
        with self._lock:
            if not self.outcome.done():
                self.outcome.set_result(outcome)

    def given_up(self) -> bool:
        """Whether nobody waits any more: cancelled, out of time, or answered."""
        return self.outcome.done()


class AnsweringWorker:
    """Loads an assistant, then answers one job after the other.

    Args:
        load: makes the assistant, in the worker's thread. BadInput and OSError are reported to `on_failure`.
        waiting: how many jobs may wait.
        on_failure: called in the worker's thread once `failure` says why there is no model.
    """

    def __init__(self, load: Callable[[], Assistant], waiting: int, on_failure: Callable[[], None]) -> None:
        self._load = load
        self._on_failure = on_failure
        self._jobs: queue.Queue[Job | None] = queue.Queue(waiting)
        self._changes: deque[Callable[[], None]] = deque()
        self._current: Job | None = None
        self._stopping = False
        self.assistant: Assistant | None = None
        self.failure = ""
        self._thread = threading.Thread(target=self._work, name="answering", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Jobs in the queue now."""
        return self._jobs.qsize()

    def submit(self, job: Job) -> None:
        """Queue a job. Raises BadInput when there is no model yet, or no room."""
        if self.failure:
            raise BadInput(f"there is no model: {self.failure}")
        if self.assistant is None:
            raise BadInput("the model is still loading, ask again in a moment")
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise BadInput(f"{self._jobs.maxsize} questions are waiting already, ask again later") from None

    def between(self, change: Callable[[], None]) -> None:
        """Have `change` done in the worker's thread, after the question under way and before the next."""
        self._changes.append(change)
        nothing = Job("", "")
        nothing.finish("")
        with contextlib.suppress(queue.Full):  # whoever waits wakes the thread as well
            self._jobs.put_nowait(nothing)

    def stop(self) -> None:
        """Give up every job and end the thread."""
        self._stopping = True
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is not None:
                job.finish("the node is shutting down")
        if current := self._current:
            current.finish("the node is shutting down")
        self._jobs.put(None)
        self._thread.join(timeout=10.0)

    def _work(self) -> None:
        try:
            self.assistant = self._load()
        except (BadInput, OSError, MemoryError) as error:
            self.failure = " ".join(str(error).split()) or type(error).__name__
            self._on_failure()
            return
        while not self._stopping and (job := self._jobs.get()) is not None:
            while self._changes:
                self._changes.popleft()()
            if not job.given_up():
                self._current = job
                job.finish(self._outcome(job))
                self._current = None

    def _outcome(self, job: Job) -> Answer | str:
        try:
            return self.assistant.ask(job.question, job.question_id, on_text=job.on_text, cancelled=job.given_up)
        except BadInput as error:
            return str(error)
        except Cancelled:
            return "cancelled"
        except Exception as error:  # a failing question must not end the node: it is reported, with its traceback
            traceback.print_exc()
            return f"answering failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
