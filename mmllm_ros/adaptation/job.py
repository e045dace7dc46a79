# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An adaptation from end to end: the state of a robot, its lessons or a recording, and the swap. Command and node run this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..encoders import load_encoder
from ..model import Model
from ..rig import load_rig
from .adapt import Progress, Request, adapt
from .samples import Labelled, LabelledSample
from .state import State
from .training_plan import Budget


@dataclass(frozen=True)
class Job:
    """What to adapt, for which robot, from what; the fields are those of Request, Budget and State."""

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
class Result:
    """What came of a job; `serving` is the model folder that serves now, `estimate` what was foretold."""

    success: bool
    message: str
    serving: str
    revision: str
    accuracy_before: float
    accuracy_after: float
    seconds: float
    flops: float
    peak_memory_mb: float
    lessons: int
    estimate: dict
    curve: list[dict]


def run(job: Job, report: Callable[[Progress], None]) -> Result:
    """Train, and swap in what is better: the next start serves it, and whoever asked for the job. Raises BadInput."""
    request = Request(tuple(job.modalities), Budget(job.seconds, job.flops, job.memory), job.margin, job.seed)
    state = State(job.state, Path(job.model), job.robot)
    with state.alone():
        model = Model.load(state.serving(), job.device)
        curve: list[dict] = []

        def tell(progress: Progress, _: object) -> None:
            if progress.examined:
                numbers = asdict(progress)
                curve.append({key: numbers[key] for key in ("step", "seconds", "loss", "accuracy")})
            report(progress)

        outcome = adapt(model, _lessons(job, state, model), request, state.training, tell)
        revision, serving = model.revision, state.serving()
        if outcome.better:
            serving = state.swap_in(outcome.model)
            revision = outcome.model.revision
    return Result(
        outcome.better,
        outcome.message,
        str(serving),
        revision,
        outcome.accuracy_before,
        outcome.accuracy_after,
        outcome.seconds,
        outcome.flops,
        outcome.peak_memory_mb,
        outcome.lessons,
        asdict(outcome.estimate),
        curve,
    )


def _lessons(job: Job, state: State, model: Model) -> list[LabelledSample]:
    if not job.recording:
        return state.lessons.lessons()
    rig, folder = load_rig(job.rig), Path(job.model)
    wanted = sorted({*model.modalities, *job.modalities})
    there = [modality for modality in wanted if (folder / "encoders" / modality).is_dir()]
    encoders = {modality: load_encoder(folder / "encoders" / modality, rig, job.device) for modality in there}
    return Labelled.recording(Path(job.recording), encoders, rig).lessons()
