# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A whole adaptation: lessons, a copy of the connectors, a course within the budget, training, and validation that decides.

The serving model is not touched. Whoever calls swaps the result in, or does not: `Outcome.better` says which.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from ..datatypes import BadInput
from ..latent.connector import Connector
from ..model import Model
from ..training.warm_start import can_warm_start, fresh, twin, warm_started
from .acceptance_test import by_answers, by_teachers
from .cost_meter import Meter, peak_mb
from .sample_tensors import SampleTensors
from .samples import LabelledSample, split, usable
from .training_plan import AS_LEFT, GENTLE, USUAL, Budget, TrainingPlan, choose
from .training_run import Progress, Report, learn, resumed

__all__ = ["Outcome", "Progress", "Request", "adapt"]

AUDITION = 600
"""So many training lessons, at most, decide how a newcomer begins."""


@dataclass(frozen=True)
class Request:
    """What to adapt: whose connectors, within which budget, and by which accuracy the result must beat what serves."""

    modalities: tuple[str, ...]
    budget: Budget = field(default_factory=Budget)
    margin: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.modalities:
            raise BadInput("modalities is empty: name at least one whose connector is to train")
        if not 0.0 <= self.margin <= 1.0:
            raise BadInput(f"margin is {self.margin!r}, not between 0 and 1")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went. `model` is the adapted copy; accuracies are those on the validation lessons, by the answers it would serve.

    Of an heir whom sensors alone teach they are mean probabilities of the teachers' answers: with another scene's tokens, and
    with its own. `flops` leaves out the answers that decide.
    """

    model: Model
    better: bool
    message: str
    accuracy_before: float
    accuracy_after: float
    seconds: float
    flops: float
    peak_memory_mb: float
    estimate: TrainingPlan
    lessons: int


def adapt(
    model: Model,
    lessons: Sequence[LabelledSample],
    request: Request,
    folder: Path,
    report: Report = lambda progress, learners: None,
) -> Outcome:
    """Train copies of the connectors of `request.modalities`; `model` stays as it is.

    `folder` keeps the checkpoint while it runs; the same request with the same lessons and model goes on from there. `report`
    may raise to stop it; the checkpoint then stays. Raises BadInput: no usable lessons, budget too small, loss not a number,
    disk full.
    """
    model = model.variant({}, {})
    model.connectors.requires_grad_(False)
    kept, left_out = usable(lessons, model, request.modalities)
    revisions = {t.modality: t.encoder for lesson in kept for t in lesson.tokens if t.modality in request.modalities}
    for modality, revision in revisions.items():
        if modality in model.connectors and model.encoder_revisions[modality] != revision:
            # Made for another encoder, it cannot read these tokens: the modality is a newcomer.
            del model.connectors[modality]
    try:
        train, held = split(kept)
    except BadInput as error:
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise BadInput(f"{error}" + (f" (left out: {reasons})" if reasons else "")) from error
    folder = folder / _digest(model, kept, request)
    with _one_line_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        meter = resumed(folder)
        rows, validation = meter.counted(
            lambda: (SampleTensors(model, train, request.modalities), SampleTensors(model, held, request.modalities))
        )
        widths = {modality: rows.tokens[modality][0].shape[-1] for modality in request.modalities}
        torch.manual_seed(request.seed)
        learners = nn.ModuleDict({m: _begin(model, rows, m, widths[m], meter) for m in request.modalities})
        # Of newcomers, only an heir reads read-outs.
        heirs = {m for m, connector in learners.items() if connector.readouts and m not in model.connectors}
        rows.listen(learners.keys() - heirs)
        inherits = heirs == learners.keys()
        # Lessons of sensors would teach an heir their mistakes; they are asked whether it sees what they see.
        vouched = inherits and all(rows.taught_by)
        pace = AS_LEFT if vouched else USUAL if learners.keys() - heirs - model.connectors.keys() else GENTLE
        course = _course(folder / "course.json", request.budget, rows, validation, learners, meter, pace.passes)
        rate, limit = pace.learning_rate, request.budget.seconds
        learn(learners, rows, validation, course, rate, limit, folder, request.seed, meter, report)
        for connector in learners.values():
            # What was not trained is not linked.
            connector.log_gate[: max(0, len(connector.heads) - course.depth)] = -torch.inf
        adapted = model.variant(dict(learners), revisions)
        asked = request.modalities, request.margin
        # Not counted: what a counter has watched may differ in its last bit, and the model keeps what it reads here.
        verdict = by_teachers(adapted, kept, *asked) if vouched else by_answers(model, adapted, held, *asked)
    shutil.rmtree(folder)
    figures = verdict.before, verdict.after, meter.seconds, meter.flops, peak_mb()
    return Outcome(adapted, verdict.better, verdict.message, *figures, course, len(kept))


def _begin(model: Model, rows: SampleTensors, modality: str, width: int, meter: Meter) -> Connector:
    """What the training of `modality` starts from: its own connector, or for a newcomer the better of a fresh one and an heir.

    Where sensors alone teach it is an heir: their lessons would prefer one who knows nothing to one who knows better.
    """
    if modality in model.connectors:
        return twin(model, model.connectors[modality])
    if not can_warm_start(model.universal, width):
        return fresh(model, modality, width)
    candidates = [warm_started(model, model.universal, modality, width)]
    if all(rows.taught_by):
        return candidates[0]
    candidates.append(fresh(model, modality, width))
    losses = meter.counted(lambda: [rows.examine({modality: one}, len(one.heads), AUDITION)[0] for one in candidates])
    return candidates[losses.index(min(losses))]


def _course(
    path: Path, budget: Budget, rows: SampleTensors, validation: SampleTensors, learners: nn.ModuleDict, meter: Meter, passes: int
) -> TrainingPlan:
    """The course of a training that was cut off, else one that fits the budget."""
    if path.is_file():
        return TrainingPlan(**json.loads(path.read_text()))
    course = choose(budget, rows, validation, learners, meter, passes)
    course.write(path)
    return course


def _digest(model: Model, lessons: Sequence[LabelledSample], request: Request) -> str:
    """Names this very training: model, lessons and request."""
    digest = hashlib.sha256(json.dumps([model.name, model.prompt.template, asdict(request)]).encode())
    for value in model.connectors.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    for lesson in lessons:
        digest.update(repr((lesson.question, lesson.answer, lesson.scene, lesson.teachers)).encode())
        for tokens in lesson.tokens:
            digest.update(tokens.values.tobytes() + tokens.places.tobytes())
    return digest.hexdigest()[:12]


@contextmanager
def _one_line_errors(folder: Path) -> Iterator[None]:
    """Whatever ends a training becomes one line that says what happened and that nothing has changed."""
    try:
        yield
    except FloatingPointError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise BadInput(f"training stopped, the old weights serve on: {error}") from error
    except (OSError, SafetensorError, MemoryError) as error:
        line = " ".join(str(error).split())[:300] or type(error).__name__
        raise BadInput(f"training stopped, the old weights serve on: {line}") from error
