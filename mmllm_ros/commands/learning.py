# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Commands without sensors: simulate, train, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ..datatypes import BadInput
from ..rig import load_rig
from .options import Context, Device, Json, ModelName, RigName, Seed, out, write_json


def simulate(
    frames: Annotated[int, typer.Option(min=1, help="how many moments, half a second apart, ten to a scene")],
    folder: Annotated[Path, typer.Option("--out", help="a new or empty folder", file_okay=False)],
    seed: Seed = 0,
    bag: Annotated[bool, typer.Option("--bag/--no-bag", help="write the recording too, not only questions and truth")] = True,
    rig: RigName = "front",
    context: Context = "mixed",
    json_file: Json = None,
) -> None:
    """Write simulated drives: a recording, questions with true answers, and the truth, split by scene."""
    from ..simulate import simulate as write_drives

    layout = load_rig(rig)
    with Progress(console=out) as progress:
        task = progress.add_task("simulate", total=frames)
        counts = write_drives(folder, frames, seed, layout, context, bag, lambda: progress.advance(task))
    out.print(f"{frames} frames in {folder}: " + ", ".join(f"{count} questions in {split}" for split, count in counts.items()))
    write_json(json_file, {"frames": frames, "seed": seed, "rig": layout.name, "context": context, "questions": counts})


def train(
    config: Annotated[Path, typer.Option(help="training configuration (YAML), see config/train/", dir_okay=False)],
    folder: Annotated[Path, typer.Option("--out", help="model folder to write", file_okay=False)],
    work: Annotated[Path, typer.Option(help="rendered frames, checkpoints and curves; a training cut off goes on from here")],
    device: Device = "auto",
) -> None:
    """Render, train the encoders, the LLM and the connectors, calibrate, and write a model folder."""
    from ..training.settings import read_settings
    from ..training.train import train as train_model

    model = train_model(read_settings(config), work, folder, device)
    out.print(f"{folder}: {model.name} {model.revision}")


def evaluate(
    scenes: Annotated[int, typer.Option(min=2, help="simulated test scenes, none of which is trained on")] = 200,
    seed: Seed = 0,
    nuscenes: Annotated[Path | None, typer.Option(help="a nuScenes folder instead, with --questions", file_okay=False)] = None,
    bag: Annotated[Path | None, typer.Option(help="a recording instead, with --questions: rosbag2 folder or mcap file")] = None,
    questions: Annotated[Path | None, typer.Option(help="questions about it, in NuScenes-QA's form", dir_okay=False)] = None,
    frames: Annotated[Path | None, typer.Option(help="labelled real frames instead, SOURCE/FRAME.json", file_okay=False)] = None,
    detector: Annotated[
        str, typer.Option(help="camera encoder for --frames: nanodet, or the folder of one of kind detector")
    ] = "",
    labels: Annotated[bool, typer.Option("--labels", help="with --frames: their boxes as modality objects, no sensor")] = False,
    prior: Annotated[Path | None, typer.Option(help="training questions for the blind baselines", dir_okay=False)] = None,
    rig: Annotated[str, typer.Option(help="sensor layout; without it front, or nuscenes with --nuscenes")] = "",
    model: ModelName = "",
    device: Device = "auto",
    context: Context = "mixed",
    plot: Annotated[Path | None, typer.Option(help="write the reliability diagram here (PNG)", dir_okay=False)] = None,
    folder: Annotated[Path | None, typer.Option("--out", help="folder for `mmllm report`: figures, worst mistakes")] = None,
    json_file: Json = None,
) -> None:
    """How often the answers are right: per question type, modality set and context, beside what blind models score."""
    if (questions is not None) != ((nuscenes is None) != (bag is None)):
        raise BadInput("--questions belongs to --nuscenes or to --bag, and one of them to it")
    if frames is None and (detector or labels):
        raise BadInput("--detector and --labels belong to --frames")
    if frames is not None:
        from .real_frames import evaluate_folder

        evaluate_folder(frames, model, detector, labels, device, plot, folder, json_file)
        return
    from ..encoders import load_encoder
    from ..evaluation import evaluate as measure
    from ..evaluation import plot_reliability, table
    from ..model import Model
    from ..question_sets import simulated
    from ..questions_file import read_questions
    from ..recorded_sets import from_nuscenes, from_recording
    from ..resources import default_model
    from ..snapshots import clear, keep

    layout = load_rig(rig or ("nuscenes" if nuscenes else "front"))
    weights = Path(model) if model else default_model()
    loaded = Model.load(weights, device)
    encoders = {name: load_encoder(weights / "encoders" / name, layout, device) for name in loaded.modalities}
    if nuscenes:
        asked = from_nuscenes(encoders, nuscenes, questions)
    elif bag:
        asked = from_recording(encoders, bag, questions, layout)
    else:
        asked = simulated(encoders, layout, "test", scenes, seed, context)
    if prior:
        known = read_questions(prior)
    else:
        known = [question for moment in simulated({}, layout, "train", scenes, seed, context) for question in moment.questions]
    report = measure(loaded, asked, known)
    out.print(table(report))
    write_json(json_file, report)
    if folder:
        write_json(folder / "evaluation.json", report)
        clear(folder)
        for moment in {mistake["moment"] for mistake in report["mistakes"]}:
            keep(folder, str(moment), asked[moment].pictures)
    if plot:
        plot_reliability(report, plot)
