# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The probabilities of predicted attributes are calibrated."""

from __future__ import annotations

import numpy as np
import pytest
import scenes
import torch

from mmllm_ros.encoders import CameraEncoder
from mmllm_ros.encoders.proposals import STATUSES
from mmllm_ros.training.attribute_calibration import calibrate_attributes
from mmllm_ros.training.targets import cell_targets


class Noise:
    """Frames with noise as images: one car straight ahead in each, moving in two of three, without a colour."""

    def __init__(self, cars: bool = True) -> None:
        seen = {"pixels": {"c0": 50}, "clear_pixels": {"c0": 50}}
        statuses = ("moving", "stopped", "moving") * 8
        self.truths = [scenes.scene(*[scenes.thing("car", 11.7, -0.1, status, **seen)] * cars) for status in statuses]

    def __len__(self) -> int:
        return len(self.truths)

    def inputs(self, modality: str, frames: np.ndarray) -> dict[str, torch.Tensor]:
        """Inputs in the format of Shards."""
        mounts = [[m.bearing, m.fov, m.pitch, *m.position] for m in scenes.AROUND.cameras] * len(frames)
        shape, generator = (len(mounts), 3, 80, 160), torch.Generator().manual_seed(int(frames[0]))
        return {
            **{key: torch.randint(255, shape, generator=generator, dtype=torch.uint8) for key in ("now", "before")},
            "gap": torch.zeros(len(mounts)),
            "mount": torch.tensor(mounts),
        }


@torch.no_grad()
def test_predicted_attributes_become_calibrated_and_the_most_probable_value_stays():
    torch.manual_seed(0)
    encoder, held_out = CameraEncoder(scenes.AROUND, width=32, depth=1, heads=2).eval(), Noise()
    (car,) = (int(t.cell[t.centre][0]) for t in cell_targets(held_out.truths[0], encoder) if len(t.cell))
    # It predicts with high confidence that every car moves.
    head = encoder.proposals.head_rows()[2][1]
    head[STATUSES.index("moving")] = 9.0
    cells = encoder.cells(held_out.inputs("camera", np.arange(1)))
    before = encoder.proposals.read(cells)[1]
    found = calibrate_attributes(encoder, held_out)
    after = encoder.proposals.read(cells)[1]
    assert found.keys() == {"object", "shift", "class", "status"} and found["status"] > 2
    for group, value in before.items():
        shift = found["shift"] if group == "object" else 0.0
        torch.testing.assert_close((after[group] - shift) * found.get(group, 1.0), value, rtol=1e-4, atol=1e-4)
    view = next(i for i, t in enumerate(cell_targets(held_out.truths[0], encoder)) if len(t.cell))
    moving = after["status"][view, car].softmax(-1)[STATUSES.index("moving")].item()
    assert moving == pytest.approx(2 / 3, abs=0.2)
    again = calibrate_attributes(encoder, held_out)
    assert again["status"] == pytest.approx(1.0, abs=0.05)
    assert again["object"] == pytest.approx(1.0, abs=0.05) and again["shift"] == pytest.approx(0.0, abs=0.05)


@torch.no_grad()
def test_the_expected_number_of_objects_is_their_number():
    torch.manual_seed(0)
    encoder, held_out = CameraEncoder(scenes.AROUND, width=32, depth=1, heads=2).eval(), Noise()
    # It detects an object in nearly every cell.
    encoder.proposals.head_rows()[0][1].fill_(2.0)
    calibrate_attributes(encoder, held_out)
    found = [
        encoder.proposals.read(encoder.cells(held_out.inputs("camera", frames)))[1] for frames in np.arange(24).reshape(-1, 8)
    ]
    expected = torch.cat([read["object"] for read in found]).sigmoid().sum() / len(held_out)
    assert expected.item() == pytest.approx(1.0, rel=0.1)


@torch.no_grad()
def test_frames_without_an_object_calibrate_nothing():
    encoder = CameraEncoder(scenes.AROUND, width=32, depth=1, heads=2).eval()
    before = encoder.proposals.heads.bias.clone()
    assert calibrate_attributes(encoder, Noise(cars=False)) == {}
    assert torch.equal(encoder.proposals.heads.bias, before)
