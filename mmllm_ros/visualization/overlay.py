# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draws the overlay: sensor data and states, context and cost of the plan, and the newest questions and answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..datatypes import NANOSECONDS, Answer, Plan
from ..rig import CameraMount, Rig
from .canvas import Colour, fitted, text_width, write
from .drawing import draw_from_above, evidence_text
from .sensor_state import HealthHistory, State, modality_state, motion_text, state_of, turn_rate_of

SIZE = (720, 1280)
"""Height and width [pixels]."""

ANSWERS = 3
"""Number of newest answers drawn."""

REACH = 40.0
"""Distance shown to each side in the lidar picture [m]."""

_GROUND, _PANEL, _DARK = (12, 14, 18), (26, 29, 36), (16, 18, 24)
_INK, _PALE, _FAINT, _BAR = (240, 242, 245), (170, 176, 186), (134, 140, 150), (70, 140, 220)
_REST = (62, 67, 76)
_LEFT, _GAP, _HEAD, _TOP, _TITLE, _SENSOR = 864, 8, 40, 392, 30, 24
_BLANK = np.full((*SIZE, 3), _GROUND, np.uint8)
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class View:
    """The data that the overlay and the markers show at `now` [ns].

    `images` maps a camera's name to uint8 [h, w, 3] RGB; `points` is float32 [n, 4]: x, y, z [m] in the base frame, and
    intensity; None without a lidar. `answers` begin with the newest.
    """

    rig: Rig
    now: int
    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    points: np.ndarray | None = None
    history: HealthHistory = field(default_factory=HealthHistory)
    plan: Plan | None = None
    answers: Sequence[Answer] = ()


def draw_overlay(view: View) -> np.ndarray:
    """uint8 [720, 1280, 3] RGB."""
    canvas = _BLANK.copy()  # copying is faster than filling a picture with a colour
    right, below = _LEFT + _GAP, _HEAD + _TOP + _GAP
    _header(canvas, view)
    _cameras(canvas, (0, _HEAD, _LEFT, _HEAD + _TOP), view)
    _lidar(canvas, (right, _HEAD, SIZE[1], _HEAD + _TOP), view)
    _answers(canvas, (0, below, _LEFT, SIZE[0]), view)
    _sensors(canvas, (right, below, SIZE[1], SIZE[0]), view)
    return canvas


def _header(canvas: np.ndarray, view: View) -> None:
    """Draw the context on the left and the cost of an answer on the right."""
    x = write(canvas, "context  ", 12, 27, 16, _PALE)
    plan = view.plan
    write(canvas, fitted(plan.context if plan else "no plan received: is the context monitor running?", 640, 20), x, 27, 20, _INK)
    if plan is None:
        return
    if plan.budget <= 0.0:
        text = f"an answer costs {1e3 * plan.cost:.0f} ms, no limit" if plan.cost else "no limit for the cost of an answer"
        write(canvas, text, SIZE[1] - 12 - text_width(text, 16), 27, 16, _PALE)
        return
    text, share = f"an answer costs {1e3 * plan.cost:.0f} of {1e3 * plan.budget:.0f} ms", min(plan.cost / plan.budget, 1.0)
    write(canvas, text, SIZE[1] - 140 - text_width(text, 16), 27, 16, _INK)
    _bar(canvas, (SIZE[1] - 128, 14, SIZE[1] - 12, 28), share, State.FAULTY.value if plan.cost > plan.budget else _BAR)


def _cameras(canvas: np.ndarray, box: Box, view: View) -> None:
    """Draw the cameras by direction: the forward-looking ones in the upper row, the others below, each from left to right."""
    left, top, right, bottom = _panel(canvas, box, view, "camera")
    rows = camera_rows(view.rig)
    for number, row in enumerate(rows):
        height, width = (bottom - top) // len(rows), (right - left) // len(row)
        for place, mount in enumerate(row):
            x, y = left + place * width, top + number * height
            _tile(canvas, (x + 2, y + 2, x + width - 2, y + height - 2), view, mount)


def camera_rows(rig: Rig) -> list[list[CameraMount]]:
    """The cameras that look ahead and those that look back, each row from left to right as seen from the robot."""
    ahead = [mount for mount in rig.cameras if math.cos(mount.bearing) > -0.01]
    back = [mount for mount in rig.cameras if mount not in ahead]
    ahead.sort(key=lambda mount: -math.remainder(mount.bearing, math.tau))
    back.sort(key=lambda mount: mount.bearing % math.tau)
    return [row for row in (ahead, back) if row]


