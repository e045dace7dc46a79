# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compares plans on drives through changing light and weather, on the same frames and questions.

The plans are: all modalities always on, fixed sets, a random set for each question, an oracle with the true answers, and the
adaptive plan (`ours`), which runs the Planner and the Assistant of the nodes on simulated time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..assistant import Assistant
from ..config import LlmConfig
from ..context.modality_selection import AnswerBudget
from ..context.per_question import PerQuestionPolicy
from ..context.plan import HealthReport, Planner, Rules
from ..context.plan_table import PlanTable
from ..context.question_classifier import viewed_directions
from ..datasets.examples import modality_sets
from ..datasets.simulated_drive import SimulatedMoment, moments
from ..datatypes import MODALITIES, NANOSECONDS, Plan, Question
from ..rig import Rig
from ..simulator.drive import START, Drive
from ..simulator.questions.question_maker import ask
from ..simulator.sensors.faults import Fault
from ..simulator.splits import scene_seed
from ..simulator.truth import Weather
from ..simulator.world.weather import blend
from .cost_accounting import CostAccounting, PlanCost

PERIOD = 0.5
"""Time between two frames [s]: the encoders' default rate."""

QUESTION_EVERY = 2
"""A question is asked about every second frame: one a second, twice the default rate of a drive."""

BLEND = 3.0
"""Duration of a change of light and weather [s]."""

DAY = Weather(light=0.9)
WEATHER_SCHEDULE = (
    (0.0, DAY),
    (30.0, Weather(light=0.3)),
    (50.0, Weather(light=0.05)),
    (85.0, Weather(light=0.7, glare=0.85)),
    (110.0, Weather(light=0.6, fog=0.75)),
    (140.0, Weather(light=0.45, rain=0.8, wet_lens=0.6)),
    (165.0, DAY),
)
"""day_to_night_fog: start in seconds of 180, and the weather from then on."""

LENGTH = 180.0
FAULTS = (
    ("front", "frozen", 15.0, 35.0), ("front", "black", 45.0, 60.0), ("lidar", "frozen", 70.0, 90.0),
    ("front", "half_covered", 100.0, 120.0), ("lidar", "missing", 130.0, 150.0), ("imu", "frozen", 155.0, 175.0),
)  # fmt: skip
"""broken_sensors: sensor, fault, start and end in seconds of 180, by day."""

SCENARIOS = ("day_to_night_fog", "broken_sensors")

Step = tuple[SimulatedMoment, list[Question]]
Policy = Callable[[SimulatedMoment, Sequence[Question], PlanCost], list[str]]
"""Gives the answers, and adds their cost."""


def weather_at(second: float, duration: float) -> Weather:
    """The weather of day_to_night_fog, scaled to `duration` seconds."""
    scale = duration / LENGTH
    before, now, since = DAY, DAY, 0.0
    for begin, weather in WEATHER_SCHEDULE:
        if second >= begin * scale:
            before, now, since = now, weather, begin * scale
    return blend(before, now, min(1.0, (second - since) / (BLEND * scale)))


def steps(name: str, rig: Rig, number: int, duration: float) -> Iterable[Step]:
    """Every moment of the drive of test scene `number`, with its question if there is one."""
    seed = scene_seed("test", number)
    scale = duration / LENGTH
    faults = [Fault(source, kind, since * scale, until * scale) for source, kind, since, until in FAULTS]
    if name == "broken_sensors":
        drive = Drive(seed, rig, DAY, faults=faults)
    else:
        drive = Drive(seed, rig, lambda second: weather_at(second, duration))
    for index, moment in enumerate(moments(drive, duration, PERIOD)):
        count = int(index % QUESTION_EVERY == 0)
        yield moment, ask(moment.truth, rig, np.random.default_rng([seed, 3, index]), count, "test", seed=seed)


class FixedPlan:
    """Always the same modalities, encoded `ahead` of questions or only when asked."""

    def __init__(self, accounting: CostAccounting, kept: Sequence[str], ahead: bool = True) -> None:
        self._accounting, self._kept, self._ahead = accounting, kept, ahead

    def __call__(self, moment: SimulatedMoment, questions: Sequence[Question], cost: PlanCost) -> list[str]:
        return self._accounting.answer(moment, questions, self._kept, cost, self._ahead)


