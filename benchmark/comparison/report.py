# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Summary of the runs: means with intervals over seeds, accuracy at equal FLOPs, FLOPs at equal accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from rich.table import Table

matplotlib.use("Agg")
from matplotlib import pyplot

OURS, REFERENCE = "ours", "token insertion"
ON_PAR = 0.01
STUDENT = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom."""
COSTS = (
    "trained", "step_flops", "step_flops_formula", "step_bytes", "step_s", "step_cpu_s", "first_token_s", "answer_s",
    "steps", "train_cpu_s",
)  # fmt: skip


def summary(runs: Sequence[dict]) -> list[dict]:
    """One row per method. `accuracy` by type, each with the half width of its 95 % interval over seeds (0 for one seed).

    `interval` is that of all questions: over seeds, or of one seed over drives.
    """
    rows = []
    for name in dict.fromkeys(run["row"] for run in runs):
        mine = [run for run in runs if run["row"] == name]
        kinds = mine[0]["accuracy"]
        row = {"row": name, "seeds": len(mine)}
        row["accuracy"] = {kind: mean_and_half([run["accuracy"][kind] for run in mine]) for kind in kinds}
        row["overall"], row["overall_half"] = row["accuracy"]["overall"]
        half = row["overall_half"]
        row["interval"] = mine[0]["interval"] if len(mine) == 1 else (row["overall"] - half, row["overall"] + half)
        row |= {key: float(np.median([run[key] for run in mine])) for key in COSTS}
        row["total_flops"] = row["step_flops"] * row["steps"] if row["trained"] else 0.0
        curves = [run["curve"] for run in mine if run["curve"]]
        row["curve"] = [
            (step * row["step_flops"], float(np.mean([dict(curve)[step] for curve in curves])))
            for step, _ in (curves[0] if curves else [])
            if all(step in dict(curve) for curve in curves)
        ]
        rows.append(row)
    by_name = {row["row"]: row for row in rows}
    if OURS in by_name and REFERENCE in by_name:
        _against(by_name[OURS], by_name[REFERENCE])
    return rows


def mean_and_half(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of the 95 % interval by Student's t."""
    if len(values) < 2:
        return float(np.mean(values)), 0.0
    half = STUDENT[min(len(values) - 2, len(STUDENT) - 1)] * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(half)


def _against(ours: dict, other: dict) -> None:
    """Ours against the reference: accuracy at equal operations; operations and bytes at on-par accuracy."""
    budget = min(ours["total_flops"], other["total_flops"])
    ours["gain_at_equal_flops"] = _reached(ours["curve"], budget) - _reached(other["curve"], budget)
    target = other["overall"] - ON_PAR
    spent = [flops for flops, accuracy in ours["curve"] if accuracy >= target]
    needed = [flops for flops, accuracy in other["curve"] if accuracy >= target]
    if spent and needed:
        ours["flops_ratio_on_par"] = needed[0] / spent[0]
    ours["flops_ratio_a_step"] = other["step_flops"] / ours["step_flops"]
    ours["bytes_saved"] = 1 - ours["step_bytes"] / other["step_bytes"]


def _reached(curve: Sequence[tuple[float, float]], budget: float) -> float:
    return max((accuracy for flops, accuracy in curve if flops <= budget * 1.001), default=float("nan"))


def table(report: dict) -> Table:
    """The rows as a table for the terminal."""
    rows = report["rows"]
    kinds = [kind for kind in rows[0]["accuracy"] if kind != "overall"]
    view = Table(title=f"LLM of model {report['revision']}")
    costs = (
        "weights", "steps", "CPU s", "GFLOP a step", "by formula", "PFLOP in all", "MB a step", "s a step", "ms first token",
        "ms again",
    )  # fmt: skip
    for heading in ("", "overall", *kinds, *costs):
        view.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        low, high = row["interval"]
        view.add_row(
            row["row"],
            f"{100 * row['overall']:.1f} ({100 * low:.1f} to {100 * high:.1f})",
            *(f"{100 * row['accuracy'][kind][0]:.1f}" for kind in kinds),
            f"{row['trained'] / 1e6:.2f} M",
            f"{row['steps']:.0f}" if row["trained"] else "",
            f"{row['train_cpu_s']:.0f}" if row["trained"] else "",
            f"{row['step_flops'] / 1e9:.1f}",
            f"{row['step_flops_formula'] / 1e9:.1f}",
            f"{row['total_flops'] / 1e15:.4f}",
            f"{row['step_bytes'] / 1e6:.0f}",
            f"{row['step_s']:.2f}",
            f"{1e3 * row['first_token_s']:.1f}",
            f"{1e3 * row['answer_s']:.1f}",
        )
    ours = next((row for row in rows if "flops_ratio_a_step" in row), None)
    if ours:
        on_par = f"{ours['flops_ratio_on_par']:.1f}" if "flops_ratio_on_par" in ours else "never on par, no"
        view.caption = (
            f"against token insertion: {100 * ours['gain_at_equal_flops']:+.1f} points at equal FLOPs, {on_par} times fewer "
            f"FLOPs on par, {ours['flops_ratio_a_step']:.1f} times fewer a step, {100 * ours['bytes_saved']:.0f} % less memory"
        )
    return view


def plot(report: dict, path: Path) -> None:
    """Plot accuracy against training FLOPs."""
    figure, axis = pyplot.subplots(figsize=(6.4, 4.2))
    for row in report["rows"]:
        if row["curve"]:
            flops, accuracy = zip(*row["curve"], strict=True)
            axis.plot(np.array(flops) / 1e12, 100 * np.array(accuracy), marker="o", markersize=3, label=row["row"])
        else:
            axis.axhline(100 * row["overall"], color="0.6", linestyle="--", label=row["row"])
    axis.set(xscale="log", xlabel="training, TFLOP", ylabel="right answers on held-out drives, %")
    axis.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
