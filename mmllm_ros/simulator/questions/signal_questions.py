# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions that one kind of signal alone can answer, with true answers, and captions (wordings: config/signal_questions.yaml).

Each question names its `template` in `details`; `needs` lists the kinds of signal that each suffice. An answer that is not clear,
such as a distance near the edge of a band or a siren that the wind almost drowns, is not asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

import numpy as np

from ...datatypes import Question
from ...resources import config_table
from ..truth import VEHICLES, SceneObject, SceneTruth
from ..world.sounds import SoundSource
from .scene_graph import MIN_PIXELS, direction, moving, speed_change, turn

AUDIBLE, INAUDIBLE = -9.0, -24.0
"""Level over everything else [dB] from which a sound is certainly heard, and below which it certainly is not."""
BANDS = ((1.0, "less than 1 metre"), (2.0, "1 to 2 metres"), (4.0, "2 to 4 metres"), (math.inf, "more than 4 metres"))
AHEAD_BANDS = (
    (5.0, "less than 5 metres"),
    (10.0, "5 to 10 metres"),
    (20.0, "10 to 20 metres"),
    (math.inf, "more than 20 metres"),
)

_ARTICLE = {
    "siren": "a siren",
    "horn": "a horn",
    "reversing beeper": "a reversing beeper",
    "engine": "an engine",
    "footsteps": "footsteps",
}


@dataclass(frozen=True, slots=True)
class SignalTruth:
    """What is true at one moment, beyond the SceneTruth.

    `sounds` with their `clearness` [dB], and that of rain and wind, as in microphones.Recording. `clearance` [m] by side: ahead,
    behind, left, right, from the bumpers and sides, inf = beyond the reach of the array. `depth` [m] straight ahead, `depth_left`
    and `depth_right` nearest upright thing in each half of the view. `slope` of the ground ahead [rad]. `facing` is the mean
    normal in the middle of the view (x forward, y left, z up), None where there is no one surface. `upright` is the share of
    upright surfaces among all in view. `around` [m] by direction: the nearest upright thing from the lidar.
    """

    scene: SceneTruth
    sounds: tuple[SoundSource, ...]
    clearness: tuple[float, ...]
    rain_clearness: float
    wind_clearness: float
    clearance: Mapping[str, float]
    depth: float
    depth_left: float
    depth_right: float
    slope: float
    facing: tuple[float, float, float] | None
    upright: float
    around: Mapping[str, float]

    def heard(self, kind: str | None = None) -> list[tuple[float, SoundSource]]:
        """The certainly audible sources, all or those of one kind, clearest first."""
        pairs = zip(self.clearness, self.sounds, strict=True)
        return sorted((pair for pair in pairs if pair[0] > AUDIBLE and kind in (None, pair[1].kind)), key=lambda pair: -pair[0])


Answerer = Callable[[SignalTruth], str | None]
"""The true answer, None where there is no clear one."""


def _yes(fact: bool | None) -> str | None:
    return None if fact is None else "yes" if fact else "no"


def _sounds(kind: str) -> Answerer:
    def answer(truth: SignalTruth) -> str | None:
        levels = [level for level, source in zip(truth.clearness, truth.sounds, strict=True) if source.kind == kind]
        top = max(levels, default=-math.inf)
        return _yes(True if top > AUDIBLE else False if top < INAUDIBLE else None)

    return answer


def _only(truth: SignalTruth, kind: str) -> SoundSource | None:
    """The source of a kind where it is the only one that may be heard."""
    sources = [(c, s) for c, s in zip(truth.clearness, truth.sounds, strict=True) if s.kind == kind and c > INAUDIBLE]
    return sources[0][1] if len(sources) == 1 and sources[0][0] > AUDIBLE else None


def _where(kind: str) -> Answerer:
    def answer(truth: SignalTruth) -> str | None:
        source = _only(truth, kind)
        if source is None or source.range < 3.0:
            return None
        # A bearing within 6 degrees of the border between two directions has no clear answer.
        around = {direction(math.cos(source.bearing + d), math.sin(source.bearing + d)) for d in (-0.1, 0.0, 0.1)}
        return around.pop() if len(around) == 1 else None

    return answer


