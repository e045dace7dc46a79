# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How often a model is right that reads detections, by the connector that reads them.

    python benchmark/modality_agnostic.py --frames ../shared/data/real_frames
    python benchmark/modality_agnostic.py --scenes 40    # simulated scenes of the test split

The modality-agnostic connector is compared with that of the lidar, which reads detections where a model has no other, and with
the most frequent answer of each template among the same questions. Detections are the labelled boxes; of simulated scenes also
what drawn perception stacks report.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmllm_ros.datasets.real_frames import read_frames
from mmllm_ros.datatypes import Question, Tokens
from mmllm_ros.encoders.objects import REVISION, TOKEN_WIDTH, object_tokens
from mmllm_ros.evaluation.real_evaluation import asked_frames, labelled_detections
from mmllm_ros.latent.checkpoint import load_modality_agnostic
from mmllm_ros.metrics.baselines import majority
from mmllm_ros.metrics.statistics import interval
from mmllm_ros.model import Model
from mmllm_ros.resources import model_folder
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.questions.question_maker import TYPE_SHARES, ask
from mmllm_ros.simulator.splits import scene_seed
from mmllm_ros.training import simulated_detections
from mmllm_ros.training.warm_start import warm_started

SHARES = {kind: share for kind, share in TYPE_SHARES.items() if kind not in ("ego", "light")}
"""Types of question that lists of objects answer."""
AROUND = (0.0, 3.2)
Asked = tuple[str, dict[str, Tokens], list[Question]]
"""A scene: its name, tokens by what reports the objects, and questions."""


def real(folder: Path, every: int, each: int) -> Iterator[Asked]:
    """Labelled boxes of every so many-th real frame, and every so many-th question."""
    for number, (frame, questions) in enumerate(asked_frames(read_frames(folder))):
        if number % every == 0:
            view = frame.region.middle, frame.region.half
            labels = object_tokens(labelled_detections(frame), frame.truth.stamp, view=view)
            yield frame.truth.token, {"labelled boxes": labels}, questions[::each]


def simulated(scenes: int, each: int) -> Iterator[Asked]:
    """Moments of simulated drives of the test split."""
    rig = replace(load_rig("front"), cameras=(), imu=None)
    for number in range(scenes):
        seed = scene_seed("test", number)
        drive = Drive(seed, rig)
        drive.advance(3.0)
        truth, rng = drive.capture().truth, np.random.default_rng([seed, 3])
        seen = [item for item in truth.objects if item.clear_returns >= simulated_detections.LEAST_RETURNS]
        made = {
            "labelled boxes": object_tokens(simulated_detections.labelled_detections(seen, rng), truth.stamp),
            "drawn stacks": simulated_detections.detected_tokens(truth, AROUND, rng),
        }
        if questions := ask(truth, rig, np.random.default_rng([seed, 1]), each, "test", seed=seed, shares=SHARES):
            yield truth.scene, made, questions


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="drive_smollm2")
    parser.add_argument("--connector", type=Path, help="folder with another modality-agnostic connector than the model's own")
    parser.add_argument("--frames", type=Path, help="folder of labelled real frames")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th frame")
    parser.add_argument("--questions", type=int, default=1, help="ask every so many-th question about it")
    parser.add_argument("--scenes", type=int, default=40, help="simulated scenes, without --frames")
    parser.add_argument("--each", type=int, default=8, help="questions about a simulated scene")
    arguments = parser.parse_args()
    model = Model.load(model_folder(arguments.model), "cpu")
    if arguments.connector:
        model.modality_agnostic = load_modality_agnostic(arguments.connector, model.llm, model.llm_revision)
    sources = {"lidar": model.connectors["lidar"], "modality-agnostic": model.modality_agnostic}
    readers = {
        name: model.variant({"objects": warm_started(model, source, "objects", TOKEN_WIDTH).eval()}, {"objects": REVISION})
        for name, source in sources.items()
        if source is not None
    }
    asked = simulated(arguments.scenes, arguments.each)
    if arguments.frames:
        asked = real(arguments.frames, arguments.every, arguments.questions)
    right: dict[str, list[bool]] = {}
    names, questions = [], []
    for scene, reports, some in asked:
        names += [scene] * len(some)
        questions += some
        for report, tokens in reports.items():
            for reader, variant in readers.items():
                latent_cache = variant.latents([tokens])
                scored = variant.score_all([question.question for question in some], latent_cache)
                told = [item.answer == question.answer for item, question in zip(scored, some, strict=True)]
                right.setdefault(f"{report}, connector {reader}", []).extend(told)
        print(len(names), {name: round(float(np.mean(rows)), 3) for name, rows in right.items()}, flush=True)
    right["majority answer of the template"] = [
        a == q.answer for a, q in zip(majority(questions, questions), questions, strict=True)
    ]
    for name, rows in right.items():
        low, high = interval(names, rows)
        print(f"{name}: {100 * np.mean(rows):.1f} % of {len(rows)} ({100 * low:.1f} to {100 * high:.1f})")
    kinds = np.array([question.template_type for question in questions])
    for kind in sorted(set(kinds)):
        print(kind, {name: round(100 * float(np.mean(np.array(rows)[kinds == kind])), 1) for name, rows in right.items()})


if __name__ == "__main__":
    main()
