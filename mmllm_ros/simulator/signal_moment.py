# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One moment of a simulated drive as every kind of signal, with its truth, questions and captions.

moment = render_moment("train", 12)
moment.signals["audio"], moment.questions[0].question, moment.questions[0].answer
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..datatypes import Question, Signal
from ..rig import CameraMount, ImuMount, LidarMount, Rig
from .drive import Drive
from .questions.signal_questions import SignalTruth, ask_signals, captions
from .sensors.depth import DepthCamera, DepthView
from .sensors.microphones import Recording, microphones, record
from .sensors.signal_faults import with_fault
from .sensors.ultrasonic import SIDES, Echoes, UltrasonicArray
from .splits import scene_seed
from .truth import SceneTruth
from .world.mesh import Surface
from .world.props import FRONT, Prop, draw_props
from .world.ray_scene import RayScene
from .world.sounds import sound_sources

SIZE = (96, 160)
"""Height and width of image, depth and normals [px]."""
FOV = math.radians(70.0)
CLIP_FRAMES, CLIP_PERIOD = 4, 0.4
"""Number of frames of a clip and the time between two [s]; the last is the image."""
SETTLE = 1.3
"""Simulated time before the moment [s]."""
SIGNALS = ("image", "video", "points", "depth", "normals", "audio", "imu", "array")
"""
image    uint8 [3, H, W], RGB
video    uint8 [CLIP_FRAMES, 3, H, W], oldest first
points   float32 [N, 4], x forward, y left, z up from the lidar [m], intensity in [0, 1]
depth    float32 [1, H, W], metres along the optical axis (REP-118), 0 = no reading
normals  float32 [3, H, W], unit vectors x forward, y left, z up, all 0 = no reading
audio    float32 [microphones, 33600] at 16 kHz, -1 to 1; front left, front right, back left, back right
imu      float32 [100, 6], specific force [m/s^2] and angular velocity [rad/s], one second
array    float32 [8, 128], strength of the ultrasonic echo in bins of 5 cm; channels as sensors.ultrasonic.TRANSDUCERS
"""

AHEAD = ("image", "video", "depth", "normals")
"""Kinds of signals with the camera's field of view; the others are of all directions."""

_RIG = Rig("all signals", (CameraMount("front", "camera/front/image_raw", 0.0, FOV),), LidarMount(), ImuMount())
_MANOEUVRES = {"stand": 0.3, "cruise": 0.1, "accelerate": 0.16, "brake": 0.16, "left": 0.14, "right": 0.14}
_AROUND_HEIGHTS = (0.4, 0.9, 1.5)


@dataclass(frozen=True, slots=True)
class SignalMoment:
    """`signals` by kind in the layouts of SIGNALS, `truth`, `questions` and `captions` by kind.

    `owner` int32 [H, W] has the identifier of the object that each pixel of the image shows, or another number.
    """

    signals: Mapping[str, np.ndarray]
    truth: SignalTruth
    questions: tuple[Question, ...]
    captions: Mapping[str, str]
    props: tuple[Prop, ...]
    owner: np.ndarray

    def frames(self) -> list[Signal]:
        """The signals as an encoder takes them, each of a modality and a source that are called like its kind."""
        return [Signal(kind, 0, kind, data, fov=FOV if kind in AHEAD else 2 * math.pi) for kind, data in self.signals.items()]


def render_moment(
    split: str,
    number: int,
    context: str = "mixed",
    microphone_count: int = 4,
    faults: Mapping[str, str] | None = None,
) -> SignalMoment:
    """Scene `number` of `split`; the same arguments give the same bytes, and scenes of different splits are different.

    Three in ten of the vehicles stand, with walls and bollards around them. `faults` maps kinds of signal to one of
    sensors.signal_faults.FAULTS; the truth stays. Raises BadInput.
    """
    seed = scene_seed(split, number)
    rng = np.random.default_rng([seed, 64])
    manoeuvre = str(rng.choice(list(_MANOEUVRES), p=list(_MANOEUVRES.values())))
    drive = Drive(seed, _RIG, context, SIZE, manoeuvre=manoeuvre)
    clip, clip_length = [], CLIP_PERIOD * (CLIP_FRAMES - 1)
    drive.advance(SETTLE - clip_length)
    # About where the vehicle will be at the moment, so that all frames of the clip show the same things.
    props = draw_props(rng, standing=drive.speed < 0.1)
    there = drive.pose_ahead(drive.speed * clip_length) if drive.speed > 0.1 else drive.pose
    drive.add_props([prop.placed(there) for prop in props])
    for _ in range(CLIP_FRAMES - 1):
        clip.append(drive.views(drive.ray_scene())[0].image)
        drive.advance(CLIP_PERIOD)
    ray_scene = drive.ray_scene()
    snapshot = drive.capture(ray_scene)
    scene, weather = snapshot.truth, drive.weather
    image = snapshot.cameras[0].image
    view = DepthCamera(_RIG.cameras[0], SIZE).capture(ray_scene, drive.pose, weather, np.random.default_rng([seed, 65]))
    sources = sound_sources(seed, scene)
    speed = scene.ego.speed
    recording = record(sources, microphones(microphone_count), weather, speed, np.random.default_rng([seed, 66]))
    echoes = UltrasonicArray().capture(ray_scene, drive.pose, weather, speed, np.random.default_rng([seed, 67]))
    signals = {
        "image": _channels_first(image),
        "video": np.stack([_channels_first(frame) for frame in (*clip, image)]),
        "points": snapshot.lidar.points,
        "depth": view.depth[None],
        "normals": _channels_first(view.normals),
        "audio": recording.wave,
        "imu": snapshot.imu.samples,
        "array": echoes.traces,
    }
    for kind, fault in (faults or {}).items():
        signals[kind] = with_fault(kind, signals[kind], fault, np.random.default_rng([seed, 68]))
    truth = signal_truth(scene, seed, recording, echoes, view, props, ray_scene, drive.pose)
    questions = ask_signals(truth, np.random.default_rng([seed, 69]), split, seed)
    return SignalMoment(signals, truth, tuple(questions), captions(truth), props, view.owner)


