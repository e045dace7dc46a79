# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions to a recording without ROS: the same encoders and the same Assistant as on the robot, in recorded time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from .assistant import Assistant
from .config import EncoderConfig, LlmConfig
from .datatypes import NANOSECONDS, BadInput, CameraFrame, Frame, LidarScan
from .drawing import Moment
from .encoders import History, load_encoder
from .model import Model
from .recording import Recording
from .resources import model_folder
from .rig import load_rig

PAUSE = NANOSECONDS // 2
"""Recorded time between two questions [ns]."""


def answer_recording(
    recording: Recording, questions: Sequence[str], config: LlmConfig, on_answer: Callable[[Moment], None]
) -> None:
    """Ask in turn, each question as soon as all recorded modalities are there; the recording starts again where it is short.

    Where no moment has them all, the questions are asked at the end, of what is there. Raises BadInput.
    """
    session = _Session(recording, config)
    waiting = list(questions)
    while waiting:
        unasked, last = len(waiting), -PAUSE
        for moment in session.play():
            if moment - last >= PAUSE and session.complete():
                on_answer(session.ask(waiting.pop(0)))
                last = moment
                if not waiting:
                    return
        if len(waiting) == unasked:
            for question in waiting:
                on_answer(session.ask(question))
            return


class _Session:
    """A recording played through a model; the assistant's clock is the newest stamp so far."""

    def __init__(self, recording: Recording, config: LlmConfig) -> None:
        folder = model_folder(config.model)
        self._recording = recording
        self._rig = load_rig(config.rig)
        self._max_age = round(config.max_age * NANOSECONDS)
        self._now = 0
        self._encoded: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[str, str], Frame] = {}
        recorded = {mount.modality for mount in recording.sensors(self._rig).values()}
        model = Model.load(folder, config.device)
        self.assistant = Assistant(model, config, lambda: self._now)
        self._encoders = {
            name: load_encoder(folder / "encoders" / name, self._rig, config.device) for name in recorded & set(model.modalities)
        }

    def play(self) -> Iterator[int]:
        """From the beginning, in recorded order: the time [ns] whenever new tokens have reached the assistant."""
        self.assistant.clear()
        self._encoded.clear()
        self._seen.clear()
        self._now = 0
        period = round(NANOSECONDS / EncoderConfig().rate)
        histories: dict[tuple[str, str], History] = {}
        for frame in self._recording.frames(self._rig):
            source = (frame.modality, frame.source)
            if source[0] not in self._encoders:
                continue
            self._now = max(self._now, frame.stamp)
            self._seen[source] = frame
            pair = histories.setdefault(source, History()).pair(frame)
            if frame.stamp - self._encoded.get(source, -period) >= period and self._encode(source, pair):
                yield self._now

    def _encode(self, source: tuple[str, str], pair: tuple[Frame, Frame | None]) -> bool:
        try:
            (tokens,) = self._encoders[source[0]].encode([pair])
        except BadInput as error:
            logging.getLogger(__name__).warning("a frame of %s skipped: %s", "/".join(source), error)
            return False
        self.assistant.put(tokens)
        self._encoded[source] = tokens.stamp
        return True

    def ask(self, question: str) -> Moment:
        """The answer at this moment, with what cameras and lidar show."""
        images = {frame.source: frame.image for frame in self._seen.values() if isinstance(frame, CameraFrame)}
        sweep = next((frame.points for frame in self._seen.values() if isinstance(frame, LidarScan)), None)
        return Moment(images, sweep, self.assistant.ask(question))

    def complete(self) -> bool:
        """Whether every recorded modality of the model has a reading that is fresh enough to count."""
        fresh = {modality for (modality, _), stamp in self._encoded.items() if self._now - stamp <= self._max_age}
        return fresh == set(self._encoders)
