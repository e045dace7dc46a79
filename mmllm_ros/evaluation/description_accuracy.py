# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Precision and recall of the facts in descriptions, read from the sentences and checked against the simulator's truth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.progress import track
from rich.table import Table

from ..datasets.simulated import asked_drive, encode_pairs
from ..datatypes import Tokens
from ..dialogue.description import SURE, describe
from ..dialogue.description_text import Fact, facts_in
from ..encoders import Encoder
from ..latent.attention_adapter import LatentCache
from ..metrics.statistics import RESAMPLES
from ..model import Model
from ..rig import Rig
from ..simulator.questions.programs import DISTANCE_MARGIN, DISTANCES, MAX_COUNT
from ..simulator.questions.scene_graph import DIRECTIONS, ME, SceneGraph, members
from ..simulator.splits import scene_seed

NEAR = 20.0
"""Recall is of clearly visible objects within this range [m]."""


@dataclass(frozen=True, slots=True)
class DescribedScene:
    """One moment of a simulated drive: its tokens and the objects that are visible in it."""

    name: str
    tokens: tuple[Tokens, ...]
    graph: SceneGraph


def scenes_of(
    encoders: Mapping[str, Encoder], rig: Rig, split: str, scenes: int, seed: int, context: str
) -> list[DescribedScene]:
    """One moment of each of `scenes` drives of a split."""
    found = []
    for number in track(range(scenes), f"drive and encode {split} scenes"):
        before, now, _ = asked_drive(rig, split, scene_seed(split, seed + number), context, each=0)
        tokens = encode_pairs(encoders, now.frames(), before.frames())
        found.append(DescribedScene(now.truth.scene, tokens, SceneGraph(now.truth, rig)))
    return found


def measure(model: Model, scenes: Sequence[DescribedScene], sure: Sequence[float] = (SURE,)) -> dict:
    """Describe all around in every scene, at each threshold of `sure`.

    Returns {"model", "revision", "scenes", "rows": [{"sure", "from": "sensors", "another scene" or "nothing", "precision",
    "recall": {"share", "low", "high", "n"}, "claims": {kind: {"share", "n"}}}], "examples": sentences}. Intervals are by
    bootstrap over scenes.
    """
    rows, examples = [], []
    others = [*scenes[1:], scenes[0]]
    sources = {"sensors": scenes, "another scene": others, "nothing": None}
    for source, shown in sources.items():
        texts = [_texts(model, shown[index].tokens if shown else (), sure) for index in track(range(len(scenes)), source)]
        for place, threshold in enumerate(sure):
            described = [facts_in(text[place]) for text in texts]
            rows.append({"sure": threshold, "from": source, **_rates(described, scenes)})
        if source == "sensors":
            examples = [text[0] for text in texts[:10]]
    return {"model": model.name, "revision": model.revision, "scenes": len(scenes), "rows": rows, "examples": examples}


def _texts(model: Model, tokens: Sequence[Tokens], sure: Sequence[float]) -> list[str]:
    """The description at each threshold; a question is scored once for all of them."""
    cache: LatentCache = model.latents(tokens) if tokens else {}
    known: dict[str, dict[str, float]] = {}

    def score(questions: Sequence[str]) -> list[dict[str, float]]:
        new = [question for question in questions if question not in known]
        known.update({question: scored.distribution for question, scored in zip(new, model.score_all(new, cache), strict=True)})
        return [known[question] for question in questions]

    return [describe(score, sure=threshold).text for threshold in sure]


