# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Synthetic sensors (domain randomization): predicted attributes of true scenes, with a randomly drawn sensor for each frame.

A sensor observes each fact through Gaussian noise and predicts the probabilities of its values. With clarity a, the
log-likelihood of each value is a times unit noise, plus a squared for the true value; the softmax of these is calibrated.
Clarity 0 carries no information.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from ..angles import wrapped
from ..encoders.proposals import ATTRIBUTES, CLASSES, COLOURS, DISTRIBUTIONS, GROUPS, STATUSES
from ..rig import Rig
from ..simulator.questions.scene_graph import most_seen
from ..simulator.truth import SceneTruth
from .targets import ABSENT, MIN_LIGHT_PIXELS, MIN_PIXELS, MIN_RETURNS, label_of

TOKEN_WIDTH = 1 + ATTRIBUTES
"""Predicted attributes, and one constant number, since a token needs a feature."""
OBJECTS, SECTORS = (12, 48), (4, 16)
"""Range of the numbers of object and sector tokens."""
REACH, WIDTH = (20.0, 60.0), (0.4, math.pi)
"""Range of the maximum range [m] and of half the field of view [rad]."""
DETECTION_CLARITY, CLASS_CLARITY = (2.0, 7.0), (1.0, 7.0)
"""Range of the clarity of objectness and of attributes; it varies by a factor of 0.5 to 1.5 per object."""
PRIOR = -2.5, 0.5
"""Range of the prior log odds of an object."""
GROUP_ABSENT = {"class": 1 / 8, "status": 1 / 4, "colour": 1 / 2}
"""Probability that a sensor does not predict a group."""
ALL_AROUND, SEES_LIGHTS, FLAT = 0.5, 0.3, 0.5
"""Probabilities of a full field of view, of detecting traffic lights, and of an unknown elevation."""
LEAST_FOUND = 0.7
"""Least share of objects that a sensor detects."""
CELLS, CELL_CLARITY = 4, (0.5, 5.0)
"""Number of cells that an object may lie in, and range of the clarity of its cell."""
APART = 0.3, 1.5
"""Range of the distance between these cells [m]."""
TURN, SPREAD = math.radians(3.0), 0.1
"""Largest standard deviations of bearing [rad] and of the natural logarithm of the range."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Objects of F frames, at most O each: `there` bool [F, O], `places` [F, O, 3], `lights` bool [F, O] are traffic
    lights, `labels` int64 [F, O, 3] of each of DISTRIBUTIONS, ABSENT where that does not apply."""

    there: Tensor
    places: Tensor
    lights: Tensor
    labels: Tensor

    @classmethod
    def of(cls, truths: Sequence[SceneTruth], rig: Rig) -> Facts:
        """All objects that some sensor of `rig` can detect."""
        rows = [_rows(truth, [mount.name for mount in rig.cameras]) for truth in truths]
        there = pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True)
        table = pad_sequence([torch.tensor(row, dtype=torch.float32).view(-1, 7) for row in rows], batch_first=True)
        return cls(there, table[..., :3], table[..., 3] > 0, table[..., 4:].long())


def _rows(truth: SceneTruth, cameras: Sequence[str]) -> list[tuple[float, ...]]:
    rows = [
        (item.position, 0, label_of(CLASSES, item.category), label_of(STATUSES, item.status), label_of(COLOURS, item.colour))
        for item in truth.objects
        if item.clear_returns >= MIN_RETURNS or most_seen(item.clear_pixels, cameras) >= MIN_PIXELS
    ]
    light = truth.traffic_light
    if light and most_seen(light.clear_pixels, cameras) >= MIN_LIGHT_PIXELS:
        rows.append((light.position, 1, label_of(CLASSES, f"{light.state} light"), ABSENT, ABSENT))
    return [(math.atan2(y, x), math.atan2(z, math.hypot(x, y)), max(math.hypot(x, y), 0.5), *rest) for (x, y, z), *rest in rows]


