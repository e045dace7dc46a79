# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Data types that the modules of the package exchange, and constants that several of them use.

Shape letters of all docstrings:

    B batch    V camera views   T tokens       D token width   P latent positions (all plugged tokens)
    L blocks   N linked blocks  H kv heads     K head width    S text length

Stamps are integer nanoseconds of the clock that the sensor uses. Lengths are metres, angles radians, x forward,
y left, z up (REP-103), bearings counter-clockwise from x forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

MODALITIES = ("camera", "lidar", "imu")
"""The modalities of the shipped model; a model may have others, so code reads the modalities of its model."""

NANOSECONDS = 1_000_000_000

PLACE_AXES = (0, 30, 60, 90, 120, 150)
"""Axes [degrees] of the place features. Every border between "front", "front left", ... is perpendicular to one of them, so two
comparisons along one axis each tell whether an object is to the front left of another."""
PLACE_WAVELENGTHS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
"""Wavelengths [m] of the place features along each axis: the short ones resolve near places, the long ones separate far ones."""


GRAVITY = 9.80665
"""Standard gravity [m/s^2]: what an accelerometer at rest reads on its upward axis (REP-145)."""

FRAME_GAP = 0.5
"""An encoder compares a frame with the one about so much older [s] to see motion; simulated frames are this far apart."""


class BadInput(ValueError):
    """Invalid input of a user. The message is one line that names the offending value."""


