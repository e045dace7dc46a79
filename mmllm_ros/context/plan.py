# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Health of every sensor + the table + what the operator wants -> which modalities are plugged, with a sentence for each."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from ..datatypes import NANOSECONDS, Health, Plan
from .baseline_plan import keep_plugged
from .context_estimate import Context, estimate, name_of
from .hysteresis import Hysteresis, Smoothed
from .load_shedding import LoadLevel
from .modality_selection import Budget, Choice, Situation, choose
from .plan_table import PlanTable
from .question_classifier import classify_question

SETTLING = 2.0
"""Light and weather are smoothed over so long [s], and a new name must last half as long."""

RECENT_QUESTIONS = 50
"""The plugged set suits the questions asked last, mixed with what is usually asked."""

USUAL = 10.0
"""What is usually asked counts like so many questions."""


class Mode(IntEnum):
    """What the operator asked for; the numbers are those of SetModality.srv."""

    AUTOMATIC = 0
    PLUGGED = 1
    UNPLUGGED = 2


@dataclass(frozen=True, slots=True)
class Report:
    """The newest health of one source, and when it arrived [ns of the monitor's clock]."""

    health: Health
    received: int


@dataclass(frozen=True, slots=True)
class Rules:
    """How the planner decides.

    Args:
        lost_after: a source without a report for longer [s] is lost.
        dwell: another set of healthy modalities must be the better one for so long [s] before it is plugged.
        recover_after: a modality that was out of order must be in order for so long [s].
        epsilon: accuracy that may be given up for a cheaper set.
        budget: what an answer may take. With `seconds`, encoders work only when asked where that keeps the time.
        duty: share of their rate at which encoders work ahead of questions, at most.
    """

    lost_after: float = 1.5
    dwell: float = 5.0
    recover_after: float = 1.0
    epsilon: float = 0.005
    budget: Budget = field(default_factory=Budget)
    duty: float = 1.0


