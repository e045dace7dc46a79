# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command evaluate-frames: accuracy on labelled real frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..datatypes import BadInput
from ..rig import load_rig
from .evaluate import Folder, write_report
from .options import Device, Json, out

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..model import Model
    from ..rig import Rig


def evaluate_frames(
    frames: Annotated[Path, typer.Argument(help="folder of labelled real frames, SOURCE/FRAME.json")],
    detector: Annotated[
        str, typer.Option(help="camera encoder: nanodet, or the folder of an encoder of kind detector; the lidar gives ranges")
    ] = "",
    labels: Annotated[bool, typer.Option("--labels", help="the labelled boxes as modality objects, no sensor")] = False,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="also calibrate on every second frame of each source, and judge that on the others"),
    ] = False,
    model: Annotated[
        str, typer.Option(help="model folder or hub name, empty = drive_tiny with --labels or --detector, else the default model")
    ] = "",
    device: Device = "auto",
    folder: Folder = None,
    json_file: Json = None,
) -> None:
    """Measure accuracy on labelled real frames: per modality set and source of frames, beside blind baselines."""
    from ..encoders.objects import REVISION
    from ..evaluation.real_calibration import calibrate_frames, calibration_table
    from ..evaluation.real_evaluation import asked_frames, encoded_frames, frame_tables
    from ..evaluation.real_evaluation import evaluate_frames as measure
    from ..model import Model
    from ..resources import EMBEDDED, model_folder
    from ..training.untrained_modalities import restricted, with_detections

    if labels and detector:
        raise BadInput("--labels evaluates on the boxes alone: leave out --detector")
    weights = model_folder(model or (EMBEDDED if labels or detector else ""))
    loaded, rig = Model.load(weights, device), load_rig("front")
    encoders: dict[str, Encoder] = {}
    if labels:
        loaded = restricted(with_detections(loaded, {"objects": REVISION}), ["objects"])
    elif detector:
        # The lidar's own encoder was trained on simulated sweeps only and reports objects that are not there on real ones, so
        # the lidar is used for the ranges of the boxes alone.
        encoders = {"camera": _load_detector(detector, rig, device)}
        loaded = restricted(with_detections(loaded, {"camera": encoders["camera"].revision}), ["camera"])
    else:
        encoders = _load_encoders(loaded, weights, rig, device)
        loaded = restricted(loaded, list(encoders))
    # All frames are kept only where they are encoded more than once: a frame of six cameras takes 26 MB.
    asked = list(asked_frames(frames)) if calibrate else asked_frames(frames)
    examples = encoded_frames(asked, encoders, labels)
    report = measure(loaded, examples)
    for view in frame_tables(report):
        out.print(view)
    if calibrate:
        report["calibration"] = calibrate_frames(loaded, asked, encoders, labels)
        out.print(calibration_table(report["calibration"]))
    write_report(report, examples, folder, json_file)


def _load_encoders(model: Model, weights: Path, rig: Rig, device: str) -> dict[str, Encoder]:
    """The model's own camera and lidar encoders, as far as it has them."""
    from ..encoders import load_encoder

    names = [name for name in ("camera", "lidar") if name in model.modalities]
    return {name: load_encoder(weights / "encoders" / name, rig, device) for name in names}


def _load_detector(name: str, rig: Rig, device: str) -> Encoder:
    """The detector in folder `name`, or the fetched NanoDet. Raises BadInput."""
    from ..encoders import load_encoder
    from ..encoders.nanodet import detector_folder

    return load_encoder(detector_folder(name), rig, device)
