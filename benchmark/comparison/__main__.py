# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The connectors against what they replace, and against themselves with each correction undone: accuracy and cost.

    python benchmark/comparison --out out/comparison                              # everything, three seeds: hours
    python benchmark/comparison --rows blind ours "token insertion" --seeds 1 --steps 400     # about 15 minutes on one core

The LLM is the frozen one of a model folder; the same tokens, questions, loop and seeds for every row. A run that was cut off
goes on where it was. The LLM has learned from text to read phrases through the port (training/text.py): that favours every
row that speaks to it through the port, and is a reason to compare cost at equal accuracy, and rows of the port among each other.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import torch
from cost import answer_costs, loss_of, step_costs
from data import World, make_world
from report import plot, summary, table
from rich.console import Console
from rivals import Rival, make_rivals

from mmllm_ros.metrics.baselines import per_type
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig
from mmllm_ros.training.loop import Schedule, fit
from mmllm_ros.training.packing import wrong_questions

EXAMINED = 16
"""Points of a learning curve."""


@torch.inference_mode()
def examine(rival: Rival, world: World, each: int) -> dict[str, float]:
    """Accuracy on the held-out frames, overall and by question type; an answer is right when all its tokens are."""
    rival.eval()
    questions, right = [], []
    for asked in world.examination(each):
        sight = rival.see(world.tokens(asked.frames))
        wrong = {int(index) for packed in asked.packed for index in wrong_questions(rival.read(packed, sight), packed)}
        questions += asked.about
        right += [float(index not in wrong) for index in range(len(asked.about))]
    rival.train()
    return per_type(questions, right)


def train(name: str, make, world: World, arguments: argparse.Namespace, seed: int) -> dict:
    """Train one row with one seed: its learning curve, final accuracies and costs."""
    torch.manual_seed(seed)
    rival = make()
    rng = np.random.default_rng([seed, 7])
    costs = step_costs(rival, world, [world.draw(rng, arguments.frames_a_step, arguments.each) for _ in range(3)])
    costs |= answer_costs(rival, world, world.draw(rng, 1, 1))
    folder = arguments.out / f"{world.model.revision}-{arguments.shards}-{arguments.steps}"
    label = f"{name.replace(' ', '_')}-{seed}"
    done = folder / f"{label}.json"
    if not done.is_file():
        if any(True for _ in rival.parameters()):
            every = max(1, arguments.steps // EXAMINED)

            def watch(step: int, numbers: dict[str, float]) -> None:
                if step % every == 0:
                    numbers["examined"] = examine(rival, world, arguments.each)["overall"]

            def loss(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
                value, right = loss_of(rival, world, world.draw(rng, arguments.frames_a_step, arguments.each))
                return value, {"right": right}

            schedule = Schedule(arguments.steps, arguments.rate, warmup=arguments.steps // 20, checkpoint_every=every)
            fit(label, rival, loss, schedule, folder, seed, watch)
        folder.mkdir(parents=True, exist_ok=True)
        done.write_text(json.dumps(examine(rival, world, arguments.each)) + "\n")
    curve = []
    if (folder / f"{label}.csv").is_file():
        with (folder / f"{label}.csv").open(newline="") as file:
            curve = [(int(row["step"]) + 1, float(row["examined"])) for row in csv.DictReader(file) if row.get("examined")]
    return {"row": name, "seed": seed, "accuracy": json.loads(done.read_text()), "curve": curve, **costs}


def main() -> None:
    """Train, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--rig", default="nuscenes")
    parser.add_argument("--frames", type=Path, default=Path("out/train/frames"), help="rendered shards; missing ones are made")
    parser.add_argument("--shards", type=int, default=10, help="shards of 150 frames")
    parser.add_argument("--held-out", type=int, default=2, help="of them, shards that are for examination only")
    parser.add_argument("--linked-blocks", type=int, default=0, help="0 = as many as the model's connectors link")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--frames-a-step", type=int, default=16)
    parser.add_argument("--each", type=int, default=4, help="questions a frame")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="learning rate of every row")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="*", help="only these rows")
    parser.add_argument("--out", type=Path, default=Path("out/comparison"))
    arguments = parser.parse_args()
    world = make_world(
        arguments.model, load_rig(arguments.rig), arguments.frames, arguments.shards, arguments.held_out, arguments.out / "tokens"
    )
    shape = next(iter(world.model.connectors.values())).shape
    rivals = make_rivals(
        world.model.llm,
        arguments.linked_blocks or world.model.linked_blocks,
        world.widths,
        {key: shape[key] for key in ("trunk", "rank")},
    )
    unknown = set(arguments.rows or ()) - set(rivals)
    if unknown:
        parser.error(f"no row {sorted(unknown)[0]!r}, there are: {', '.join(rivals)}")
    runs = [
        train(name, make, world, arguments, seed)
        for seed in range(arguments.seeds)
        for name, make in rivals.items()
        if not arguments.rows or name in arguments.rows
    ]
    report = {"steps": arguments.steps, "revision": world.model.revision, "rows": summary(runs, arguments.steps), "runs": runs}
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
