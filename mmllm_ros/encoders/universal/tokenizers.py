# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizers: one convolution per kind of signal, and the position embedding of its tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import points
from .signals import Layout
from .spectrogram import channels

PATCH = 16
"""Height and width of a patch of an image-like signal [px]."""
SOUND_PATCH = (16, 16)
"""Mel bands and frames of a patch of sound."""
SLICES = {"imu": 16, "array": 8}
"""Tokens of a one-dimensional signal."""


def make_tokenizer(layout: Layout, width: int) -> nn.Module:
    """The tokenizer of a kind other than `image`, which the backbone's own patch embedding reads: [B, ...] -> [B, N, width]."""
    kind, size = layout.kind, layout.size
    if kind in ("depth", "normals"):
        return Patches(nn.Conv2d, {"depth": 2, "normals": 3}[kind], (PATCH, PATCH), size, width)
    if kind == "video":
        return Patches(nn.Conv3d, 3, (size[0], PATCH, PATCH), size, width)
    if kind == "audio":
        return Patches(nn.Conv2d, channels(size[0]), SOUND_PATCH, size[1:], width)
    if kind == "points":
        return PointPatches(size[0], width)
    inputs = 6 if kind == "imu" else size[0]
    return Patches(nn.Conv1d, inputs, (-(-size[-1] // SLICES[kind]),), size[-1:], width)


class Patches(nn.Module):
    """A convolution whose step is its size, over a signal of `size`, which is padded with zeros at its end where it does not
    divide."""

    def __init__(
        self, convolution: type[nn.Module], inputs: int, patch: tuple[int, ...], size: tuple[int, ...], width: int
    ) -> None:
        super().__init__()
        counts = [-(-length // step) for length, step in zip(size, patch, strict=True)]
        missing = [count * step - length for count, step, length in zip(counts, patch, size, strict=True)]
        self.padding = [part for rest in reversed(missing) for part in (0, rest)]
        self.convolution = convolution(inputs, width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn(torch.tensor(counts).prod(), width))

    def forward(self, signal: Tensor) -> Tensor:
        if any(self.padding):
            signal = functional.pad(signal, self.padding)
        return self.convolution(signal).flatten(2).transpose(1, 2) + self.position


class PointPatches(nn.Module):
    """Patches of points (points.py): a linear map of each point, the maximum over the patch, a linear map of the patch (PointNet,
    arXiv 1612.00593)."""

    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.point = nn.Linear(points.FEATURES, width)
        self.patch = nn.Linear(width, width)
        self.position = nn.Parameter(0.02 * torch.randn(patches, width))

    def forward(self, patches: Tensor) -> Tensor:
        return self.patch(functional.gelu(self.point(patches)).amax(2)) + self.position
