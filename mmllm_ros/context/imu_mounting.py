# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Estimates while driving how an IMU is mounted: tilt, yaw misalignment, and the biases of its readings.

A tilted unit reads a part of gravity on its horizontal axes, up to 1.7 m/s^2 at 10 degrees, which looks like a constant
acceleration; a horizontal accelerometer bias acts alike and is estimated with it. Nothing but the samples is needed:

- Forward axis: for each candidate offset b the specific force minus b is integrated to a speed. Likely is an offset whose speed
  stays between 0 and that of a road vehicle, agrees with force = speed x yaw rate in turns, is 0 while the vehicle stands, and
  whose accelerations are mostly small. It is a bank of Kalman filters over the speed, one for each b, with common gains.
- Lateral axis: the mean specific force beyond speed x yaw rate.
- Yaw: the direction in which the horizontal force changes while the vehicle accelerates and brakes without turning.
- Biases of the angular velocity: the mean while standing, else a slow mean that curves move little.

All are allowed to drift, as with temperature. Errors below the thresholds are reported as 0: the encoder was trained with them.
"""

from __future__ import annotations

import math

import numpy as np

from ..datatypes import GRAVITY, NANOSECONDS, ImuMounting, ImuWindow

BLOCK = NANOSECONDS // 10
"""Samples are averaged over blocks of this length [ns], so that their rate does not matter."""
LONGEST_GAP = 1.0
"""After a longer gap between blocks [s] the speed is unknown again."""
LEAST_TILT = 0.17
"""Smallest horizontal offset that is reported [m/s^2]: 1 degree."""
LEAST_YAW, LEAST_FORCE, LEAST_RATE = math.radians(2.0), 0.25, 0.015
"""Smallest yaw misalignment [rad], bias along gravity [m/s^2] and bias of an angular velocity [rad/s] that are reported."""
CERTAIN = 0.25
"""The tilt is known where the standard deviations of both horizontal offsets are below this [m/s^2]: 1.5 degrees."""

_OFFSETS = np.linspace(-2.5, 2.5, 101)  # candidates of the forward offset [m/s^2]
_PRIOR = 0.8  # standard deviation of an offset before the first sample [m/s^2]: 4.7 degrees
_SPEED, _SPEED_SPREAD, _SPEED_PERIOD = (
    8.0,
    8.0,
    20.0,
)  # speed of a vehicle [m/s], drawn anew in about so many seconds
_FASTEST = 45.0
_SLOPES = 0.3  # growth of the variance of the speed [m^2/s^3]: slopes and errors of scale
_DRIFT = 2.5e-5  # growth of the variance of an offset [m^2/s^5]
_LATERAL = 0.35  # deviation of the lateral force from speed x yaw rate [m/s^2]: banked roads, roll; it lasts about a second
_TURNING, _STRAIGHT = 0.05, 0.03  # yaw rates [rad/s]
_CRUISE, _MANOEUVRE = 0.25, 1.0  # spreads of the acceleration in steady driving and otherwise [m/s^2]
_ACCELERATION_PERIOD = 4.0  # accelerations are independent about after so many seconds
_STILL = 15  # blocks
_LARGEST = 30.0  # means of a block beyond this [m/s^2, rad/s] are no motion of a vehicle


class ImuMountingEstimator:
    """The state of one IMU. `update` may get overlapping windows; a jump back in time by a second or more starts anew."""

    def __init__(self) -> None:
        self._reset()

    def update(self, window: ImuWindow) -> ImuMounting:
        """The estimate after the complete blocks of `window` that are new."""
        index = window.times // BLOCK
        if index[-1] < self._block - NANOSECONDS // BLOCK:
            self._reset()
        new = (index > self._block) & (index < index[-1])
        if new.any():
            starts = np.flatnonzero(np.diff(index[new], prepend=-1))
            for block, samples in zip(index[new][starts].tolist(), np.split(window.samples[new], starts[1:])):
                self._step(block, samples.astype(np.float64))
            self._result = self._mounting()
        return self._result

    def _reset(self) -> None:
        self._block = -1
        self._seconds = 0.0
        self._log = -0.5 * (_OFFSETS / _PRIOR) ** 2
        self._speeds = np.full(len(_OFFSETS), _SPEED)
        self._speed_variance = _SPEED_SPREAD**2
        self._lateral, self._lateral_variance = 0.0, _PRIOR**2
        self._upward = 0.0
        self._rates = np.zeros(3)
        self._along = self._across = 0.0
        self._recent: list[np.ndarray] = []
        self._liveliest = 0.3
        self._result = ImuMounting()

    def _step(self, block: int, samples: np.ndarray) -> None:
        """One block: samples [n, 6], NaN where an axis is not reported."""
        gap = (block - self._block) * BLOCK / NANOSECONDS if self._block >= 0 else BLOCK / NANOSECONDS
        if gap > LONGEST_GAP:
            self._speed_variance, self._recent, gap = _SPEED_SPREAD**2, [], BLOCK / NANOSECONDS
        self._block = block
        self._seconds += gap
        mean = samples.mean(axis=0).clip(-_LARGEST, _LARGEST)
        unsteady = math.sqrt(np.nansum(samples[:, :3].var(axis=0)))
        self._recent = [*self._recent[1 - _STILL :], np.array([*mean[:3], unsteady, *(mean[3:] - self._rates)])]
        force, lateral, upward = mean[:3]
        turning = mean[5] - self._rates[2]
        standing = self._stands()
        self._predict(force, gap)
        if standing:
            self._observe_speed(0.0, 1.0, 0.1**2)
        if abs(turning) > _TURNING and not np.isnan(lateral):
            noise = (_LATERAL**2 + self._lateral_variance) / gap
            self._observe_speed(lateral - self._lateral, turning, noise)
        self._observe_speed(_SPEED, 1.0, _SPEED_SPREAD**2 * _SPEED_PERIOD / gap)
        self._log -= 0.5 * gap * (_OFFSETS**2 / _PRIOR**2) / 300.0
        if len(self._recent) >= 10:
            self._observe_acceleration(gap, standing)
        self._log -= self._log.max()
        self._drift(gap)
        if np.isnan(lateral):  # nothing to correct
            self._lateral = self._lateral_variance = 0.0
        else:
            self._observe_lateral(lateral, turning, gap)
        self._observe_rates(mean[3:], standing, gap)
        self._observe_yaw(turning, gap)
        if not np.isnan(upward):
            length = math.sqrt(force**2 + np.nan_to_num(lateral) ** 2 + upward**2) - GRAVITY
            self._upward += (length - self._upward) * min(1.0, gap / min(max(self._seconds, gap), 30.0))

    def _predict(self, force: float, gap: float) -> None:
        """Integrate the speed of every candidate; one that would drive backwards or too fast becomes unlikely."""
        speeds = self._speeds + (force - _OFFSETS) * gap
        self._speeds = speeds.clip(0.0, _FASTEST)
        self._log -= np.abs(speeds - self._speeds) / (1.0 + math.sqrt(self._speed_variance))
        self._speed_variance = min(self._speed_variance + _SLOPES * gap, _SPEED_SPREAD**2)

    def _observe_speed(self, value: float, factor: float, noise: float) -> None:
        """Kalman update of every candidate with value = factor x speed + noise of the variance `noise`."""
        residual = value - factor * self._speeds
        total = factor**2 * self._speed_variance + noise
        gain = self._speed_variance * factor / total
        self._log -= 0.5 * residual**2 / total
        self._speeds = self._speeds + gain * residual
        self._speed_variance *= 1.0 - gain * factor

    def _observe_acceleration(self, gap: float, standing: bool) -> None:
        """Most of the time a vehicle hardly accelerates."""
        along = np.mean([block[0] for block in self._recent[-10:]]) - _OFFSETS
        steady = np.exp(-0.5 * (along / _CRUISE) ** 2) / _CRUISE
        other = np.exp(-0.5 * (along / _MANOEUVRE) ** 2) / _MANOEUVRE
        share = 0.95 if standing else 0.5
        self._log += np.log(share * steady + (1 - share) * other + 1e-30) * gap / _ACCELERATION_PERIOD

    def _drift(self, gap: float) -> None:
        spread = 0.5 * _DRIFT * gap / (_OFFSETS[1] - _OFFSETS[0]) ** 2
        weight = np.exp(self._log)
        padded = np.pad(weight, 1, mode="edge")
        self._log = np.log(weight + spread * (padded[:-2] + padded[2:] - 2 * weight) + 1e-30)
        self._lateral_variance += _DRIFT * gap

    def _observe_lateral(self, lateral: float, turning: float, gap: float) -> None:
        speed, variance = self._speed()
        noise = 3.0 * (_LATERAL**2 + turning**2 * variance) / gap
        gain = self._lateral_variance / (self._lateral_variance + noise)
        lateral = self._lateral + gain * (lateral - turning * speed - self._lateral)
        self._lateral = min(max(lateral, _OFFSETS[0]), _OFFSETS[-1])
        self._lateral_variance *= 1.0 - gain

    def _observe_rates(self, rates: np.ndarray, standing: bool, gap: float) -> None:
        residual = np.nan_to_num(rates - self._rates)
        # Beside standing, the first seconds of a turn do not count for more than a small error.
        step = residual * gap / 2.0 if standing else residual.clip(-0.01, 0.01) * gap / 10.0
        self._rates = self._rates + step

    def _observe_yaw(self, turning: float, gap: float) -> None:
        """Sums for the regression of the lateral on the forward force, over means of a second."""
        if len(self._recent) < 10 or np.abs([block[6] for block in self._recent[-10:]]).max() > _STRAIGHT:
            return
        offset, spread = self._offset()
        if spread > CERTAIN:
            return
        force, lateral = np.mean([block[:2] for block in self._recent[-10:]], axis=0)
        if np.isnan(lateral):
            return
        along, across = force - offset, lateral - self._lateral - turning * self._speed()[0]
        self._along += along**2 * gap
        self._across += along * across * gap

    def _stands(self) -> bool:
        """Whether the vehicle has stood for the last blocks: vibration far below that of driving, no change, no rotation."""
        recent = np.array(self._recent)
        vibration = float(np.median(recent[-10:, 3]))
        self._liveliest = max(self._liveliest * 0.9998, min(vibration, 3.0))
        if len(recent) < _STILL or recent[:, 3].max() > 0.2 * self._liveliest:
            return False
        return bool(np.ptp(recent[:, 0]) < 0.1 and np.nanmax(np.abs(recent[:, 4:].mean(axis=0))) < 0.03)

    def _offset(self) -> tuple[float, float]:
        """Mean and standard deviation of the forward offset [m/s^2]."""
        weight = np.exp(self._log)
        weight /= weight.sum()
        mean = float(weight @ _OFFSETS)
        return mean, math.sqrt(float(weight @ (_OFFSETS - mean) ** 2))

    def _speed(self) -> tuple[float, float]:
        """Mean and variance of the speed [m/s]."""
        weight = np.exp(self._log)
        weight /= weight.sum()
        mean = float(weight @ self._speeds)
        return mean, float(weight @ (self._speeds - mean) ** 2) + self._speed_variance

    def _mounting(self) -> ImuMounting:
        offsets = (self._offset(), (self._lateral, math.sqrt(self._lateral_variance)))
        forward, left = (mean if abs(mean) > max(LEAST_TILT, 2.0 * spread) else 0.0 for mean, spread in offsets)
        forward, left = float(forward / GRAVITY), float(left / GRAVITY)
        yaw_spread = 0.15 / math.sqrt(self._along) if self._along > 0 else math.inf
        yaw = -math.atan2(self._across, self._along) if self._along > 0 else 0.0
        return ImuMounting(
            up=(forward, left, math.sqrt(max(1.0 - forward**2 - left**2, 0.0))),
            yaw=yaw if abs(yaw) > max(LEAST_YAW, 2.0 * yaw_spread) else 0.0,
            force=self._upward if abs(self._upward) > LEAST_FORCE and self._seconds > 20.0 else 0.0,
            rates=tuple(rate if abs(rate) > LEAST_RATE else 0.0 for rate in self._rates.tolist()),
            known=all(spread < CERTAIN for _, spread in offsets),
        )
