# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An adaptation from the samples of a robot's state or of a recording to the new serving model. Command and node call this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..encoders import load_encoder
from ..model import Model
from ..rig import load_rig
from .adapt import AdaptationProgress, AdaptationRequest, adapt
from .samples import LabelledSample, LabelledSource
from .state import AdaptationState
from .training_plan import TrainingBudget


@dataclass(frozen=True)
class AdaptationJob:
    """What to adapt, for which robot, from which data; fields as in AdaptationRequest, TrainingBudget and AdaptationState."""

    model: str
    modalities: list[str] = field(default_factory=list)
    recording: str = ""
    rig: str = "front"
    device: str = "auto"
    state: str = ""
    robot: str = ""
    seconds: float = 0.0
    flops: float = 0.0
    memory: float = 0.0
    margin: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class AdaptationResult:
    """Result of a job; `serving` is the model folder in use from now on, `estimate` the training plan with its predicted cost."""

    success: bool
    message: str
    serving: str
    revision: str
    accuracy_before: float
    accuracy_after: float
    seconds: float
    flops: float
    peak_memory_mb: float
    samples: int
    estimate: dict
    curve: list[dict]


def run(job: AdaptationJob, report: Callable[[AdaptationProgress], None]) -> AdaptationResult:
    """Train, and make the result the serving model where it is better. Raises BadInput."""
    request = AdaptationRequest(tuple(job.modalities), TrainingBudget(job.seconds, job.flops, job.memory), job.margin, job.seed)
    state = AdaptationState(job.state, Path(job.model), job.robot)
    with state.alone():
        model = Model.load(state.serving(), job.device)
        curve: list[dict] = []

        def on_progress(progress: AdaptationProgress, _: object) -> None:
            if progress.validated:
                numbers = asdict(progress)
                curve.append({key: numbers[key] for key in ("step", "seconds", "loss", "accuracy")})
            report(progress)

        outcome = adapt(model, _samples(job, state, model), request, state.training, on_progress)
        revision, serving = model.revision, state.serving()
        if outcome.better:
            serving = state.swap_in(outcome.model)
            revision = outcome.model.revision
    return AdaptationResult(
        outcome.better,
        outcome.message,
        str(serving),
        revision,
        outcome.accuracy_before,
        outcome.accuracy_after,
        outcome.seconds,
        outcome.flops,
        outcome.peak_memory_mb,
        outcome.samples,
        asdict(outcome.estimate),
        curve,
    )


def _samples(job: AdaptationJob, state: AdaptationState, model: Model) -> list[LabelledSample]:
    if not job.recording:
        return state.replay_buffer.samples()
    rig, folder = load_rig(job.rig), Path(job.model)
    wanted = sorted({*model.modalities, *job.modalities})
    there = [modality for modality in wanted if (folder / "encoders" / modality).is_dir()]
    encoders = {modality: load_encoder(folder / "encoders" / modality, rig, job.device) for modality in there}
    return LabelledSource.recording(Path(job.recording), encoders, rig).samples()
