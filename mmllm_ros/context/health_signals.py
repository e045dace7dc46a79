# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Health signals: cheap statistics of a frame (less than 2 ms). health_check.py and context_estimate.py evaluate them."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ..datatypes import GRAVITY, CameraFrame, Frame, ImuMounting, ImuWindow, LidarScan, ObjectList, Signal
from .signal_health import array_signals, audio_signals, depth_signals, normal_signals

SIGNALS: dict[str, tuple[str, str]] = {
    # camera
    "luminance": ("0 to 1", "mean brightness; below 0.4 it is dark outside, although auto exposure compensates in part"),
    "dimness": ("0 to 1", "0.45 minus luminance, at least 0; 0 while auto exposure compensates for the dark"),
    "contrast": ("0 to 1", "standard deviation of brightness; near 0 in dense fog or behind a cover"),
    "sharpness": ("0 to 1", "mean difference of adjacent pixels at a width of 160; falls with fog, blur and drops on the lens"),
    "haze": ("0 to 1", "mean of the darkest channel around each pixel; near 0 in clear air by day, rises in fog"),
    "saturated": ("share", "pixels at the upper end of the range; rises with glare"),
    "black": ("share", "pixels at the lower end of the range"),
    "grain": ("0 to 1", "lower quartile of a pixel's difference to its neighbours: sensor noise, which rises in the dark"),
    "covered": ("share", "of 8 x 16 fields of the image, those that are dark and without noise: behind a hand, tape, mud"),
    "change": ("0 to 1", "mean difference of brightness to the last measured frame, 0 where there is none"),
    # lidar
    "points": ("count", "returns in the sweep"),
    "coverage": ("share", "of 72 sectors of azimuth, those with any return"),
    "gap": ("rad", "widest range of azimuth without returns: a covered side, or the field of view of the lidar"),
    "near": ("share", "returns closer than 3 m; rises with rain, spray, dense fog and a covered sensor"),
    "reach": ("m", "range within which 95 % of the returns lie; falls in fog"),
    "range_spread": ("m", "standard deviation of the ranges; falls in fog"),
    "intensity": ("0 to 1", "mean intensity of the returns; falls in fog and on wet surfaces"),
    "intensity_spread": ("0 to 1", "standard deviation of the intensity; falls with it"),
    "ghosts": ("share", "weak returns (intensity below 0.06) closer than 10 m and above the ground: drops in the air"),
    # camera and lidar
    "frozen": ("0 or 1", "the frame equals the last measured frame, which no working sensor sends"),
    # imu
    "samples": ("count", "samples in the window"),
    "gravity": ("m/s^2", "length of the mean specific force; about 9.81"),
    "up": ("share", "of the mean specific force, along the up axis of the rig; about 1, below 0 where the unit is upside down"),
    "vibration": ("m/s^2", "standard deviation of the specific force about its mean; near 0 when standing with the engine off"),
    "noise": ("m/s^2", "standard deviation of the specific force from one sample to the next, over the square root of 2"),
    "clipped": ("share", "samples at the largest value of their axis where that value is above 30 m/s^2 or 4 rad/s and repeats"),
    "turn_rate": ("rad/s", "mean angular velocity about the vertical axis, counter-clockwise positive"),
    "stuck": ("count", "of the six axes, those that did not change in the window"),
    "missing": ("count", "of the six axes, those that the driver does not report"),
    "tilt_known": ("0 or 1", "whether the estimate of the mount tilt is certain to about 1.5 degrees"),
    "nose_down": ("degrees", "pitch of the unit against the vehicle, positive nose-down; 0 within 1 degree"),
    "left_down": ("degrees", "roll of the unit against the vehicle, positive left side down; 0 within 1 degree"),
    "mount_yaw": ("degrees", "yaw correction of the unit, counter-clockwise; 0 within 2 degrees"),
    "rate_bias": ("rad/s", "estimated bias of the yaw rate; 0 within 0.015"),
    # objects
    "objects": ("count", "objects that the perception stack reports and whose class has a meaning here"),
    "score": ("0 to 1", "mean score of those objects; 0 where there are none"),
    "unmapped": ("count", "reported objects whose class has no meaning here: map it in objects.classes of the rig"),
    # audio, depth, normals, array
    "loudness": ("dB", "level of the loudest microphone, 0 = full scale; -120 without any sound"),
    "silent_microphones": ("count", "microphones more than 40 dB below the loudest one; all of them without any sound"),
    "clipping": ("share", "samples at the end of the range"),
    "hum": ("share", "of the power of the loudest microphone, in narrow lines at multiples of 50 or 60 Hz"),
    "missing_share": ("share", "pixels without a depth, or without a normal; the sky has none"),
    "nearest": ("m", "depth that 1 % of the pixels with a depth do not exceed"),
    "dead_channels": ("count", "channels of an array whose samples are all equal"),
    "spread": ("as sent", "standard deviation of an array over all channels"),
}
"""Every signal: unit and meaning. Rate, age, jitter and rejected messages are fields of the health message."""

