# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether what was learned is to serve: by known answers or, where sensors alone teach, by whether it sees what they see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..datatypes import Tokens
from ..model import Model
from .samples import LabelledSample

MOST = 1500
"""So many lessons are enough to compare a newcomer with its teachers."""
ELSEWHERE = 3
"""With the tokens of so many other scenes each."""
LEAST_SCENES = 10
CHANCE = 1.64
"""By so many standard errors more validation questions must be gained than lost: chance does that once in twenty times."""
SURE = 2.5
"""By so many standard errors a newcomer must see more of its own scene than of another."""


@dataclass(frozen=True, slots=True)
class AcceptanceResult:
    """Whether the new weights serve, in words, and the shares that decided it."""

    better: bool
    message: str
    before: float
    after: float


def by_answers(
    model: Model, adapted: Model, held: Sequence[LabelledSample], learners: Sequence[str], margin: float
) -> AcceptanceResult:
    """`adapted` against `model`: the share of `held` lessons that each answers as taught."""
    before, after = right_answers(model, held, learners), right_answers(adapted, held, learners)
    share_before, share_after = float(np.mean(before)), float(np.mean(after))
    sure = beyond_chance(before, after)
    better = sure and share_after - share_before >= margin
    wanted = f" by the margin of {100 * margin:g} points" if margin else ""
    chance = " by more than chance" if share_after > share_before and not sure else ""
    verdict = "better" if better else f"not better{chance or wanted}, rolled back"
    counts = f"{100 * share_before:.1f} % before, {100 * share_after:.1f} % after on {len(held)} validation questions"
    return AcceptanceResult(better, f"{', '.join(learners)}: {counts}: {verdict}", share_before, share_after)


def by_teachers(adapted: Model, lessons: Sequence[LabelledSample], learners: Sequence[str], margin: float) -> AcceptanceResult:
    """How probable learners, heard alone, find what the teachers answered: with their own tokens, and with another scene's.

    Where teachers are wrong, or blind, agreement says little. But a sensor that says what they say of this scene, and not of
    another, sees the same world; one that is broken or stale does not, one that is turned away hardly. Lessons of one scene
    count as one.
    """
    chosen = lessons[:: -(-len(lessons) // MOST)]
    first = {lesson.scene: lesson.tokens for lesson in reversed(chosen)}
    scenes = list(first)
    own, *others = (
        _probabilities(adapted, list(zip(chosen, shown, strict=True)), learners)
        for shown in ([lesson.tokens for lesson in chosen], *(_elsewhere(chosen, first, part) for part in range(ELSEWHERE)))
    )
    other = np.mean(others, axis=0)
    gains = [np.mean([a - b for a, b, one in zip(own, other, chosen, strict=True) if one.scene == scene]) for scene in scenes]
    share_other, share_own = float(np.mean(other)), float(np.mean(own))
    enough = len(gains) >= LEAST_SCENES
    sees = enough and np.mean(gains) > SURE * np.std(gains, ddof=1) / len(gains) ** 0.5
    better = bool(sees) and share_own - share_other >= margin
    counts = f"finds {100 * share_own:.1f} % probable what its teachers say of {len(gains)} scenes"
    counts += f", {100 * share_other:.1f} % of others"
    reason = f"it takes {LEAST_SCENES} scenes to tell" if not enough else "that may be chance" if not sees else "not the margin"
    verdict = "it sees what they see, serves" if better else f"{reason}, rolled back"
    return AcceptanceResult(better, f"{', '.join(learners)}: as inherited, {counts}: {verdict}", share_other, share_own)


def _elsewhere(lessons: Sequence[LabelledSample], first: Mapping[str, tuple[Tokens, ...]], part: int) -> list[tuple[Tokens, ...]]:
    """For each lesson the tokens of another scene, far from its own in the list: neighbours may look alike."""
    scenes = list(first)
    others = dict(zip(scenes, np.roll(scenes, len(scenes) * (part + 1) // (ELSEWHERE + 1)), strict=True))
    return [first[others[lesson.scene]] for lesson in lessons]


def beyond_chance(before: Sequence[bool], after: Sequence[bool]) -> bool:
    """Whether more questions were gained than lost, by over CHANCE standard errors of the difference (McNemar's test)."""
    gained = sum(new and not old for old, new in zip(before, after, strict=True))
    lost = sum(old and not new for old, new in zip(before, after, strict=True))
    return gained - lost > CHANCE * (gained + lost) ** 0.5


def accuracy(model: Model, lessons: Sequence[LabelledSample], learners: Sequence[str]) -> float:
    """Share of `lessons` answered as taught."""
    return float(np.mean(right_answers(model, lessons, learners)))


def right_answers(model: Model, lessons: Sequence[LabelledSample], learners: Sequence[str]) -> list[bool]:
    """Which of `lessons` are answered as taught, by the way that questions are answered live; nobody copies from the teacher."""
    right, banks = [], {}
    for lesson in lessons:
        key = id(lesson.tokens), lesson.teachers
        if key not in banks:
            hidden = set(lesson.teachers) - set(learners)
            banks[key] = model.latents([t for t in lesson.tokens if t.modality in model.connectors and t.modality not in hidden])
        right.append(model.answer(lesson.question, banks[key]).answer == lesson.answer)
    return right


def _probabilities(
    model: Model, shown: Sequence[tuple[LabelledSample, tuple[Tokens, ...]]], learners: Sequence[str]
) -> list[float]:
    """What `learners` alone give the taught answers when they see these tokens; 1 or 0 where there is no answer set."""
    probabilities, banks = [], {}
    for lesson, tokens in shown:
        if id(tokens) not in banks:
            banks[id(tokens)] = model.latents([item for item in tokens if item.modality in learners])
        said = model.answer(lesson.question, banks[id(tokens)])
        probabilities.append(said.distribution.get(lesson.answer, float(said.answer == lesson.answer)))
    return probabilities
