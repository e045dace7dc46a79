# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Service ~/ask of the camera_encoder: answers about things of any name by a zero-shot detector, where the rig names one."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Sequence

import numpy as np
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future

from ...datatypes import NANOSECONDS, Answer, one_line
from ...device import resolve_device
from ...dialogue.open_vocabulary import OpenVocabulary
from ...encoders.zero_shot import ZeroShotDetector
from ...rig import Rig
from ...srv import Ask
from ..ros_support.messages import answer_to_message
from .nearest_sweep import NearestSweep
from .sensor_source import SensorSource

QUEUE = 8
"""Longest queue of questions, with the one that is being answered; further ones are refused."""

TIMEOUT = 30.0
"""Longest wait in the queue of a question that gives no timeout [s]."""

NOT_LOADED = "the zero-shot detector is not loaded"
NOTHING_NAMED = "no recent image, or the question is not about a thing beyond the ten classes"
TOO_LATE = "the zero-shot detector was busy with earlier questions for all of the time that this one had"


class OpenVocabularyServer:
    """Answers from the newest images of `sources()`, in a thread of its own: a detector takes seconds on a CPU."""

    def __init__(self, node: Node, rig: Rig, sources: Callable[[], Sequence[SensorSource]]) -> None:
        self._node, self._rig, self._sources = node, rig, sources
        self._sweep = NearestSweep(node, rig) if rig.lidar else None
        self._answers: OpenVocabulary | None = None
        self._thread: concurrent.futures.ThreadPoolExecutor | None = None
        self._jobs: list[concurrent.futures.Future] = []
        node.create_service(Ask, "~/ask", self._on_ask, callback_group=ReentrantCallbackGroup())

    def load(self, device: str) -> None:
        """Load the detector. Raises BadInput."""
        name = self._rig.open_vocabulary
        self._answers = OpenVocabulary(ZeroShotDetector(name, str(resolve_device(device))), self._rig, name)
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="zero-shot detector")

    def release(self) -> None:
        """Free the detector; the questions in the queue are refused."""
        self._answers = None
        if self._thread:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _on_ask(self, request: Ask.Request, response: Ask.Response) -> Ask.Response:
        if (answers := self._answers) is None:
            response.message = NOT_LOADED
            return response
        self._jobs = [job for job in self._jobs if not job.done()]
        if len(self._jobs) >= QUEUE:
            response.message = f"{len(self._jobs)} questions wait for the zero-shot detector already, ask again later"
            return response
        outcome = Future()
        # Setting a future does not wake an rclpy executor, and a sleeping executor does not look at it.
        outcome.add_done_callback(lambda _: self._node.executor.wake())
        deadline = time.monotonic() + (request.timeout or TIMEOUT)
        self._jobs.append(self._thread.submit(self._answer, answers, request.question, deadline))
        self._jobs[-1].add_done_callback(lambda job: outcome.set_result(NOT_LOADED if job.cancelled() else job.result()))
        answer = await outcome
        if isinstance(answer, Answer):
            frames = {(source.modality, source.name): source.frame_id for source in self._sources()}
            response.answer, response.success = answer_to_message(answer, frames), True
        else:
            response.message = answer
        return response

    def _answer(self, answers: OpenVocabulary, question: str, deadline: float) -> Answer | str:
        """The answer, or why there is none. A question that waited until `deadline` is given up by who asked it."""
        if time.monotonic() > deadline:
            return TOO_LATE
        try:
            now, stale = self._node.get_clock().now().nanoseconds, self._node.config.stale_after * NANOSECONDS
            newest = [source.monitor.newest for source in self._sources()]
            frames = [frame for frame in newest if frame is not None and abs(now - frame.stamp) <= stale]
            return answers.answer(question, frames, self._points(frames), now) or NOTHING_NAMED
        except Exception as error:  # one failing question (memory, a device) does not end the node
            return one_line(error)

    def _points(self, frames: Sequence) -> np.ndarray | None:
        return self._sweep.at(max(frame.stamp for frame in frames)) if self._sweep and frames else None