def _siren_side(truth: SignalTruth) -> str | None:
    source = _only(truth, "siren")
    if source is None or abs(math.sin(source.bearing)) < 0.3:
        return None
    return "left" if source.bearing > 0 else "right"


def _siren_closer(truth: SignalTruth) -> str | None:
    source = _only(truth, "siren")
    if source is None or abs(source.closing_speed) < 2.0:
        return None
    return "coming closer" if source.closing_speed > 0 else "going away"


def _rain_heard(truth: SignalTruth) -> str | None:
    rain = truth.scene.weather.rain
    return _yes(False if rain == 0.0 else True if rain >= 0.3 and truth.rain_clearness > -20.0 else None)


def _wind_heard(truth: SignalTruth) -> str | None:
    speed = truth.scene.ego.speed
    return _yes(False if speed < 0.5 else True if speed > 6.0 and truth.wind_clearness > -12.0 else None)


def _loudest(truth: SignalTruth) -> str | None:
    heard = truth.heard()
    if not heard or (len(heard) > 1 and heard[0][0] - heard[1][0] < 6.0 and heard[0][1].kind != heard[1][1].kind):
        return None
    return _ARTICLE[heard[0][1].kind] if heard[0][0] > 0.0 else None


def _band(metres: float, bands: tuple[tuple[float, str], ...]) -> str | None:
    """The band of a distance, None within 6 % of an edge."""
    if any(math.isfinite(edge) and abs(metres - edge) < 0.06 * edge for edge, _ in bands):
        return None
    return next(name for edge, name in bands if metres <= edge)


def _within(metres: float, limit: float) -> str | None:
    return None if abs(metres - limit) < 0.08 * limit else _yes(metres < limit)


def _near(side: str) -> Answerer:
    return lambda truth: _within(truth.clearance[side], 2.0)


def _nearest_side(truth: SignalTruth) -> str | None:
    (near, side), (second, _), *_ = sorted((metres, side) for side, metres in truth.clearance.items())
    return side if near < 4.0 and second - near > 0.4 else None


def _depth_side(truth: SignalTruth) -> str | None:
    left, right = truth.depth_left, truth.depth_right
    if min(left, right) > 30.0 or abs(left - right) < 0.2 * min(left, right):
        return None
    return "left" if left < right else "right"


def _slope(truth: SignalTruth) -> str:
    return "rising" if truth.slope > 0.0 else "level"


def _facing(truth: SignalTruth) -> str | None:
    if truth.facing is None:
        return None
    x, y, z = truth.facing
    if z > 0.9:
        return "up"
    if abs(z) > 0.3 or x > 0.0:
        return None
    turned = math.degrees(math.atan2(y, -x))
    if abs(turned) < 15.0:
        return "towards me"
    return None if abs(turned) < 28.0 else "to the left" if turned > 0 else "to the right"


def _upright_share(truth: SignalTruth) -> str | None:
    return None if abs(truth.upright - 0.5) < 0.06 else "upright surfaces" if truth.upright > 0.5 else "ground"


def _seen(item: SceneObject) -> int:
    return max(item.clear_pixels.values(), default=0)


def _in_view(truth: SignalTruth, categories: tuple[str, ...] | None = None) -> list[SceneObject]:
    """Clearly visible objects, biggest in the picture first."""
    chosen = [item for item in truth.scene.objects if (categories is None or item.category in categories) and _seen(item) >= 40]
    return sorted(chosen, key=_seen, reverse=True)


def _shows(categories: tuple[str, ...], least: int) -> Answerer:
    def answer(truth: SignalTruth) -> str | None:
        of_kind = [item for item in truth.scene.objects if item.category in categories]
        if any(_seen(item) >= least for item in of_kind):
            return "yes"
        hidden = max((max(item.pixels.values(), default=0) for item in of_kind), default=0)
        return "no" if hidden < MIN_PIXELS else None

    return answer


def _biggest(truth: SignalTruth, categories: tuple[str, ...] | None = None) -> SceneObject | None:
    items = _in_view(truth, categories)
    return items[0] if items and (len(items) < 2 or _seen(items[0]) > 1.5 * _seen(items[1])) else None