def synthetic_tokens(facts: Facts, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Values [F, T, TOKEN_WIDTH] and places [F, T, 3], in the format of encoders/proposals.py, of sensors of `facts`."""
    objects, sectors = (int(rng.integers(low, high + 1)) for low, high in (OBJECTS, SECTORS))
    frames = len(facts.there)
    reach, heading = _between(*REACH, frames), _between(-math.pi, math.pi, frames)
    half = torch.where(torch.rand(frames, 1) < ALL_AROUND, math.pi, _between(*WIDTH, frames))
    there = facts.there & (facts.places[..., 2] <= reach) & (wrapped(facts.places[..., 0] - heading).abs() <= half)
    there &= ~facts.lights | (torch.rand(frames, 1) < SEES_LIGHTS)
    # Candidates for tokens: the cells of objects, and empty places, of which there are always enough.
    first = _noisy_places(facts.places, *(worst * torch.rand(frames, 1).square() for worst in (TURN, SPREAD)))
    apart = _between(*APART, frames) / first[..., 2].clamp(min=1.0)
    beside = [_noisy_places(first, apart, apart) for _ in range(CELLS - 1)]
    places = torch.cat([first, _random_places(heading, half, reach, objects), *beside], dim=1)
    found = there & (torch.rand(there.shape) < _between(LEAST_FOUND, 1.0, frames))
    void = torch.zeros(frames, objects, dtype=torch.bool)
    labels = torch.cat([facts.labels, torch.full((*void.shape, len(DISTRIBUTIONS)), ABSENT)], dim=1)
    values = _predictions(torch.cat([found, void], dim=1), labels) * torch.cat([there, ~void], dim=1)[..., None]
    values = _spread_over_cells(values, there.shape[1])
    chosen = values[..., 1].topk(objects, dim=1).indices[..., None]
    picked = [part.gather(1, chosen.expand(-1, -1, part.shape[-1])) for part in (values, places)]
    flat = torch.where(torch.rand(frames, 1, 1) < FLAT, places.new_tensor([1.0, 0.0, 1.0]), 1.0)
    pooled = _pooled(values, places[..., 0], heading, half, sectors)
    return torch.cat([picked[0], pooled[0]], dim=1), torch.cat([picked[1] * flat, pooled[1]], dim=1)


def _random_places(heading: Tensor, half: Tensor, reach: Tensor, count: int) -> Tensor:
    """Random places [F, count, 3] within the field of view."""
    shape = len(heading), count
    bearing, distance = heading + half * (2 * torch.rand(shape) - 1), 2.0 * (reach / 2.0) ** torch.rand(shape)
    return torch.stack([wrapped(bearing), 0.1 * torch.randn(shape), distance], dim=-1)


def _predictions(found: Tensor, labels: Tensor) -> Tensor:
    """Predictions for candidates, [F, C, TOKEN_WIDTH]: `found` [F, C] are detectable objects."""
    frames = len(found)
    clear = _between(*DETECTION_CLARITY, frames) * (0.5 + torch.rand(found.shape))
    odds = _between(*PRIOR, frames) + torch.where(found, 0.5, -0.5) * clear.square() + clear * torch.randn(found.shape)
    shares = [torch.zeros_like(odds)[..., None], odds.sigmoid()[..., None]]
    for group, label in zip(DISTRIBUTIONS, labels.unbind(-1), strict=True):
        available = torch.rand(frames, 1) >= GROUP_ABSENT[group]
        clear = (available * _between(*CLASS_CLARITY, frames) * (0.5 + torch.rand(found.shape)))[..., None]
        true = label[..., None] == torch.arange(GROUPS[group])
        shares.append((clear.square() * true + clear * torch.randn(true.shape)).softmax(-1))
    return torch.cat(shares, dim=-1)


def _spread_over_cells(values: Tensor, things: int) -> Tensor:
    """Values [F, C, D], extended by the further cells of the first `things`; objectness is spread over the cells of each."""
    one, rest = values.split([things, values.shape[1] - things], dim=1)
    clear = (_between(*CELL_CLARITY, len(one)) * (0.5 + torch.rand(one.shape[:2])))[..., None]
    noise = torch.randn(*one.shape[:2], CELLS)
    shares = (clear.square() * (torch.arange(CELLS) == 0) + clear * noise).softmax(-1)
    first, *further = (torch.cat([one[..., :1], part * one[..., 1:2], one[..., 2:]], dim=-1) for part in shares.split(1, dim=-1))
    return torch.cat([first, rest, *further], dim=1)


def _pooled(values: Tensor, bearings: Tensor, heading: Tensor, half: Tensor, sectors: int) -> tuple[Tensor, Tensor]:
    """Sector tokens: the expected number of objects of each kind, and the bearing of each sector."""
    number = ((wrapped(bearings - heading) / half + 1) / 2 * sectors).long().clamp(0, sectors - 1)
    member = functional.one_hot(number, sectors).to(values.dtype).transpose(1, 2)
    objectness = values[..., 1:2]
    expected = member @ torch.cat([values[..., :1], objectness, objectness * values[..., 2:]], dim=-1)
    looks = wrapped(heading + half * ((2 * torch.arange(sectors) + 1) / sectors - 1))
    return expected, torch.stack([looks, torch.zeros_like(looks), torch.zeros_like(looks)], dim=-1)


def _between(low: float, high: float, frames: int) -> Tensor:
    """A uniform random number for each frame, [F, 1]."""
    return low + (high - low) * torch.rand(frames, 1)


def _noisy_places(places: Tensor, turn: Tensor, spread: Tensor) -> Tensor:
    bearing, elevation, distance = places.unbind(-1)
    bearing, elevation = (part + turn * torch.randn(part.shape) for part in (bearing, elevation))
    return torch.stack([wrapped(bearing), elevation, distance * (spread * torch.randn(distance.shape)).exp()], dim=-1)
