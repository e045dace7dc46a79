# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measures the plan table of a model: accuracy and cost of every set of modalities and several depths on the same questions.

The scenes are from the validation split: not used for training, and not used for reported figures.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from rich.progress import track
from rich.table import Table

from ..context.context_estimate import NAMES, estimate
from ..context.plan_table import EncoderCost, Option, PlanTable, join_names
from ..context.question_classifier import classify_question, viewed_directions
from ..datasets.examples import encode, modality_sets
from ..datasets.simulated_drive import DriveSensors, SimulatedMoment
from ..datatypes import FRAME_GAP, Tokens
from ..encoders import Encoder
from ..metrics.flops import count_flops
from ..model import Model
from ..rig import Rig
from ..simulator.drive import Drive
from ..simulator.questions.question_maker import ask
from ..simulator.splits import scene_seed

Configuration = tuple[tuple[str, ...], int]


def measure(
    model: Model, encoders: Mapping[str, Encoder], rig: Rig, scenes: int, seed: int, each: int, depths: Sequence[int]
) -> PlanTable:
    """The table over `each` questions about one moment of each of `scenes` drives, light and weather of each name in turn.

    Rows are named by the estimated context, which is what the robot has. `depths` are numbers of linked blocks.
    """
    configurations: list[Configuration] = [
        (kept, n) for kept in modality_sets(model.modalities) for n in (depths if kept else (0,))
    ]
    counts: dict[Configuration, dict] = {
        configuration: defaultdict(lambda: defaultdict(lambda: [0, 0])) for configuration in configurations
    }
    seen = viewed_directions(rig)
    for number in track(range(scenes), "drive, encode, answer"):
        value = scene_seed("val", seed + number)
        moment = _moment(value, rig, NAMES[number % len(NAMES)])
        context = estimate(moment.healths).name
        tokens = encode(encoders, moment.pairs)
        questions = ask(moment.truth, rig, np.random.default_rng([value, 2]), each, "val", seed=value)
        for configuration in configurations:
            latent_cache = model.latents([item for item in tokens if item.modality in configuration[0]], configuration[1] or None)
            for question in questions:
                cell = counts[configuration][classify_question(question.question).kind(seen)][context]
                cell[0] += model.score(question.question, latent_cache).answer == question.answer
                cell[1] += 1
    costs = {
        configuration: _answer_cost(
            model, [item for item in tokens if item.modality in configuration[0]], configuration[1], questions
        )
        for configuration in configurations
    }
    options = tuple(
        Option(*configuration, *costs[configuration], _plain(counts[configuration])) for configuration in configurations
    )
    encoder_costs = {name: _encoder_cost(encoder, moment) for name, encoder in encoders.items()}
    return PlanTable(model.name, model.revision, rig.name, encoder_costs, options)


def _moment(seed: int, rig: Rig, context: str) -> SimulatedMoment:
    drive = Drive(seed, rig, context)
    sensors = DriveSensors(rig)
    drive.advance(2.0)
    sensors.observe(drive.capture())
    drive.advance(FRAME_GAP)
    return sensors.observe(drive.capture())


def _answer_cost(model: Model, tokens: Sequence[Tokens], depth: int, questions: Sequence) -> tuple[float, float]:
    """FLOPs and CPU time [s] of one answer, connectors included, the text's lower blocks not kept."""

    def answer(text: str) -> None:
        model.clear_text_cache()
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


def _seconds(calls: Sequence[Callable[[], object]]) -> float:
    spent = []
    for call in calls:
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return float(np.median(spent))


def _plain(counts: Mapping) -> dict[str, dict[str, tuple[int, int]]]:
    return {
        kind: {context: (right, asked) for context, (right, asked) in sorted(rows.items())}
        for kind, rows in sorted(counts.items())
    }


def view(table: PlanTable) -> Table:
    """A table for the terminal: the accuracy of each set, all blocks linked, by context."""
    deepest = table.depths[-1]
    total = int(sum(table.question_counts.values()))
    shown = Table(title=f"{table.model} {table.revision}, rig {table.rig}: {total} questions, {deepest} linked blocks, % right")
    for heading in ("plugged", *NAMES, "overall", "MFLOP with encoding"):
        shown.add_column(heading, justify="left" if heading == "plugged" else "right")
    for option in table.options:
        if option.modalities and option.linked_blocks != deepest:
            continue
        flops = option.flops + sum(table.encoders[modality].flops for modality in option.modalities)
        columns = [[rows[name] for rows in option.counts.values() if name in rows] for name in NAMES]
        every = [cell for rows in option.counts.values() for cell in rows.values()]
        shown.add_row(join_names(option.modalities), *(_percent(column) for column in (*columns, every)), f"{flops / 1e6:.0f}")
    return shown


def _percent(cells: Sequence[tuple[float, float]]) -> str:
    asked = sum(cell[1] for cell in cells)
    return f"{100 * sum(cell[0] for cell in cells) / asked:.1f}" if asked else ""
