# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figure of a comparison of plans: light and weather, modalities plugged and used, accuracy, and cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from ..datatypes import MODALITIES
from .plan_comparison_report import ORDER

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

CONTEXT_COLOURS = {
    "day": "#f6d55c",
    "dusk": "#d98e5f",
    "night": "#2b3a67",
    "glare": "#fff3b0",
    "fog": "#b8c4cc",
    "rain": "#6b8fb5",
}
UNKNOWN = "#eeeeee"
PLUGGED, USED, BROKEN = "#a9d6b8", "#1b7f4b", "#d1495b"
WINDOW = 15.0
"""Accuracy is a moving mean over this time before and after [s]."""


def draw(found: dict, report: dict, path: Path) -> None:
    """Write `path` (PNG): the first drive's timeline at the left, all plans at the right."""
    timeline = found["timeline"]
    first = [step for step in timeline if step["drive"] == timeline[0]["drive"]]
    figure = pyplot.figure(figsize=(14, 7.5), layout="constrained")
    grid = figure.add_gridspec(4, 2, width_ratios=(2.1, 1), height_ratios=(0.7, 1.2, 1.5, 1.5))
    axes = [figure.add_subplot(grid[row, 0]) for row in range(4)]
    _context(axes[0], first)
    _plan(axes[1], first)
    _accuracy(axes[2], timeline)
    _compute(axes[3], first)
    for axis in axes:
        axis.set_xlim(first[0]["second"], first[-1]["second"])
        axis.tick_params(labelbottom=axis is axes[-1])
    axes[-1].set_xlabel("seconds of the drive")
    _bars(figure.add_subplot(grid[:2, 1]), report, "accuracy", "right answers [%], same frames and questions")
    _bars(figure.add_subplot(grid[2:, 1]), report, "flops_share", "operations, % of everything always on")
    ours = report["ours"]
    figure.suptitle(
        f"{report['scenario'].replace('_', ' ')}: our plan {100 * ours['accuracy']:.1f} % right, everything always on "
        f"{100 * report['always_on']['accuracy']:.1f} %, with {100 * ours['flops_share']:.0f} % of its operations"
        f" ({report['questions']} questions, {report['drives']} drive{'s' * (report['drives'] > 1)})",
        fontsize=11,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _spans(axis: Axes, steps: Sequence[dict], key: str, y: float) -> None:
    begin = 0
    for index in range(1, len(steps) + 1):
        if index < len(steps) and steps[index][key] == steps[begin][key]:
            continue
        name, start = steps[begin][key], steps[begin]["second"]
        end = steps[min(index, len(steps) - 1)]["second"]
        axis.barh(y, end - start, left=start, height=0.8, color=CONTEXT_COLOURS.get(name, UNKNOWN), edgecolor="none")
        if end - start > 0.05 * steps[-1]["second"]:
            axis.text((start + end) / 2, y, name, ha="center", va="center", fontsize=8, color="w" if name == "night" else "k")
        begin = index


def _context(axis: Axes, steps: Sequence[dict]) -> None:
    _spans(axis, steps, "truth", 1)
    _spans(axis, steps, "context", 0)
    axis.set_yticks([0, 1], ["estimated", "true"])
    axis.set_title("light and weather", fontsize=9, loc="left")


def _plan(axis: Axes, steps: Sequence[dict]) -> None:
    width = steps[1]["second"] - steps[0]["second"]
    for row, modality in enumerate(reversed(MODALITIES)):
        for key, colour, height in (("plugged", PLUGGED, 0.8), ("broken", BROKEN, 0.8), ("used", USED, 0.35)):
            on = [step["second"] for step in steps if modality in step[key]]
            axis.barh([row] * len(on), width, left=on, height=height, color=colour, edgecolor="none")
    axis.set_yticks(range(len(MODALITIES)), list(reversed(MODALITIES)))
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in (PLUGGED, USED, BROKEN)]
    axis.legend(handles, ["plugged", "used by the answer", "out of order"], fontsize=7, ncols=3, loc="lower right",
                bbox_to_anchor=(1, 1), frameon=False)  # fmt: skip
    axis.set_title("our plan", fontsize=9, loc="left")


def _accuracy(axis: Axes, timeline: Sequence[dict]) -> None:
    seconds = np.array([step["second"] for step in timeline])
    places = np.unique(seconds)
    for plan, colour in (("always_on", "0.45"), ("ours", USED)):
        right = np.array([step[f"{plan} right"] for step in timeline], float)
        asked = np.array([step[f"{plan} asked"] for step in timeline], float)
        near = np.abs(seconds[None] - places[:, None]) <= WINDOW
        axis.plot(places, 100 * (near @ right) / np.maximum(near @ asked, 1), color=colour, label=plan.replace("_", " "))
    axis.set_ylabel("right [%]")
    axis.legend(fontsize=7, loc="lower right", ncols=2)
    axis.set_title(f"answers, mean over {2 * WINDOW:g} s of all drives", fontsize=9, loc="left")
    axis.grid(alpha=0.3)


def _compute(axis: Axes, steps: Sequence[dict]) -> None:
    for plan, colour in (("always_on", "0.45"), ("ours", USED)):
        total = np.cumsum([step[f"{plan} flops"] for step in steps]) / 1e9
        axis.plot([step["second"] for step in steps], total, color=colour, label=plan.replace("_", " "))
        axis.annotate(f"{total[-1]:.0f}", (steps[-1]["second"], total[-1]), textcoords="offset points", xytext=(-4, 3),
                      ha="right", fontsize=8, color=colour)  # fmt: skip
    axis.margins(y=0.15)  # room for the figures at the ends
    axis.set_ylabel("GFLOP so far")
    axis.legend(fontsize=7, loc="upper left")
    axis.set_title("compute of encoders and LLM", fontsize=9, loc="left")
    axis.grid(alpha=0.3)


def _bars(axis: Axes, report: dict, key: str, title: str) -> None:
    plans = ORDER[::-1]
    rows = [report[plan] for plan in plans]
    values = [100 * row[key] for row in rows]
    names = [
        ("best pair, " + row["pair"] if "pair" in row else plan).replace("_", " ") for plan, row in zip(reversed(ORDER), rows)
    ]
    colours = [USED if plan == "ours" else "0.45" if plan == "always_on" else "0.75" for plan in plans]
    axis.barh(range(len(rows)), values, color=colours)
    for place, value in enumerate(values):
        axis.text(value + 1, place, f"{value:.1f}" if key == "accuracy" else f"{value:.0f}", va="center", fontsize=8)
    axis.set_yticks(range(len(rows)), names, fontsize=8)
    axis.set_xlim(0, 1.12 * max(1.0, *values))
    axis.set_title(title, fontsize=9, loc="left")
