# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which way a question goes: to the robot's own state (and which topic), to a description, or to the sensors.

benchmark/routing_questions.yaml has wordings by the way that they should go, written by someone who had seen neither the rules of
config/question_rules.yaml nor the wordings that the router is trained on. The last row: the simulator's questions in wordings of
its test split. Compared: the rules, the router of the model, and the most frequent way. Whether a question about what no sensor
tells is refused is for the language model: it goes to the sensors, too.

    python benchmark/routing.py --model drive_smollm2 --json out/routing.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from results_file import write_results
from rich.console import Console
from rich.table import Table

from mmllm_ros.context.question_classifier import SELF, classify_question
from mmllm_ros.dialogue.description import described_place
from mmllm_ros.latent.question_router import DESCRIPTION, SENSED
from mmllm_ros.metrics.statistics import wilson
from mmllm_ros.model import Model
from mmllm_ros.resources import PRETRAINED, model_folder
from mmllm_ros.training.question_router import simulated_questions

QUESTIONS = Path(__file__).with_name("routing_questions.yaml")
WAYS = {
    "capabilities": "abilities",
    "sensors": "sensors",
    "sensor_state": "sensor state",
    "why_not_used": "why not used",
    "certainty": "confidence",
    "evidence": "evidence",
    "asked_before": "history",
    "description": DESCRIPTION,
    "short_answer": SENSED,
    "out_of_scope": SENSED,
}
"""The way of each class of the file."""
SIMULATED, SEED = 1000, 1_000_000_000
"""Number of the simulator's questions, and of their scenes."""


def taken(question: str, way: str) -> str:
    """The way that the Assistant takes where a router says `way`, empty without one."""
    found = classify_question(question, way)
    if found.type == SELF:
        return found.topic
    return DESCRIPTION if way == DESCRIPTION or described_place(question) is not None else SENSED


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=PRETRAINED)
    parser.add_argument("--wrong", action="store_true", help="print what the router gets wrong")
    parser.add_argument("--json", type=Path, default=Path("out/routing.json"))
    arguments = parser.parse_args()
    model = Model.load(model_folder(arguments.model), "cpu")
    asked = [(kind, WAYS[kind], text) for kind, texts in yaml.safe_load(QUESTIONS.read_text()).items() for text in texts]
    for text in simulated_questions("test", SIMULATED, SEED):
        asked.append(("simulator, test wordings", SENSED if described_place(text) is None else DESCRIPTION, text))
    kinds, ways = np.array([kind for kind, _, _ in asked]), np.array([way for _, way, _ in asked])
    found = {
        "rules": np.array([taken(text, "") for _, _, text in asked]),
        "router": np.array([taken(text, model.way(text)) for _, _, text in asked]),
        "most frequent": np.full(len(ways), SENSED, dtype=ways.dtype),
    }
    table = Table("questions", "number", *found, title="right way, % (95 %)")
    report: dict[str, dict] = {}
    for kind in [*WAYS, "written by hand", "simulator, test wordings"]:
        chosen = kinds != "simulator, test wordings" if kind == "written by hand" else kinds == kind
        shares = {name: _share((way == ways)[chosen]) for name, way in found.items()}
        report[kind] = {"number": int(chosen.sum()), **shares}
        cells = ["{:.1f} ({:.1f} to {:.1f})".format(*(100 * value for value in share)) for share in shares.values()]
        table.add_row(kind, str(int(chosen.sum())), *cells)
    Console(width=130).print(table)
    if arguments.wrong:
        for (kind, right, text), way in zip(asked, found["router"], strict=True):
            if way != right:
                print(f"{kind}: {text!r} goes to {way}")
    write_results(arguments.json, report)


def _share(right: Sequence[bool]) -> tuple[float, float, float]:
    """Share of right ones with its 95 % interval (Wilson)."""
    return float(np.mean(right)), *wilson(int(np.sum(right)), len(right))


if __name__ == "__main__":
    main()
