# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Drives through changing light and weather, answered in several ways on the same frames and questions.

What is compared are plans: everything always on, fixed sets, a random set for each question, a plan that knows the truth, and
ours, which runs the Planner and the Assistant of the nodes. Nothing is faster or slower than on the robot but the clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..assistant import Assistant
from ..config import LlmConfig
from ..context.modality_selection import Budget
from ..context.per_question import PerQuestionPolicy
from ..context.plan import Planner, Report, Rules
from ..context.plan_table import PlanTable
from ..context.question_classifier import watched
from ..datasets.simulated import modality_sets
from ..datasets.simulated_drive import SimulatedMoment, moments
from ..datatypes import MODALITIES, NANOSECONDS, Plan, Question
from ..rig import Rig
from ..simulator.drive import START, Drive
from ..simulator.questions.question_maker import ask
from ..simulator.sensors.faults import Fault
from ..simulator.splits import scene_seed
from ..simulator.truth import Weather
from .cost_accounting import Meter, Work

PERIOD = 0.5
"""Time between two frames [s]: the encoders' default rate."""

ASKED = 2
"""Every second frame is asked about: a question a second, twice as often as a drive asks by default."""

BLEND = 3.0
"""Light and weather change over so long [s]."""

DAY = Weather(light=0.9)
ROUTE = (
    (0.0, DAY),
    (30.0, Weather(light=0.3)),
    (50.0, Weather(light=0.05)),
    (85.0, Weather(light=0.7, glare=0.85)),
    (110.0, Weather(light=0.6, fog=0.75)),
    (140.0, Weather(light=0.45, rain=0.8, wet_lens=0.6)),
    (165.0, DAY),
)
"""day_to_night_fog: from which second of 180 on it is what."""

LENGTH = 180.0
FAULTS = (
    ("front", "frozen", 15.0, 35.0), ("front", "black", 45.0, 60.0), ("lidar", "frozen", 70.0, 90.0),
    ("front", "half_covered", 100.0, 120.0), ("lidar", "missing", 130.0, 150.0), ("imu", "frozen", 155.0, 175.0),
)  # fmt: skip
"""broken_sensors: a day on which one sensor after the other fails, from and until which second of 180."""

SCENARIOS = ("day_to_night_fog", "broken_sensors")

Step = tuple[SimulatedMoment, list[Question]]
Way = Callable[[SimulatedMoment, Sequence[Question], Meter], list[str]]
"""Gives the answers, and puts what they cost on the meter."""


def weather_at(second: float, duration: float) -> Weather:
    """Of day_to_night_fog, stretched to `duration` seconds."""
    scale = duration / LENGTH
    before, now, since = DAY, DAY, 0.0
    for begin, weather in ROUTE:
        if second >= begin * scale:
            before, now, since = now, weather, begin * scale
    share = min(1.0, (second - since) / (BLEND * scale))
    mixed = {
        field.name: (1 - share) * getattr(before, field.name) + share * getattr(now, field.name)
        for field in dataclasses.fields(Weather)
    }
    return Weather(**mixed)


def steps(name: str, rig: Rig, number: int, duration: float) -> Iterable[Step]:
    """Every moment of a drive through the test world `number`, with its question if there is one."""
    seed = scene_seed("test", number)
    scale = duration / LENGTH
    faults = [Fault(source, kind, since * scale, until * scale) for source, kind, since, until in FAULTS]
    if name == "broken_sensors":
        drive = Drive(seed, rig, DAY, faults=faults)
    else:
        drive = Drive(seed, rig, lambda second: weather_at(second, duration))
    for index, moment in enumerate(moments(drive, duration, PERIOD)):
        count = int(index % ASKED == 0)
        yield moment, ask(moment.truth, rig, np.random.default_rng([seed, 3, index]), count, "test", seed=seed)


class Fixed:
    """Always the same modalities, encoded `ahead` of questions or only for them."""

    def __init__(self, work: Work, kept: Sequence[str], ahead: bool = True) -> None:
        self._work, self._kept, self._ahead = work, kept, ahead

    def __call__(self, moment: SimulatedMoment, questions: Sequence[Question], meter: Meter) -> list[str]:
        return self._work.answer(moment, questions, self._kept, meter, self._ahead)


