# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scan matching: the motion between two sweeps is estimated, and standing objects align."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmllm_ros.encoders import LidarEncoder, load_encoder
from mmllm_ros.encoders.birds_eye import SLICES, birds_eye
from mmllm_ros.encoders.scan_matching import Sweeps, match
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.truth import Weather

RIG = load_rig("nuscenes")
ENCODER = LidarEncoder(RIG, width=16)


def pair(seed: int, weather: Weather) -> tuple[dict[str, torch.Tensor], object]:
    drive = Drive(seed, RIG, weather)
    drive.advance(3.0)
    before = drive.capture().lidar
    drive.advance(0.5)
    now = drive.capture()
    batch = ENCODER.prepare(now.lidar, before)
    return {name: tensor[None] for name, tensor in batch.items()}, now.truth.ego


def found(batch: dict[str, torch.Tensor]) -> tuple[Sweeps, Sweeps, torch.Tensor, float]:
    now, before = (Sweeps.of(batch[name], batch["mount"]) for name in ("now", "before"))
    motion, fit = match(now, before, batch["mount"][:, 4])
    return now, before, motion, fit.item()


@pytest.mark.parametrize("weather", [Weather(), Weather(light=0.0), Weather(rain=0.8)], ids=["day", "night", "rain"])
def test_the_motion_of_the_ego_vehicle_is_found_in_most_scenes(weather):
    errors = []
    for seed in range(40, 48):
        batch, ego = pair(seed, weather)
        forward, yaw = found(batch)[2][0].tolist()
        errors.append((abs(forward - 0.5 * ego.speed), abs(yaw - 0.5 * ego.yaw_rate)))
    # The truth is the mean of a second, the motion that of its later half.
    assert np.median(errors, axis=0) == pytest.approx([0.0, 0.0], abs=0.3)


def test_standing_objects_align_after_compensation_of_the_motion():
    batch, _ = next(p for p in (pair(seed, Weather()) for seed in range(40, 60)) if p[1].speed > 5.0)
    now, before, motion, fit = found(batch)
    assert fit > 0.4

    def agreeing(motion: torch.Tensor) -> float:
        seen = birds_eye(now, before, motion, batch["now"][:, 2].float(), batch["mount"])[0]
        newer, older = (seen[start : start + SLICES - 1].sum(0).flatten() for start in (1, SLICES + 2))
        return torch.nn.functional.cosine_similarity(newer, older, dim=0).item()

    assert agreeing(motion) > agreeing(torch.zeros_like(motion)) + 0.2


def test_a_sweep_without_an_older_one_has_no_motion():
    batch, _ = pair(41, Weather())
    batch["before"] = batch["now"]
    assert found(batch)[2].abs().max() < 0.15


def test_an_empty_sweep_has_no_motion():
    batch, _ = pair(41, Weather())
    batch = {**batch, "now": torch.zeros_like(batch["now"]), "before": torch.zeros_like(batch["before"])}
    _, _, motion, fit = found(batch)
    assert motion.isfinite().all() and fit == pytest.approx(0.0, abs=1e-3)
    assert ENCODER.eval()(batch)[0].isfinite().all()


def test_the_encoder_uses_both_sweeps_and_is_the_same_after_saving_and_loading(tmp_path: Path):
    batch, _ = pair(41, Weather())
    torch.manual_seed(0)
    encoder = LidarEncoder(RIG, width=16).half().float().eval()
    values, places = encoder(batch)
    assert values.isfinite().all() and places.shape == (1, 40, 3)
    assert not torch.equal(values, encoder({**batch, "before": batch["now"]})[0])
    encoder.save(tmp_path)
    assert torch.equal(load_encoder(tmp_path, RIG, "cpu")(batch)[0], values)
