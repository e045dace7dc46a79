# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command evaluate-frames: accuracy on labelled real frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..datatypes import BadInput
from ..rig import CLUSTERS, load_rig
from .evaluate import Folder, write_report
from .options import Device, Json, out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..datasets.real_frames import RealFrame
    from ..encoders import Encoder
    from ..rig import Rig


OWN = "own"
"""--lidar of the model's own encoder."""


def evaluate_frames(
    frames: Annotated[Path, typer.Argument(help="folder of labelled real frames, SOURCE/FRAME.json, or a recording")],
    detector: Annotated[
        str, typer.Option(help="camera encoder: nanodet, or the folder of an encoder of kind detector; the lidar gives ranges")
    ] = "",
    lidar: Annotated[
        str, typer.Option(help="the lidar alone, or beside --detector: clusters, or own for the model's own encoder")
    ] = "",
    labels: Annotated[bool, typer.Option("--labels", help="the labelled boxes as modality objects, no sensor")] = False,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="also calibrate on every second frame of each source, and judge that on the others"),
    ] = False,
    boxes: Annotated[str, typer.Option(help="topic of a recording with labelled boxes: Detection3DArray or MarkerArray")] = "",
    rig: Annotated[str, typer.Option("--rig", help="sensor layout of a recording, auto = as recorded")] = "auto",
    model: Annotated[
        str,
        typer.Option(
            help="model folder or hub name, empty = drive_tiny with --labels, --detector or --lidar, else the default model"
        ),
    ] = "",
    device: Device = "auto",
    folder: Folder = None,
    json_file: Json = None,
) -> None:
    """Measure accuracy on labelled real frames: per modality set and source of frames, beside blind baselines."""
    from ..encoders import load_encoder
    from ..encoders.familiarity import load_familiarity
    from ..encoders.objects import REVISION
    from ..evaluation.real_calibration import calibrate_frames, calibration_table
    from ..evaluation.real_evaluation import asked_frames, encoded_frames, frame_tables
    from ..evaluation.real_evaluation import evaluate_frames as measure
    from ..model import Model
    from ..resources import EMBEDDED, model_folder
    from ..training.untrained_modalities import restricted, with_detections

    if labels and (detector or lidar):
        raise BadInput("--labels evaluates on the boxes alone: leave out --detector and --lidar")
    if lidar not in ("", OWN, CLUSTERS):
        raise BadInput(f"--lidar is {lidar!r}, neither {CLUSTERS} nor {OWN}")
    weights = model_folder(model or (EMBEDDED if labels or detector or lidar else ""))
    loaded, front = Model.load(weights, device), load_rig("front")
    encoders: dict[str, Encoder] = {}
    if labels:
        loaded = restricted(with_detections(loaded, {"objects": REVISION}), ["objects"])
    elif detector or lidar:
        # Without --lidar the lidar is used for the ranges of the boxes alone: the model's own encoder of it reports objects that
        # are not there in real sweeps.
        named = {name: load_encoder(folder, front, device) for name, folder in _named_encoders(detector, lidar).items()}
        own = _load_encoders(["lidar"], weights, front, device) if lidar == OWN else {}
        encoders = {**named, **own}
        loaded = with_detections(loaded, {name: encoder.revision for name, encoder in named.items()}) if named else loaded
        loaded = restricted(loaded, list(encoders))
    else:
        names = [name for name in ("camera", "lidar") if name in loaded.modalities]
        encoders = _load_encoders(names, weights, front, device)
        loaded = restricted(loaded, list(encoders))
    # All frames are kept only where they are encoded more than once: a frame of six cameras takes 26 MB.
    read = _read_frames(frames, boxes, rig)
    asked = list(asked_frames(read)) if calibrate else asked_frames(read)
    examples = encoded_frames(asked, encoders, labels)
    report = measure(loaded, examples)
    for view in frame_tables(report):
        out.print(view)
    if calibrate:
        report["calibration"] = calibrate_frames(loaded, asked, encoders, labels, load_familiarity(weights))
        out.print(calibration_table(report["calibration"]))
    write_report(report, examples, folder, json_file)


def _read_frames(path: Path, boxes: str, rig: str) -> Iterable[RealFrame]:
    """The frames of a folder, or of a recording with boxes. Raises BadInput."""
    from ..datasets.real_frames import read_frames
    from ..datasets.recorded_frames import recorded_frames
    from ..io.robot_rig import rig_of_recording

    recording = path.suffix in (".mcap", ".db3") or (path / "metadata.yaml").is_file()
    if recording and not boxes:
        raise BadInput(f"{path} is a recording: name the topic of its labelled boxes with --boxes")
    if boxes and not recording:
        raise BadInput(f"{path} is no recording, so --boxes names nothing")
    return recorded_frames(path, load_rig(rig_of_recording(rig, path)), boxes) if recording else read_frames(path)


def _load_encoders(names: Sequence[str], weights: Path, rig: Rig, device: str) -> dict[str, Encoder]:
    """The model's own encoders of some modalities."""
    from ..encoders import load_encoder

    return {name: load_encoder(weights / "encoders" / name, rig, device) for name in names}


def _named_encoders(detector: str, lidar: str) -> dict[str, Path]:
    """The folders of the detector, or the fetched NanoDet, and of the clusters. Raises BadInput."""
    from ..encoders.nanodet import detector_folder
    from ..encoders.of_rig import clusters_folder

    folders = {"camera": detector_folder(detector)} if detector else {}
    return folders | ({"lidar": clusters_folder()} if lidar == CLUSTERS else {})
