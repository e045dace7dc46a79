# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Kinds of signals: what a sensor delivers, its bounds, and the tensor that a tokenizer reads.

kind     `data` of a Signal                                      tensor of `to_tensor`, float32
image    uint8 [3, H, W], RGB                                    [3, h, w], -1 to 1
video    uint8 [T, 3, H, W], RGB, oldest first                   [3, t, h, w], -1 to 1
depth    float [1, H, W], REP-118 metres, 0 or NaN = missing      [2, h, w]: log range, present
normals  float [3, H, W], unit vectors in REP-103 axes, 0 = none [3, h, w]
points   float [N, 3 or 4], x y z [m], intensity 0 to 1          [patches, points, 8] (points.py)
audio    float [M, samples], M microphones, 16 kHz, -1 to 1      [1 + M, bands, frames] (spectrogram.py)
imu      float [L, 6], specific force [m/s^2], angular velocity  [6, l]
         [rad/s], evenly spaced in time
array    float [C, L] of a fixed layout                          [C, l]: (x - offset) / scale
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...datatypes import GRAVITY, BadInput, Signal
from .points import point_patches
from .spectrogram import audio_features

KINDS = ("image", "video", "depth", "normals", "points", "audio", "imu", "array")
FARTHEST = 100.0
"""Ranges [m] are on a logarithmic scale up to this one."""
LARGEST = 8_000_000
"""A signal with more numbers is refused."""
SIZES = {"image": 2, "video": 3, "depth": 2, "normals": 2, "points": 2, "audio": 3, "imu": 1, "array": 2}
IMU_SCALE = (2.0, 2.0, 2.0, 0.3, 0.3, 0.3)


@dataclass(frozen=True, slots=True)
class Layout:
    """The kind of a modality's signals and the size that they are brought to.

    `size`: image, depth, normals (h, w); video (t, h, w); points (patches, points of a patch); audio (microphones, mel bands,
    frames); imu (samples,); array (channels, samples). `offset` and `scale` normalize an array.
    """

    kind: str
    size: tuple[int, ...]
    offset: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"kind of signal {self.kind!r} is not one of {list(KINDS)}")
        if len(self.size) != SIZES[self.kind] or not all(isinstance(n, int) and 1 <= n <= 65_536 for n in self.size):
            raise BadInput(f"size {list(self.size)} of {self.kind} signals is not {SIZES[self.kind]} whole numbers of 1 to 65536")
        if not (math.isfinite(self.offset) and math.isfinite(self.scale) and self.scale > 0):
            raise BadInput(
                f"offset {self.offset} and scale {self.scale} of {self.kind} signals must be finite, the scale positive"
            )

    @classmethod
    def of(cls, settings: Mapping) -> Layout:
        """From a mapping such as `to_settings` gives. Raises BadInput."""
        try:
            return cls(**{**settings, "size": tuple(settings["size"])})
        except (TypeError, KeyError) as error:
            raise BadInput(f"layout {dict(settings)!r} of a signal cannot be used: {error}") from error

    def to_settings(self) -> dict:
        return {**asdict(self), "size": list(self.size)}

    def to_tensor(self, signal: Signal) -> Tensor:
        """The normalized tensor of one signal. Raises BadInput for another number of dimensions or channels, values that are not
        finite, and a signal that is empty or too large."""
        data, where = np.asarray(signal.data), f"{self.kind} signal of {signal.source}"
        if not 0 < data.size <= LARGEST:
            raise BadInput(f"{where} has {data.size} numbers, not 1 to {LARGEST}")
        return _READERS[self.kind](data, self, where)


def _expect(data: np.ndarray, where: str, *shape: int | tuple[int, ...] | None) -> None:
    """Check the shape of `data`: None = any length, a tuple = one of these. Raises BadInput."""
    fits = data.ndim == len(shape) and all(
        wanted is None or length in (wanted if isinstance(wanted, tuple) else (wanted,))
        for length, wanted in zip(data.shape, shape, strict=True)
    )
    if not fits:
        raise BadInput(f"{where} has shape {list(data.shape)}, not {['any' if n is None else n for n in shape]}")


