# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers questions about a recording without ROS, with the encoders and the Assistant of the robot, in recorded time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from .assistant import Assistant
from .config import EncoderConfig, LlmConfig
from .context.sensor_monitor import SensorMonitor
from .datatypes import NANOSECONDS, BadInput, CameraFrame, Frame, LidarScan
from .encoders import load_encoder
from .io.rosbag import Recording
from .io.wav_recording import WavRecording
from .model import Model
from .resources import model_folder
from .rig import load_rig
from .visualization.drawing import AnswerSnapshot

QUESTION_PERIOD = NANOSECONDS // 2
"""Recorded time between two questions [ns]."""


def answer_recording(
    recording: Recording | WavRecording, questions: Sequence[str], config: LlmConfig, on_answer: Callable[[AnswerSnapshot], None]
) -> None:
    """Ask the questions in turn, each when all recorded modalities have fresh readings. A short recording is repeated.

    Where the modalities are never fresh at the same time, the questions are asked at the end. Raises BadInput.
    """
    session = _Session(recording, config)
    waiting = list(questions)
    while waiting:
        unasked, last = len(waiting), -QUESTION_PERIOD
        for moment in session.play():
            if moment - last >= QUESTION_PERIOD and session.complete():
                on_answer(session.ask(waiting.pop(0)))
                last = moment
                if not waiting:
                    return
        if len(waiting) == unasked:
            for question in waiting:
                on_answer(session.ask(question))
            return


class _Session:
    """A recording played through encoders and assistant; the clock of the assistant is the latest stamp so far."""

    def __init__(self, recording: Recording | WavRecording, config: LlmConfig) -> None:
        folder = model_folder(config.model)
        self._recording = recording
        self._rig = load_rig(config.rig)
        if self._rig.detector:
            raise BadInput(f"rig {self._rig.name} names a detector, which offline replay does not run: leave out --offline")
        self._max_age = round(config.max_age * NANOSECONDS)
        self._now = 0
        self._encoded: dict[tuple[str, str], int] = {}
        self._monitors: dict[tuple[str, str], SensorMonitor] = {}
        recorded = {mount.modality for mount in recording.sensors(self._rig).values()}
        signals = {mount.modality for _, mount in recording.signals(self._rig)}
        model = Model.load(folder, config.device)
        self.assistant = Assistant(model, config, lambda: self._now, rig=self._rig)
        self._encoders = {
            name: load_encoder(folder / "encoders" / name, self._rig, config.device) for name in recorded & set(model.modalities)
        }
        if known := sorted(signals & set(model.modalities)):
            # Imported here, because it imports transformers' vision models, which the other encoders do not need.
            from .encoders.universal.packs import Packs
            from .encoders.universal.shared import ModalityEncoder

            packs = Packs.of_model(folder, self._rig, config.device)
            self._encoders |= {name: ModalityEncoder(name, packs) for name in known}

    def play(self) -> Iterator[int]:
        """Play the recording from its start. Yields the time [ns] whenever the assistant has new tokens."""
        self.assistant.clear()
        self._encoded.clear()
        self._monitors.clear()
        self._now = 0
        period = round(NANOSECONDS / EncoderConfig().rate)
        for frame in self._recording.frames(self._rig):
            source = (frame.modality, frame.source)
            if source[0] not in self._encoders:
                continue
            self._now = max(self._now, frame.stamp)
            monitor = self._monitors.setdefault(source, SensorMonitor(*source))
            monitor.count(frame.stamp)
            pair = monitor.add(frame)
            if frame.stamp - self._encoded.get(source, -period) >= period and self._encode(source, pair):
                yield self._now

    def _encode(self, source: tuple[str, str], pair: tuple[Frame, Frame | None]) -> bool:
        try:
            (tokens,) = self._encoders[source[0]].encode([pair])
        except BadInput as error:
            logging.getLogger(__name__).warning("a frame of %s is skipped: %s", "/".join(source), error)
            return False
        self.assistant.put(tokens)
        self._encoded[source] = tokens.stamp
        return True

    def ask(self, question: str) -> AnswerSnapshot:
        """The answer at this time, with the latest camera images and lidar sweep."""
        for monitor in self._monitors.values():
            self.assistant.set_health(monitor.health(self._now, EncoderConfig().stale_after))
        frames = [monitor.newest for monitor in self._monitors.values()]
        images = {frame.source: frame.image for frame in frames if isinstance(frame, CameraFrame)}
        points = next((frame.points for frame in frames if isinstance(frame, LidarScan)), None)
        return AnswerSnapshot(images, points, self.assistant.ask(question))

    def complete(self) -> bool:
        """Whether every recorded modality of the model has a reading that is fresh enough to be used."""
        fresh = {modality for (modality, _), stamp in self._encoded.items() if self._now - stamp <= self._max_age}
        return fresh == set(self._encoders)