class Planner:
    """Decides again and again. Without a table everything healthy is plugged.

    Args:
        modalities: those the robot has sensors for. A modality that only reports health is added to them.
        table: what each set of modalities is worth and costs, None where nobody has measured it.
        watched: directions that the cameras see, see demand.py.
    """

    def __init__(self, modalities: Iterable[str], table: PlanTable | None = None, watched: Collection[str] = ()) -> None:
        self.table = table
        self.context = Context()
        self._modalities = tuple(modalities)
        self._watched = watched
        self._asked: deque[str] = deque(maxlen=RECENT_QUESTIONS)
        self._levels, self._name, self._motion = Smoothed(), Hysteresis[str](), Hysteresis[str]()
        self._wanted, self._allowed = Hysteresis[tuple[str, ...]](), frozenset[str]()
        self._decided: tuple[str, Choice | None] = ("", None)
        self._good: set[str] = set()
        self._bad_at: dict[str, int] = {}

    def asked(self, question: str) -> None:
        """Somebody has asked; the plugged set should suit what is asked."""
        self._asked.append(classify_question(question).kind(self._watched))

    def step(
        self,
        reports: Iterable[Report],
        overrides: Mapping[str, Mode],
        rules: Rules,
        now: int,
        relief: LoadLevel | None = None,
    ) -> Plan:
        """The plan at `now` [ns, the clock of `Report.received`].

        Args:
            reports: at most one per source.
            overrides: the operator's mode by modality, a missing one is AUTOMATIC.
            relief: how far the plan has to give way to a busy machine, None = not at all.
        """
        relief = relief or LoadLevel()
        sources: dict[str, list[Report]] = {modality: [] for modality in self._modalities}
        for report in reports:
            sources.setdefault(report.health.modality, []).append(report)
        self._estimate([report.health for known in sources.values() for report in known], now)
        verdicts = {modality: self._judge(modality, known, rules, now) for modality, known in sources.items()}
        healthy = {modality for modality, (good, _) in verdicts.items() if good}
        mode = {modality: overrides.get(modality, Mode.AUTOMATIC) for modality in sources}
        forced = {modality for modality, wanted in mode.items() if wanted == Mode.PLUGGED}
        allowed = {modality for modality in healthy | forced if mode[modality] != Mode.UNPLUGGED}
        choice = self._choose(allowed, sources, rules, relief)
        standing = self._hold(tuple(sorted(allowed)) if choice is None else choice.modalities, allowed, rules, now)
        plugged = {modality: modality in standing or modality in forced for modality in sources}
        reasons = {}
        for modality, (good, sentence) in verdicts.items():
            if good and choice and modality in allowed and not plugged[modality]:
                sentence = choice.reasons.get(modality, sentence)
            settled = mode[modality] != Mode.AUTOMATIC
            reasons[modality] = f"{mode[modality].name.lower()} by the operator; {sentence}" if settled else sentence
        fixed = relief.dropped or rules.budget.memory  # nothing beside the plan, not even for one question
        available = {modality for modality, on in plugged.items() if on} if fixed else allowed
        return Plan(
            stamp=now,
            plugged=plugged,
            reasons=reasons,
            context=str(self.context),
            linked_blocks=self.table.depths[0] if self.table and relief.shallow else 0,
            cost=choice.seconds if choice else 0.0,
            budget=rules.budget.seconds,
            flops=choice.flops if choice else 0.0,
            flops_budget=rules.budget.flops,
            available=tuple(sorted(available)),
            duty=self._duty(choice, rules, relief),
        )

    def _estimate(self, healths: list[Health], now: int) -> None:
        newest = estimate(healths)
        levels = self._levels.step(newest.levels, now, SETTLING)
        name = newest.name if newest.name == "covered" else name_of(levels)
        if self.context.name == "unknown":  # to know something at last needs no second thought
            self._name = Hysteresis()
        if not self.context.motion:
            self._motion = Hysteresis()
        name = self._name.step(name, now, SETTLING / 2)
        self.context = Context(name, self._motion.step(newest.motion, now, SETTLING / 2), levels)

    def _judge(self, modality: str, reports: list[Report], rules: Rules, now: int) -> tuple[bool, str]:
        good, sentence = judge(modality, reports, now, rules.lost_after)
        if not good:
            if modality in self._good:
                self._bad_at[modality] = now
            return False, sentence
        if now < self._bad_at.get(modality, now):
            self._bad_at.clear()  # time has jumped back
        if now - self._bad_at.get(modality, -(10**18)) < rules.recover_after * NANOSECONDS:
            return False, f"healthy again for less than {rules.recover_after:g} s"
        self._good.add(modality)
        return True, sentence

    def _choose(
        self, allowed: Collection[str], sources: Mapping[str, list[Report]], rules: Rules, relief: LoadLevel
    ) -> Choice | None:
        table = self.table
        # A modality that the table does not know was added later, and is worth what its owner thinks it is.
        if table is None or not set(allowed) <= set(table.encoders):
            return None
        asked, usual = Counter(self._asked), table.usual
        total = sum(usual.values()) or 1.0
        kinds = {kind: asked[kind] + USUAL * weight / total for kind, weight in usual.items()}
        situation = Situation(
            kinds=kinds,
            context=self.context.name,
            allowed=sorted(allowed),
            sources={modality: max(1, len(known)) for modality, known in sources.items()},
            most_blocks=table.depths[0] if relief.shallow else 0,
            most_modalities=max(1, len(allowed) - relief.dropped),
            slowness=round(slowness(table, [report.health for known in sources.values() for report in known]), 1),
        )
        # Where a question may use nothing beside the plan, one set must do for all.
        decide = choose if relief.dropped or rules.budget.memory else keep_plugged
        key = (situation, decide, rules, tuple(sorted(kinds.items())))
        if repr(key) != self._decided[0]:
            self._decided = (repr(key), decide(table, situation, rules.budget, rules.epsilon))
        return self._decided[1]

    def _hold(self, wanted: tuple[str, ...], allowed: set[str], rules: Rules, now: int) -> tuple[str, ...]:
        if allowed != self._allowed:  # what is out of order goes at once, and what is back may come at once
            self._wanted, self._allowed = Hysteresis(), frozenset(allowed)
        return self._wanted.step(wanted, now, rules.dwell)

    def _duty(self, choice: Choice | None, rules: Rules, relief: LoadLevel) -> float:
        """Where an answer keeps the time although all is encoded only then, nothing is encoded ahead."""
        in_time = choice is not None and 0.0 < choice.seconds <= rules.budget.seconds
        return 0.0 if in_time else min(rules.duty, relief.duty)


def judge(modality: str, reports: list[Report], now: int, lost_after: float) -> tuple[bool, str]:
    """Whether any source of a modality can be believed, and a sentence that stays the same while nothing changes."""
    if not reports:
        return False, f"no {modality} has reported yet"
    faults = {}
    for report in sorted(reports, key=lambda report: report.health.source):
        if now - report.received > lost_after * NANOSECONDS:
            faults[report.health.source] = f"lost, no report for more than {lost_after:g} s"
        elif not report.health.healthy:
            faults[report.health.source] = report.health.reason or "unhealthy"
    good = len(reports) - len(faults)
    if not faults:
        return True, f"{'healthy' if good == 1 else f'all {good} sources healthy'}"
    listed = "; ".join(f"{source}: {fault}" for source, fault in faults.items())
    return good > 0, f"{good} of {len(reports)} healthy; {listed}" if good else listed


def slowness(table: PlanTable, healths: Iterable[Health]) -> float:
    """By which factor this machine encodes slower than the one where the table was made, 1 where nobody has measured it."""
    factors = [
        item.cost / table.encoders[item.modality].seconds
        for item in healths
        if item.cost > 0 and item.modality in table.encoders and table.encoders[item.modality].seconds > 0
    ]
    return float(np.median(factors)) if factors else 1.0