def _finite(data: np.ndarray, where: str, bound: float) -> Tensor:
    values = np.ascontiguousarray(data, np.float32)
    if not np.isfinite(values).all() or np.abs(values).max() > bound:
        raise BadInput(f"{where} has a value that is not finite or larger than {bound:g}")
    return torch.from_numpy(values)


def _pixels(data: np.ndarray, where: str) -> Tensor:
    if data.dtype != np.uint8:
        raise BadInput(f"{where} has numbers of type {data.dtype}, not uint8")
    return torch.from_numpy(np.ascontiguousarray(data)).float() / 127.5 - 1.0


def _resized(maps: Tensor, size: tuple[int, ...], mode: str = "area") -> Tensor:
    """Maps [B, C, H, W] brought to height and width `size`."""
    return maps if maps.shape[-2:] == torch.Size(size) else functional.interpolate(maps, size, mode=mode)


def _image(data: np.ndarray, layout: Layout, where: str) -> Tensor:
    _expect(data, where, 3, None, None)
    return _resized(_pixels(data, where)[None], layout.size)[0]


def _video(data: np.ndarray, layout: Layout, where: str) -> Tensor:
    _expect(data, where, None, 3, None, None)
    frames = np.linspace(0, len(data) - 1, layout.size[0]).round().astype(int)
    return _resized(_pixels(data[frames], where), layout.size[1:]).transpose(0, 1).contiguous()


def _depth(data: np.ndarray, layout: Layout, where: str) -> Tensor:
    _expect(data, where, 1, None, None)
    known = np.isfinite(data) & (data > 0)
    ranges = _finite(np.where(known, data, 0.0), where, 1e6)
    # The nearest of the pixels that become one: a mean over an edge is a range at which there is nothing.
    scaled = torch.where(ranges > 0, ranges.log1p() / math.log1p(FARTHEST), 2.0)[None]
    scaled = -functional.adaptive_max_pool2d(-scaled, layout.size)[0]
    present = (scaled < 2.0).float()
    return torch.cat([scaled.clamp(max=1.2) * present, present])


def _normals(data: np.ndarray, layout: Layout, where: str) -> Tensor:
    _expect(data, where, 3, None, None)
    return _resized(_finite(data, where, 1.01)[None], layout.size)[0]


def _points(data: np.ndarray, layout: Layout, where: str) -> Tensor:
    _expect(data, where, None, (3, 4))
    points = _finite(data, where, 1e6)
    return point_patches(points, *layout.size)


def _audio(data: np.ndarray, layout: Layout, where: str) -> Tensor:
    microphones, bands, frames = layout.size
    _expect(data, where, microphones, None)
    return audio_features(_finite(data, where, 1e3), bands, frames)


def _imu(data: np.ndarray, layout: Layout, where: str) -> Tensor:
    _expect(data, where, None, 6)
    samples = _finite(data, where, 1e5)
    still = samples.new_tensor([0.0, 0.0, GRAVITY, 0.0, 0.0, 0.0])
    return _sampled(((samples - still) / samples.new_tensor(IMU_SCALE)).T, layout.size[0]).clamp(-20, 20)


def _array(data: np.ndarray, layout: Layout, where: str) -> Tensor:
    channels, samples = layout.size
    _expect(data, where, channels, None)
    return _sampled((_finite(data, where, 1e6) - layout.offset) / layout.scale, samples).clamp(-20, 20)


def _sampled(rows: Tensor, samples: int) -> Tensor:
    """Rows [C, L] brought to `samples` of each."""
    if rows.shape[1] == samples:
        return rows.contiguous()
    return functional.interpolate(rows[None], samples, mode="linear", align_corners=True)[0]


_READERS = {
    "image": _image,
    "video": _video,
    "depth": _depth,
    "normals": _normals,
    "points": _points,
    "audio": _audio,
    "imu": _imu,
    "array": _array,
}
