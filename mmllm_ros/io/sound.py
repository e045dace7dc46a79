# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Raw PCM and WAV -> sound at 16 kHz, and the latest seconds of a stream."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from ..datatypes import NANOSECONDS, BadInput, one_line

RATE = 16_000
"""Samples a second that everything is brought to."""
WINDOW = 2.1
"""Length of the sound that is encoded [s]."""
SHORTEST = 2.0
"""Less sound [s] is not encoded: the encoder was trained with WINDOW of it."""
ENCODINGS = {"U8": "u1", "S16LE": "<i2", "S16BE": ">i2", "S32LE": "<i4", "F32LE": "<f4"}
"""Sample formats, named as in audio_common_msgs/AudioInfo; samples of the channels alternate."""
MAX_CHANNELS, MAX_RATE, MAX_BYTES, MAX_GAP = 16, 192_000, 16_000_000, 0.5


def decode_pcm(data, encoding: str, channels: int) -> np.ndarray:
    """Bytes of interleaved samples -> float32 [channels, samples] in -1 to 1. Raises BadInput."""
    if encoding not in ENCODINGS:
        raise BadInput(f"audio encoding {str(encoding)[:40]!r} is not one of {', '.join(ENCODINGS)}")
    kind, given = np.dtype(ENCODINGS[encoding]), memoryview(data).nbytes
    if given > MAX_BYTES:
        raise BadInput(f"audio message of {given} bytes, more than {MAX_BYTES}")
    if given % (kind.itemsize * channels):
        raise BadInput(f"audio message of {given} bytes is no whole number of samples: {channels} channels of {encoding}")
    samples = np.frombuffer(data, kind).reshape(-1, channels).T
    if kind.kind == "u":
        return np.ascontiguousarray((samples.astype(np.float32) - 128.0) / 128.0)
    if kind.kind == "i":
        return np.ascontiguousarray(samples.astype(np.float32) / float(2 ** (8 * kind.itemsize - 1)))
    if not np.isfinite(samples).all():
        raise BadInput("audio message holds samples that are not finite")
    return np.ascontiguousarray(np.clip(samples, -1.0, 1.0), np.float32)


def encode_pcm(sound: np.ndarray) -> bytes:
    """Sound [channels, samples] in -1 to 1 -> interleaved S16LE."""
    return (np.clip(sound, -1.0, 1.0) * 32767.0).round().astype("<i2").T.tobytes()


def resampled(sound: np.ndarray, rate: int) -> np.ndarray:
    """Sound [channels, samples] at `rate` -> at RATE, by the spectrum, so that higher tones do not fold back."""
    if rate == RATE or sound.shape[1] < 2:
        return sound
    count = max(1, round(sound.shape[1] * RATE / rate))
    spectrum = np.fft.rfft(sound)
    kept = np.zeros((len(sound), count // 2 + 1), spectrum.dtype)
    shared = min(kept.shape[1], spectrum.shape[1])
    kept[:, :shared] = spectrum[:, :shared]
    return (np.fft.irfft(kept, count) * (count / sound.shape[1])).astype(np.float32)


class SoundBuffer:
    """The last WINDOW seconds of a stream of `channels` at `rate` [Hz]. Raises BadInput for settings out of range."""

    def __init__(self, rate: int, channels: int, encoding: str) -> None:
        if not (1 <= channels <= MAX_CHANNELS and 1000 <= rate <= MAX_RATE):
            raise BadInput(f"audio of {channels} channels at {rate} Hz: not 1 to {MAX_CHANNELS} at 1000 to {MAX_RATE}")
        self._rate, self._channels, self._encoding = rate, channels, encoding
        self._size = round(WINDOW * rate)
        self._sound = np.zeros((channels, 0), np.float32)
        self._end = 0

    def push(self, stamp: int, data) -> None:
        """Append a message whose last sample is of `stamp` [ns]. After a gap or a jump back only this message is kept."""
        fresh = decode_pcm(data, self._encoding, self._channels)
        missing = (stamp - self._end) / NANOSECONDS - fresh.shape[1] / self._rate
        if missing > MAX_GAP or stamp < self._end:
            self.clear()
        self._sound = np.concatenate([self._sound, fresh], axis=1)[:, -self._size :]
        self._end = stamp

    def clear(self) -> None:
        """Remove all sound."""
        self._sound, self._end = self._sound[:, :0], 0

    def window(self, shortest: float = SHORTEST) -> tuple[int, np.ndarray] | None:
        """The stamp of the last sample and the sound at RATE, float32 [channels, samples]; None while it is too short."""
        if self._sound.shape[1] < shortest * self._rate:
            return None
        return self._end, resampled(self._sound, self._rate)


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """A WAV file of 8, 16 or 32 bits: sound float32 [channels, samples], and its rate [Hz]. Raises BadInput."""
    kinds = {1: "U8", 2: "S16LE", 4: "S32LE"}
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, count = file.getparams()[:4]
            if width not in kinds or not (1 <= channels <= MAX_CHANNELS and 1000 <= rate <= MAX_RATE):
                raise BadInput(f"{path} has {channels} channels of {width} bytes at {rate} Hz, which cannot be read")
            if count * channels * width > 64 * MAX_BYTES:
                raise BadInput(f"{path} holds {count} samples, more than can be read at once")
            return _decoded(file.readframes(count), kinds[width], channels), rate
    except (OSError, EOFError, wave.Error) as error:
        raise BadInput(f"{path} is no WAV file that can be read: {one_line(error)}") from error


def _decoded(data: bytes, encoding: str, channels: int) -> np.ndarray:
    parts = [decode_pcm(data[i : i + MAX_BYTES], encoding, channels) for i in range(0, len(data), MAX_BYTES)]
    return np.concatenate(parts, axis=1) if parts else np.zeros((channels, 0), np.float32)
