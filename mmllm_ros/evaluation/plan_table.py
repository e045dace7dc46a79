# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measures the plan table of a model: accuracy and cost of sets of modalities and several depths on the same questions.

For camera, lidar and IMU these are all sets. For a universal encoder they are each signal, each pair and all; a question is asked
with the sets that have a signal which suffices for it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from rich.progress import track
from rich.table import Table

from ..context.context_estimate import NAMES
from ..context.plan_table import EncoderCost, Option, PlanTable, join_names
from ..datasets.examples import encode, modality_sets
from ..datatypes import Tokens
from ..encoders import Encoder
from ..encoders.universal.encoder import UniversalEncoder
from ..metrics.flops import count_flops
from ..model import Model
from ..rig import Rig
from .plan_moments import AskedMoment, drive_moments, signal_moments, signal_needs, signal_sets
from .signal_answers import Answered, answer_signals

Configuration = tuple[tuple[str, ...], int]
Cells = dict[str, dict[str, dict[str, list[int]]]]
"""By kind, context and true answer: right answers and questions."""
ALL_SIGNALS = "all signals"
"""The name of the rig in a table of a universal encoder."""


def measure(
    model: Model, encoders: Mapping[str, Encoder], rig: Rig, scenes: int, seed: int, each: int, depths: Sequence[int]
) -> PlanTable:
    """The table over at most `each` questions about one moment of each of `scenes` scenes.

    `depths` are numbers of linked blocks. With a universal encoder, which has no use for `rig`, all answers to a kind of question
    count alike, and light and weather are not told apart.
    """
    universal = all(isinstance(encoder, UniversalEncoder) for encoder in encoders.values())
    needs = signal_needs(tuple(encoders)) if universal else {}
    sets = signal_sets(tuple(encoders)) if universal else modality_sets(model.modalities)
    configurations = [(kept, n) for kept in sets for n in (depths if kept else (0,))]

    def moments(count: int) -> Iterator[AskedMoment]:
        return signal_moments(needs, count, seed, each) if universal else drive_moments(rig, count, seed, each)

    shown = track(moments(scenes), "encode, answer", total=scenes)
    if universal:
        answered = answer_signals(model, encoders, shown, configurations, needs)
    else:
        answered = _answer_drives(model, encoders, shown, configurations)
    cells: dict[Configuration, Cells] = {configuration: {} for configuration in configurations}
    for one in answered:
        rows = cells[one.configuration].setdefault(one.kind, {}).setdefault(one.context, {})
        cell = rows.setdefault(one.question.answer, [0, 0])
        cell[0] += one.right
        cell[1] += 1
    moment = next(moments(1))
    tokens = encode(encoders, moment.pairs)
    total = _balanced if universal else _summed
    options, costs = [], {}
    for kept, depth in configurations:
        # Every signal of a universal encoder has the same number of tokens, and a connector of the same shape.
        alike = (len(kept) if universal else kept, depth)
        if alike not in costs:
            costs[alike] = _answer_cost(model, [item for item in tokens if item.modality in kept], depth, moment.questions)
        counts = {
            kind: {context: total(list(answers.values())) for context, answers in sorted(rows.items())}
            for kind, rows in sorted(cells[kept, depth].items())
        }
        options.append(Option(kept, depth, *costs[alike], counts))
    encoder_costs = {name: _encoder_cost(name, encoder, moment) for name, encoder in encoders.items()}
    return PlanTable(model.name, model.revision, ALL_SIGNALS if universal else rig.name, encoder_costs, tuple(options), needs)


def _answer_drives(
    model: Model, encoders: Mapping[str, Encoder], moments: Iterable[AskedMoment], configurations: Sequence[Configuration]
) -> Iterator[Answered]:
    """Every question with every set."""
    for moment in moments:
        tokens = encode(encoders, moment.pairs)
        for kept, depth in configurations:
            latent_cache = model.latents([item for item in tokens if item.modality in kept], depth or None)
            scored = model.score_all([question.question for question in moment.questions], latent_cache)
            for question, kind, one in zip(moment.questions, moment.kinds, scored, strict=True):
                yield Answered((kept, depth), kind, moment.context, question, one.answer == question.answer)


def _summed(cells: Sequence[Sequence[int]]) -> tuple[float, float]:
    return sum(right for right, _ in cells), sum(asked for _, asked in cells)


def _balanced(cells: Sequence[Sequence[int]]) -> tuple[float, float]:
    """Every answer counts alike."""
    count = sum(asked for _, asked in cells)
    return round(count * float(np.mean([right / asked for right, asked in cells])), 2), count


def _answer_cost(model: Model, tokens: Sequence[Tokens], depth: int, questions: Sequence) -> tuple[float, float]:
    """FLOPs and CPU time [s] of one answer, connectors included, the text's lower blocks not kept."""

    def answer(text: str) -> None:
        model.clear_text_cache()
        model.score(text, model.latents(tokens, depth or None))

    texts = [question.question for question in questions[:4]]
    return float(np.mean([count_flops(lambda text=text: answer(text)) for text in texts])), _seconds(
        [lambda t=t: answer(t) for t in texts]
    )


def _encoder_cost(name: str, encoder: Encoder, moment: AskedMoment) -> EncoderCost:
    """Of one frame of modality `name`. The weights that all signals share are in memory with and without it."""
    pairs = [pair for pair in moment.pairs if pair[0].modality == name][:1]
    parts = encoder.of_modality(name) if isinstance(encoder, UniversalEncoder) else encoder
    memory = sum(part.nbytes for part in parts.parameters())
    return EncoderCost(
        float(count_flops(lambda: encoder.encode(pairs))), _seconds([lambda: encoder.encode(pairs)] * 4), float(memory)
    )


def _seconds(calls: Sequence[Callable[[], object]]) -> float:
    spent = []
    for call in calls:
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return float(np.median(spent))


def view(table: PlanTable) -> Table:
    """A table for the terminal: the accuracy of each set, all blocks linked, by context, or by the signals that suffice."""
    deepest = table.depths[-1]
    total = int(sum(table.question_counts.values()))
    shown = Table(title=f"{table.model} {table.revision}, rig {table.rig}: {total} questions, {deepest} linked blocks, % right")
    groups = sorted({" or ".join(needs) for needs in table.needs.values()})
    for heading in ("plugged", *(groups or NAMES), "overall", "MFLOP with encoding"):
        shown.add_column(heading, justify="left" if heading == "plugged" else "right")
    for option in table.options:
        if option.modalities and option.linked_blocks != deepest:
            continue
        flops = option.flops + sum(table.encoders[modality].flops for modality in option.modalities)
        columns: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for kind, rows in option.counts.items():
            for context, cell in rows.items():
                columns[" or ".join(table.needs[kind]) if groups else context].append(cell)
        every = [cell for cells in columns.values() for cell in cells]
        shares = [_percent(columns[name]) for name in (groups or NAMES)]
        shown.add_row(join_names(option.modalities), *shares, _percent(every), f"{flops / 1e6:.0f}")
    return shown


def _percent(cells: Sequence[tuple[float, float]]) -> str:
    asked = sum(cell[1] for cell in cells)
    return f"{100 * sum(cell[0] for cell in cells) / asked:.1f}" if asked else ""
