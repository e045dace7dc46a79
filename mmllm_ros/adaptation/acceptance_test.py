# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Acceptance test of trained connectors: by accuracy on validation samples, or by agreement with the teacher modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..datatypes import Tokens
from ..model import Model
from .samples import LabelledSample

MOST_SAMPLES = 1500
"""Largest number of samples for the comparison of a new modality with its teachers."""
OTHER_SCENES = 3
"""Each of these samples is also asked with the tokens of so many other scenes."""
LEAST_SCENES = 10
ANSWER_Z = 1.64
"""One-sided z threshold for gained minus lost validation questions (5 % significance)."""
AGREEMENT_Z = 2.5
"""One-sided z threshold for the agreement on the own scene minus that on other scenes."""


@dataclass(frozen=True, slots=True)
class AcceptanceResult:
    """Whether the new weights are accepted, the reason in words, and the two means that were compared."""

    better: bool
    message: str
    before: float
    after: float


def by_answers(
    model: Model, adapted: Model, held: Sequence[LabelledSample], learners: Sequence[str], margin: float
) -> AcceptanceResult:
    """Compare the accuracy of `adapted` with that of `model` on the validation samples `held`."""
    before, after = right_answers(model, held, learners), right_answers(adapted, held, learners)
    share_before, share_after = float(np.mean(before)), float(np.mean(after))
    significant = beyond_chance(before, after)
    better = significant and share_after - share_before >= margin
    wanted = f" by the margin of {100 * margin:g} points" if margin else ""
    chance = " by more than chance" if share_after > share_before and not significant else ""
    decision = "better" if better else f"not better{chance or wanted}, rolled back"
    counts = f"{100 * share_before:.1f} % before, {100 * share_after:.1f} % after on {len(held)} validation questions"
    return AcceptanceResult(better, f"{', '.join(learners)}: {counts}: {decision}", share_before, share_after)


def by_teacher_agreement(
    adapted: Model, samples: Sequence[LabelledSample], learners: Sequence[str], margin: float
) -> AcceptanceResult:
    """Compare the mean probability of the teachers' answers given the learners' tokens of the same scene and of other scenes.

    Only the learners are connected. Teachers may be wrong, so agreement alone says little; agreement that is higher on the own
    scene than on other scenes shows that the learners observe the same scene. A faulty or stale sensor does not pass. The mean
    of each scene counts once.
    """
    chosen = samples[:: -(-len(samples) // MOST_SAMPLES)]
    first = {sample.scene: sample.tokens for sample in reversed(chosen)}
    scenes = list(first)
    own, *others = (
        _probabilities(adapted, list(zip(chosen, tokens, strict=True)), learners)
        for tokens in (
            [sample.tokens for sample in chosen],
            *(_tokens_of_other_scenes(chosen, first, part) for part in range(OTHER_SCENES)),
        )
    )
    other = np.mean(others, axis=0)
    gains = [np.mean([a - b for a, b, one in zip(own, other, chosen, strict=True) if one.scene == scene]) for scene in scenes]
    share_other, share_own = float(np.mean(other)), float(np.mean(own))
    enough = len(gains) >= LEAST_SCENES
    significant = enough and np.mean(gains) > AGREEMENT_Z * np.std(gains, ddof=1) / len(gains) ** 0.5
    better = bool(significant) and share_own - share_other >= margin
    counts = f"mean probability of the teachers' answers {100 * share_own:.1f} % in {len(gains)} scenes"
    counts += f", {100 * share_other:.1f} % with tokens of other scenes"
    too_few = f"at least {LEAST_SCENES} scenes are needed"
    reason = too_few if not enough else "the difference may be chance" if not significant else "the margin is not reached"
    decision = "agrees with its teachers, accepted" if better else f"{reason}, rolled back"
    return AcceptanceResult(better, f"{', '.join(learners)}: warm start, {counts}: {decision}", share_other, share_own)


def _tokens_of_other_scenes(
    samples: Sequence[LabelledSample], first: Mapping[str, tuple[Tokens, ...]], part: int
) -> list[tuple[Tokens, ...]]:
    """For each sample the tokens of another scene, far from its own in the list, since neighbours may look alike."""
    scenes = list(first)
    others = dict(zip(scenes, np.roll(scenes, len(scenes) * (part + 1) // (OTHER_SCENES + 1)), strict=True))
    return [first[others[sample.scene]] for sample in samples]


def beyond_chance(before: Sequence[bool], after: Sequence[bool]) -> bool:
    """Whether gained minus lost questions exceed ANSWER_Z standard errors of that difference (McNemar's test)."""
    gained = sum(new and not old for old, new in zip(before, after, strict=True))
    lost = sum(old and not new for old, new in zip(before, after, strict=True))
    return gained - lost > ANSWER_Z * (gained + lost) ** 0.5


def accuracy(model: Model, samples: Sequence[LabelledSample], learners: Sequence[str]) -> float:
    """Share of `samples` that the model answers with their label."""
    return float(np.mean(right_answers(model, samples, learners)))


def right_answers(model: Model, samples: Sequence[LabelledSample], learners: Sequence[str]) -> list[bool]:
    """Which of `samples` the model answers with their label; a sample's teachers are disconnected."""
    right, latent_caches = [], {}
    for sample in samples:
        key = id(sample.tokens), sample.teachers
        if key not in latent_caches:
            hidden = set(sample.teachers) - set(learners)
            latent_caches[key] = model.latents(
                [t for t in sample.tokens if t.modality in model.connectors and t.modality not in hidden]
            )
        right.append(model.answer(sample.question, latent_caches[key]).answer == sample.answer)
    return right


def _probabilities(
    model: Model, cases: Sequence[tuple[LabelledSample, tuple[Tokens, ...]]], learners: Sequence[str]
) -> list[float]:
    """Probability of each sample's label with only the `learners` connected; 1 or 0 without an answer set."""
    probabilities, latent_caches = [], {}
    for sample, tokens in cases:
        if id(tokens) not in latent_caches:
            latent_caches[id(tokens)] = model.latents([item for item in tokens if item.modality in learners])
        scored = model.answer(sample.question, latent_caches[id(tokens)])
        probabilities.append(scored.distribution.get(sample.answer, float(scored.answer == sample.answer)))
    return probabilities
