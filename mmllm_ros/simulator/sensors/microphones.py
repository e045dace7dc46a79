# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated microphones at the corners of the vehicle: sources by distance, delay and Doppler shift, wind, rain and noise.

Each source is synthesized once, over the time at which its sound leaves it. A microphone hears it later by distance over the
speed of sound, so delays between microphones and the Doppler shift follow from the geometry. The level falls with distance and by
the pattern of the microphone, which the body shadows from behind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..truth import Weather
from ..world.sounds import HONK_PERIOD, MIDDLE, SoundSource

RATE = 16_000
SECONDS = 2.1
SAMPLES = int(RATE * SECONDS)
FULL_SCALE = 108.0
"""Sound pressure level [dB] of a wave with an RMS of 1."""

_SPEED_OF_SOUND = 343.0
_LEAD = 0.3  # [s] of emission before the window: a source at 100 m is heard so late
_TABLE = SAMPLES + int(_LEAD * RATE)
_FLOOR, _BACK = 30.0, 0.16  # [dB] of the electronics, and the gain of a microphone towards its back
_FREQUENCIES = np.fft.rfftfreq(SAMPLES, 1.0 / RATE)


@dataclass(frozen=True, slots=True)
class Microphone:
    """x, y, z [m] and the bearing [rad] of its axis, in the base frame."""

    x: float
    y: float
    z: float
    bearing: float


def microphones(count: int = 4) -> tuple[Microphone, ...]:
    """Layouts: 2 = left, right; 3 = front left, front right, back; 4 = front left, front right, back left, back right."""
    corner = math.pi / 4
    layouts = {
        2: ((MIDDLE, 0.95, math.pi / 2), (MIDDLE, -0.95, -math.pi / 2)),
        3: ((3.6, 0.8, corner), (3.6, -0.8, -corner), (-0.9, 0.0, math.pi)),
        4: ((3.6, 0.8, corner), (3.6, -0.8, -corner), (-0.8, 0.8, 3 * corner), (-0.8, -0.8, -3 * corner)),
    }
    return tuple(Microphone(x, y, 0.9, bearing) for x, y, bearing in layouts[count])


@dataclass(frozen=True, slots=True)
class Recording:
    """`wave` float32 [microphones, SAMPLES] in [-1, 1], the newest sample last; `clearness` [dB] of each source: its level over
    everything else, at the microphone where it is loudest; `rain`, `wind` [dB] likewise."""

    wave: np.ndarray
    clearness: tuple[float, ...]
    rain: float
    wind: float


def record(
    sources: Sequence[SoundSource],
    layout: Sequence[Microphone],
    weather: Weather,
    speed: float,
    rng: np.random.Generator,
    clock: float | None = None,
) -> Recording:
    """The last SECONDS before now: positions and velocities of the sources are those of now. `speed` [m/s] of the ego vehicle.

    With the time of the drive, `clock` [s], sources go on where they were at an earlier time, so that pieces make one sound.
    """
    count = len(layout)
    powers, total = [], np.zeros((count, SAMPLES))
    for source in sources:
        steady = None if clock is None else np.random.default_rng(int(1e6 * source.variant) + source.identifier)
        heard = _received(source, layout, _emitted(source, steady or rng, clock))
        powers.append((heard**2).mean(1))
        total += heard
    rain = _noise(_rain_shape(), _pressure(66.0) * weather.rain, count, rng, clock) * _patter(weather, count, rng)
    wind = _noise(_wind_shape(), _pressure(38.0 + 26.0 * math.log10(max(speed, 1.0))), count, rng, clock)
    engine = _engine(0.37, speed, False, rng if clock is None else np.random.default_rng(0), clock)
    own = np.tile(engine[-SAMPLES:] * _pressure(54.0 + 0.6 * speed), (count, 1))
    floor = rng.standard_normal((count, SAMPLES)) * _pressure(_FLOOR)
    rain_power, wind_power = (rain**2).mean(1), (wind**2).mean(1)
    total += rain + wind + own + floor
    power = (total**2).mean(1)

    def over_rest(part: np.ndarray) -> float:
        return float(10 * np.log10(np.maximum(part, 1e-14) / np.maximum(power - part, 1e-12)).max())

    wave = np.clip(total, -1.0, 1.0).astype(np.float32)
    return Recording(wave, tuple(over_rest(part) for part in powers), over_rest(rain_power), over_rest(wind_power))


