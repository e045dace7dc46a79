# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mmllm evaluate --frames FOLDER`, and `mmllm fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..datatypes import BadInput
from ..rig import load_rig
from .options import out, write_json


def fetch(what: Annotated[Literal["nanodet"], typer.Argument(help="nanodet: a COCO object detector for cameras, 7 MB")]) -> None:
    """Fetch weights into the user's cache, verify and convert them. Nothing is fetched at run time."""
    from ..nanodet import fetch_nanodet

    out.print(f"{fetch_nanodet()}: camera encoder of kind detector ({what})", soft_wrap=True)


def evaluate_folder(
    frames: Path,
    model: str,
    detector: str,
    labels: bool,
    device: str,
    plot: Path | None,
    folder: Path | None,
    json_file: Path | None,
) -> None:
    """Evaluate on labelled real frames: lidar and camera, or with `labels` the boxes as modality objects. Raises BadInput."""
    from ..encoders import load_encoder
    from ..evaluation import plot_reliability
    from ..model import Model
    from ..nanodet import nanodet_folder
    from ..real_evaluation import ask_frames, evaluate_frames, frame_tables
    from ..resources import default_model
    from ..snapshots import clear, keep
    from ..untrained_modalities import restricted, with_detections

    if labels and detector:
        raise BadInput("--labels asks about boxes alone: leave out --detector")
    weights = Path(model) if model else default_model()
    loaded, rig = Model.load(weights, device), load_rig("front")
    encoders = {}
    if labels:
        loaded = restricted(with_detections(loaded, {"objects": "objects 1"}), ["objects"])
    else:
        encoders = {
            name: load_encoder(weights / "encoders" / name, rig, device)
            for name in ("camera", "lidar")
            if name in loaded.modalities
        }
        if detector:
            place = nanodet_folder() if detector == "nanodet" else Path(detector)
            if not place.is_dir():
                cure = "fetch it with `mmllm fetch nanodet`" if detector == "nanodet" else "name an encoder folder"
                raise BadInput(f"detector folder {place} does not exist: {cure}")
            # The lidar gives ranges of the boxes. Its own encoder knows simulated sweeps only: on real ones it reports barriers
            # that are not there, and they outweigh the detections.
            encoders = {"camera": load_encoder(place, rig, device)}
            loaded = with_detections(loaded, {"camera": encoders["camera"].revision})
        loaded = restricted(loaded, list(encoders))
    asked = ask_frames(frames, encoders, labels)
    report = evaluate_frames(loaded, asked)
    for view in frame_tables(report):
        out.print(view)
    write_json(json_file, report)
    if folder:
        write_json(folder / "evaluation.json", report)
        clear(folder)
        for moment in {mistake["moment"] for mistake in report["mistakes"]}:
            keep(folder, str(moment), asked[moment].pictures)
    if plot:
        plot_reliability(report, plot)
