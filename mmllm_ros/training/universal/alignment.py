# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Alignment: the tokens of all kinds of signals learn to show the same attributes, by heads that all kinds share.

The paper aligns with captions and an LLM, at a cost that two CPU cores do not have. Here a token shows what is in its sector
(class, colour, range, sound), all tokens together answer each kind of question, and the backbone's features of a view show what
is in each patch. The heads are left behind afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...encoders.proposals import COLOURS
from ...encoders.universal.encoder import UniversalEncoder
from ...encoders.universal.signals import FARTHEST
from ...simulator.questions.signal_questions import KINDS
from ...simulator.signal_moment import AHEAD
from ...simulator.truth import CATEGORIES
from .mirror import mirrored, mirrored_answers, mirrored_targets
from .moments import Moments
from .targets import PATCHES, SOUNDS, TEMPLATES

SHOWS_TOO = {"video": "image"}
"""A clip also answers the questions about its last image."""
UNKNOWN = -1
RAREST = 4.0
"""A rare answer weighs at most this much more than it would without weights."""
SEES_OBJECTS = (*AHEAD[:3], "points")
COLOURED = ("image", "video")
SOMETHING = 5.0
"""Weight of a patch or sector with an object, beside one without."""
LOSSES = {"patches": 1.0, "range": 1.0, "object": 0.5, "colour": 0.5, "sound": 1.0, "motion": 0.5, "answers": 1.0}


def templates_of(modality: str) -> list[int]:
    """The kinds of question that `modality` answers."""
    named = {modality, SHOWS_TOO.get(modality, modality)}
    return [number for number, name in enumerate(TEMPLATES) if named & set(KINDS[name].needs)]


@dataclass
class Labels:
    """Answers as numbers: `names` of the answers of each template, `plain` and `mirrored` [N, templates], UNKNOWN where there is
    none, and `weights` [templates, answers], which make the answers of a template count alike."""

    names: list[list[str]]
    plain: Tensor
    mirrored: Tensor
    weights: Tensor

    @classmethod
    def of(cls, answers: Sequence[Sequence[str | None]], names: list[list[str]] | None = None) -> Labels:
        """From the answers of moments; `names` of the training moments for other moments."""
        flipped = [mirrored_answers(list(row)) for row in answers]
        if names is None:
            columns = [{row[n] for row in (*answers, *flipped)} - {None} for n in range(len(TEMPLATES))]
            names = [sorted(column) for column in columns]
        numbers = [{name: n for n, name in enumerate(column)} for column in names]

        def table(rows: Sequence[Sequence[str | None]]) -> Tensor:
            return torch.tensor([[numbers[n].get(answer, UNKNOWN) for n, answer in enumerate(row)] for row in rows])

        plain = table(answers)
        weights = torch.zeros(len(names), max(len(column) for column in names))
        for template, column in enumerate(names):
            counts = torch.bincount(plain[:, template].clamp(min=0) + (plain[:, template] == UNKNOWN) * 1000, minlength=1001)
            counts = counts[: len(column)].float()
            weights[template, : len(column)] = (counts.sum() / (len(column) * counts.clamp(min=1))).clamp(max=RAREST)
        return cls(names, plain, table(flipped), weights)


