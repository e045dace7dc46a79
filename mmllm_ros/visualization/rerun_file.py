# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a run as a rerun recording: images, points, plan, answers and figures on one timeline, with a layout.

    rerun FILE.rrd                 # a window
    rerun FILE.rrd --web-viewer    # a browser

Needs rerun-sdk, an optional dependency.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..datatypes import NANOSECONDS, Answer, BadInput, Health, Plan, one_line
from ..io.frames import points_in_base
from ..io.serialization import camera_rotation
from ..rig import CameraMount, Rig
from .drawing import AnswerSnapshot, evidence_text
from .overlay import camera_rows
from .point_colours import colour_points
from .sensor_state import State, state_of

MOST_POINTS = 20_000
"""Denser sweeps are subsampled to this; a minute of a recording is then about 20 MB."""

TIMELINE = "time"
_RIGHT, _WRONG, _OPEN = (0, 170, 120), (226, 84, 30), (70, 120, 210)


class RerunFile:
    """A new recording at `path` of a robot with `rig`. Raises BadInput where rerun is missing or `path` cannot be written.

    `now` is the time [ns] of the logged data. Not thread-safe.
    """

    def __init__(self, path: str | Path, rig: Rig) -> None:
        self._rr = _rerun()
        self._rig = rig
        self._mounts = {mount.name: mount for mount in rig.cameras}
        self._images: dict[str, np.ndarray] = {}
        self._points: np.ndarray | None = None
        self._plan: Plan | None = None
        self._graded = self._right = 0
        self._stream = self._rr.RecordingStream("mmllm_ros")
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._stream.save(path, default_blueprint=_blueprint(rig))
        except (OSError, RuntimeError) as error:
            raise BadInput(f"{path} cannot be written: {one_line(error)}") from error
        self._describe()

    def add_sensor_data(self, images: Mapping[str, np.ndarray], points: np.ndarray | None, now: int) -> None:
        """Log images and sweep as in AnswerSnapshot; an object that is identical to the previous one is not written again."""
        rr = self._rr
        for name, image in images.items():
            if image is self._images.get(name):
                continue
            if name not in self._images:
                self._mount(self._mounts[name], image.shape)
            self._images[name] = image
            self._log(f"robot/camera/{name}", rr.Image(image).compress(jpeg_quality=90), now)
        if points is not None and points is not self._points:
            shown = points_in_base(points[:: 1 + len(points) // MOST_POINTS], self._rig.lidar)
            colours = colour_points(shown, {self._mounts[name]: image for name, image in self._images.items()})
            self._log("robot/lidar", rr.Points3D(shown[:, :3], colors=colours, radii=0.05), now)
            self._points = points

    def health(self, health: Health, now: int) -> None:
        """Log the state and the rate of a sensor."""
        name = _name(health.modality, health.source)
        self._log(f"sensors/{name}", self._rr.StateChange(state=state_of(health, self._plan).word), now)
        self._log(f"figures/rate/{name}", self._rr.Scalars(health.rate), now)

    def plan(self, plan: Plan, now: int) -> None:
        """Log which modalities are plugged, the context, and every new reason."""
        rr, before = self._rr, self._plan
        for modality, plugged in plan.plugged.items():
            self._log(f"plan/{modality}", rr.StateChange(state=(State.PLUGGED if plugged else State.UNPLUGGED).word), now)
            if before is None or before.reasons.get(modality) != plan.reasons.get(modality):
                text = f"{modality} {'plugged' if plugged else 'unplugged'}: {plan.reasons.get(modality, '')}"
                self._log("log/plan", rr.TextLog(text, level="INFO", color=_OPEN), now)
        self._log("plan/context", rr.StateChange(state=plan.context or "unknown"), now)
        self._plan = plan

    def answer(self, answer: Answer, now: int) -> None:
        """Log an answer: one log line, the panel of the newest answer, confidence and latency."""
        rr = self._rr
        text = f"{answer.question}  {answer.answer} ({answer.confidence:.0%} sure), from {evidence_text(answer)}"
        self._log("log/answers", rr.TextLog(text, level="INFO", color=_OPEN), now)
        self._log_answer(answer, "", now)
        self._log("figures/answers/confidence", rr.Scalars(answer.confidence), now)
        self._log("figures/latency/answer_ms", rr.Scalars(1e3 * answer.latency), now)

    def add_truth(self, answer: Answer, truth: str, now: int) -> None:
        """Log whether an answer was right, and the share of right answers so far."""
        right = answer.answer == truth
        self._graded, self._right = self._graded + 1, self._right + right
        result = "right" if right else f"wrong, the truth is {truth}"
        self._log(
            "log/answers", self._rr.TextLog(result, level="INFO" if right else "WARN", color=_RIGHT if right else _WRONG), now
        )
        self._log_answer(answer, result, now)
        self._log("figures/answers/share_right", self._rr.Scalars(self._right / self._graded), now)

    def add_snapshot(self, snapshot: AnswerSnapshot) -> None:
        """Log sensor data, answer and truth at the time of the question."""
        answer = snapshot.answer
        asked = answer.stamp + round(NANOSECONDS * min((item.age for item in answer.evidence), default=0.0))
        self.add_sensor_data(snapshot.images, snapshot.points, asked)
        self.answer(answer, asked)
        if snapshot.truth:
            self.add_truth(answer, snapshot.truth, asked)

    def close(self) -> None:
        """Write buffered data and end the recording."""
        self._stream.disconnect()

    def _log_answer(self, answer: Answer, result: str, now: int) -> None:
        lines = [f"## {answer.question}", f"# {answer.answer}", f"{answer.confidence:.0%} sure"]
        if result:
            lines.append(f"**{result}**")
        lines.append(f"Age of evidence: {evidence_text(answer)}")
        lines += [f"- without {modality}: {reason}" for modality, reason in answer.unplugged.items()]
        document = self._rr.TextDocument("\n\n".join(lines), media_type=self._rr.MediaType.MARKDOWN)
        self._log("answer", document, now)

    def _describe(self) -> None:
        """Log what does not change: axes and the colours of states."""
        rr = self._rr
        self._log("robot", rr.ViewCoordinates.RIGHT_HAND_Z_UP)
        words, colours = [state.word for state in State], [state.value for state in State]
        mounts = self._rig.mounts
        sensors = [f"sensors/{_name(mount.modality, getattr(mount, 'name', mount.modality))}" for mount in mounts]
        for path in dict.fromkeys([*(f"plan/{mount.modality}" for mount in mounts), *sensors]):
            self._log(path, rr.StateConfiguration(values=words, colors=colours))

    def _mount(self, mount: CameraMount, shape: tuple[int, ...]) -> None:
        """Log pose and projection of a camera; the projection needs the size of its first image."""
        rr, (height, width) = self._rr, shape[:2]
        path = f"robot/camera/{mount.name}"
        self._log(path, rr.Transform3D(translation=mount.position, mat3x3=camera_rotation(mount)))
        focal = mount.focal_length(width)
        self._log(path, rr.Pinhole(focal_length=focal, width=width, height=height, image_plane_distance=1.0))

    def _log(self, path: str, what: Any, now: int | None = None) -> None:
        """Log at `now`, or for all times without it."""
        if now is not None:
            self._stream.set_time(TIMELINE, timestamp=np.datetime64(now, "ns"))
        self._stream.log(path, what, static=now is None)


def _name(modality: str, source: str) -> str:
    return modality if source == modality else f"{modality}/{source}"


def _rerun() -> Any:
    try:
        import rerun
    except ImportError as error:
        raise BadInput(f"a rerun recording needs rerun-sdk: pip install 'rerun-sdk>=0.41' ({error})") from error
    return rerun


def _blueprint(rig: Rig) -> Any:
    """Layout: sensor data on the left with the plan below, questions, answers and figures on the right."""
    import rerun.blueprint as rrb

    rows = [
        rrb.Horizontal(*(rrb.Spatial2DView(origin=f"robot/camera/{mount.name}", name=mount.name) for mount in row))
        for row in camera_rows(rig)
    ]
    eye = rrb.EyeControls3D(position=(-14.0, 0.0, 11.0), look_target=(6.0, 0.0, 0.0), eye_up=(0.0, 0.0, 1.0))
    seen = rrb.Spatial3DView(
        origin="robot", name="lidar coloured by the cameras", eye_controls=eye, background=(24, 26, 32), line_grid=False
    )
    plugged = rrb.StateTimelineView(origin="plan", name="context and plugged modalities")
    # The columns for path and level are left out, so that the text fits.
    columns = rrb.TextLogColumns(text_log_columns=rrb.encodings.TextLogColumn(kind="Body"))
    answers = (
        rrb.TextDocumentView(origin="answer", name="the newest answer"),
        rrb.TextLogView(origin="log", name="questions, answers, reasons", columns=columns),
    )
    figures = rrb.Tabs(
        rrb.StateTimelineView(origin="sensors", name="sensors"),
        rrb.TimeSeriesView(origin="figures/answers", name="confidence, share right"),
        rrb.TimeSeriesView(origin="figures/latency", name="latency [ms]"),
        rrb.TimeSeriesView(origin="figures/rate", name="messages a second"),
    )
    left = rrb.Vertical(seen, *rows, plugged, row_shares=[4, *([1.6] * len(rows)), 2.6])
    right = rrb.Vertical(*answers, figures, row_shares=[2, 3, 4])
    return rrb.Blueprint(
        rrb.Horizontal(left, right, column_shares=[3, 2]),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        rrb.TimePanel(state="collapsed", timeline=TIMELINE),
    )