def _image_colour(truth: SignalTruth) -> str | None:
    item = _biggest(truth, VEHICLES)
    return item.colour if item and _seen(item) >= 80 and truth.scene.weather.light > 0.12 else None


def _image_biggest(truth: SignalTruth) -> str | None:
    item = _biggest(truth)
    return item.category if item and _seen(item) >= 60 else None


def _video_closer(truth: SignalTruth) -> str | None:
    ahead = [item for item in _in_view(truth, VEHICLES) if abs(item.position[1]) < 2.5 and 4.0 < item.position[0] < 35.0]
    if not ahead:
        return None
    item = min(ahead, key=lambda item: item.position[0])
    closing = truth.scene.ego.speed - item.velocity[0]
    if abs(truth.scene.ego.yaw_rate) > 0.05 or abs(closing) < 1.5:
        return None
    return "closer" if closing > 0 else "away"


def _points_near(side: str) -> Answerer:
    return lambda truth: _within(truth.around[side], 7.0)


def _points_nearest(truth: SignalTruth) -> str | None:
    (near, side), (second, _), *_ = sorted((metres, side) for side, metres in truth.around.items())
    return side if near < 25.0 and second - near > max(1.0, 0.15 * near) else None


@dataclass(frozen=True, slots=True)
class SignalKind:
    """One kind of question: the kinds of signal that each suffice, its answer, and the share that is kept of common answers."""

    needs: tuple[str, ...]
    answer: Answerer
    rare: Mapping[str, float]


def _kind(needs: str, answer: Answerer, **rare: float) -> SignalKind:
    return SignalKind(tuple(needs.split()), answer, {name.replace("_", " "): share for name, share in rare.items()})


KINDS = {
    "siren": _kind("audio", _sounds("siren")),
    "siren_where": _kind("audio", _where("siren")),
    "siren_side": _kind("audio", _siren_side),
    "siren_closer": _kind("audio", _siren_closer),
    "horn": _kind("audio", _sounds("horn"), no=0.6),
    "horn_where": _kind("audio", _where("horn")),
    "beeper": _kind("audio", _sounds("reversing beeper"), no=0.5),
    "beeper_where": _kind("audio", _where("reversing beeper")),
    "rain_heard": _kind("audio", _rain_heard, no=0.25),
    "wind_heard": _kind("audio", _wind_heard, no=0.6),
    "loudest": _kind("audio", _loudest, a_siren=0.6),
    "behind_near": _kind("array", _near("behind"), no=0.2),
    "behind_distance": _kind("array", lambda truth: _band(truth.clearance["behind"], BANDS), more_than_4_metres=0.15),
    "ahead_near": _kind("array", _near("ahead"), no=0.15),
    "left_near": _kind("array", _near("left"), no=0.25),
    "right_near": _kind("array", _near("right"), no=0.25),
    "nearest_side": _kind("array", _nearest_side),
    "depth_distance": _kind("depth", lambda truth: _band(truth.depth, AHEAD_BANDS), more_than_20_metres=0.45),
    "depth_near": _kind("depth", lambda truth: _within(truth.depth, 10.0), no=0.5),
    "depth_side": _kind("depth", _depth_side),
    "slope": _kind("depth normals", _slope),
    "facing": _kind("normals", _facing),
    "upright_share": _kind("normals", _upright_share),
    "image_daylight": _kind("image", lambda truth: truth.scene.weather.daylight, day=0.35),
    "image_vehicle": _kind("image", _shows(VEHICLES, 150)),
    "image_person": _kind("image", _shows(("pedestrian",), 30), no=0.08),
    "image_colour": _kind("image", _image_colour),
    "image_biggest": _kind("image", _image_biggest),
    "video_moving": _kind("video", lambda truth: _yes(moving(truth.scene.ego)), yes=0.5),
    "video_turn": _kind("video", lambda truth: turn(truth.scene.ego), going_straight=0.2),
    "video_closer": _kind("video", _video_closer),
    "points_left": _kind("points", _points_near("left")),
    "points_right": _kind("points", _points_near("right"), yes=0.5),
    "points_behind": _kind("points", _points_near("behind"), no=0.5),
    "points_ahead": _kind("points", _points_near("ahead")),
    "points_nearest": _kind("points", _points_nearest, right=0.4),
    "imu_moving": _kind("imu", lambda truth: _yes(moving(truth.scene.ego)), yes=0.5),
    "imu_turn": _kind("imu", lambda truth: turn(truth.scene.ego), going_straight=0.2),
    "imu_braking": _kind("imu", lambda truth: _yes(speed_change(truth.scene.ego, -1.0)), no=0.5),
    "imu_accelerating": _kind("imu", lambda truth: _yes(speed_change(truth.scene.ego, 1.0)), no=0.15),
}
"""Every kind of question, by its name in config/signal_questions.yaml."""


