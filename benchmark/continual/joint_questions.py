# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One question that needs two modalities, which never trained together: whether two things are true at the same moment.

"Is there a person in the picture, and do you hear a siren?" No modality was trained on such a question.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from learning_methods import AT_ONCE, BASE, Learned
from signals import Modality
from torch import Tensor

from mmllm_ros.context.question_scope import QuestionScopes
from mmllm_ros.latent.connector import merge
from mmllm_ros.metrics.statistics import interval
from mmllm_ros.training.continual.answering import Answering, Asked

YES_NO = ("no", "yes")
MOST = 300
"""Joint questions of each pair of modalities."""


@dataclass(frozen=True, slots=True)
class Joint:
    """A question with its answer, made of two questions: their rows in the data of BASE and of the other modality."""

    asked: Asked
    rows: tuple[int, int]


def joint_questions(data: Mapping[str, Modality], other: str) -> list[Joint]:
    """At most MOST pairs of test questions about one moment that are answered with yes or no; of each two kinds as many yes as
    no."""
    first, second = data[BASE], data[other]
    rows: dict[int, list[int]] = {}
    for row in first.test:
        if first.asked[row].answer in YES_NO:
            rows.setdefault(first.asked[row].sample, []).append(row)
    found: dict[str, dict[str, list[Joint]]] = {}
    for row in second.test:
        one = second.asked[row]
        for base in rows.get(one.sample, []) if one.answer in YES_NO else []:
            begin = first.asked[base]
            text = f"{begin.question.rstrip('?')}, and {one.question[0].lower()}{one.question[1:]}"
            answer = YES_NO[begin.answer == one.answer == "yes"]
            joint = Joint(Asked(one.sample, text, answer, f"{begin.kind} {one.kind}"), (base, row))
            found.setdefault(joint.asked.kind, {name: [] for name in YES_NO})[answer].append(joint)
    rng, chosen = np.random.default_rng(0), []
    for kinds in found.values():
        count = min(map(len, kinds.values()))
        chosen += [part[index] for part in kinds.values() for index in rng.permutation(len(part))[:count]]
    return [chosen[index] for index in rng.permutation(len(chosen))[:MOST]]


@torch.no_grad()
def answer_jointly(learned: Learned, answerings: Mapping[str, Answering], other: str) -> dict:
    """Shares of right answers [share, low, high] with both modalities connected, with each, with nothing, and where both parts
    are asked apart, each with its own modality. "connected" is the share for which a robot connects both."""
    joints = joint_questions(learned.data, other)
    answering = Answering(answerings[BASE].model, [joint.asked for joint in joints], learned.linked_blocks)
    names = (BASE, other)
    right: dict[str, list[Tensor]] = {}
    apart: dict[str, list[Tensor]] = {name: [] for name in names}
    for start in range(0, len(joints), AT_ONCE):
        part = range(start, min(start + AT_ONCE, len(joints)))
        rows = {name: [joints[number].rows[place] for number in part] for place, name in enumerate(names)}
        caches = {name: learned.latents(name, rows[name]) for name in names}
        sets = {"both": caches, "nothing": {}, **{name: {name: caches[name]} for name in names}}
        for how, connected in sets.items():
            right.setdefault(how, []).append(answering.loss(list(part), merge(connected))[1])
        for name in names:
            is_yes = torch.tensor([learned.data[name].asked[row].answer == "yes" for row in rows[name]])
            # A wrong answer to a question whose answer is no counts as yes.
            apart[name].append(answerings[name].loss(rows[name], caches[name])[1] == is_yes)
    truth = torch.tensor([joint.asked.answer == "yes" for joint in joints])
    found = {how: torch.cat(parts) for how, parts in right.items()}
    found["apart"] = (torch.cat(apart[BASE]) & torch.cat(apart[other])) == truth
    moments = [str(joint.asked.sample) for joint in joints]
    shares = {how: [float(value.float().mean()), *interval(moments, value.float().tolist())] for how, value in found.items()}
    return {**shares, "connected": _both_connected(learned, joints, names), "questions": len(joints)}


def _both_connected(learned: Learned, joints: Collection[Joint], names: tuple[str, str]) -> float:
    questions = {name: [data.asked[row].question for row in data.train] for name, data in learned.data.items()}
    scopes = QuestionScopes({name: questions[name] for name in learned.connectors if name != BASE}, questions[BASE])
    return float(np.mean([len(scopes.concerned(joint.asked.question, names)) == len(names) for joint in joints]))
