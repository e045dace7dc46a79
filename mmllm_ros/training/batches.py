# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draws the batch of a training step: frames, questions about them, the modalities that each question has connected, and the
cameras of the step (modality dropout; docs/how_it_works.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..datasets.examples import modality_sets
from ..datatypes import Question
from ..model import Model
from ..rig import Rig
from ..simulator.questions.programs import parse, presuppositions_hold
from ..simulator.questions.question_maker import ask
from ..simulator.questions.scene_graph import SceneGraph
from ..simulator.truth import SceneTruth
from .packing import Pair
from .text_scenes import QUESTION_SHARES

ALL_MODALITIES = 0.4
"""Share of questions with all modalities connected; the others draw a subset uniformly, the empty one included."""
FULL_DEPTH = 0.6
"""Share of steps that link all blocks."""
FEWER_VIEWS = 0.4
"""Share of steps with some of the cameras only, so that one set of weights works for rigs of one and of six cameras."""
UNANSWERABLE = 2
"""Unanswerable negatives: for so many questions about a frame there is one of another frame, about an object that this frame
lacks. They train the model not to take another object for the one in question."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions of one step: `frames` are encoded; question i is `pairs[i]` about `frames[row[i]]`, with modalities `seen`.

    `rig` is the rig of the frames with only those cameras that have the numbers `views`.
    """

    frames: Tensor
    rig: Rig
    views: list[int]
    pairs: list[Pair]
    row: list[int]
    seen: dict[str, Tensor]


def draw_views(rig: Rig, rng: np.random.Generator) -> list[int]:
    """The numbers of the cameras of a step: all, or some."""
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
    """`size[0]` frames with at most `size[1]` questions each, and UNANSWERABLE negatives, each with its own set of modalities."""
    choices, views = modality_sets(modalities), draw_views(rig, rng)
    rig = replace(rig, cameras=tuple(rig.cameras[view] for view in views))
    frames = rng.integers(len(truths), size=size[0])
    asked = [(row, q) for row, frame in enumerate(frames) for q in ask(truths[frame], rig, rng, size[1], shares=QUESTION_SHARES)]
    asked += _negatives(asked, [truths[frame] for frame in frames], rig, size[1] // UNANSWERABLE)
    chosen = [choices[-1] if rng.random() < ALL_MODALITIES else choices[rng.integers(len(choices))] for _ in asked]
    return Batch(
        torch.from_numpy(frames),
        rig,
        views,
        [(model.prompt.question_ids(q.question), model.prompt.answer_ids(q.answer)) for _, q in asked],
        [row for row, _ in asked],
        {modality: torch.tensor([modality in subset for subset in chosen]) for modality in modalities},
    )


def _negatives(
    asked: Sequence[tuple[int, Question]], truths: Sequence[SceneTruth], rig: Rig, most: int
) -> list[tuple[int, Question]]:
    """Questions of the previous row about objects that a row lacks, with their answers there; at most `most` per row."""
    graphs, taken = [SceneGraph(truth, rig) for truth in truths], [0] * len(truths)
    found = []
    for row, question in asked:
        after = (row + 1) % len(truths)
        if taken[after] < most and not presuppositions_hold(parse(question.program), graphs[after]):
            taken[after] += 1
            found.append((after, question))
    return found


def draw_depth(deepest: int, rng: np.random.Generator) -> int:
    """The number of last blocks that a step links."""
    return deepest if rng.random() < FULL_DEPTH else int(rng.integers(1, deepest + 1))