SECTORS = 72
WEAK = 0.06
"""Intensity of a return below which it may come from a drop in the air."""
ABOVE_GROUND = -1.2
"""Height [m, from the sensor] above which a near return is not of the road; a lidar on a roof is about 1.8 m above it."""
UNTEXTURED, DARK_FIELD = 0.5, 25.0
"""A field of the image with less roughness and less brightness than this [of 255] is covered: it has not even noise."""

_AT_REST = np.array([0.0, 0.0, GRAVITY, 0.0, 0.0, 0.0], np.float32)
_CLIPPING = np.array([30.0, 30.0, 30.0, 4.0, 4.0, 4.0], np.float32)


def measure(newest: Frame, before: Frame | None = None) -> dict[str, float]:
    """The signals of a frame; `before` is the last measured frame of the same sensor, None for the first."""
    if isinstance(newest, CameraFrame):
        return camera_signals(newest.image, before.image if before else None)
    if isinstance(newest, LidarScan):
        return lidar_signals(newest.points, before.points if before else None)
    if isinstance(newest, ObjectList):
        return object_signals(newest)
    if isinstance(newest, Signal):
        return _universal_signals(newest, before)
    return imu_signals(newest)


def _universal_signals(newest: Signal, before: Signal | None) -> dict[str, float]:
    """The signals of what the universal encoder reads, by its kind."""
    kind, data, previous = newest.kind or newest.modality, newest.data, before.data if before else None
    if kind in ("image", "video"):
        last, earlier = (None if part is None else (part[-1] if part.ndim == 4 else part) for part in (data, previous))
        return camera_signals(last.transpose(1, 2, 0), None if earlier is None else earlier.transpose(1, 2, 0))
    if kind == "points":
        return lidar_signals(data, previous)
    if kind == "imu":
        return imu_signals(ImuWindow(newest.stamp, newest.source, np.zeros(len(data), np.int64), data))
    measured = {"audio": audio_signals, "depth": depth_signals, "normals": normal_signals}.get(kind, array_signals)
    return measured(data, previous)


def camera_signals(image: np.ndarray, previous: np.ndarray | None = None) -> dict[str, float]:
    """Signals of an image uint8 [h, w, 3], RGB; `previous` is the last measured image, None for the first."""
    small, grey = _small(image)
    red, green, blue = cv2.split(small)
    dark = cv2.erode(cv2.min(cv2.min(red, green), blue), np.ones((7, 7), np.uint8))
    steps = cv2.absdiff(grey[:, 1:], grey[:, :-1]).mean() + cv2.absdiff(grey[1:], grey[:-1]).mean()
    before = None if previous is None or previous.shape != image.shape else _small(previous)[1]
    roughness, brightness = _fields(image)
    return {
        "luminance": float(grey.mean() / 255.0),
        "dimness": max(0.0, 0.45 - float(grey.mean() / 255.0)),
        "contrast": float(grey.std() / 255.0),
        "sharpness": float(steps / 510.0),
        "haze": float(dark.mean() / 255.0),
        "saturated": float((grey >= 250).mean()),
        "black": float((grey <= 5).mean()),
        "grain": float(np.percentile(roughness, 25) / 255.0),
        "covered": float(((roughness < UNTEXTURED) & (brightness < DARK_FIELD)).mean()),
        "change": 0.0 if before is None else float(cv2.absdiff(grey, before).mean() / 255.0),
        "frozen": float(before is not None and np.array_equal(grey, before) and np.array_equal(image[::16], previous[::16])),
    }


