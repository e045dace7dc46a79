# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a step of training asks, and what it may hear: questions about some frames, a set of modalities for each of them, and
for all of them some of the cameras (modality dropout, papers.md 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..datasets.simulated import modality_sets
from ..datatypes import Question
from ..model import Model
from ..rig import Rig
from ..simulator.questions.programs import meets, parse
from ..simulator.questions.question_maker import ask
from ..simulator.questions.scene_graph import SceneGraph
from ..simulator.truth import SceneTruth
from .packing import Pair
from .text_scenes import LESSONS

EVERYTHING = 0.4
"""Share of questions that see all modalities; the others draw a subset evenly, the empty one included."""
FULL_DEPTH = 0.6
"""Share of steps that link all blocks."""
FEWER_VIEWS = 0.4
"""Share of steps that hear some cameras only, as on a rig that has no more: one set of weights is for a rig of six and of one."""
UNANSWERABLE = 2
"""For so many questions about a frame one of another frame, about what this one lacks. The answer there is as good as a guess,
and to guess is what it teaches: not to take something else that is seen for what is asked about."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions of one step: `frames` are encoded, question i is `pairs[i]` about `frames[row[i]]` and sees where `seen` says.

    What can be heard is `rig`: of the one that the frames are from, the cameras with the numbers `views`, and all else.
    """

    frames: Tensor
    rig: Rig
    views: list[int]
    pairs: list[Pair]
    row: list[int]
    seen: dict[str, Tensor]


def draw_views(rig: Rig, rng: np.random.Generator) -> list[int]:
    """The numbers of the cameras that a step hears: all, or some."""
    count = len(rig.cameras)
    if count < 2 or rng.random() >= FEWER_VIEWS:
        return list(range(count))
    return sorted(rng.choice(count, rng.integers(1, count), replace=False).tolist())


def draw_batch(
    model: Model,
    modalities: Sequence[str],
    truths: Sequence[SceneTruth],
    rig: Rig,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Batch:
    """`size[0]` frames with at most `size[1]` questions each, and some from UNANSWERABLE, each with its own set of modalities."""
    choices, views = modality_sets(modalities), draw_views(rig, rng)
    rig = replace(rig, cameras=tuple(rig.cameras[view] for view in views))
    frames = rng.integers(len(truths), size=size[0])
    asked = [(row, q) for row, frame in enumerate(frames) for q in ask(truths[frame], rig, rng, size[1], shares=LESSONS)]
    asked += _from_elsewhere(asked, [truths[frame] for frame in frames], rig, size[1] // UNANSWERABLE)
    chosen = [choices[-1] if rng.random() < EVERYTHING else choices[rng.integers(len(choices))] for _ in asked]
    return Batch(
        torch.from_numpy(frames),
        rig,
        views,
        [(model.prompt.question_ids(q.question), model.prompt.answer_ids(q.answer)) for _, q in asked],
        [row for row, _ in asked],
        {modality: torch.tensor([modality in subset for subset in chosen]) for modality in modalities},
    )


def _from_elsewhere(
    asked: Sequence[tuple[int, Question]], truths: Sequence[SceneTruth], rig: Rig, most: int
) -> list[tuple[int, Question]]:
    """Questions about things that a row lacks, at most so many for each: of the row before it, with their answers there."""
    graphs, taken = [SceneGraph(truth, rig) for truth in truths], [0] * len(truths)
    found = []
    for row, question in asked:
        after = (row + 1) % len(truths)
        if taken[after] < most and not meets(parse(question.program), graphs[after]):
            taken[after] += 1
            found.append((after, question))
    return found


def draw_depth(deepest: int, rng: np.random.Generator) -> int:
    """How many of the last blocks a step links."""
    return deepest if rng.random() < FULL_DEPTH else int(rng.integers(1, deepest + 1))
