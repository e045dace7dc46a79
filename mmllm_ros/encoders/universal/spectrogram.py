# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Sound of one or more microphones as a log-mel spectrogram and level differences, from which direction can be learned.

Microphones that look to different sides differ in level. Phase differences (SALSA-Lite, arXiv 2111.08192) are of no use between
microphones metres apart: they are ambiguous above about 100 Hz.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

RATE = 16_000
"""Samples a second."""
WINDOW, HOP = 512, 256
LOWEST, HIGHEST = 40.0, 7600.0
"""Hz, of the mel bands."""
QUIETEST = 1e-8
"""Power that is added to a band before the logarithm."""
LEVEL_UNIT = 2.0
"""Natural logarithm of the power ratio that a level difference of 1 stands for, 8.7 dB."""


def channels(microphones: int) -> int:
    """How many maps `audio_features` has."""
    return 1 if microphones == 1 else 1 + microphones


@cache
def mel_bands(bands: int) -> Tensor:
    """Triangular filters [bands, WINDOW // 2 + 1], evenly spaced on the mel scale (2595 log10(1 + f / 700)); each sums to 1."""
    highest, lowest = (2595 * math.log10(1 + edge / 700) for edge in (HIGHEST, LOWEST))
    edges = 700 * (10 ** (torch.linspace(lowest, highest, bands + 2) / 2595) - 1)
    frequencies = torch.linspace(0, RATE / 2, WINDOW // 2 + 1)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp(min=0)
    # A band narrower than a frequency step has the nearest frequency.
    centre = (edges[1:-1, None] - frequencies).abs().argmin(1)
    filters[torch.arange(bands), centre] += (filters.sum(1) == 0).float()
    return filters / filters.sum(1, keepdim=True)


def audio_features(sound: Tensor, bands: int, frames: int) -> Tensor:
    """Sound [M, samples] at RATE -> float32 [channels(M), bands, frames].

    The maps: log-mel, the mean of the microphones; with several, how much louder each is. Of a longer sound the last `frames`
    frames are used; a shorter one has silence before it.
    """
    length = HOP * (frames - 1) + WINDOW
    sound = functional.pad(sound, (max(0, length - sound.shape[1]), 0))[:, -length:]
    spectrum = torch.stft(sound, WINDOW, HOP, window=torch.hann_window(WINDOW), center=False, return_complex=True)
    filters = mel_bands(bands)
    loud = (filters @ spectrum.abs().square() + QUIETEST).log()
    mean = loud.mean(0, keepdim=True)
    # Sounds between -80 and +40 dB of a band come to about -1 to 1.
    maps = [mean / 9.2 + 1.0]
    if len(sound) > 1:
        maps.append(((loud - mean) / LEVEL_UNIT).clamp(-2, 2))
    return torch.cat(maps)
