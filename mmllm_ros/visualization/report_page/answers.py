# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Report section of the answers of a drive or a replay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from ...metrics.statistics import calibration_error, reliability, wilson
from .parts import Bar, Bars, Card, Grid, Part, Reliability, Span, Timeline, percent, spread

WORST = 6
"""Number of mistakes shown."""

Record = Mapping[str, Any]
Pictures = Callable[[str], Mapping[str, str]]


def answers_part(records: Sequence[Record], source: str, pictures: Pictures) -> Part:
    """`records` are made by answer_text.record; `pictures` gives the thumbnails of a line by its number.

    Raises KeyError, TypeError or ValueError on malformed records.
    """
    cards = [_card(record, pictures(str(line))) for line, record in enumerate(records, 1)]
    known = [record for record in records if record["truth"] is not None]
    hits = [float(_right(record)) for record in known]
    wrong = sorted((card for card in cards if card.right is False), key=lambda card: -card.confidence)[:WORST]
    bins = reliability([record["confidence"] for record in known], hits) if known else []
    return Part(
        title="Questions and answers",
        summary=_summary(records, hits),
        source=source,
        facts=_facts(records),
        moments=[card for card in cards if card.pictures and card not in wrong],
        mistakes=wrong,
        bars=_bars(known),
        reliability=Reliability(bins, calibration_error(bins), len(known)) if known else None,
        timeline=_timeline([record for record in records if "time" in record]),
        grids=[_costs(records), _reasons(records)],
    )


def _right(record: Record) -> bool:
    return record["answer"] == record["truth"]


def _plugged(record: Record) -> str:
    return " + ".join(sorted({item["modality"] for item in record["evidence"]})) or "nothing"


def _card(record: Record, pictures: Mapping[str, str]) -> Card:
    ages = defaultdict(list)
    for item in record["evidence"]:
        ages[item["modality"]].append(float(item["age"]))
    ages_text = ", ".join(f"{name} {max(*seconds, 0.0):.2f} s old" for name, seconds in sorted(ages.items())) or "no sensor"
    notes = [f"evidence: {ages_text}; took {1000 * record['latency']:.0f} ms"]
    notes += [f"without {item['modality']}: {item['reason']}" for item in record["unplugged"]]
    where = ", ".join(word for word in (f"{record['time']:.1f} s" if "time" in record else "", record.get("context", "")) if word)
    return Card(record["question"], record["answer"], record["truth"], float(record["confidence"]), where, notes, pictures)


def _summary(records: Sequence[Record], hits: Sequence[float]) -> str:
    asked = f"{len(records)} question{'s' * (len(records) != 1)} asked"
    if not hits:
        return f"{asked}. The true answers are unknown, so accuracy is not measured."
    right = int(sum(hits))
    span = spread(*wilson(right, len(hits)))
    return f"{asked}, {right} of {len(hits)} answered right: {percent(right / len(hits))} (95 % interval {span})."


def _facts(records: Sequence[Record]) -> list[tuple[str, str]]:
    latency = np.quantile([1000 * record["latency"] for record in records], (0.5, 0.95))
    models = sorted({f"{record['model']} {record['revision']}" for record in records})
    facts = [("time to answer, median / 95 %", f"{latency[0]:.0f} / {latency[1]:.0f} ms"), ("model", ", ".join(models))]
    times = [record["time"] for record in records if "time" in record]
    return [("length", f"{max(times) - min(times):.0f} s"), *facts] if times else facts


def _bars(known: Sequence[Record]) -> list[Bars]:
    """Accuracy by plugged modalities and by context, each where there is more than one."""
    note = "Right answers with their 95 % interval (Wilson). Questions of one drive are correlated, so it is too narrow."
    by = (("By plugged modalities", _plugged), ("By context", lambda record: record.get("context") or "unknown"))
    return [Bars(title, note, rows) for title, key in by if len(rows := _rows(known, key)) > 1]


def _rows(known: Sequence[Record], key: Callable[[Record], str]) -> list[Bar]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for record in known:
        groups[key(record)].append(_right(record))
    return [Bar(name, sum(hits) / len(hits), *wilson(sum(hits), len(hits)), len(hits)) for name, hits in sorted(groups.items())]


def _timeline(records: Sequence[Record]) -> Timeline | None:
    """Context, modalities and answers over time; the state at an answer is drawn until the next answer."""
    if len(records) < 2 or records[-1]["time"] <= records[0]["time"]:
        return None
    records = sorted(records, key=lambda record: record["time"])
    first = records[0]["time"]
    length = (records[-1]["time"] - first) * (1 + 1 / (len(records) - 1))
    starts = [100 * (record["time"] - first) / length for record in records] + [100.0]

    def lane(describe: Callable[[Record], tuple[str, str]]) -> list[Span]:
        spans, begin = [], 0
        for (kind, text), same in groupby(records, describe):
            end = begin + len(list(same))
            spans.append(Span(starts[begin], starts[end] - starts[begin], kind, text))
            begin = end
        return spans

    modalities = {item["modality"].split("/")[0] for record in records for item in (*record["evidence"], *record["unplugged"])}
    lanes = {"context": lane(lambda record: ("context", record.get("context") or "unknown"))}
    lanes |= {name: lane(lambda record, name=name: _state(record, name)) for name in sorted(modalities)}
    lanes["answers"] = [
        Span(start, 0.0, _correctness(record), _tooltip(record)) for start, record in zip(starts, records, strict=False)
    ]
    step = next((step for step in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600) if length / step <= 6), length / 5)
    ticks = [(100 * k * step / length, f"{first + k * step:.0f} s") for k in range(int(0.93 * length / step) + 1)]
    return Timeline(lanes, ticks)


def _state(record: Record, modality: str) -> tuple[str, str]:
    if any(item["modality"] == modality for item in record["evidence"]):
        return "on", f"{modality} plugged in"
    return "off", next((f"{modality}: {item['reason']}" for item in record["unplugged"] if item["modality"] == modality), "")


def _correctness(record: Record) -> str:
    return "ungraded" if record["truth"] is None else "right" if _right(record) else "wrong"


def _tooltip(record: Record) -> str:
    return f"{record['time']:.1f} s: {record['question']} {record['answer']} ({_correctness(record)})"


def _costs(records: Sequence[Record]) -> Grid:
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[_plugged(record)].append(record)
    rows = []
    for name, chosen in sorted(groups.items()):
        middle, late = np.quantile([1000 * record["latency"] for record in chosen], (0.5, 0.95))
        ages = [item["age"] for record in chosen for item in record["evidence"]]
        rows.append((name, str(len(chosen)), f"{middle:.0f}", f"{late:.0f}", f"{np.median(ages):.2f}" if ages else ""))
    heads = ("plugged in", "answers", "ms, median", "ms, 95 %", "age of evidence [s]")
    return Grid(
        "Cost of an answer",
        "Time from taking a question to its answer, on the machine of this run.",
        heads,
        rows,
    )


def _reasons(records: Sequence[Record]) -> Grid:
    """Reasons for unplugged modalities, and how often."""
    counted: dict[tuple[str, str], int] = defaultdict(int)
    for record in records:
        for item in record["unplugged"]:
            counted[item["modality"], item["reason"]] += 1
    rows = [
        (modality, reason, str(count)) for (modality, reason), count in sorted(counted.items(), key=lambda item: -item[1])[:20]
    ]
    return Grid("Unplugged modalities", "Reasons given with the answers.", ("modality", "reason", "answers"), rows)