def _tile(canvas: np.ndarray, box: Box, view: View, mount: CameraMount) -> None:
    """Draw one camera with its name and state above the picture; the last image of a silent camera is dimmed."""
    left, top, right, bottom = box
    health = view.history.healths.get((mount.modality, mount.name))
    state = state_of(health, view.plan)
    canvas[top:bottom, left:right] = _DARK
    cv2.rectangle(canvas, (left, top), (left + 7, top + 21), state.value, -1)
    x = write(canvas, mount.name, left + 14, top + 16, 15, _INK)
    reason = health.reason if health else "no health message received"
    text = state.word if state in (State.PLUGGED, State.UNPLUGGED) else reason
    write(canvas, fitted(text, right - x - 14, 13), x + 10, top + 16, 13, _legible(state))
    image = view.images.get(mount.name)
    if image is None:
        return
    height, width = image.shape[:2]
    scale = min((right - left) / width, (bottom - top - 22) / height)
    shape = max(int(width * scale), 1), max(int(height * scale), 1)
    # A picture far larger than its tile is subsampled before it is averaged, which is faster.
    skip = max(1, int(0.5 / scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shown = cv2.resize(np.ascontiguousarray(image[::skip, ::skip]), shape, interpolation=way)
    y, x = (top + 22 + bottom - shape[1]) // 2, (left + right - shape[0]) // 2
    canvas[y : y + shape[1], x : x + shape[0]] = shown // 3 if health and state is State.SILENT else shown


def _lidar(canvas: np.ndarray, box: Box, view: View) -> None:
    """Draw the sweep from above, forward up, with an arc for each camera's field of view and an arrow for the motion."""
    left, top, right, bottom = _panel(canvas, box, view, "lidar")
    size = min(right - left, bottom - top)
    picture = draw_from_above(view.points, size, REACH, ground=0.0)
    middle = size // 2
    for mount in view.rig.cameras:
        state = state_of(view.history.healths.get((mount.modality, mount.name)), view.plan)
        # OpenCV counts degrees clockwise from the right, a bearing counts radians counter-clockwise from up.
        middle_angle, half = -90.0 - math.degrees(mount.bearing), math.degrees(mount.fov) / 2
        arc = (middle_angle - half + 1, middle_angle + half - 1)
        cv2.ellipse(picture, (middle, middle), (middle - 5, middle - 5), 0, *arc, state.value, 4, cv2.LINE_AA)
    if (rate := turn_rate_of(view.history.healths)) is not None:
        path = middle - heading_path(rate)[:, ::-1] * size / (2 * REACH)
        cv2.polylines(picture, [np.round(path * 16).astype(np.int32)], False, _INK, 2, cv2.LINE_AA, 4)
        before, end = path[-3:-1].mean(axis=0), path[-1] + (path[-1] - path[-2])
        cv2.arrowedLine(picture, *(tuple(map(int, p)) for p in (before, end)), _INK, 2, cv2.LINE_AA, tipLength=0.9)
    x = (left + right - size) // 2
    canvas[top : top + size, x : x + size] = picture
    write(canvas, "colour: height", left + 8, bottom - 22, 12, _FAINT)
    write(canvas, "grey: road", left + 8, bottom - 8, 12, _FAINT)
    text = "arc: camera"
    write(canvas, text, right - 8 - text_width(text, 12), bottom - 8, 12, _FAINT)


def heading_path(turn_rate: float) -> np.ndarray:
    """Predicted path [n, 2], x forward and y left [m]. The length is nominal: an IMU does not measure the speed."""
    times = np.linspace(0.0, 2.0, 12)
    steps = np.stack([np.cos(turn_rate * times), np.sin(turn_rate * times)], axis=1)
    return 6.0 * np.cumsum(steps, axis=0) * (times[1] - times[0])


def _answers(canvas: np.ndarray, box: Box, view: View) -> None:
    """Draw the newest answers, earlier ones in a paler colour."""
    left, top, right, bottom = box
    cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), _PANEL, -1)
    if not view.answers:
        write(canvas, "no question has been asked yet", left + 16, top + 40, 18, _PALE)
    width, height = right - left - 32, (bottom - top - 8) // ANSWERS
    for number, answer in enumerate(view.answers[:ANSWERS]):
        y, ink = top + 30 + number * height, _INK if number == 0 else _PALE
        write(canvas, fitted(answer.question, width, 17), left + 16, y, 17, _PALE)
        x = write(canvas, fitted(answer.answer, width - 330, 26), left + 16, y + 30, 26, ink)
        _bar(canvas, (x + 18, y + 17, x + 138, y + 30), answer.confidence, _BAR)
        write(canvas, f"{100 * answer.confidence:.0f}% sure", x + 148, y + 30, 16, ink)
        evidence = f"age of evidence: {evidence_text(answer)}"
        if answer.evidence:
            asked = answer.stamp + min(item.age for item in answer.evidence) * NANOSECONDS
            evidence = f"asked {max(view.now - asked, 0) / NANOSECONDS:.0f} s ago; {evidence}"
        if answer.unplugged:
            evidence += f"; without {', '.join(answer.unplugged)}"
        evidence += f"; took {1e3 * answer.latency:.0f} ms"
        write(canvas, fitted(evidence, width, 14), left + 16, y + 52, 14, _PALE if number == 0 else _FAINT)


