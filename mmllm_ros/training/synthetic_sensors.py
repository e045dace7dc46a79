# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sensors that nobody has built yet: what they would read of true scenes, each frame by another one.

A sensor hears each fact through Gaussian noise and reads how likely is what. One of clearness a has, for each thing that a fact
may be, a log-likelihood of a times unit noise, and a squared more for what is true; their softmax is just as sure as it is right.
Clearness 0 tells nothing.
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
from ..encoders.proposals import ATTRIBUTES, CLASSES, COLOURS, GROUPS, SHARES, STATUSES
from ..rig import Rig
from ..simulator.questions.scene_graph import most_seen
from ..simulator.truth import SceneTruth
from .targets import ABSENT, MIN_LIGHT_PIXELS, MIN_PIXELS, MIN_RETURNS, label_of

TOKEN_WIDTH = 1 + ATTRIBUTES
"""Read-outs, and one number that says nothing: a token needs a feature."""
OBJECTS, SECTORS = (12, 48), (4, 16)
"""So many tokens an imagined encoder has."""
REACH, WIDTH = (20.0, 60.0), (0.4, math.pi)
"""How far it sees [m], and how far to each side [rad]."""
FINDS, READS = (2.0, 7.0), (1.0, 7.0)
"""How clearly it tells an object from none, and what kind it is; each thing half to one and a half times as clearly."""
PRIOR = -2.5, 0.5
"""Log odds that it expects an object with."""
UNREAD = {"class": 1 / 8, "status": 1 / 4, "colour": 1 / 2}
"""How often it does not read a group at all."""
ALL_AROUND, SEES_LIGHTS, FLAT = 0.5, 0.3, 0.5
"""How often it has no edge, sees traffic lights, knows no elevation."""
LEAST_FOUND = 0.7
"""The share of objects that the worst finds."""
CELLS, PARTED = 4, (0.5, 5.0)
"""An object lies in one of so many cells; so clearly a sensor tells in which."""
APART = 0.3, 1.5
"""How far the cells lie from each other [m]."""
TURN, SPREAD = math.radians(3.0), 0.1
"""So much the worst err [rad, natural logarithm of the range]."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is in F frames of at most O things: `there` bool [F, O], `places` [F, O, 3], `lights` bool [F, O] are traffic
    lights, `labels` int64 [F, O, 3] of each of SHARES, ABSENT where that does not apply."""

    there: Tensor
    places: Tensor
    lights: Tensor
    labels: Tensor

    @classmethod
    def of(cls, truths: Sequence[SceneTruth], rig: Rig) -> Facts:
        """What any sensor can see, asked about or not."""
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
    """Values [F, T, TOKEN_WIDTH] and places [F, T, 3], as proposals.py makes them, of sensors that see `facts`."""
    objects, sectors = (int(rng.integers(low, high + 1)) for low, high in (OBJECTS, SECTORS))
    frames = len(facts.there)
    reach, heading = _between(*REACH, frames), _between(-math.pi, math.pi, frames)
    half = torch.where(torch.rand(frames, 1) < ALL_AROUND, math.pi, _between(*WIDTH, frames))
    there = facts.there & (facts.places[..., 2] <= reach) & (wrapped(facts.places[..., 0] - heading).abs() <= half)
    there &= ~facts.lights | (torch.rand(frames, 1) < SEES_LIGHTS)
    # What competes for tokens: the cells of things, and places where nothing is, of which there are always enough.
    first = _blurred(facts.places, *(worst * torch.rand(frames, 1).square() for worst in (TURN, SPREAD)))
    apart = _between(*APART, frames) / first[..., 2].clamp(min=1.0)
    beside = [_blurred(first, apart, apart) for _ in range(CELLS - 1)]
    places = torch.cat([first, _anywhere(heading, half, reach, objects), *beside], dim=1)
    found = there & (torch.rand(there.shape) < _between(LEAST_FOUND, 1.0, frames))
    void = torch.zeros(frames, objects, dtype=torch.bool)
    labels = torch.cat([facts.labels, torch.full((*void.shape, len(SHARES)), ABSENT)], dim=1)
    values = _read(torch.cat([found, void], dim=1), labels) * torch.cat([there, ~void], dim=1)[..., None]
    values = _parted(values, there.shape[1])
    chosen = values[..., 1].topk(objects, dim=1).indices[..., None]
    picked = [part.gather(1, chosen.expand(-1, -1, part.shape[-1])) for part in (values, places)]
    flat = torch.where(torch.rand(frames, 1, 1) < FLAT, places.new_tensor([1.0, 0.0, 1.0]), 1.0)
    pooled = _pooled(values, places[..., 0], heading, half, sectors)
    return torch.cat([picked[0], pooled[0]], dim=1), torch.cat([picked[1] * flat, pooled[1]], dim=1)


