# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draws docs/modalities.png: one simulated moment as camera view, depth, normals, sound and ultrasonic echoes, with questions.

python -m docs.modalities_picture
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from mmllm_ros.simulator.sensors.microphones import RATE
from mmllm_ros.simulator.sensors.ultrasonic import BIN, TRANSDUCERS
from mmllm_ros.simulator.signal_moment import SignalMoment, render_moment
from mmllm_ros.simulator.world.props import FRONT, REAR, SIDE

PAGE = Path(__file__).parent / "modalities.png"
SCENE = ("val", 205)
MICROPHONES = ("front left", "front right", "back left", "back right")
SHOWN = {
    "image": ("image_biggest", "image_colour"),
    "depth": ("depth_distance", "slope"),
    "normals": ("facing", "upright_share"),
    "audio": ("siren", "siren_where", "siren_closer"),
    "array": ("behind_distance", "nearest_side"),
}
"""Which questions stand under each picture, where they have an answer at this moment."""


def draw(moment: SignalMoment) -> plt.Figure:
    """One row of three pictures by rays, one of sound and echoes."""
    figure = plt.figure(figsize=(13.5, 8.8))
    image, depth, normals = (figure.add_axes((left, 0.655, 0.28, 0.29)) for left in (0.04, 0.35, 0.69))
    image.imshow(moment.signals["image"].transpose(1, 2, 0))
    _plain(image)
    _label(image, "Camera", moment, "image")
    _depth(figure, depth, moment.signals["depth"][0])
    _label(depth, "Depth of the same view (black: no reading)", moment, "depth")
    _normals(normals, moment.signals["normals"])
    _label(normals, "Surface normals: green up, blue to me, red sideways", moment, "normals")
    sound = figure.add_axes((0.04, 0.13, 0.54, 0.4))
    _sound(figure, sound, moment.signals["audio"])
    _label(sound, "Sound at four microphones: frequency by time, brightness is level", moment, "audio")
    echoes = figure.add_axes((0.68, 0.13, 0.3, 0.4))
    _echoes(echoes, moment)
    _label(echoes, "Ultrasonic echoes from above; red: true boxes", moment, "array")
    return figure


def _label(axes: Axes, title: str, moment: SignalMoment, kind: str) -> None:
    axes.set_title(title, fontsize=10.5, loc="left")
    asked = {question.program: question for question in moment.questions}
    lines = [f"{asked[name].question}  {asked[name].answer.upper()}" for name in SHOWN[kind] if name in asked]
    below = -0.03 if kind in ("image", "depth", "normals") else -0.12
    axes.text(0, below, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=9, color="#103050")


def _plain(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])


def _depth(figure: plt.Figure, axes: Axes, depth: np.ndarray) -> None:
    shown = np.ma.masked_equal(depth, 0.0)
    picture = axes.imshow(shown, cmap="turbo_r", norm=matplotlib.colors.LogNorm(2.0, 40.0))
    axes.set_facecolor("#303030")
    bar = figure.colorbar(picture, cax=axes.inset_axes((1.01, 0, 0.025, 1)), ticks=[2, 5, 10, 20, 40], format="%g m")
    bar.ax.minorticks_off()
    _plain(axes)


def _normals(axes: Axes, normals: np.ndarray) -> None:
    forward, left, up = normals
    colours = np.stack([np.abs(left), np.maximum(up, 0.0), np.maximum(-forward, 0.0)], -1)
    axes.imshow(np.where(np.abs(normals).sum(0)[..., None] > 0, 0.15 + 0.85 * colours, 0.19))
    _plain(axes)


def _sound(figure: plt.Figure, axes: Axes, sound: np.ndarray) -> None:
    size, hop = 1024, 256
    frames = np.lib.stride_tricks.sliding_window_view(sound, size, axis=1)[:, ::hop] * np.hanning(size)
    level = 10 * np.log10(np.abs(np.fft.rfft(frames)) ** 2 + 1e-6)[:, :, : 3000 * size // RATE]
    stacked = np.concatenate([channel.T for channel in level[::-1]])
    seconds, height = sound.shape[1] / RATE, level.shape[2]
    picture = axes.imshow(
        stacked,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(-seconds, 0, 0, len(stacked)),
        vmin=level.max() - 65,
        vmax=level.max(),
    )
    for number, name in enumerate(MICROPHONES[::-1]):
        axes.text(-seconds + 0.02, (number + 1) * height - 6, name, color="white", fontsize=9, va="top", weight="bold")
        axes.axhline(number * height, color="white", linewidth=1.2)
    steps = [number * height + frequency * size / RATE for number in range(len(level)) for frequency in (0, 1000, 2000)]
    axes.set_yticks(steps, ["0", "1 kHz", "2 kHz"] * len(level), fontsize=8)
    axes.set_xlabel("seconds before now", fontsize=9)
    figure.colorbar(picture, cax=axes.inset_axes((1.01, 0, 0.015, 1)), format="%d dB")


def _echoes(axes: Axes, moment: SignalMoment) -> None:
    """Each trace as a fan in the direction of its sensor: the darker, the stronger the echo from there."""
    traces, half = moment.signals["array"], math.radians(22)
    bins = np.arange(traces.shape[1] + 1) * BIN
    for sensor, trace in zip(TRANSDUCERS, traces, strict=True):
        angles = np.linspace(sensor.bearing - half, sensor.bearing + half, 12)
        x = sensor.x + np.outer(bins, np.cos(angles))
        y = sensor.y + np.outer(bins, np.sin(angles))
        strength = np.repeat(trace[:, None], len(angles) - 1, axis=1)
        axes.pcolormesh(-y, x, strength, cmap="Blues", vmin=0.0, vmax=0.7, linewidth=0, rasterized=True)
    axes.add_patch(plt.Rectangle((-SIDE, REAR), 2 * SIDE, FRONT - REAR, facecolor="#d8d8d8", edgecolor="black"))
    axes.annotate("", (0, FRONT - 0.3), (0, FRONT - 2.0), arrowprops={"arrowstyle": "->"})
    axes.text(0, 0.2, "vehicle", ha="center", fontsize=8.5)
    for prop in moment.props:
        if prop.kind != "ramp":
            size = (0.3, 6.0) if prop.kind == "wall" else (0.3, 0.3)
            _outline(axes, prop.x, prop.y, prop.yaw, size, 0.15 if prop.kind == "wall" else 0.0)
    for item in moment.truth.scene.objects:
        _outline(axes, *item.position[:2], item.yaw, item.size[:2])
    axes.set_xlim(-7, 7)
    axes.set_ylim(REAR - 6.5, FRONT + 6.5)
    axes.set_aspect("equal")
    axes.set_xlabel("metres to the right", fontsize=9)
    axes.tick_params(labelsize=8)


def _outline(axes: Axes, x: float, y: float, yaw: float, size: tuple[float, float], forward: float = 0.0) -> None:
    """A true box from above: length and width [m], its middle `forward` of (x, y) along its yaw."""
    c, s = math.cos(yaw), math.sin(yaw)
    half = [(a * size[0] / 2 + forward, b * size[1] / 2) for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    placed = [(-(y + s * a + c * b), x + c * a - s * b) for a, b in half]
    axes.add_patch(plt.Polygon(placed, facecolor="none", edgecolor="#c03020", linewidth=1.3))


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the picture."""
    draw(render_moment(*SCENE)).savefig(PAGE, dpi=80)


if __name__ == "__main__":
    main()