def _sensors(canvas: np.ndarray, box: Box, view: View) -> None:
    """Draw one row per sensor: its last 30 s as bars, the height being the rate and the colour the state."""
    left, top, right, bottom = _panel(canvas, box, view, "imu")
    write(canvas, motion_text(view.history.healths), left + 12, top + 16, 15, _INK)
    strip, rate_at, word_at = left + 98, left + 284, left + 332
    y = top + 36
    cv2.line(canvas, (left + 12, y - 8), (right - 12, y - 8), _REST, 1)
    for x, text in ((left + 12, "sensor"), (strip, "messages, last 30 s"), (rate_at, "now")):
        write(canvas, text, x, y + 6, 12, _FAINT)
    y += 4
    for source in sorted(view.history.entries)[: (bottom - y - 4) // _SENSOR]:
        y += _SENSOR
        health, past = view.history.healths[source], view.history.entries[source]
        write(canvas, fitted(source[1] if source[0] == "camera" else source[0], 90, 14), left + 12, y, 14, _INK)
        most = max(rate for _, rate in past) or 1.0
        for age, (state, rate) in enumerate(reversed(past)):
            x, height = strip + 3 * (HealthHistory.LENGTH - 1 - age), max(2, round(16 * rate / most))
            canvas[y + 3 - height : y + 3, x : x + 3] = state.value
        write(canvas, f"{health.rate:.0f} Hz", rate_at, y, 13, _PALE)
        state = state_of(health, view.plan)
        write(canvas, state.word, word_at, y, 13, _legible(state))


def _panel(canvas: np.ndarray, box: Box, view: View, modality: str) -> Box:
    """Draw background and title of a modality's panel: name, state, the plan's reason. Returns the free area."""
    left, top, right, bottom = box
    cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), _PANEL, -1)
    x = write(canvas, modality, left + 12, top + 21, 17, _INK) + 10
    carried = any(mount.modality == modality for mount in view.rig.mounts)
    state, reason = modality_state(modality, view.plan) if carried else (State.SILENT, f"the rig has no {modality}")
    word = state.word if carried else "none"
    cv2.rectangle(canvas, (x, top + 6), (x + text_width(word, 14) + 14, top + 25), state.value, -1)
    x = write(canvas, word, x + 7, top + 20, 14, (255, 255, 255)) + 16
    write(canvas, fitted(reason, right - x - 8, 14), x, top + 20, 14, _PALE)
    return left, top + _TITLE, right, bottom


def _bar(canvas: np.ndarray, box: Box, share: float, colour: Colour) -> None:
    left, top, right, bottom = box
    cv2.rectangle(canvas, (left, top), (right, bottom), _REST, -1)
    cv2.rectangle(canvas, (left, top), (left + round((right - left) * min(max(share, 0.0), 1.0)), bottom), colour, -1)


def _legible(state: State) -> Colour:
    """The colour of a state, lightened for small text on a dark background."""
    return tuple(min(255, channel + 60) for channel in state.value)
