# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What selects the modalities for a question: a model's plan table, or the questions that its packs were trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .context.per_question import PerQuestionPolicy
from .context.plan_table import FILE, plan_table_of
from .context.question_classifier import viewed_directions
from .context.question_likeness import signal_questions
from .context.question_scope import QuestionScopes
from .context.scope_policy import ScopePolicy
from .model import Model
from .resources import PACKS
from .rig import Rig

QuestionPolicy = PerQuestionPolicy | ScopePolicy


def question_policy(folder: Path, model: Model, rig: Rig, warn: Callable[[str], None]) -> QuestionPolicy | None:
    """The policy of `model` in `folder` on the robot `rig`; None = every question is answered from all that is plugged.

    `warn` gets a sentence where the plan table was measured with another model. Raises BadInput for a table or a pack that cannot
    be read.
    """
    own = _measured(folder, model, rig, warn)
    if not (folder / PACKS).is_dir():
        return own
    # Imported here, because it imports transformers' vision models, which models without packs do not need.
    from .encoders.universal.packs import manifests_in

    packs = {name: pack.questions for name, pack in manifests_in(folder / PACKS).items()}
    return ScopePolicy(question_scopes(packs), own) if packs else own


def _measured(folder: Path, model: Model, rig: Rig, warn: Callable[[str], None]) -> PerQuestionPolicy | None:
    table = plan_table_of(folder, rig)
    if table is None:
        return None
    if (table.model, table.revision) != (model.name, model.revision.partition("+")[0]):
        warn(f"{folder / FILE} was measured with {table.model} {table.revision}: run `mmllm plan` again")
    return PerQuestionPolicy(table, viewed_directions(rig))


def question_scopes(packs: Mapping[str, Sequence[str]]) -> QuestionScopes:
    """The questions of `packs` by name, and those about signals that models are trained on in simulation."""
    return QuestionScopes(packs, signal_questions())
