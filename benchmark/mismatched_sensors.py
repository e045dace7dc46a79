# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reference for the row with mismatched sensors: how often the truth of another scene answers a question about this one.

    python benchmark/mismatched_sensors.py --rig front --scenes 500 --json out/mismatched_sensors.json

`mmllm evaluate` plugs the sensors of the scene half the list away, to separate perception from prior knowledge. A model with
perfect perception then gives the answer that is true in the other scene; where the question has no answer there (no such car),
it gives the answer of the bare LLM. This script computes the accuracy of such a model.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from rich.progress import track

from mmllm_ros.datasets.simulated import asked_drive
from mmllm_ros.model import Model
from mmllm_ros.resources import default_model
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.questions.programs import parse, run
from mmllm_ros.simulator.questions.scene_graph import SceneGraph
from mmllm_ros.simulator.splits import scene_seed


def main() -> None:
    """Simulate, answer with the other scene, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--rig", default="front")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--json", type=Path, default=Path("out/mismatched_sensors.json"))
    arguments = parser.parse_args()
    rig, model = load_rig(arguments.rig), Model.load(arguments.model, "cpu")
    drives = [asked_drive(rig, "test", scene_seed("test", number)) for number in track(range(arguments.scenes), "drive")]
    graphs = [SceneGraph(now.truth, rig) for _, now, _ in drives]
    rows = defaultdict(list)
    for index, (_, _, asked) in enumerate(track(drives, "answer with the other scene")):
        other = graphs[(index + len(drives) // 2) % len(drives)]
        for question in asked:
            other_answer, guess = run(parse(question.program), other), model.score(question.question, {}).answer
            answers = guess, guess if other_answer is None else other_answer
            rows[question.template_type].append([other_answer is not None, *(answer == question.answer for answer in answers)])
    names = ("has_an_answer_there", "bare_llm", "truth_of_another_scene")
    table = {kind: dict(zip(names, np.mean(row, axis=0).tolist(), strict=True)) for kind, row in sorted(rows.items())}
    every = [row for kind in rows.values() for row in kind]
    report = {"rig": rig.name, "n": len(every), "revision": model.revision, "types": table}
    report |= dict(zip(names, np.mean(every, axis=0).tolist(), strict=True))
    for kind, row in {**table, "all": {name: report[name] for name in names}}.items():
        print(f"{kind:12}" + "".join(f"{name.replace('_', ' ')} {100 * share:5.1f} %   " for name, share in row.items()))
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