def _anywhere(heading: Tensor, half: Tensor, reach: Tensor, count: int) -> Tensor:
    """Places [F, count, 3] within a field of view."""
    shape = len(heading), count
    bearing, distance = heading + half * (2 * torch.rand(shape) - 1), 2.0 * (reach / 2.0) ** torch.rand(shape)
    return torch.stack([wrapped(bearing), 0.1 * torch.randn(shape), distance], dim=-1)


def _read(found: Tensor, labels: Tensor) -> Tensor:
    """What is read of candidates, [F, C, TOKEN_WIDTH]: `found` [F, C] are objects that the sensor can see."""
    frames = len(found)
    clear = _between(*FINDS, frames) * (0.5 + torch.rand(found.shape))
    odds = _between(*PRIOR, frames) + torch.where(found, 0.5, -0.5) * clear.square() + clear * torch.randn(found.shape)
    shares = [torch.zeros_like(odds)[..., None], odds.sigmoid()[..., None]]
    for group, label in zip(SHARES, labels.unbind(-1), strict=True):
        told = torch.rand(frames, 1) >= UNREAD[group]
        clear = (told * _between(*READS, frames) * (0.5 + torch.rand(found.shape)))[..., None]
        true = label[..., None] == torch.arange(GROUPS[group])
        shares.append((clear.square() * true + clear * torch.randn(true.shape)).softmax(-1))
    return torch.cat(shares, dim=-1)


def _parted(values: Tensor, things: int) -> Tensor:
    """Values [F, C, D] of which the first `things`, whose cell has the middle, tell of further cells, too, put behind."""
    one, rest = values.split([things, values.shape[1] - things], dim=1)
    clear = (_between(*PARTED, len(one)) * (0.5 + torch.rand(one.shape[:2])))[..., None]
    noise = torch.randn(*one.shape[:2], CELLS)
    shares = (clear.square() * (torch.arange(CELLS) == 0) + clear * noise).softmax(-1)
    first, *further = (torch.cat([one[..., :1], part * one[..., 1:2], one[..., 2:]], dim=-1) for part in shares.split(1, dim=-1))
    return torch.cat([first, rest, *further], dim=1)


def _pooled(values: Tensor, bearings: Tensor, heading: Tensor, half: Tensor, sectors: int) -> tuple[Tensor, Tensor]:
    """Sector tokens: the expected number of objects of each kind, and where each sector looks."""
    number = ((wrapped(bearings - heading) / half + 1) / 2 * sectors).long().clamp(0, sectors - 1)
    member = functional.one_hot(number, sectors).to(values.dtype).transpose(1, 2)
    objectness = values[..., 1:2]
    expected = member @ torch.cat([values[..., :1], objectness, objectness * values[..., 2:]], dim=-1)
    looks = wrapped(heading + half * ((2 * torch.arange(sectors) + 1) / sectors - 1))
    return expected, torch.stack([looks, torch.zeros_like(looks), torch.zeros_like(looks)], dim=-1)


def _between(low: float, high: float, frames: int) -> Tensor:
    """A number for each frame, [F, 1]."""
    return low + (high - low) * torch.rand(frames, 1)


def _blurred(places: Tensor, turn: Tensor, spread: Tensor) -> Tensor:
    bearing, elevation, distance = places.unbind(-1)
    bearing, elevation = (part + turn * torch.randn(part.shape) for part in (bearing, elevation))
    return torch.stack([wrapped(bearing), elevation, distance * (spread * torch.randn(distance.shape)).exp()], dim=-1)