def _pressure(level: float) -> float:
    """RMS of a wave with a sound pressure level [dB]."""
    return 10 ** ((level - FULL_SCALE) / 20)


def _received(source: SoundSource, layout: Sequence[Microphone], table: np.ndarray) -> np.ndarray:
    """What each microphone receives, [microphones, SAMPLES]; `table` is the emitted wave with an RMS of 1."""
    # The geometry changes slowly, so it is computed for one sample in 240 and interpolated.
    samples = np.arange(SAMPLES)
    knots = np.linspace(0, SAMPLES - 1, 141)
    since = (knots - SAMPLES + 1) / RATE
    heard = np.empty((len(layout), SAMPLES))
    for number, microphone in enumerate(layout):
        x = source.position[0] - microphone.x + source.velocity[0] * since
        y = source.position[1] - microphone.y + source.velocity[1] * since
        distance = np.sqrt(x * x + y * y + (source.position[2] - microphone.z) ** 2 + 0.25)
        place = np.interp(samples, knots, (since - distance / _SPEED_OF_SOUND) * RATE + (_TABLE - 1))
        np.clip(place, 0.0, _TABLE - 2.0, out=place)
        index = place.astype(np.int64)
        wave = table[index]
        wave += (place - index) * (table[index + 1] - wave)
        forward = (x * math.cos(microphone.bearing) + y * math.sin(microphone.bearing)) / distance
        heard[number] = wave * np.interp(samples, knots, (_BACK + (1 - _BACK) * 0.5 * (1 + forward)) / distance)
    return heard * _pressure(source.level)


def _emitted(source: SoundSource, rng: np.random.Generator, clock: float | None = None) -> np.ndarray:
    """The wave that a source emits, [_TABLE], with an RMS of 1 while it sounds; the end of the table is now."""
    time = np.arange(_TABLE) / RATE + (rng.uniform(0.0, 30.0) if clock is None else clock - _TABLE / RATE)
    if source.kind == "siren":
        return _siren(source.variant, time)
    if source.kind == "horn":
        return _horn(source.variant, rng, time if clock is not None else None)
    if source.kind == "reversing beeper":
        on = np.mod(time, 1.0) < 0.5
        return 1.4 * np.sin(2 * math.pi * (1000 + 400 * source.variant) * time) * on
    if source.kind == "footsteps":
        return _footsteps(source.variant, rng, clock)
    return _engine(source.variant, source.speed, source.level > 80.0, rng, clock)


def _siren(variant: float, time: np.ndarray) -> np.ndarray:
    if variant < 0.4:  # two tones, one after the other
        low = np.mod(time, 1.4) < 0.7
        phase = 2 * math.pi * np.cumsum(np.where(low, 440.0, 585.0)) / RATE
    else:  # wail and yelp
        period = 4.0 if variant < 0.75 else 0.35
        sweep = 0.5 - 0.5 * np.cos(2 * math.pi * time / period)
        phase = 2 * math.pi * np.cumsum(600.0 + 800.0 * sweep) / RATE
    return np.sin(phase) + 0.6 * np.sin(2 * phase) + 0.35 * np.sin(3 * phase)


def _horn(variant: float, rng: np.random.Generator, clock: np.ndarray | None = None) -> np.ndarray:
    time = np.arange(_TABLE) / RATE if clock is None else np.mod(clock, HONK_PERIOD)
    base = 330.0 + 120.0 * variant
    wave = sum(
        np.sin(2 * math.pi * tone * k * time + rng.uniform(0, 6.3)) / k for tone in (base, 1.26 * base) for k in (1, 2, 3, 4, 5)
    )
    length = rng.uniform(0.4, 1.2)
    start = rng.uniform(_LEAD, _LEAD + SECONDS - length)  # after the start of the table, or of a period of the clock
    return 0.8 * wave * np.clip((time - start) / 0.03, 0, 1) * np.clip((start + length - time) / 0.05, 0, 1)


