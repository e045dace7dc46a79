# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the question router of a model (latent/question_router.py) and writes it into the model's folder; two minutes of a core.

    python -m mmllm_ros.training.question_router --model models/drive_smollm2

It learns from the wordings of config/routing.yaml, written by hand, and from the simulator's questions in the wordings of the
training split: they are about the surroundings and must not be taken for questions about the robot.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ..context.question_likeness import signal_questions
from ..dialogue.description import described_place
from ..latent.question_router import DESCRIPTION, SENSED, QuestionRouter, question_features, save_router
from ..model import Model
from ..resources import config_table, model_folder
from ..rig import load_rig
from ..simulator.questions.everyday_kinds import ask_kinds
from ..simulator.questions.out_of_scope import out_of_scope
from ..simulator.questions.question_maker import ask
from .synthetic_scenes import synthetic_scene

STRENGTH = 0.03
"""Inverse of the weight decay. Chosen by leaving out the wordings of one of three writers in turn."""
MOST_OBJECTS = 12


def simulated_questions(split: str, count: int, seed: int) -> list[str]:
    """About `count` different questions of the simulator in template and everyday wording, a quarter of them out of scope."""
    rng, rig = np.random.default_rng(seed), load_rig("nuscenes")
    found: dict[str, None] = {}
    while len(found) < 0.75 * count:
        truth = synthetic_scene(rng, rig, MOST_OBJECTS)
        asked = [
            *ask(truth, rig, rng, 2, split, language="everyday"),
            *ask(truth, rig, rng, 1, split),
            *ask_kinds(truth, rig, rng, 1, split),
        ]
        found |= dict.fromkeys(question.question for question in asked)
    refused = out_of_scope(Random(seed), count - len(found), split)
    return [*found, *(question.question for question in refused)]


def examples(count: int, seed: int) -> list[tuple[str, str]]:
    """Questions with their ways: those written by hand, about signals, and `count` of the simulator."""
    written = [(text, way) for way, texts in config_table("routing.yaml").items() for text in texts]
    others = [*signal_questions(), *simulated_questions("train", count, seed)]
    return written + [(text, SENSED if described_place(text) is None else DESCRIPTION) for text in others]


def fit(features: Tensor, ways: Sequence[str]) -> QuestionRouter:
    """A router from features [n, d] and the way of each question."""
    mean, scale = features.mean(dim=0), features.std(dim=0) + 1e-6
    learned = LogisticRegression(C=STRENGTH, max_iter=1000).fit(((features - mean) / scale).numpy(), ways)
    router = QuestionRouter([str(way) for way in learned.classes_], features.shape[1])
    weight = torch.from_numpy(learned.coef_).float() / scale
    with torch.no_grad():
        router.linear.weight.copy_(weight)
        router.linear.bias.copy_(torch.from_numpy(learned.intercept_).float() - weight @ mean)
    return router.eval().requires_grad_(False)


def main() -> None:
    """Train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="")
    parser.add_argument("--out", type=Path, help="model folder to write to; without it, that of the model")
    parser.add_argument("--simulated", type=int, default=4000, help="questions of the simulator")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = model_folder(arguments.model)
    model = Model.load(folder, "cpu")
    texts, ways = zip(*examples(arguments.simulated, arguments.seed), strict=True)
    features = torch.stack([question_features(model.llm, model.tokenizer, text) for text in track(texts, "read", transient=True)])
    router = fit(features, ways)
    right = np.mean([router.way(row) == way for row, way in zip(features, ways, strict=True)])
    save_router(router, arguments.out or folder, model.llm_revision)
    print(f"{len(texts)} questions, {right:.1%} of them right: {(arguments.out or folder) / 'router'}")


if __name__ == "__main__":
    main()
