# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Summary of the runs: plasticity T, forgetting F, forward transfer, trained parameters, two modalities together.

With A[j][i] the share of right answers about modality i after modality j was learned: T_m = A[m][m], F_m = the mean over the
modalities i before m of A[i][i] - A[m][i]. Forward transfer of m is T_m with in-adapters less T_m without, on the same questions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from learning_methods import BASE
from rich.console import Console
from rich.table import Table
from signals import Modality

from mmllm_ros.metrics.statistics import interval

matplotlib.use("Agg")
from matplotlib import pyplot

NAMES = {
    "in_adapters": "adapters with in-adapters (ours)",
    "adapters": "adapters alone",
    "full": "full fine-tuning",
    "shared": "one shared adapter, 10 % replay, averaged",
}


def blind(data: Modality) -> list[int]:
    """Which test answers the most frequent answer of each kind of question in training gets right."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for row in data.train:
        seen[data.asked[row].kind][data.asked[row].answer] += 1
    return [int(seen[data.asked[row].kind].most_common(1)[0][0] == data.asked[row].answer) for row in data.test]


def summary(runs: Sequence[dict], data: Mapping[str, Modality], base: Sequence[int], projection: int) -> dict:
    """All figures. `base` are the right answers about images before any other modality; `projection` its parameters."""
    moments = {name: [str(one.asked[row].sample) for row in one.test] for name, one in data.items()}

    def share(name: str, right: Sequence[float]) -> list[float]:
        return [float(np.mean(right)), *interval(moments[name], right)]

    report: dict = {"projection_parameters": projection, "questions": {n: [len(d.train), len(d.test)] for n, d in data.items()}}
    report["blind"] = {name: share(name, blind(one)) for name, one in data.items()}
    report["base"] = share(BASE, base)
    report["runs"] = []
    for run in runs:
        before, rows = {BASE: base}, []
        for stage in run["stages"]:
            name, right = stage["modality"], stage["right"]
            lost = [float(np.mean(before[old]) - np.mean(right[old])) for old in before]
            rows.append({"modality": name, "T": share(name, right[name]), "F": float(np.mean(lost)), "changed": stage["changed"]})
            rows[-1] |= {"accuracy": {k: float(np.mean(v)) for k, v in right.items()}, "mixing": stage["trained"]["mixing"]}
            rows[-1] |= {"own": stage["trained"]["own"], "mixing_share": stage["trained"]["mixing"] / projection}
            before[name] = right[name]
        pairs = run["together"]
        named = {key: run[key] for key in ("method", "order", "seed")}
        report["runs"].append({**named, "stages": rows, "together": pairs, "joint": run["joint"]})
    report["transfer"] = _transfer(runs, moments)
    report["plasticity"] = _plasticity(report)
    return report


def _transfer(runs: Sequence[dict], moments: Mapping[str, Sequence[str]]) -> list[dict]:
    """With less without in-adapters, by order and modality that has older adapters to use, and over all of them."""
    found, all_moments, all_gains = [], [], []
    by = {(run["method"], run["order"], run["seed"]): run for run in runs}
    for (method, order, seed), run in by.items():
        other = by.get(("adapters", order, seed))
        if method != "in_adapters" or other is None:
            continue
        for mine, theirs in zip(run["stages"][1:], other["stages"][1:], strict=True):
            name = mine["modality"]
            gains = [a - b for a, b in zip(mine["right"][name], theirs["right"][name], strict=True)]
            found.append({"order": order, "seed": seed, "modality": name, **_gain(moments[name], gains)})
            all_moments += moments[name]
            all_gains += gains
    if found:
        found.append({"order": "all", "modality": "all", **_gain(all_moments, all_gains)})
    return found


def _gain(moments: Sequence[str], gains: Sequence[float]) -> dict:
    return {"gain": float(np.mean(gains)), "interval": interval(moments, gains)}


def _plasticity(report: dict) -> dict[str, dict[str, float]]:
    """By method, over orders, seeds and modalities: mean T, mean F of the last stage, T and gain over blind against `full`."""
    means = {}
    for method in dict.fromkeys(run["method"] for run in report["runs"]):
        mine = [run for run in report["runs"] if run["method"] == method]
        stages = [stage for run in mine for stage in run["stages"]]
        gain = [stage["T"][0] - report["blind"][stage["modality"]][0] for stage in stages]
        means[method] = {"T": float(np.mean([stage["T"][0] for stage in stages])), "gain": float(np.mean(gain))}
        means[method]["F"] = float(np.mean([run["stages"][-1]["F"] for run in mine]))
        means[method]["mixing_share"] = float(np.mean([stage["mixing_share"] for stage in stages]))
        for how in ("joint_both", "joint_chosen"):
            means[method][how] = float(np.mean([pair[how] for run in mine for pair in run["together"].values()]))
    if "full" in means:
        for row in means.values():
            row["T_against_full"] = row["T"] / means["full"]["T"]
            row["gain_against_full"] = row["gain"] / means["full"]["gain"]
    return means


def show(report: dict, console: Console) -> None:
    """The figures as tables."""
    columns = {"T": "T [%]", "T_against_full": "T against full [%]", "gain_against_full": "gain against full [%]"}
    columns |= {
        "F": "F [points]",
        "joint_both": "both right [%]",
        "joint_chosen": "chosen by question [%]",
        "mixing_share": "trained [%]",
    }
    table = Table("method", *columns.values(), title="means")
    for method, row in report["plasticity"].items():
        table.add_row(NAMES[method], *(f"{100 * row.get(key, np.nan):.1f}" for key in columns))
    console.print(table)
    for run in report["runs"]:
        names = [BASE, *(stage["modality"] for stage in run["stages"])]
        table = Table(
            "after", *names, "F [points]", title=f"{run['order']}, {NAMES[run['method']]}, seed {run['seed']} [% right]"
        )
        table.add_row("(blind)", *(f"{100 * report['blind'][name][0]:.1f}" for name in names), "")
        for stage in run["stages"]:
            cells = [f"{100 * stage['accuracy'][name]:.1f}" if name in stage["accuracy"] else "" for name in names]
            table.add_row(stage["modality"], *cells, f"{100 * stage['F']:.1f}")
        console.print(table)
        if run["joint"]:
            _show_joint(run["joint"], console)
    for row in report["transfer"]:
        gain, low, high = (f"{100 * value:+.1f}" for value in (row["gain"], *row["interval"]))
        console.print(f"forward transfer, {row['order']} {row['modality']}: {gain} ({low} to {high})")


def _show_joint(joint: Mapping[str, dict], console: Console) -> None:
    columns = ("both", BASE, "other", "nothing", "apart")
    table = Table(
        f"{BASE} and", "questions", *columns, "both connected", title="one question that needs two modalities [% right]"
    )
    for name, found in joint.items():
        shares = [found[name if column == "other" else column] for column in columns]
        cells = [f"{100 * share:.1f} ({100 * low:.0f} to {100 * high:.0f})" for share, low, high in shares]
        table.add_row(name, str(found["questions"]), *cells, f"{100 * found['connected']:.0f}")
    console.print(table)


def plot(report: dict, path: Path) -> None:
    """Share of right answers about each modality after each stage; a row of panels for each order, one for each method."""
    first = report["runs"][0]["seed"]
    runs = [run for run in report["runs"] if run["seed"] == first]
    orders, methods = (list(dict.fromkeys(run[key] for run in runs)) for key in ("order", "method"))
    size = (3.1 * len(methods), 2.6 * len(orders))
    learned = dict.fromkeys(stage["modality"] for run in runs for stage in run["stages"])
    colours = {name: f"C{number}" for number, name in enumerate((BASE, *learned))}
    figure, axes = pyplot.subplots(len(orders), len(methods), figsize=size, sharey=True, squeeze=False)
    for run in runs:
        axis = axes[orders.index(run["order"])][methods.index(run["method"])]
        names = [BASE, *(stage["modality"] for stage in run["stages"])]
        table = [{BASE: report["base"][0]}, *(stage["accuracy"] for stage in run["stages"])]
        for name in names:
            points = [(place, 100 * row[name]) for place, row in enumerate(table) if name in row]
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colours[name], label=name)
            axis.axhline(100 * report["blind"][name][0], color=colours[name], linewidth=0.6, linestyle=":")
        axis.set_xticks(range(len(names)), names, fontsize=7, rotation=20)
        axis.set_title(NAMES[run["method"]], fontsize=8)
        if axis is axes[orders.index(run["order"])][-1]:
            axis.legend(fontsize=6, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    for row, order in zip(axes, orders, strict=True):
        row[0].set_ylabel(f"order {order}: right answers [%]", fontsize=7)
    figure.suptitle("After each modality was learned; dotted: the most frequent answer", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