def _channels_first(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def signal_truth(
    scene: SceneTruth,
    seed: int,
    recording: Recording,
    echoes: Echoes,
    view: DepthView,
    props: tuple[Prop, ...],
    ray_scene: RayScene,
    pose: tuple[float, float, float],
) -> SignalTruth:
    """What is true of the signals of one moment, from what was rendered before noise and dropouts."""
    position = _RIG.cameras[0].position
    height, width = view.exact.shape
    upright = np.isfinite(view.exact) & (view.facing[..., 2] < 0.7) & (view.exact < 100.0)
    # The way ahead: 2 m wide, above the ground, seen by the camera.
    focal = _RIG.cameras[0].focal_length(width)
    across = -(np.arange(width) + 0.5 - width / 2) / focal
    down = -(np.arange(height) + 0.5 - height / 2) / focal
    with np.errstate(invalid="ignore"):
        side, up = view.exact * across, position[2] + view.exact * down[:, None]
    blocking = upright & (up > 0.25) & (up < 2.5)
    nearest = np.where(blocking, view.exact, np.inf)
    middle = view.facing[int(0.44 * height) : int(0.62 * height), int(0.42 * width) : int(0.58 * width)].reshape(-1, 3)
    mean = middle.mean(0)
    ramp = next((prop for prop in props if prop.kind == "ramp"), None)
    return SignalTruth(
        scene=scene,
        sounds=sound_sources(seed, scene),
        clearness=recording.clearness,
        rain_clearness=recording.rain,
        wind_clearness=recording.wind,
        clearance={side_name: float(echoes.nearest[list(channels)].min()) for side_name, channels in SIDES.items()},
        depth=float(np.where(np.abs(side) < 1.0, nearest, np.inf).min()),
        depth_left=float(nearest[:, : width // 2].min()),
        depth_right=float(nearest[:, width // 2 :].min()),
        slope=ramp.slope if ramp and ramp.x - FRONT < 10.0 else 0.0,
        facing=(float(mean[0]), float(mean[1]), float(mean[2])) if np.linalg.norm(mean) > 0.97 else None,
        upright=float(upright.sum() / max(int((np.isfinite(view.exact)).sum()), 1)),
        around=_around(ray_scene, pose),
    )


def _around(ray_scene: RayScene, pose: tuple[float, float, float]) -> dict[str, float]:
    """Distance [m] from the middle of the base to the nearest upright thing in each quarter, inf = none within 60 m."""
    x, y, yaw = pose
    bearing = np.deg2rad(np.arange(-180.0, 180.0, 1.0))
    rays = np.zeros((len(_AROUND_HEIGHTS) * len(bearing), 6), np.float32)
    rays[:, 0], rays[:, 1] = x, y
    rays[:, 2] = np.repeat(_AROUND_HEIGHTS, len(bearing))
    rays[:, 3], rays[:, 4] = np.tile(np.cos(bearing + yaw), 3), np.tile(np.sin(bearing + yaw), 3)
    hits = ray_scene.cast(rays)
    upright = (hits.index >= 0) & (ray_scene.surface[hits.index] != Surface.GROUND) & (np.abs(hits.normal[:, 2]) < 0.7)
    distance = np.where(upright & (hits.depth < 60.0), hits.depth, np.inf).reshape(len(_AROUND_HEIGHTS), -1).min(0)
    quarter = (np.round(np.rad2deg(bearing) / 90.0).astype(int)) % 4
    return {name: float(distance[quarter == index].min()) for index, name in enumerate(("ahead", "left", "behind", "right"))}