def one_line(error: BaseException) -> str:
    """The message of `error` as one line: a BadInput whole, any other error cut to 300 characters, its type where it is empty."""
    line = " ".join(str(error).split())
    return (line if isinstance(error, BadInput) else line[:300]) or type(error).__name__


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One view. `image` is uint8 [h, w, 3], RGB."""

    modality: ClassVar[str] = "camera"
    stamp: int
    source: str
    image: np.ndarray


@dataclass(frozen=True, slots=True)
class LidarScan:
    """One sweep. `points` is float32 [n, 4]: x, y, z in metres, sensor axes turned to REP-103, and intensity in [0, 1]."""

    modality: ClassVar[str] = "lidar"
    stamp: int
    source: str
    points: np.ndarray


@dataclass(frozen=True, slots=True)
class ImuMounting:
    """How an IMU is mounted beyond what the rig says, and its biases, as estimated from its samples (context/imu_mounting.py).

    `up` is the unit vector along the measured gravity in the axes of the rig, (0, 0, 1) for a level unit; `yaw` [rad] turns its
    levelled forward axis to that of the vehicle, counter-clockwise; `force` [m/s^2] is the bias along `up`, `rates` [rad/s] those
    of the angular velocity. An error too small to matter is exactly 0. `known` is False while the tilt is not certain yet.
    """

    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    yaw: float = 0.0
    force: float = 0.0
    rates: tuple[float, float, float] = (0.0, 0.0, 0.0)
    known: bool = False


@dataclass(frozen=True, slots=True)
class ImuWindow:
    """The latest samples of one IMU.

    `times` is int64 [n], ascending nanoseconds, the last equal to `stamp`. `samples` is float32 [n, 6]: specific force
    x y z [m/s^2] (+g on z at rest, REP-145) and angular velocity x y z [rad/s], REP-103 axes; NaN in an axis that the driver does
    not report. `mounting` is estimated by the sensor's front end (context/sensor_monitor.py), None where there is none.
    """

    modality: ClassVar[str] = "imu"
    stamp: int
    source: str
    times: np.ndarray
    samples: np.ndarray
    mounting: ImuMounting | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """One detected object.

    Args:
        score: probability that it is there at all.
        classes: probability of each of the ten classes (encoders/objects.py, CATEGORIES), [10], sum 1.
        bearing, elevation: of its centre from the base frame's origin [rad].
        distance: horizontal range of its centre from the base frame's origin [m].
        spread: standard deviation of the natural logarithm of `distance`.
        statuses, colours: probability of each of STATUSES [7] and COLOURS [6]; None = not known.
    """

    score: float
    classes: np.ndarray
    bearing: float
    elevation: float
    distance: float
    spread: float = 0.0
    statuses: np.ndarray | None = None
    colours: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class ObjectList:
    """What another perception stack reports of one moment. `unmapped` counts objects whose class has no meaning here."""

    modality: ClassVar[str] = "objects"
    stamp: int
    source: str
    detections: tuple[Detection, ...]
    unmapped: int = 0


@dataclass(frozen=True, slots=True)
class Signal:
    """A reading for the universal encoder (encoders/universal/signals.py gives the form of `data` for each kind of signal).

    `modality` is the name that the encoder knows it by. `bearing` and `fov` [rad] say where the sensor looks: the bearing of its
    middle and its horizontal field of view, a full turn where it covers all directions. `kind` is that of the signal, empty
    where the modality has the name of its kind.
    """

    modality: str
    stamp: int
    source: str
    data: np.ndarray
    bearing: float = 0.0
    fov: float = 2 * math.pi
    kind: str = ""


Frame = CameraFrame | LidarScan | ImuWindow | ObjectList | Signal


@dataclass(frozen=True, slots=True)
class Tokens:
    """The output of an encoder for one frame. It does not depend on an LLM.

    `values` is float32 [T, D]; `places` float32 [T, 3] is the place of each token: bearing [rad, base frame], elevation [rad] and
    range [m] (0 = unknown). `encoder` is the revision of the encoder's weights.
    """

    modality: str
    source: str
    stamp: int
    values: np.ndarray
    places: np.ndarray
    encoder: str


@dataclass(frozen=True, slots=True)
class Health:
    """Health signals of one sensor, measured whether or not its encoder is plugged.

    `rate` [Hz], `age` [s], `jitter` [s], `signals` maps the name of a signal (context/health_signals.py) to its value. `cost` [s]
    is the time that encoding one frame takes on this machine, 0 = not measured.
    """

    modality: str
    source: str
    stamp: int
    rate: float
    age: float
    jitter: float
    rejected: int
    signals: dict[str, float]
    healthy: bool
    reason: str = ""
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sensor reading that an answer is based on. `age` [s] is that at the time of the question; `note` says what limits the
    reading, empty where nothing does."""

    modality: str
    source: str
    stamp: int
    age: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which modalities are plugged, and why.

    `plugged` maps every known modality to whether it is plugged; `reasons` gives a sentence for each; `linked_blocks` is N.
    `available` are the modalities that one question may use although they are not plugged, or leave out although they are;
    `encode_rate_share` is the share of their rate at which encoders work ahead of questions, 0 = only when asked. `cost` and
    `budget` [s], `flops` and `flops_budget` [operations] are those of one answer.
    """

    stamp: int
    plugged: dict[str, bool]
    reasons: dict[str, str]
    context: str
    linked_blocks: int
    cost: float = 0.0
    budget: float = 0.0
    flops: float = 0.0
    flops_budget: float = 0.0
    available: tuple[str, ...] = ()
    encode_rate_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its evidence. `stamp` is the newest sensor stamp used, 0 without evidence."""

    stamp: int
    question_id: str
    question: str
    answer: str
    confidence: float
    evidence: tuple[Evidence, ...]
    unplugged: dict[str, str]
    latency: float
    model: str
    revision: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its true answer, in NuScenes-QA's form plus its origin.

    `program` is the query that is executed over the scene graph; `needs` lists the modality sets that each suffice to answer it,
    for example (("camera",), ("lidar",)).
    """

    question: str
    answer: str
    template_type: str
    num_hop: int
    sample_token: str = ""
    program: str = ""
    needs: tuple[tuple[str, ...], ...] = ()
    source: str = "sim"
    seed: int = 0
    details: dict[str, str] = field(default_factory=dict)
