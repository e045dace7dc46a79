# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Light signals: small numbers that say what a sensor sees and whether it can be believed, in under 2 ms a frame."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from ..datatypes import ImuWindow

SIGNALS: dict[str, tuple[str, str]] = {
    # camera
    "luminance": ("0 to 1", "mean brightness; below 0.2 it is dark outside"),
    "contrast": ("0 to 1", "standard deviation of brightness; near 0 in dense fog or behind a cover"),
    "sharpness": ("0 to 1", "mean step between pixels of a picture 160 wide; falls with fog, blur and drops on the lens"),
    "haze": ("0 to 1", "mean of the darkest channel around each pixel; near 0 in clear air by day, rises in fog"),
    "saturated": ("share", "pixels at the upper end of the scale; rises with glare"),
    "black": ("share", "pixels at the lower end of the scale"),
    "change": ("0 to 1", "mean difference of brightness to the frame measured before, 0 where there is none"),
    # lidar
    "points": ("count", "returns in the sweep"),
    "coverage": ("share", "of 72 sectors around, those with any return"),
    "near": ("share", "returns closer than 3 m; rises with rain, spray, dense fog and a covered sensor"),
    "reach": ("m", "range within which 95 % of the returns lie; falls in fog"),
    "intensity": ("0 to 1", "mean intensity of the returns; falls in fog and on wet surfaces"),
    # camera and lidar
    "frozen": ("0 or 1", "the frame equals the one measured before, which no live sensor does"),
    # imu
    "samples": ("count", "samples in the window"),
    "gravity": ("m/s^2", "length of the mean specific force; about 9.81"),
    "vibration": ("m/s^2", "standard deviation of the specific force about its mean; near 0 when standing with the engine off"),
    "turn_rate": ("rad/s", "mean angular velocity about the vertical axis, counter-clockwise positive"),
    "stuck": ("count", "of the six axes, those that did not change in the window"),
}
"""Every signal: its unit, and what it means."""

MAX_AHEAD = 0.5
"""A stamp so far in the future [s] comes from a wrong clock."""


def camera_signals(image: np.ndarray, previous: np.ndarray | None = None) -> dict[str, float]:
    """Of uint8 images [h, w, 3], RGB; `previous` is the one measured before, if there was one."""
    small, grey = _small(image)
    dark = cv2.erode(small.min(axis=2), np.ones((7, 7), np.uint8))
    steps = cv2.absdiff(grey[:, 1:], grey[:, :-1]).mean() + cv2.absdiff(grey[1:], grey[:-1]).mean()
    before = None if previous is None or previous.shape != image.shape else _small(previous)[1]
    return {
        "luminance": float(grey.mean() / 255.0),
        "contrast": float(grey.std() / 255.0),
        "sharpness": float(steps / 510.0),
        "haze": float(dark.mean() / 255.0),
        "saturated": float((grey >= 250).mean()),
        "black": float((grey <= 5).mean()),
        "change": 0.0 if before is None else float(cv2.absdiff(grey, before).mean() / 255.0),
        "frozen": float(before is not None and np.array_equal(grey, before) and np.array_equal(image[::16], previous[::16])),
    }


def lidar_signals(points: np.ndarray, previous: np.ndarray | None = None) -> dict[str, float]:
    """Of float32 [n, 4] in REP-103 axes; `previous` is the sweep measured before, if there was one."""
    count = len(points)
    some = points[:: max(1, count // 8192)]
    x, y, z, intensity = some.T
    distance = np.sqrt(x * x + y * y + z * z)
    sectors = np.floor((np.arctan2(y, x) / (2 * np.pi) + 0.5) * 72).astype(np.int64) % 72
    return {
        "points": float(count),
        "coverage": float(np.unique(sectors).size / 72),
        "near": float((distance < 3.0).mean()) if count else 0.0,
        "reach": float(np.percentile(distance, 95)) if count else 0.0,
        "intensity": float(intensity.mean()) if count else 0.0,
        "frozen": float(previous is not None and count > 0 and np.array_equal(points, previous)),
    }


def imu_signals(window: ImuWindow) -> dict[str, float]:
    """Of the newest second of samples."""
    mean = window.samples.mean(axis=0)
    force = window.samples[:, :3] - mean[:3]
    enough = len(window.samples) >= 8  # fewer may be equal by chance
    return {
        "samples": float(len(window.samples)),
        "gravity": float(np.linalg.norm(mean[:3])),
        "vibration": float(np.sqrt((force * force).sum(axis=1).mean())),
        "turn_rate": float(mean[5]),
        "stuck": float((np.ptp(window.samples, axis=0) == 0.0).sum()) if enough else 0.0,
    }


def judge(signals: Mapping[str, float], age: float, stale_after: float) -> tuple[bool, str]:
    """Whether a sensor can be believed, and if not, why, in a sentence that stays the same while nothing changes.

    Args:
        signals: of the newest frame, empty before the first.
        age: of the newest frame [s].
        stale_after: longest age [s].
    """
    if not signals:
        return False, "nothing has arrived yet"
    if age > stale_after:
        return False, f"silent for more than {stale_after:g} s"
    if age < -MAX_AHEAD:
        return False, f"stamps lie more than {MAX_AHEAD:g} s in the future, is its clock right?"
    for faulty, reason in _FAULTS:
        if faulty(signals):
            return False, reason
    return True, ""


def _outside(name: str, low: float = -np.inf, high: float = np.inf):
    return lambda signals: name in signals and not low <= signals[name] <= high


_FAULTS = (
    (_outside("frozen", high=0.5), "frozen, the same frame again and again"),
    (_outside("black", high=0.995), "black picture"),
    (_outside("saturated", high=0.9), "overexposed picture"),
    (_outside("contrast", low=0.01), "covered, the picture has no contrast"),
    (_outside("points", low=50), "hardly any returns"),
    (_outside("near", high=0.95), "covered, nearly all returns are closer than 3 m"),
    (_outside("samples", low=2), "too few samples in a second"),
    (_outside("stuck", high=2.5), "stuck, three or more of the six axes do not change"),
    (_outside("gravity", low=4.9, high=19.6), "specific force is far from gravity, is gravity_removed right in the rig?"),
)


def _small(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture about 160 pixels wide, in colour and grey. Rows and columns are skipped before averaging: it is cheaper."""
    height, width = image.shape[:2]
    skip = max(1, min(height // 180, width // 320))
    columns = max(2, min(160, width))
    size = (columns, max(2, round(height * columns / width)))
    small = cv2.resize(np.ascontiguousarray(image[::skip, ::skip]), size, interpolation=cv2.INTER_AREA)
    return small, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