class Alignment(nn.Module):
    """The universal encoder with the heads that align it."""

    def __init__(self, encoder: UniversalEncoder, answers: Sequence[int]) -> None:
        """`answers`: how many answers each of TEMPLATES has."""
        super().__init__()
        width = encoder.token_width
        self.encoder = encoder
        self.object, self.colour = nn.Linear(width, 1 + len(CATEGORIES)), nn.Linear(width, 1 + len(COLOURS))
        self.patch_object, self.patch_colour = nn.Linear(width, 1 + len(CATEGORIES)), nn.Linear(width, 1 + len(COLOURS))
        self.patch_range = nn.Linear(width, 1)
        self.sound, self.motion = nn.Linear(width, len(SOUNDS)), nn.Linear(width, 3)
        self.look = nn.Parameter(torch.randn(len(answers), width) / width**0.5)
        self.answer = nn.Parameter(torch.zeros(len(answers), max(answers), width))
        self.prior = nn.Parameter(torch.zeros(len(answers), max(answers)))
        beyond = torch.arange(max(answers))[None] >= torch.tensor(list(answers))[:, None]
        self.register_buffer("beyond", beyond)

    def answer_logits(self, values: Tensor) -> Tensor:
        """Tokens [B, P, W] -> logits [B, templates, answers]: each template weighs the tokens by its own query."""
        share = torch.einsum("bpw,tw->btp", values, self.look).softmax(-1)
        logits = torch.einsum("btw,taw->bta", share @ values, self.answer) + self.prior
        return logits.float().masked_fill(self.beyond, -torch.inf)

    def patch_loss(self, modality: str, features: Tensor, targets: dict[str, Tensor]) -> Tensor:
        """The loss of the backbone's features [B, N, W] of a signal of the camera's view: its last tokens are the patches."""
        wanted = {name: targets[name].flatten(1) for name in PATCHES}
        features = features[:, -wanted["patch_range"].shape[1] :]
        loss = found_loss(self.patch_object(features), wanted["patch_object"])
        if modality in COLOURED:
            loss = loss + found_loss(self.patch_colour(features), wanted["patch_colour"])
        scale = math.log1p(FARTHEST)
        off = self.patch_range(features).squeeze(-1).float() - wanted["patch_range"].clamp(max=FARTHEST).log1p() / scale
        apart = functional.smooth_l1_loss(off, torch.zeros_like(off), beta=0.05, reduction="none")
        return loss + 10 * (apart * (wanted["patch_range"] > 0)).mean()

    def losses(self, modality: str, values: Tensor, places: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses of one modality's tokens [B, P, W] by name."""
        area, found = "ahead" if modality in AHEAD else "around", {}
        if modality not in ("audio", "imu"):
            wanted = targets["around_clearance" if modality == "array" else f"{area}_range"]
            off = (places[..., 2].log1p() - wanted.clamp(max=FARTHEST).log1p()) / math.log1p(FARTHEST)
            apart = functional.smooth_l1_loss(off, torch.zeros_like(off), beta=0.05, reduction="none")
            found["range"] = 10 * (apart * (wanted > 0)).mean()
        if modality in SEES_OBJECTS:
            found["object"] = found_loss(self.object(values), targets[f"{area}_object"])
        if modality in COLOURED:
            found["colour"] = found_loss(self.colour(values), targets["ahead_colour"])
        if modality == "audio":
            found["sound"] = 5 * functional.binary_cross_entropy_with_logits(self.sound(values).float(), targets["around_sound"])
        if modality in ("imu", "video"):
            found["motion"] = functional.smooth_l1_loss(self.motion(values.mean(1)).float(), targets["motion"])
        return found

    def answer_loss(self, modality: str, values: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, float]:
        """Loss of the answers that `modality` gives, and the share that is right."""
        chosen = templates_of(modality)
        logits, labels = self.answer_logits(values)[:, chosen], labels[:, chosen]
        row, column = (labels != UNKNOWN).nonzero(as_tuple=True)
        wanted = labels[row, column]
        each = functional.cross_entropy(logits[row, column], wanted, reduction="none")
        weight = weights[torch.tensor(chosen)[column], wanted]
        right = (logits[row, column].argmax(-1) == wanted).float().mean().item()
        return (each * weight).sum() / weight.sum(), right


def found_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of logits [B, P, C] where class 0 is "nothing here", of which there is much more."""
    each = functional.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), reduction="none")
    weight = torch.where(wanted.flatten() > 0, SOMETHING, 1.0)
    return (each * weight).sum() / weight.sum()


@dataclass
class Batches:
    """Draws moments of a step and computes the loss of the modalities in `shares`, which are drawn that often (replay)."""

    alignment: Alignment
    moments: Moments
    labels: Labels
    shares: dict[str, float]
    size: int
    modalities: int

    def __call__(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        names = list(self.shares)
        chance = np.array(list(self.shares.values()))
        chosen = rng.choice(names, min(self.modalities, len(names)), replace=False, p=chance / chance.sum())
        total, numbers = torch.zeros(()), {}
        for modality in chosen:
            rows = torch.from_numpy(rng.choice(len(self.moments), self.size, replace=False))
            loss, parts = self.loss(modality, rows, rng.random() < 0.5)
            total = total + loss / len(chosen)
            numbers |= {f"{modality} right": parts["right"]}
        return total, {"right": float(np.mean(list(numbers.values())))}

    def loss(self, modality: str, rows: Tensor, flip: bool) -> tuple[Tensor, dict[str, float]]:
        """The loss of one modality in the moments `rows`."""
        tensors, targets = self.moments.batch(modality, rows), {n: t[rows] for n, t in self.moments.targets.items()}
        if flip:
            tensors, targets = mirrored(self.alignment.encoder.layout(modality).kind, tensors), mirrored_targets(targets)
        labels = (self.labels.mirrored if flip else self.labels.plain)[rows]
        features = self.alignment.encoder.features(modality, tensors)
        values, places = self.alignment.encoder.project(modality, features, self.moments.view(modality, rows))
        losses = self.alignment.losses(modality, values, places, targets)
        if modality in AHEAD and features.requires_grad:
            losses["patches"] = self.alignment.patch_loss(modality, features, targets)
        losses["answers"], right = self.alignment.answer_loss(modality, values, labels, self.labels.weights)
        return sum(LOSSES[name] * value for name, value in losses.items()), {"right": right}
