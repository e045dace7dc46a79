# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One adaptation: copies connectors, plans the training within a budget, trains the copies, and runs the acceptance test.

The serving model is not changed. The caller replaces it where `AdaptationOutcome.better` is true.
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
from ..training.warm_start import can_warm_start, copy_connector, new_connector, warm_started
from .acceptance_test import by_answers, by_teacher_agreement
from .cost_meter import CostMeter, peak_mb
from .sample_tensors import SampleTensors
from .samples import LabelledSample, split, usable
from .training_plan import NEW_CONNECTOR, NO_TRAINING, TRAINED_CONNECTOR, TrainingBudget, TrainingPlan, choose_plan
from .training_run import AdaptationProgress, ProgressCallback, resumed_meter, run_training

__all__ = ["AdaptationOutcome", "AdaptationProgress", "AdaptationRequest", "adapt"]

CANDIDATE_SAMPLES = 600
"""Largest number of training samples that the start of a new connector is selected by."""


@dataclass(frozen=True)
class AdaptationRequest:
    """Which connectors to train, within which budget, and by which accuracy the result must be better than the serving model."""

    modalities: tuple[str, ...]
    budget: TrainingBudget = field(default_factory=TrainingBudget)
    margin: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.modalities:
            raise BadInput("modalities is empty: name at least one whose connector is to train")
        if not 0.0 <= self.margin <= 1.0:
            raise BadInput(f"margin is {self.margin!r}, not between 0 and 1")


@dataclass(frozen=True, slots=True)
class AdaptationOutcome:
    """Result of an adaptation. `model` is the adapted copy; accuracies are shares of right answers on the validation samples.

    For a warm-started connector whose labels all come from teacher modalities they are mean probabilities of the teachers'
    answers: with tokens of other scenes, and with those of the same scene. `flops` excludes the acceptance test.
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
    samples: int


def adapt(
    model: Model,
    samples: Sequence[LabelledSample],
    request: AdaptationRequest,
    folder: Path,
    report: ProgressCallback = lambda progress, learners: None,
) -> AdaptationOutcome:
    """Train copies of the connectors of `request.modalities`; `model` is not changed.

    `folder` holds the checkpoint during training; the same request with the same samples and model resumes from it. `report`
    may raise to stop the training; the checkpoint is kept then. Raises BadInput: no usable samples, budget too small, loss not
    finite, disk full.
    """
    model = model.variant({}, {})
    model.connectors.requires_grad_(False)
    kept, left_out = usable(samples, model, request.modalities)
    revisions = {t.modality: t.encoder for sample in kept for t in sample.tokens if t.modality in request.modalities}
    for modality, revision in revisions.items():
        if modality in model.connectors and model.encoder_revisions[modality] != revision:
            # A connector of another encoder cannot read these tokens: the modality is treated as new.
            del model.connectors[modality]
    try:
        train, held = split(kept)
    except BadInput as error:
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise BadInput(f"{error}" + (f" (left out: {reasons})" if reasons else "")) from error
    folder = folder / _digest(model, kept, request)
    with _one_line_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        meter = resumed_meter(folder)
        training, validation = meter.counted(
            lambda: (SampleTensors(model, train, request.modalities), SampleTensors(model, held, request.modalities))
        )
        widths = {modality: training.tokens[modality][0].shape[-1] for modality in request.modalities}
        torch.manual_seed(request.seed)
        learners = nn.ModuleDict({m: _initial_connector(model, training, m, widths[m], meter) for m in request.modalities})
        # Among new connectors only a warm-started one reads predicted attributes.
        warm = {m for m, connector in learners.items() if connector.predicted_attributes and m not in model.connectors}
        training.distil_only(learners.keys() - warm)
        # Training on pseudo-labels would teach a warm-started connector its teachers' errors, so it is only tested for agreement.
        untrained = warm == learners.keys() and all(training.teachers)
        has_new = bool(learners.keys() - warm - model.connectors.keys())
        rate = NO_TRAINING if untrained else NEW_CONNECTOR if has_new else TRAINED_CONNECTOR
        plan = _plan(folder / "plan.json", request.budget, training, validation, learners, meter, rate.passes)
        limit = request.budget.seconds
        run_training(learners, training, validation, plan, rate.learning_rate, limit, folder, request.seed, meter, report)
        for connector in learners.values():
            # Blocks that were not trained are not linked.
            connector.log_gate[: max(0, len(connector.heads) - plan.depth)] = -torch.inf
        adapted = model.variant(dict(learners), revisions)
        asked = request.modalities, request.margin
        # The acceptance test runs outside the operation counter: counting may change the last bit of a result, and the model
        # caches what it computes here.
        result = by_teacher_agreement(adapted, kept, *asked) if untrained else by_answers(model, adapted, held, *asked)
    shutil.rmtree(folder)
    figures = result.before, result.after, meter.seconds, meter.flops, peak_mb()
    return AdaptationOutcome(adapted, result.better, result.message, *figures, plan, len(kept))


def _initial_connector(model: Model, training: SampleTensors, modality: str, width: int, meter: CostMeter) -> Connector:
    """A copy of the connector of `modality`; for a new modality the better of a warm-started and an untrained connector.

    Where all labels come from teacher modalities the warm start is taken without comparison: on pseudo-labels an untrained
    connector may have the lower loss although it knows less.
    """
    if modality in model.connectors:
        return copy_connector(model, model.connectors[modality])
    if not can_warm_start(model.modality_agnostic, width):
        return new_connector(model, modality, width)
    candidates = [warm_started(model, model.modality_agnostic, modality, width)]
    if all(training.teachers):
        return candidates[0]
    candidates.append(new_connector(model, modality, width))
    losses = meter.counted(lambda: [training.validate({modality: c}, len(c.heads), CANDIDATE_SAMPLES)[0] for c in candidates])
    return candidates[losses.index(min(losses))]


def _plan(
    path: Path,
    budget: TrainingBudget,
    training: SampleTensors,
    validation: SampleTensors,
    learners: nn.ModuleDict,
    meter: CostMeter,
    passes: int,
) -> TrainingPlan:
    """The plan of an interrupted training, else one that fits the budget."""
    if path.is_file():
        return TrainingPlan(**json.loads(path.read_text()))
    plan = choose_plan(budget, training, validation, learners, meter, passes)
    plan.write(path)
    return plan


def _digest(model: Model, samples: Sequence[LabelledSample], request: AdaptationRequest) -> str:
    """Hash of model, samples and request: the name of the checkpoint folder."""
    digest = hashlib.sha256(json.dumps([model.name, model.prompt.template, asdict(request)]).encode())
    for value in model.connectors.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    for sample in samples:
        digest.update(repr((sample.question, sample.answer, sample.scene, sample.teachers)).encode())
        for tokens in sample.tokens:
            digest.update(tokens.values.tobytes() + tokens.places.tobytes())
    return digest.hexdigest()[:12]


@contextmanager
def _one_line_errors(folder: Path) -> Iterator[None]:
    """Turn errors that end a training into BadInput with one line."""
    try:
        yield
    except FloatingPointError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise BadInput(f"training stopped, the old weights stay in use: {error}") from error
    except (OSError, SafetensorError, MemoryError) as error:
        line = " ".join(str(error).split())[:300] or type(error).__name__
        raise BadInput(f"training stopped, the old weights stay in use: {line}") from error
