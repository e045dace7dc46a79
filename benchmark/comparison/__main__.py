# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compares the connectors with other fusion methods and with ablations: accuracy and cost.

    python benchmark/comparison --out out/comparison                              # everything, three seeds: hours
    python benchmark/comparison --rows blind ours "token insertion" --seeds 1 --steps 400     # about 15 minutes on one core
    python benchmark/comparison --model models/drive_smollm2 --rig front --seeds 1 --cpu-seconds 360    # a pretrained LLM

The LLM is the frozen one of a model folder; tokens, questions, loop and seeds are the same for every row, and so is the number of
steps, or the CPU time with `--cpu-seconds`. An interrupted run is resumed. The LLM of drive_tiny was trained on text with the
attention adapter (training/text.py), which favours the rows that use the adapter. Therefore compare cost at equal accuracy, and
compare rows with the adapter among each other.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch
from cost import answer_costs, loss_of, step_costs
from data import ComparisonData, load_data
from methods import LORA, FusionMethod, make_methods
from report import COSTS, plot, summary, table
from rich.console import Console

from mmllm_ros.metrics.baselines import majority, per_type
from mmllm_ros.metrics.statistics import interval
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig
from mmllm_ros.training.loop import Schedule, fast, fit
from mmllm_ros.training.packing import wrong_questions


@torch.inference_mode()
def evaluate(method: FusionMethod, data: ComparisonData, each: int) -> tuple[dict[str, float], tuple[float, float]]:
    """Accuracy on the held-out frames, overall and by question type, and the 95 % interval of the former over drives.

    An answer is right when all its tokens are.
    """
    method.eval()
    questions, right, scenes = [], [], []
    for asked in data.held_out_questions(each):
        with fast(torch.device("cpu")):
            features = method.encode(data.tokens(asked.frames))
            wrong = {int(index) for packed in asked.packed for index in wrong_questions(method.logits(packed, features), packed)}
        questions += asked.about
        scenes += asked.scenes
        right += [float(index not in wrong) for index in range(len(asked.about))]
    method.train()
    return per_type(questions, right), interval(scenes, right)


def majority_row(data: ComparisonData, each: int) -> dict:
    """The row of the commonest answer to each template, of the training frames."""
    asked = data.held_out_questions(each)
    questions = [question for part in asked for question in part.about]
    guesses = majority(data.training_questions(each), questions)
    right = [float(guess == question.answer) for guess, question in zip(guesses, questions, strict=True)]
    free = dict.fromkeys(COSTS, 0.0)
    bounds = interval([scene for part in asked for scene in part.scenes], right)
    return {"row": "majority", "seed": 0, "accuracy": per_type(questions, right), "interval": bounds, "curve": [], **free}


def train(name: str, make, data: ComparisonData, arguments: argparse.Namespace, seed: int) -> dict:
    """Train one row with one seed: its learning curve, final accuracies and costs. A finished row is read from its file."""
    budget = f"{arguments.cpu_seconds:g}s" if arguments.cpu_seconds else str(arguments.steps)
    folder = arguments.out / f"{data.model.revision}-{arguments.shards}-{budget}"
    label = f"{name.replace(' ', '_')}-{seed}"
    done = folder / f"{label}.json"
    if done.is_file():
        return json.loads(done.read_text())
    torch.manual_seed(seed)
    method = make()
    rng = np.random.default_rng([seed, 7])
    costs = step_costs(method, data, [data.draw(rng, arguments.frames_a_step, arguments.each) for _ in range(3)])
    costs |= answer_costs(method, data, data.draw(rng, 1, 1))
    steps = max(1, round(arguments.cpu_seconds / costs["step_cpu_s"])) if arguments.cpu_seconds else arguments.steps
    spent = 0.0
    if any(True for _ in method.parameters()):
        every = max(1, steps // arguments.evaluations) if arguments.evaluations else steps + 1

        def watch(step: int, numbers: dict[str, float]) -> None:
            if step % every == 0 and step < steps:
                nonlocal evaluated
                began = time.process_time()
                numbers["accuracy"] = evaluate(method, data, arguments.test_each)[0]["overall"]
                evaluated += time.process_time() - began

        def loss(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
            value, right = loss_of(method, data, data.draw(rng, arguments.frames_a_step, arguments.each))
            return value, {"right": right}

        schedule = Schedule(steps, arguments.rate, warmup=steps // 20, checkpoint_every=every)
        began, evaluated = time.process_time(), 0.0
        fit(label, method, loss, schedule, folder, seed, watch)
        spent = time.process_time() - began - evaluated
    accuracy, bounds = evaluate(method, data, arguments.test_each)
    curve = []
    if (folder / f"{label}.csv").is_file():
        with (folder / f"{label}.csv").open(newline="") as file:
            curve = [(int(row["step"]) + 1, float(row["accuracy"])) for row in csv.DictReader(file) if row.get("accuracy")]
        curve.append((steps, accuracy["overall"]))
    trained = {"accuracy": accuracy, "interval": bounds, "curve": curve, "steps": steps, "train_cpu_s": spent}
    result = {"row": name, "seed": seed, **costs, **trained}
    folder.mkdir(parents=True, exist_ok=True)
    done.write_text(json.dumps(result) + "\n")
    return result


def main() -> None:
    """Train, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--rig", default="nuscenes")
    parser.add_argument("--frames", type=Path, default=Path("out/train/frames"), help="rendered shards; missing ones are made")
    parser.add_argument("--shards", type=int, default=10, help="shards of 150 frames")
    parser.add_argument("--held-out", type=int, default=2, help="of them, shards that are for evaluation only")
    parser.add_argument("--linked-blocks", type=int, default=0, help="0 = as many as the model's connectors link")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--cpu-seconds", type=float, default=0.0, help="instead of --steps: CPU time for the steps of each row")
    parser.add_argument("--evaluations", type=int, default=16, help="points of a learning curve, 0 = none")
    parser.add_argument("--frames-a-step", type=int, default=16)
    parser.add_argument("--each", type=int, default=4, help="questions a frame, in training")
    parser.add_argument("--test-each", type=int, default=4, help="questions a frame, in the evaluation")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="learning rate of every row")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="*", help="only these rows")
    parser.add_argument("--out", type=Path, default=Path("out/comparison"))
    arguments = parser.parse_args()
    data = load_data(
        arguments.model, load_rig(arguments.rig), arguments.frames, arguments.shards, arguments.held_out, arguments.out / "tokens"
    )
    shape = next(iter(data.model.connectors.values())).shape
    methods = make_methods(
        data.model.llm,
        data.model.tokenizer,
        arguments.linked_blocks or data.model.linked_blocks,
        data.widths,
        {key: shape[key] for key in ("trunk", "rank")},
        LORA,
    )
    unknown = set(arguments.rows or ()) - set(methods)
    if unknown:
        parser.error(f"no row {sorted(unknown)[0]!r}, there are: {', '.join(methods)}")
    runs = [majority_row(data, arguments.test_each)]
    runs += [
        train(name, make, data, arguments, seed)
        for seed in range(arguments.seeds)
        for name, make in methods.items()
        if not arguments.rows or name in arguments.rows
    ]
    report = {"revision": data.model.revision, "rows": summary(runs), "runs": runs}
    Console(width=180).print(table(report))
    (arguments.out / "comparison.json").write_text(json.dumps(report, indent=1) + "\n")
    with (arguments.out / "comparison.csv").open("w", newline="") as file:
        rows = [{key: value for key, value in row.items() if not isinstance(value, (dict, list))} for row in report["rows"]]
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    plot(report, arguments.out / "comparison.png")


if __name__ == "__main__":
    main()
