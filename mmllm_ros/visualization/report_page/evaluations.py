# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Report section of `mmllm evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .parts import Bar, Bars, Card, Grid, Part, Reliability, percent, spread

FLOORS = {"majority": "the commonest answer", "blind_ngram": "a regression on the words", "none": "nothing: the LLM alone"}

Pictures = Callable[[str], Mapping[str, str]]


def evaluation_part(report: Mapping[str, Any], source: str, pictures: Pictures) -> Part:
    """`report` as accuracy.evaluate returns it; `pictures` gives the thumbnails of a frame.

    Raises KeyError, TypeError or ValueError on a malformed report.
    """
    full = max(report["sets"], key=lambda name: (name != "none", name.count("+")))
    best = report["sets"][full]
    gain = report["gain_over_blind"]
    return Part(
        title="Accuracy",
        summary=(
            f"{report['n']} questions about {report['scenes']} scenes never trained on. With everything plugged in "
            f"{percent(best['overall'])} are answered right (95 % interval {spread(best['low'], best['high'])}), "
            f"{100 * gain:+.0f} points against the best guess without sensors."
        ),
        source=source,
        facts=[
            ("right with all sensors", percent(best["overall"])),
            ("best blind guess", percent(best["overall"] - gain)),
            ("sensors of another scene", percent(report["wrong_frame"])),
            ("model", f"{report['model']} {report['revision']}"),
        ],
        mistakes=[_card(mistake, pictures(str(mistake["moment"]))) for mistake in report["mistakes"]],
        bars=[_by_set(report), _by_type(report, best)],
        reliability=Reliability(report["reliability"], float(report["ece"]), int(report["n"])),
        grids=[_costs(report), _everything(report)],
    )


def _card(mistake: Mapping[str, Any], pictures: Mapping[str, str]) -> Card:
    where = f"scene {mistake['scene']}, {mistake['context']}, {mistake['type']} question"
    return Card(mistake["question"], mistake["answer"], mistake["truth"], float(mistake["confidence"]), where, pictures=pictures)


def _by_set(report: Mapping[str, Any]) -> Bars:
    blind = [Bar(_named(name), row["overall"], blind=True) for name, row in report["floors"].items()]
    rows = [
        Bar(_named(name), row["overall"], row["low"], row["high"],
            blind=name == "none")
        for name, row in report["sets"].items()
    ]  # fmt: skip
    swapped = Bar("all, of another scene", report["wrong_frame"], blind=True)
    note = (
        "95 % intervals by bootstrap over scenes. The grey rows are baselines: guesses without a sensor, and with the sensors "
        "of another scene, where the model should be no better than a guess."
    )
    return Bars("By plugged modalities", note, [*blind, *rows, swapped])


def _by_type(report: Mapping[str, Any], best: Mapping[str, Any]) -> Bars:
    blind = report["sets"]["none"]
    rows = [Bar(kind, best[kind], low, high, mark=blind.get(kind)) for kind, (low, high) in best["spans"].items()]
    return Bars("By type of question", "Everything plugged in. The ring is the LLM with nothing plugged in.", rows)


def _costs(report: Mapping[str, Any]) -> Grid:
    rows = [
        (_named(name), f"{row['cost']['tokens']:.0f}", f"{1000 * row['cost']['p50']:.1f}",
         f"{1000 * row['cost']['p95']:.1f}", f"{100 * row['overall']:.1f}")
        for name, row in report["sets"].items()
    ]  # fmt: skip
    heads = ("plugged in", "tokens", "ms, median", "ms, 95 %", "right [%]")
    return Grid("Cost of an answer", "From the tokens of a new frame to the answer, on the machine of this run.", heads, rows)


def _everything(report: Mapping[str, Any]) -> Grid:
    kinds = sorted(report["floors"]["majority"].keys() - {"overall"})
    rows = [(_named(name), *_percents(row, kinds)) for name, row in report["floors"].items()]
    rows += [(_named(name), *_percents(row, kinds)) for name, row in report["sets"].items()]
    return Grid("Every set and every type", "Right answers [%].", ("plugged in", "overall", *kinds), rows)


def _named(name: str) -> str:
    return FLOORS.get(name, name.replace("+", " + "))


def _percents(row: Mapping[str, Any], kinds: list[str]) -> list[str]:
    return [f"{100 * row[kind]:.1f}" if kind in row else "" for kind in ("overall", *kinds)]