class Ours:
    """The context monitor and the llm node without their nodes, on recorded time."""

    def __init__(self, work: Work, table: PlanTable, rig: Rig, rules: Rules) -> None:
        self.plans: list[Plan] = []
        self._work = work
        self._rules = rules
        self._planner = Planner(MODALITIES, table, watched(rig))
        self._now = 0
        self._moment: SimulatedMoment | None = None
        policy = PerQuestionPolicy(table, watched(rig))
        config = LlmConfig(epsilon=rules.epsilon, fresh_for=0.9 * PERIOD)
        self.assistant = Assistant(work.model, config, lambda: self._now, policy, self._encode)

    def _encode(self, modalities: Sequence[str], seconds: float) -> None:
        for tokens in self._work.encode(self._moment, modalities):
            self.assistant.put(tokens)

    def __call__(self, moment: SimulatedMoment, questions: Sequence[Question], meter: Meter) -> list[str]:
        """The answers; what they cost is put on `meter`, the signals and the planning included."""
        self._moment, self._now = moment, moment.truth.stamp
        meter.cpu += moment.cpu
        with self._work.metered(meter):
            reports = [Report(health, self._now) for health in moment.healths]
            plan = self._planner.step(reports, {}, self._rules, self._now)
            self.assistant.follow(plan)
            if plan.encode_rate_share:
                self._encode([modality for modality, on in plan.plugged.items() if on], 0.0)
            answers = [self.assistant.ask(question.question) for question in questions]
        for question, answer in zip(questions, answers, strict=True):
            self._planner.asked(question.question)
            self._work.count_answer(meter, question.question, answer, self._moment)
        self.plans.append(plan)
        return [answer.answer for answer in answers]


def compare(
    name: str, work: Work, table: PlanTable, rig: Rig, drives: int, duration: float, seed: int, rules: Rules,
    progress: Callable[[], None] = lambda: None,
) -> dict:  # fmt: skip
    """All plans on the same drives; see `report` for what comes back."""
    rows: dict[str, list[dict]] = {}
    timeline: list[dict] = []
    random = np.random.default_rng(seed)
    sets = modality_sets(MODALITIES)
    fixed = {"+".join(kept): Fixed(work, kept) for kept in sets if kept}
    fixed |= {"always_on": Fixed(work, MODALITIES), "all_when_asked": Fixed(work, MODALITIES, ahead=False)}
    ahead = dataclasses.replace(rules, budget=Budget())
    for number in range(drives):
        ours = {"ours": Ours(work, table, rig, rules), "ours_ahead": Ours(work, table, rig, ahead)}
        for moment, questions in steps(name, rig, seed + number, duration):
            work.prepare(moment)
            chance = Fixed(work, sets[int(random.integers(1, len(sets)))], ahead=False)
            row = {plan: _record(way, moment, questions) for plan, way in {**fixed, "random": chance, **ours}.items()}
            row["oracle"] = _oracle(row, sets)
            for plan, record in row.items():
                rows.setdefault(plan, []).append(record)
            timeline.append({"drive": number, **_told(moment, questions, ours["ours"].plans[-1], row)})
            work.forget()
            progress()
    return {"rows": rows, "timeline": timeline}


def _told(moment: SimulatedMoment, questions: Sequence[Question], plan: Plan, row: dict[str, dict]) -> dict:
    """One step of the timeline of our plan."""
    return {
        "second": (moment.truth.stamp - START) / NANOSECONDS,
        "truth": moment.truth.weather.name,
        "context": plan.context.partition(",")[0],
        "plugged": sorted(modality for modality, on in plan.plugged.items() if on),
        "broken": sorted(health.modality for health in moment.healths if not health.healthy),
        "out": {modality: plan.reasons[modality] for modality, on in plan.plugged.items() if not on},
        "used": row["ours"]["used"],
        "question": questions[0].template_type if questions else "",
        **{f"{name} {key}": row[name][key] for name in ("always_on", "ours") for key in ("right", "asked", "flops")},
    }


def _record(way: Way, moment: SimulatedMoment, questions: Sequence[Question]) -> dict:
    meter = Meter()
    answers = way(moment, questions, meter)
    right = sum(given == question.answer for given, question in zip(answers, questions, strict=True))
    return {"right": right, "asked": len(questions), "flops": meter.flops, "cpu_s": meter.cpu, "used": sorted(meter.used)}


def _oracle(row: dict[str, dict], sets: Sequence[tuple[str, ...]]) -> dict:
    """The cheapest set that was right, in hindsight; the cheapest of all where none was."""
    names = ["+".join(kept) for kept in sets if kept]
    best = max(row[name]["right"] for name in names)
    return min((row[name] for name in names if row[name]["right"] == best), key=lambda record: record["flops"])