class AdaptivePlan:
    """The Planner of the context monitor and the Assistant of the llm node, without ROS, on simulated time."""

    def __init__(self, accounting: CostAccounting, table: PlanTable, rig: Rig, rules: Rules) -> None:
        self.plans: list[Plan] = []
        self._accounting = accounting
        self._rules = rules
        self._planner = Planner(MODALITIES, table, viewed_directions(rig))
        self._now = 0
        self._moment: SimulatedMoment | None = None
        policy = PerQuestionPolicy(table, viewed_directions(rig))
        config = LlmConfig(epsilon=rules.epsilon, fresh_for=0.9 * PERIOD)
        self.assistant = Assistant(accounting.model, config, lambda: self._now, policy, self._encode)

    def _encode(self, modalities: Sequence[str], seconds: float) -> None:
        for tokens in self._accounting.encode(self._moment, modalities):
            self.assistant.put(tokens)

    def __call__(self, moment: SimulatedMoment, questions: Sequence[Question], cost: PlanCost) -> list[str]:
        """The answers; their cost, health signals and planning included, is added to `cost`."""
        self._moment, self._now = moment, moment.truth.stamp
        cost.cpu += moment.cpu
        with self._accounting.measured(cost):
            reports = [HealthReport(health, self._now) for health in moment.healths]
            plan = self._planner.step(reports, {}, self._rules, self._now)
            self.assistant.set_plan(plan)
            if plan.encode_rate_share:
                self._encode([modality for modality, on in plan.plugged.items() if on], 0.0)
            answers = [self.assistant.ask(question.question) for question in questions]
        for question, answer in zip(questions, answers, strict=True):
            self._planner.add_question(question.question)
            self._accounting.count_answer(cost, question.question, answer, self._moment)
        self.plans.append(plan)
        return [answer.answer for answer in answers]


def compare(
    name: str, accounting: CostAccounting, table: PlanTable, rig: Rig, drives: int, duration: float, seed: int, rules: Rules,
    progress: Callable[[], None] = lambda: None,
) -> dict:  # fmt: skip
    """All plans on the same drives: {"rows": {plan: [record]}, "timeline": [row]}."""
    rows: dict[str, list[dict]] = {}
    timeline: list[dict] = []
    random = np.random.default_rng(seed)
    sets = modality_sets(MODALITIES)
    fixed = {"+".join(kept): FixedPlan(accounting, kept) for kept in sets if kept}
    fixed |= {"always_on": FixedPlan(accounting, MODALITIES), "all_when_asked": FixedPlan(accounting, MODALITIES, ahead=False)}
    ahead = dataclasses.replace(rules, budget=AnswerBudget())
    for number in range(drives):
        ours = {"ours": AdaptivePlan(accounting, table, rig, rules), "ours_ahead": AdaptivePlan(accounting, table, rig, ahead)}
        for moment, questions in steps(name, rig, seed + number, duration):
            accounting.prepare(moment)
            chance = FixedPlan(accounting, sets[int(random.integers(1, len(sets)))], ahead=False)
            row = {plan: _record(policy, moment, questions) for plan, policy in {**fixed, "random": chance, **ours}.items()}
            row["oracle"] = _oracle(row, sets)
            for plan, record in row.items():
                rows.setdefault(plan, []).append(record)
            timeline.append({"drive": number, **_timeline_row(moment, questions, ours["ours"].plans[-1], row)})
            accounting.clear()
            progress()
    return {"rows": rows, "timeline": timeline}


def _timeline_row(moment: SimulatedMoment, questions: Sequence[Question], plan: Plan, row: dict[str, dict]) -> dict:
    """One row of the timeline of the adaptive plan."""
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


def _record(policy: Policy, moment: SimulatedMoment, questions: Sequence[Question]) -> dict:
    cost = PlanCost()
    answers = policy(moment, questions, cost)
    right = sum(given == question.answer for given, question in zip(answers, questions, strict=True))
    return {"right": right, "asked": len(questions), "flops": cost.flops, "cpu_s": cost.cpu, "used": sorted(cost.used)}


def _oracle(row: dict[str, dict], sets: Sequence[tuple[str, ...]]) -> dict:
    """The cheapest fixed set with a right answer; the cheapest of all where none is right."""
    names = ["+".join(kept) for kept in sets if kept]
    best = max(row[name]["right"] for name in names)
    return min((row[name] for name in names if row[name]["right"] == best), key=lambda record: record["flops"])