def wordings() -> dict[str, dict[str, list[str]]]:
    """The wordings of each kind, under "known" and "held_out"."""
    return config_table("signal_questions.yaml")


def ask_signals(truth: SignalTruth, rng: np.random.Generator, split: str = "train", seed: int = 0) -> list[Question]:
    """One question of every kind that has a clear answer, common answers less often, so that the words alone tell little.

    In the test split half of the wordings are held out.
    """
    random = Random(int(rng.integers(2**31)))
    questions = []
    for name, kind in KINDS.items():
        answer = kind.answer(truth)
        keep, held_out, choice = random.random(), split == "test" and random.random() < 0.5, random.random()
        if not answer or keep >= kind.rare.get(answer, 1.0):
            continue
        table = wordings()[name]["held_out" if held_out else "known"]
        details = {"template": name, "language": "everyday", "wording": "held out" if held_out else "known"}
        questions.append(
            Question(
                question=table[int(choice * len(table))],
                answer=answer,
                template_type=kind.needs[0],
                num_hop=0,
                sample_token=truth.scene.token,
                program=name,
                needs=tuple((needed,) for needed in kind.needs),
                seed=seed,
                details=details,
            )
        )
    return questions


def captions(truth: SignalTruth) -> dict[str, str]:
    """A true sentence about each kind of signal, for alignment and for "describe what you hear"."""
    scene = truth.scene
    motion = "standing" if scene.ego.speed < 0.3 else turn(scene.ego) or "driving"
    seen = ", ".join(f"a {item.colour} {item.category}".replace("  ", " ") for item in _in_view(truth)[:3]) or "an empty road"
    picture = f"{scene.weather.name}, {seen}"
    near = ", ".join(f"{metres:.1f} m {side}" for side, metres in truth.clearance.items() if math.isfinite(metres))
    around = ", ".join(f"{metres:.0f} m {side}" for side, metres in truth.around.items() if math.isfinite(metres))
    ahead = f"{truth.depth:.0f} m free ahead" if math.isfinite(truth.depth) else "nothing straight ahead"
    facing = _facing(truth)
    return {
        "image": f"A street, {picture}.",
        "video": f"A clip of a street, {picture}, {motion}.",
        "points": f"Upright things: {around or 'none near'}.",
        "depth": f"{ahead}, the ground is {_slope(truth)}.".capitalize(),
        "normals": f"The ground is {_slope(truth)}, "
        + (f"the surface ahead faces {facing}." if facing else "no one surface ahead."),
        "audio": _audio_caption(truth),
        "imu": f"The robot is {motion}.",
        "array": f"Obstacles: {near or 'none near'}.",
    }


def _audio_caption(truth: SignalTruth) -> str:
    parts = []
    clearest = {source.kind: source for _, source in reversed(truth.heard())}
    for source in [*clearest.values()][::-1][:3]:
        words = f"{_ARTICLE[source.kind]} from the {direction(math.cos(source.bearing), math.sin(source.bearing))}"
        if abs(source.closing_speed) > 2.0:
            words += ", coming closer" if source.closing_speed > 0 else ", going away"
        parts.append(words)
    parts += ["rain"] * (_rain_heard(truth) == "yes") + ["wind"] * (_wind_heard(truth) == "yes")
    return f"I hear {' and '.join(parts)}." if parts else "I hear nothing in particular."
