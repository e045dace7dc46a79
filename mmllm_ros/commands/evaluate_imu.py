# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command evaluate-imu: what the IMU alone tells about the motion of the vehicle, also where it is not level."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from ..datatypes import BadInput
from ..rig import load_rig
from .options import Device, Json, ModelName, Seed, out, write_json


def evaluate_imu(
    recording: Annotated[
        Path | None,
        typer.Argument(help="rosbag2 with an IMU and the vehicle's speed; without it simulated drives"),
    ] = None,
    speed: Annotated[str, typer.Option(help="topic of the speed, empty = the only one that gives a speed")] = "",
    rig: Annotated[str, typer.Option(help="sensor layout, empty = the shipped one that fits the recording")] = "",
    tilt: Annotated[float, typer.Option(help="simulated: mounted so many degrees nose-down", min=-30, max=30)] = 0.0,
    roll: Annotated[float, typer.Option(help="simulated: mounted so many degrees left side down", min=-30, max=30)] = 0.0,
    yaw: Annotated[float, typer.Option(help="simulated: mounted so many degrees counter-clockwise", min=-30, max=30)] = 0.0,
    bias: Annotated[float, typer.Option(help="simulated: bias of each axis of the specific force [m/s^2]", min=-5, max=5)] = 0.0,
    rate_bias: Annotated[float, typer.Option(help="simulated: bias of each angular velocity [rad/s]", min=-1, max=1)] = 0.0,
    drift: Annotated[float, typer.Option(help="simulated: growth of the biases each 100 s, 1 = doubled", min=-10, max=10)] = 0.0,
    rate: Annotated[int, typer.Option(help="simulated: samples a second", min=1, max=4000)] = 100,
    drives: Annotated[int, typer.Option(help="simulated: number of test drives", min=2)] = 12,
    duration: Annotated[float, typer.Option(help="simulated: length of a drive [s]", min=2, max=3600)] = 60.0,
    seed: Seed = 0,
    model: ModelName = "",
    device: Device = "auto",
    json_file: Json = None,
) -> None:
    """Ask moving, accelerating, braking and turning from the IMU alone: balanced accuracy, beside the blind LLM."""
    from ..datasets.ego_motion import recorded_motion, simulated_motion
    from ..encoders import load_encoder
    from ..evaluation.imu_accuracy import measure, table
    from ..io.rosbag import Recording
    from ..model import Model
    from ..resources import model_folder
    from ..simulator.sensors.imu import ImuErrors

    if recording:
        bag = Recording(recording)
        moments = recorded_motion(bag, load_rig(rig or bag.fitting_rig()), speed)
    else:
        errors = ImuErrors(*(math.radians(angle) for angle in (tilt, roll, yaw)), (bias,) * 3, (rate_bias,) * 3, drift, rate=rate)
        moments = simulated_motion(errors, drives, duration, seed)
    folder = model_folder(model)
    loaded = Model.load(folder, device)
    if "imu" not in loaded.modalities:
        raise BadInput(f"model {loaded.name} has no modality imu, only {list(loaded.modalities)}")
    report = measure(loaded, load_encoder(folder / "encoders" / "imu", load_rig("front"), device), moments)
    out.print(table(report))
    write_json(json_file, report)
