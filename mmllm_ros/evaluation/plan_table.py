# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measures the plan table of a model: every set of modalities and several depths on the same questions, and what each costs.

The scenes are of the validation split: nothing trains on them, and nothing that is reported is measured on them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from rich.progress import track
from rich.table import Table

from ..context.context_estimate import NAMES, estimate
from ..context.plan_table import EncoderCost, Option, PlanTable, listed
from ..context.question_classifier import classify_question, watched
from ..datasets.simulated import encode, modality_sets
from ..datasets.simulated_drive import SimulatedMoment, DriveSensors
from ..datatypes import FRAME_GAP, Tokens
from ..encoders import Encoder
from ..metrics.flops import count_flops
from ..model import Model
from ..rig import Rig
from ..simulator.drive import Drive
from ..simulator.questions.question_maker import ask
from ..simulator.splits import scene_seed

Way = tuple[tuple[str, ...], int]


def measure(
    model: Model, encoders: Mapping[str, Encoder], rig: Rig, scenes: int, seed: int, each: int, depths: Sequence[int]
) -> PlanTable:
    """The table over `each` questions about one moment of each of `scenes` drives, light and weather of each name in turn.

    Rows are named by the context as it is estimated, for that is what the robot will know. `depths` are numbers of linked blocks.
    """
    ways: list[Way] = [(kept, n) for kept in modality_sets(model.modalities) for n in (depths if kept else (0,))]
    counts: dict[Way, dict] = {way: defaultdict(lambda: defaultdict(lambda: [0, 0])) for way in ways}
    seen = watched(rig)
    for number in track(range(scenes), "drive, encode, answer"):
        value = scene_seed("val", seed + number)
        moment = _moment(value, rig, NAMES[number % len(NAMES)])
        context = estimate(moment.healths).name
        tokens = encode(encoders, moment.pairs)
        questions = ask(moment.truth, rig, np.random.default_rng([value, 2]), each, "val", seed=value)
        for way in ways:
            bank = model.latents([item for item in tokens if item.modality in way[0]], way[1] or None)
            for question in questions:
                cell = counts[way][classify_question(question.question).kind(seen)][context]
                cell[0] += model.score(question.question, bank).answer == question.answer
                cell[1] += 1
    costs = {way: _answer_cost(model, [item for item in tokens if item.modality in way[0]], way[1], questions) for way in ways}
    options = tuple(Option(*way, *costs[way], _plain(counts[way])) for way in ways)
    prices = {name: _encoder_cost(encoder, moment) for name, encoder in encoders.items()}
    return PlanTable(model.name, model.revision, rig.name, prices, options)


def _moment(seed: int, rig: Rig, context: str) -> SimulatedMoment:
    drive = Drive(seed, rig, context)
    senses = DriveSensors(rig)
    drive.advance(2.0)
    senses.look(drive.capture())
    drive.advance(FRAME_GAP)
    return senses.look(drive.capture())


def _answer_cost(model: Model, tokens: Sequence[Tokens], depth: int, questions: Sequence) -> tuple[float, float]:
    """FLOPs and CPU time [s] of one answer, connectors included, the text's lower blocks not kept."""

    def answer(text: str) -> None:
        model.forget_texts()
        model.score(text, model.latents(tokens, depth or None))

    texts = [question.question for question in questions[:4]]
    return float(np.mean([count_flops(lambda text=text: answer(text)) for text in texts])), _seconds(
        [lambda t=t: answer(t) for t in texts]
    )


def _encoder_cost(encoder: Encoder, moment: SimulatedMoment) -> EncoderCost:
    pairs = [pair for pair in moment.pairs if pair[0].modality == encoder.modality][:1]
    memory = sum(part.nbytes for part in encoder.parameters())
    return EncoderCost(
        float(count_flops(lambda: encoder.encode(pairs))), _seconds([lambda: encoder.encode(pairs)] * 4), float(memory)
    )


def _seconds(works: Sequence[Callable[[], object]]) -> float:
    spent = []
    for work in works:
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return float(np.median(spent))


def _plain(counts: Mapping) -> dict[str, dict[str, tuple[int, int]]]:
    return {
        kind: {context: (right, asked) for context, (right, asked) in sorted(rows.items())}
        for kind, rows in sorted(counts.items())
    }


def view(table: PlanTable) -> Table:
    """For people: the accuracy of each set, all blocks linked, by context."""
    deepest = table.depths[-1]
    total = int(sum(table.usual.values()))
    shown = Table(title=f"{table.model} {table.revision}, rig {table.rig}: {total} questions, {deepest} linked blocks, % right")
    for heading in ("plugged", *NAMES, "overall", "MFLOP with encoding"):
        shown.add_column(heading, justify="left" if heading == "plugged" else "right")
    for option in table.options:
        if option.modalities and option.linked_blocks != deepest:
            continue
        flops = option.flops + sum(table.encoders[modality].flops for modality in option.modalities)
        columns = [[rows[name] for rows in option.counts.values() if name in rows] for name in NAMES]
        every = [cell for rows in option.counts.values() for cell in rows.values()]
        shown.add_row(listed(option.modalities), *(_percent(column) for column in (*columns, every)), f"{flops / 1e6:.0f}")
    return shown


def _percent(cells: Sequence[tuple[float, float]]) -> str:
    asked = sum(cell[1] for cell in cells)
    return f"{100 * sum(cell[0] for cell in cells) / asked:.1f}" if asked else ""
