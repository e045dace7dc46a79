# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers questions about a recording without ROS, with the encoders, plans and Assistant of the robot, in recorded time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .assistant import Assistant
from .config import EncoderConfig, LlmConfig
from .context.plan import HealthReport, Planner, Rules
from .context.plan_table import plan_table_of
from .context.question_classifier import viewed_directions
from .context.sensor_monitor import SensorMonitor
from .datatypes import NANOSECONDS, Answer, BadInput, CameraFrame, Frame, LidarScan
from .device import resolve_device
from .dialogue.open_vocabulary import OpenVocabulary
from .encoders import Encoder, load_encoder
from .encoders.familiarity import load_familiarity
from .encoders.of_rig import rig_encoders
from .encoders.recorded_objects import RecordedObjects
from .encoders.reported_objects import ReportedObjectsEncoder
from .encoders.zero_shot import ZeroShotDetector
from .io.recorded_sweeps import NewestSweep
from .io.rosbag import Recording
from .io.wav_recording import WavRecording
from .model import Model
from .question_policy import question_policy
from .resources import model_folder
from .rig import load_rig
from .training.untrained_modalities import of_rig
from .visualization.drawing import AnswerSnapshot

QUESTION_PERIOD = NANOSECONDS // 2
"""Recorded time between two questions [ns]."""

LOG = logging.getLogger(__name__)


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
    """A recording played through encoders, planner and assistant; the clock of all is the latest stamp so far."""

    def __init__(self, recording: Recording | WavRecording, config: LlmConfig) -> None:
        self._recording = recording
        self._rig = load_rig(config.rig)
        folder = model_folder(config.model)
        self._sweep = NewestSweep(self._rig)
        self._objects: RecordedObjects | None = None
        self._max_age = round(config.max_age * NANOSECONDS)
        self._now = 0
        self._encoded: dict[tuple[str, str], int] = {}
        self._monitors: dict[tuple[str, str], SensorMonitor] = {}
        recorded = {mount.modality for mount in recording.sensors(self._rig).values()}
        signals = {mount.modality for _, mount in recording.signals(self._rig)}
        model = of_rig(Model.load(folder, config.device), self._rig)
        known = load_familiarity(folder)
        look = None
        if name := self._rig.open_vocabulary:
            self._vocabulary = OpenVocabulary(ZeroShotDetector(name, str(resolve_device(config.device))), self._rig, name)
            look = self._look
        policy = question_policy(folder, model, self._rig, LOG.warning)
        self.assistant = Assistant(model, config, lambda: self._now, policy, rig=self._rig, familiarity=known, look=look)
        self._table = plan_table_of(folder, self._rig)
        self._encoders = {name: self._encoder(name, folder, config.device) for name in recorded & set(model.modalities)}
        if known := sorted(signals & set(model.modalities)):
            # Imported here, because it imports transformers' vision models, which the other encoders do not need.
            from .encoders.universal.packs import Packs
            from .encoders.universal.shared import ModalityEncoder

            packs = Packs.of_model(folder, self._rig, config.device)
            self._encoders |= {name: ModalityEncoder(name, packs) for name in known}

    def _encoder(self, modality: str, folder: Path, device: str) -> Encoder:
        if modality == "objects":
            self._objects = RecordedObjects(self._recording, self._rig, self._sweep.at)
            return ReportedObjectsEncoder(self._rig)
        encoder = load_encoder(rig_encoders(self._rig).get(modality, folder / "encoders" / modality), self._rig, device)
        if modality == "camera" and self._rig.detector:
            encoder.sweep_at = self._sweep.at
        return encoder

    def play(self) -> Iterator[int]:
        """Play the recording from its start. Yields the time [ns] whenever the assistant has new tokens."""
        self.assistant.clear()
        self._encoded.clear()
        self._monitors.clear()
        self._planner = Planner(self._encoders, self._table, viewed_directions(self._rig))
        self._now = 0
        period = round(NANOSECONDS / EncoderConfig().rate)
        for frame in self._recording.frames(self._rig, self._objects):
            self._sweep.take(frame)
            source = (frame.modality, frame.source)
            if source[0] not in self._encoders:
                continue
            self._now = max(self._now, frame.stamp)
            monitor = self._monitors.setdefault(source, SensorMonitor(*source))
            monitor.count(frame.stamp)
            pair = monitor.add(frame)
            if frame.stamp - self._encoded.get(source, -period) >= period and self._encode(source, pair):
                self._plan()
                yield self._now

    def _encode(self, source: tuple[str, str], pair: tuple[Frame, Frame | None]) -> bool:
        try:
            (tokens,) = self._encoders[source[0]].encode([pair])
        except BadInput as error:
            LOG.warning("a frame of %s is skipped: %s", "/".join(source), error)
            return False
        self.assistant.put(tokens)
        self._encoded[source] = tokens.stamp
        return True

    def _plan(self) -> None:
        """What the context monitor does on the robot: health and a plan for the assistant."""
        healths = [monitor.health(self._now, EncoderConfig().stale_after) for monitor in self._monitors.values()]
        for health in healths:
            self.assistant.set_health(health)
        reports = [HealthReport(health, self._now) for health in healths]
        self.assistant.set_plan(self._planner.step(reports, {}, Rules(), self._now))

    def ask(self, question: str) -> AnswerSnapshot:
        """The answer at this time, with the latest camera images and lidar sweep."""
        self._plan()
        self._planner.add_question(question)
        frames = [monitor.newest for monitor in self._monitors.values()]
        images = {frame.source: frame.image for frame in frames if isinstance(frame, CameraFrame)}
        points = next((frame.points for frame in frames if isinstance(frame, LidarScan)), None)
        return AnswerSnapshot(images, points, self.assistant.ask(question))

    def _look(self, question: str, timeout: float) -> Answer | None:
        """The answer of the zero-shot detector about the newest images; recorded time waits for it."""
        newest = [monitor.newest for monitor in self._monitors.values()]
        frames = [item for item in newest if isinstance(item, CameraFrame) and self._now - item.stamp <= self._max_age]
        points = self._sweep.at(max(frame.stamp for frame in frames)) if frames and self._rig.lidar else None
        return self._vocabulary.answer(question, frames, points, self._now)

    def complete(self) -> bool:
        """Whether every recorded modality of the model has a reading that is fresh enough to be used."""
        fresh = {modality for (modality, _), stamp in self._encoded.items() if self._now - stamp <= self._max_age}
        return fresh == set(self._encoders)
