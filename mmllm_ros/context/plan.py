# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner: health of every sensor, plan table and operator overrides -> plugged modalities, with a reason for each."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from ..config import LOST_AFTER
from ..datatypes import NANOSECONDS, Health, Plan
from .baseline_plan import baseline_choice
from .context_estimate import Context, estimate, name_of
from .hysteresis import ExponentialSmoothing, Hysteresis
from .modality_selection import AnswerBudget, Choice, Situation, choose
from .plan_table import PlanTable, slowness
from .question_kinds import kind_finder

SMOOTHING_TIME = 2.0
"""Time constant of light and weather [s]; a new name of the context must last half as long."""

RECENT_QUESTIONS = 50
"""The baseline plan is made for so many recent questions, mixed with the question counts of the table."""

PRIOR_WEIGHT = 10.0
"""The question counts of the table weigh as much as so many recent questions."""


class Mode(IntEnum):
    """Operator override of a modality; the numbers are those of SetModality.srv."""

    AUTOMATIC = 0
    PLUGGED = 1
    UNPLUGGED = 2


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The latest health of one source, and its time of arrival [ns, the monitor's clock]."""

    health: Health
    received: int


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of the planner.

    Args:
        lost_after: a source without a report for a longer time [s] is lost.
        hysteresis: another set of healthy modalities must be better for so long [s] before it is plugged.
        recover_after: a modality that was unhealthy must be healthy for so long [s] before it is plugged.
        epsilon: accuracy that may be lost for a cheaper set, 0 to 1.
        budget: limits per answer. With `seconds`, encoders run only on request where that is fast enough.
        encode_rate_share: limit of the share of their rate at which encoders run ahead of questions.
    """

    lost_after: float = LOST_AFTER
    hysteresis: float = 5.0
    recover_after: float = 1.0
    epsilon: float = 0.005
    budget: AnswerBudget = field(default_factory=AnswerBudget)
    encode_rate_share: float = 1.0


class Planner:
    """Makes plans. Without a table every healthy modality is plugged.

    Args:
        modalities: modalities of the robot. A modality that reports health is added to them.
        table: accuracy and cost of each set of modalities, None where not measured.
        viewed_directions: directions in the cameras' view, see question_classifier.py.
    """

    def __init__(
        self, modalities: Iterable[str], table: PlanTable | None = None, viewed_directions: Collection[str] = ()
    ) -> None:
        self.table = table
        self.context = Context()
        self._modalities = tuple(modalities)
        self._finder = kind_finder(table, viewed_directions) if table else None
        self._recent_kinds: deque[str] = deque(maxlen=RECENT_QUESTIONS)
        self._levels, self._name, self._motion = ExponentialSmoothing(), Hysteresis[str](), Hysteresis[str]()
        self._wanted, self._allowed = Hysteresis[tuple[str, ...]](), frozenset[str]()
        self._decided: tuple[str, Choice | None] = ("", None)
        self._was_healthy: set[str] = set()
        self._unhealthy_at: dict[str, int] = {}

    def add_question(self, question: str) -> None:
        """Count a question that was asked, for the baseline plan."""
        if self._finder:
            self._recent_kinds += self._finder.find(question).kinds

    def step(
        self,
        reports: Iterable[HealthReport],
        overrides: Mapping[str, Mode],
        rules: Rules,
        now: int,
        shedding: tuple[float, str] = (1.0, ""),
    ) -> Plan:
        """The plan at `now` [ns, the clock of `HealthReport.received`].

        Args:
            reports: at most one per source.
            overrides: the operator's mode by modality, a missing one is AUTOMATIC.
            shedding: of load_shedding.LoadShedding, the share of their rate at which encoders may encode ahead, and why.
        """
        sources: dict[str, list[HealthReport]] = {modality: [] for modality in self._modalities}
        for report in reports:
            sources.setdefault(report.health.modality, []).append(report)
        self._estimate([report.health for known in sources.values() for report in known], now)
        checks = {modality: self._check(modality, known, rules, now) for modality, known in sources.items()}
        healthy = {modality for modality, (good, _) in checks.items() if good}
        mode = {modality: overrides.get(modality, Mode.AUTOMATIC) for modality in sources}
        forced = {modality for modality, wanted in mode.items() if wanted == Mode.PLUGGED}
        # One that is forced on though it is unhealthy is plugged beside what is chosen from the healthy ones.
        allowed = {modality for modality in healthy if mode[modality] != Mode.UNPLUGGED}
        choice = self._choose(allowed, sources, rules)
        baseline = self._hold(tuple(sorted(allowed)) if choice is None else choice.modalities, allowed, rules, now)
        plugged = {modality: modality in baseline or modality in forced for modality in sources}
        reasons = {}
        for modality, (good, sentence) in checks.items():
            if good and choice and modality in allowed and not plugged[modality]:
                sentence = choice.reasons.get(modality, sentence)
            overridden = mode[modality] != Mode.AUTOMATIC
            reasons[modality] = f"{mode[modality].name.lower()} by the operator; {sentence}" if overridden else sentence
        share = self._encode_rate_share(choice, rules, shedding[0])
        if shedding[1] and share == shedding[0]:
            how = f"at {100 * share:.0f} % of its rate" if share else "only when a question needs it"
            reasons |= {m: f"{reasons[m]}; encoded {how} (load shedding: {shedding[1]})" for m in allowed if m in reasons}
        # With a memory budget a question may not use other modalities than the plan.
        available = {modality for modality, on in plugged.items() if on} if rules.budget.memory else allowed
        return Plan(
            stamp=now,
            plugged=plugged,
            reasons=reasons,
            context=str(self.context),
            linked_blocks=0,
            cost=choice.seconds if choice else 0.0,
            budget=rules.budget.seconds,
            flops=choice.flops if choice else 0.0,
            flops_budget=rules.budget.flops,
            available=tuple(sorted(available)),
            encode_rate_share=share,
        )

    def _estimate(self, healths: list[Health], now: int) -> None:
        newest = estimate(healths)
        levels = self._levels.step(newest.levels, now, SMOOTHING_TIME)
        name = newest.name if newest.name == "covered" else name_of(levels)
        if self.context.name == "unknown":  # the first known name takes effect at once
            self._name = Hysteresis()
        if not self.context.motion:
            self._motion = Hysteresis()
        name = self._name.step(name, now, SMOOTHING_TIME / 2)
        self.context = Context(name, self._motion.step(newest.motion, now, SMOOTHING_TIME / 2), levels)

    def _check(self, modality: str, reports: list[HealthReport], rules: Rules, now: int) -> tuple[bool, str]:
        good, sentence = check_modality(modality, reports, now, rules.lost_after)
        if not good:
            if modality in self._was_healthy:
                self._unhealthy_at[modality] = now
            return False, sentence
        if now < self._unhealthy_at.get(modality, now):
            self._unhealthy_at.clear()  # time has jumped back
        if now - self._unhealthy_at.get(modality, -(10**18)) < rules.recover_after * NANOSECONDS:
            return False, f"healthy again for less than {rules.recover_after:g} s"
        self._was_healthy.add(modality)
        return True, sentence

    def _choose(self, allowed: Collection[str], sources: Mapping[str, list[HealthReport]], rules: Rules) -> Choice | None:
        table = self.table
        # Without costs of every modality in the table, for example one added later, all healthy modalities are plugged.
        if table is None or not set(allowed) <= set(table.encoders):
            return None
        recent, counts = Counter(self._recent_kinds), table.question_counts
        total = sum(counts.values()) or 1.0
        kinds = {kind: recent[kind] + PRIOR_WEIGHT * count / total for kind, count in counts.items()}
        situation = Situation(
            kinds=kinds,
            context=self.context.name,
            allowed=sorted(allowed),
            sources={modality: max(1, len(known)) for modality, known in sources.items()},
            slowness=round(slowness(table, [report.health for known in sources.values() for report in known]), 1),
        )
        # Where a question may not use other modalities than the plan, one set is chosen for all kinds.
        decide = choose if rules.budget.memory else baseline_choice
        key = (situation, decide, rules, tuple(sorted(kinds.items())))
        if repr(key) != self._decided[0]:
            self._decided = (repr(key), decide(table, situation, rules.budget, rules.epsilon))
        return self._decided[1]

    def _hold(self, wanted: tuple[str, ...], allowed: set[str], rules: Rules, now: int) -> tuple[str, ...]:
        if allowed != self._allowed:  # an unhealthy modality is unplugged at once, and a recovered one may be plugged at once
            self._wanted, self._allowed = Hysteresis(), frozenset(allowed)
        return self._wanted.step(wanted, now, rules.hysteresis)

    def _encode_rate_share(self, choice: Choice | None, rules: Rules, limit: float) -> float:
        """0 where an answer is within the time budget although its modalities are encoded on request."""
        in_time = choice is not None and 0.0 < choice.seconds <= rules.budget.seconds
        return 0.0 if in_time else min(rules.encode_rate_share, limit)


def check_modality(modality: str, reports: list[HealthReport], now: int, lost_after: float) -> tuple[bool, str]:
    """Whether any source of a modality is healthy, and a reason that does not change while the state stays the same."""
    if not reports:
        return False, f"no health report of {modality} yet"
    faults = {}
    for report in sorted(reports, key=lambda report: report.health.source):
        if now - report.received > lost_after * NANOSECONDS:
            faults[report.health.source] = f"lost, no report for more than {lost_after:g} s"
        elif not report.health.healthy:
            faults[report.health.source] = report.health.reason or "unhealthy"
    good = len(reports) - len(faults)
    if not faults:
        return True, f"{'healthy' if good == 1 else f'all {good} sources healthy'}"
    join_names = "; ".join(f"{source}: {fault}" for source, fault in faults.items())
    return good > 0, f"{good} of {len(reports)} healthy; {join_names}" if good else join_names