def claims(fact: Fact, graph: SceneGraph) -> dict[str, bool]:
    """Whether each claim of a fact is true: its number, and its status, distance and colour where they are stated."""
    there = graph.toward(ME, fact.where) if fact.where else graph.everything
    chosen = members(there if fact.category == "thing" else there & graph.select("any", fact.category))
    exact = fact.exact and fact.number < MAX_COUNT
    found = {"number": len(chosen) == fact.number if exact else len(chosen) >= fact.number}
    if fact.status:
        found["status"] = any(graph.objects[index].status == fact.status for index in chosen)
    if fact.colour:
        found["colour"] = any(graph.objects[index].colour == fact.colour for index in chosen)
    if fact.distance:
        edges = [0.0, *(edge for _, edge in DISTANCES)]
        place = [name for name, _ in DISTANCES].index(fact.distance)
        nearest = min((graph.range(index) for index in chosen), default=-1.0)
        found["distance"] = edges[place] - DISTANCE_MARGIN <= nearest <= edges[place + 1] + DISTANCE_MARGIN and nearest >= 0.0
    return found


def recalled(facts: Sequence[Fact], graph: SceneGraph) -> tuple[int, int]:
    """How many of the clearly visible objects within NEAR are named in their direction, and how many there are."""
    stated = {(fact.where, fact.category): fact.number for fact in facts}
    clear, named, total = graph.seen["camera"] | graph.seen["lidar"], 0, 0
    for where in DIRECTIONS:
        for category, of_category in graph.categories.items():
            there = members(clear & of_category & graph.toward(ME, where))
            near = sum(graph.range(index) <= NEAR for index in there)
            named += min(near, stated.get((where, category), 0))
            total += near
    return named, total


def _rates(described: Sequence[Sequence[Fact]], scenes: Sequence[DescribedScene]) -> dict:
    kinds: dict[str, list[bool]] = defaultdict(list)
    precision, recall = [], []
    for facts, scene in zip(described, scenes, strict=True):
        checked = [item for fact in facts for item in claims(fact, scene.graph).items()]
        for kind, right in checked:
            kinds[kind].append(right)
        precision.append((sum(right for _, right in checked), len(checked)))
        recall.append(recalled(facts, scene.graph))
    return {
        "precision": _share(precision),
        "recall": _share(recall),
        "claims": {kind: {"share": float(np.mean(rights)), "n": len(rights)} for kind, rights in sorted(kinds.items())},
    }


def _share(counts: Sequence[tuple[int, int]]) -> dict[str, float | None]:
    """The share of the sums of (right, all) by scene, and its 95 % interval; None where there is nothing to count."""
    table = np.array(counts, float)
    drawn = table[np.random.default_rng(0).integers(len(table), size=(RESAMPLES, len(table)))].sum(axis=1)
    drawn = drawn[drawn[:, 1] > 0]
    if not len(drawn):
        return {"share": None, "low": None, "high": None, "n": 0}
    shares = drawn[:, 0] / drawn[:, 1]
    right, count = table.sum(axis=0)
    low, high = np.quantile(shares, (0.025, 0.975))
    return {"share": float(right / count), "low": float(low), "high": float(high), "n": int(count)}


def table(report: dict) -> Table:
    """The rates for people."""
    view = Table(title=f"{report['model']} {report['revision']}: descriptions of {report['scenes']} scenes")
    for heading in (
        "from",
        "sure",
        "precision of claims",
        "95 %",
        "claims",
        f"recall within {NEAR:.0f} m",
        "95 %",
        "objects",
        "by claim",
    ):
        view.add_column(heading, justify="left" if heading in ("from", "by claim") else "right")
    for row in report["rows"]:
        cells = [row["from"], f"{row['sure']:.2f}"]
        for name in ("precision", "recall"):
            rate = row[name]
            shown = ("-", "-") if rate["share"] is None else (f"{100 * rate['share']:.1f}", _percent(rate["low"], rate["high"]))
            cells += [*shown, str(rate["n"])]
        kinds = ", ".join(f"{kind} {100 * part['share']:.0f} of {part['n']}" for kind, part in row["claims"].items())
        view.add_row(*cells, kinds, style="" if row["from"] == "sensors" else "dim")
    return view


def _percent(low: float, high: float) -> str:
    return f"{100 * low:.1f}-{100 * high:.1f}"