def lidar_signals(points: np.ndarray, previous: np.ndarray | None = None) -> dict[str, float]:
    """Signals of points float32 [n, 4] in REP-103 axes; `previous` is the last measured scan, None for the first."""
    count = len(points)
    some = points[:: max(1, count // 8192)]
    x, y, z, intensity = some.T
    distance = np.sqrt(x * x + y * y + z * z)
    filled = np.unique(np.floor((np.arctan2(y, x) / (2 * np.pi) + 0.5) * SECTORS).astype(np.int64) % SECTORS)
    gaps = np.diff(filled, append=filled[:1] + SECTORS) - 1
    return {
        "points": float(count),
        "coverage": float(filled.size / SECTORS),
        "gap": float(gaps.max() * 2 * np.pi / SECTORS) if count else 2 * np.pi,
        "near": float((distance < 3.0).mean()) if count else 0.0,
        "reach": float(np.percentile(distance, 95)) if count else 0.0,
        "range_spread": float(distance.std()) if count else 0.0,
        "intensity": float(intensity.mean()) if count else 0.0,
        "intensity_spread": float(intensity.std()) if count else 0.0,
        "ghosts": float(((intensity < WEAK) & (distance < 10.0) & (z > ABOVE_GROUND)).mean()) if count else 0.0,
        "frozen": float(previous is not None and count > 0 and np.array_equal(points, previous)),
    }


def object_signals(reported: ObjectList) -> dict[str, float]:
    """Signals of the objects that another perception stack reports."""
    scores = [detection.score for detection in reported.detections]
    return {
        "objects": float(len(scores)),
        "score": float(np.mean(scores)) if scores else 0.0,
        "unmapped": float(reported.unmapped),
    }


def imu_signals(window: ImuWindow) -> dict[str, float]:
    """Signals of a window of one second, from the readings as they are, with its estimated mounting."""
    absent = np.isnan(window.samples)
    missing = absent.any(axis=0)
    samples = np.where(absent, _AT_REST, window.samples) if missing.any() else window.samples
    mounting = window.mounting or ImuMounting()
    mean = samples.mean(axis=0)
    force = samples[:, :3] - mean[:3]
    enough = len(samples) >= 8  # fewer may be equal by chance
    extreme = np.abs(samples).max(axis=0)
    at_extreme = (np.abs(samples) == extreme) & (extreme > _CLIPPING)
    return {
        "samples": float(len(samples)),
        "gravity": float(np.linalg.norm(mean[:3])),
        "up": float(mean[2] / max(np.linalg.norm(mean[:3]), 1e-6)),
        "vibration": float(np.sqrt((force * force).sum(axis=1).mean())),
        "noise": float(np.sqrt(np.diff(samples[:, :3], axis=0).var(axis=0).sum() / 2)) if enough else 0.0,
        "clipped": float(np.where(at_extreme.sum(axis=0) > 1, at_extreme.mean(axis=0), 0.0).max()),
        "turn_rate": float(mean[5]),
        "stuck": float((np.ptp(samples, axis=0)[~missing] == 0.0).sum()) if enough else 0.0,
        "missing": float(missing.sum()),
        "tilt_known": float(mounting.known),
        "nose_down": -math.degrees(math.asin(mounting.up[0])) + 0.0,
        "left_down": -math.degrees(math.asin(mounting.up[1])) + 0.0,
        "mount_yaw": math.degrees(mounting.yaw),
        "rate_bias": mounting.rates[2],
    }


def _small(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image at a width of about 160 pixels, in colour and grey. Subsampled before averaging, which is cheaper."""
    height, width = image.shape[:2]
    skip = max(1, min(height // 180, width // 320))
    columns = max(2, min(160, width))
    size = (columns, max(2, round(height * columns / width)))
    # By channel: a copy of three bytes at a time takes five times as long.
    fewer = cv2.merge([np.ascontiguousarray(image[::skip, ::skip, channel]) for channel in range(3)])
    small = cv2.resize(fewer, size, interpolation=cv2.INTER_AREA)
    return small, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)


def _fields(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Roughness (mean difference of a pixel to its neighbours' mean) and brightness of 8 x 16 fields, of 255, float32."""
    height, width = image.shape[:2]
    skip = max(1, min(height // 90, width // 160))
    green = np.ascontiguousarray(image[::skip, ::skip, 1], np.float32)
    size = (min(16, green.shape[1]), min(8, green.shape[0]))
    rough = cv2.absdiff(green, cv2.blur(green, (3, 3)))
    return cv2.resize(rough, size, interpolation=cv2.INTER_AREA), cv2.resize(green, size, interpolation=cv2.INTER_AREA)