def _footsteps(variant: float, rng: np.random.Generator, clock: float | None = None) -> np.ndarray:
    steps = np.zeros(_TABLE)
    time = np.arange(int(0.08 * RATE)) / RATE
    period = 0.5 + 0.12 * variant
    first = rng.uniform(0, 0.6) if clock is None else (_TABLE / RATE - clock) % period
    for start in np.arange(first, _TABLE / RATE - 0.09, period):
        thud = np.sin(2 * math.pi * 110 * time) * np.exp(-time / 0.015) + 0.7 * rng.standard_normal(len(time)) * np.exp(
            -time / 0.008
        )
        begin = int(start * RATE)
        steps[begin : begin + len(time)] += 5.0 * thud
    return steps


def _engine(variant: float, speed: float, heavy: bool, rng: np.random.Generator, clock: float | None = None) -> np.ndarray:
    """Harmonics of the firing frequency from one period as a table, and the noise of the tyres."""
    firing = (18.0 + 10.0 * variant) * (1.0 + 0.09 * speed) * (0.7 if heavy else 1.0)
    orders = np.arange(1, 25)
    strength = rng.uniform(0.3, 1.0, len(orders)) / orders**0.8
    angles = 2 * math.pi * np.arange(512) / 512
    period = (strength[:, None] * np.sin(orders[:, None] * angles + rng.uniform(0, 6.3, (len(orders), 1)))).sum(0)
    time = np.arange(_TABLE) / RATE + (0.0 if clock is None else clock - _TABLE / RATE)
    phase = np.mod(firing * time + 0.02 * np.sin(2 * math.pi * 1.3 * time), 1.0)
    wave = period[(phase * 512).astype(np.int64)]
    share = min(speed / 12.0, 1.0)
    wave *= (1.0 - 0.6 * share) / (wave.std() + 1e-9)
    if speed > 0.0:
        tyres = _noise(_tyre_shape(), share, 1, rng, clock)[0]
        wave += np.concatenate([tyres, tyres[: _TABLE - SAMPLES]] if clock is None else [tyres[: _TABLE - SAMPLES], tyres])
    return wave


def _noise(shape: np.ndarray, rms: float, count: int, rng: np.random.Generator, clock: float | None = None) -> np.ndarray:
    """Independent noise of one spectral shape (amplitude by frequency) for each microphone, [count, SAMPLES].

    With `clock` [s] it is the part that ends then of one endless noise, made of blocks that fade into each other.
    """
    if rms <= 0.0:
        return np.zeros((count, SAMPLES))
    if clock is not None:
        hop, begin, total = SAMPLES // 2, round(clock * RATE) - SAMPLES, np.zeros((count, SAMPLES))
        fade = np.sin(math.pi * (np.arange(SAMPLES) + 0.5) / SAMPLES)
        for number in range(begin // hop - 1, (begin + SAMPLES) // hop + 1):
            block = (
                _noise(shape, rms, count, np.random.default_rng([len(shape), int(1e6 * shape[100]), number & 0xFFFFFFFF])) * fade
            )
            first = number * hop - begin
            low, high = max(first, 0), min(first + SAMPLES, SAMPLES)
            if low < high:
                total[:, low:high] += block[:, low - first : high - first]
        return total
    spectrum = np.fft.rfft(rng.standard_normal((count, SAMPLES))) * shape
    return np.fft.irfft(spectrum, SAMPLES) * (rms / math.sqrt(float((shape**2).mean())))


def _rain_shape() -> np.ndarray:
    return 1.0 / (1.0 + (1500.0 / np.maximum(_FREQUENCIES, 1.0)) ** 2)


def _wind_shape() -> np.ndarray:
    return 1.0 / (1.0 + (_FREQUENCIES / 120.0) ** 1.5)


def _tyre_shape() -> np.ndarray:
    return np.exp(-((np.log(np.maximum(_FREQUENCIES, 1.0) / 800.0) / 0.9) ** 2))


def _patter(weather: Weather, count: int, rng: np.random.Generator) -> np.ndarray:
    """Drops that hit the body: short peaks in the level of the rain, the more the less it rains."""
    if weather.rain <= 0.0:
        return np.ones((count, SAMPLES))
    peaks = np.ones((count, SAMPLES))
    drops = int(SAMPLES * 0.002 * (0.3 + weather.rain))
    for row in peaks:
        for start in rng.integers(0, SAMPLES - 48, drops):
            row[start : start + 48] += 3.0
    return peaks
