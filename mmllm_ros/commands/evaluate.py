# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands evaluate (simulated scenes) and evaluate-recording (nuScenes folders and rosbag2 recordings)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..datatypes import Question
from ..rig import load_rig
from .load_model import load_model
from .options import Context, Device, Json, ModelName, RigName, Seed, out, write_json

if TYPE_CHECKING:
    from ..datasets.examples import Example
    from ..model import Model

Folder = Annotated[
    Path | None, typer.Option("--out", help="folder for `mmllm report`: figures, reliability diagram, worst mistakes")
]


def evaluate(
    scenes: Annotated[int, typer.Option(min=2, help="simulated test scenes, none of which is trained on")] = 200,
    seed: Seed = 0,
    context: Context = "mixed",
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    language: Annotated[
        Literal["template", "everyday"] | None,
        typer.Option(help="wording of the questions, with another report: accuracy by wording, refusals, latency"),
    ] = None,
    folder: Folder = None,
    json_file: Json = None,
) -> None:
    """Measure accuracy on simulated scenes: per question type, modality set and context, beside blind baselines."""
    from ..datasets.simulated import simulated_examples

    layout = load_rig(rig)
    loaded, encoders = load_model(model, layout, device)
    wording = language or "template"
    examples = simulated_examples(encoders, layout, "test", scenes, seed, context, language=wording)
    known = simulated_examples({}, layout, "train", scenes, seed, context, language=wording)
    prior = [question for example in known for question in example.questions]
    if language:
        from ..evaluation import language_accuracy

        report = language_accuracy.measure(loaded, layout, examples, prior)
        out.print(language_accuracy.table(report))
        write_json(json_file, report)
    else:
        _measure(loaded, examples, prior, folder, json_file)


def evaluate_recording(
    recording: Annotated[Path, typer.Argument(help="rosbag2 folder, mcap file, or nuScenes folder")],
    questions: Annotated[Path, typer.Option(help="questions about it, in NuScenes-QA's form", dir_okay=False)],
    prior: Annotated[
        Path | None, typer.Option(help="training questions of the blind baselines; without it simulated ones", dir_okay=False)
    ] = None,
    rig: Annotated[str, typer.Option(help="sensor layout; without it front, or nuscenes for a nuScenes folder")] = "",
    model: ModelName = "",
    device: Device = "auto",
    folder: Folder = None,
    json_file: Json = None,
) -> None:
    """Measure accuracy on recorded frames with known answers: per question type, modality set and context."""
    from ..datasets.recorded import from_nuscenes, from_recording
    from ..datasets.simulated import simulated_examples
    from ..io.question_files import read_questions

    nuscenes = any(recording.glob("v1.0*")) if recording.is_dir() else False
    layout = load_rig(rig or ("nuscenes" if nuscenes else "front"))
    loaded, encoders = load_model(model, layout, device)
    if nuscenes:
        examples = from_nuscenes(encoders, recording, questions)
    else:
        examples = from_recording(encoders, recording, questions, layout)
    if prior:
        known = read_questions(prior)
    else:
        known = [
            question for example in simulated_examples({}, layout, "train", 200, 0, "mixed") for question in example.questions
        ]
    _measure(loaded, examples, known, folder, json_file)


def _measure(
    model: Model, examples: Sequence[Example], prior: Sequence[Question], folder: Path | None, json_file: Path | None
) -> None:
    """Evaluate, print the table, and write the files that were asked for."""
    from ..evaluation.accuracy import evaluate as measure
    from ..evaluation.accuracy import table

    report = measure(model, examples, prior)
    out.print(table(report))
    write_report(report, examples, folder, json_file)


def write_report(report: dict, examples: Sequence[Example], folder: Path | None, json_file: Path | None) -> None:
    """Write `report` to `json_file`, and with thumbnails of the worst mistakes to `folder`, each where it is given."""
    from ..evaluation.accuracy import plot_reliability
    from ..visualization.thumbnails import remove_thumbnails, save_thumbnails

    write_json(json_file, report)
    if folder:
        write_json(folder / "evaluation.json", report)
        remove_thumbnails(folder)
        for index in {mistake["moment"] for mistake in report["mistakes"]}:
            save_thumbnails(folder, str(index), examples[index].pictures)
        plot_reliability(report, folder / "reliability.png")
