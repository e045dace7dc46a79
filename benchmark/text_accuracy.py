# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of a model's LLM when the input is a text description of the scene: an upper bound for the encoders.

    python benchmark/text_accuracy.py --scenes 150 --json out/text_accuracy.json

Each test scene is described as in the training of the LLM, and every question attends to the statements of all sensors. The
questions are those of `mmllm evaluate`; some need sensors that do not see enough, and `answerable` is the share of the others.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from mmllm_ros.datasets.simulated import asked_drive
from mmllm_ros.datatypes import Question
from mmllm_ros.metrics.baselines import oracle, per_type
from mmllm_ros.model import Model
from mmllm_ros.resources import default_model
from mmllm_ros.rig import Rig, load_rig
from mmllm_ros.simulator.questions.text_description import TEXT_SENSORS
from mmllm_ros.simulator.splits import scene_seed
from mmllm_ros.training.packing import wrong_questions
from mmllm_ros.training.text import text_passes
from mmllm_ros.training.text_scenes import statement_states, write_scene


@torch.inference_mode()
def answer_from_text(model: Model, rig: Rig, number: int, each: int) -> tuple[list[Question], list[float]]:
    """Questions about test scene `number`, and which of them are answered right."""
    seed = scene_seed("test", number)
    _, now, asked = asked_drive(rig, "test", seed, each=each)
    scene = write_scene(now.truth, rig, model.prompt, asked, np.random.default_rng([seed, 5]))
    if not scene.statements or not asked:
        return [], []
    pad, visible = model.tokenizer.pad_token_id, torch.ones(len(asked), len(TEXT_SENSORS), dtype=torch.bool)
    states, first = statement_states(model.llm, scene.statements, pad), model.llm.config.num_hidden_layers - model.linked_blocks
    wrong = {
        int(index)
        for one in text_passes(model.llm, [scene], states, visible, first, pad)
        for index in wrong_questions(one.logits, one.packed)
    }
    return asked, [float(index not in wrong) for index in range(len(asked))]


def main() -> None:
    """Describe, ask, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--rig", default="nuscenes")
    parser.add_argument("--scenes", type=int, default=150)
    parser.add_argument("--each", type=int, default=8, help="questions a scene")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model, rig = Model.load(arguments.model, "cpu"), load_rig(arguments.rig)
    results = [
        answer_from_text(model, rig, number, arguments.each) for number in track(range(arguments.scenes), "describe and ask")
    ]
    questions, right = ([item for result in results for item in result[part]] for part in (0, 1))
    finer = [dataclasses.replace(question, template_type=question.details["template"]) for question in questions]
    report = {"revision": model.revision, "questions": len(questions)}
    report |= {"by type": per_type(questions, right), "by template": per_type(finer, right)}
    report["answerable"] = per_type(questions, oracle(questions, TEXT_SENSORS))
    text = json.dumps(report, indent=1)
    print(text)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
