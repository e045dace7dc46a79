# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One session of questions: latest tokens by source, the plan, ask() -> Answer. Used by the llm node and by offline replay."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from threading import Lock

import numpy as np

from .config import LlmConfig
from .context.asked_signals import asked_signals, with_similar
from .context.health_check import reading_note
from .context.modality_selection import NOT_SELECTED, Choice
from .context.per_question import PerQuestionPolicy
from .context.question_classifier import OBJECTS, OUT_OF_SCOPE, SELF, QuestionClass, classify_question
from .datatypes import NANOSECONDS, Answer, BadInput, Evidence, Health, Plan, Tokens
from .dialogue.conversation import Conversations
from .dialogue.description import describe, described_place
from .dialogue.self_report import RobotState, cannot_tell, report
from .latent.attention_adapter import LatentCache
from .latent.connector import merge
from .latent.generation import Cancelled
from .model import Model, Scored
from .rig import Rig
from .simulator.questions.everyday import CANNOT_TELL

__all__ = ["Assistant", "Cancelled", "check_question"]

LONGEST_QUESTION = 2000
MAX_TOKENS = 4096
BLIND_CONFIDENCE = 0.3
"""Largest confidence of an answer without a sensor that can answer the question."""

CALIBRATED_ON = "simulated scenes that were not trained on"
"""What the confidence of a model is calibrated on, see training/calibration.py."""


class Assistant:
    """Stores the latest tokens of every source and answers questions from them.

    `put` may be called from another thread than `ask`. `now` returns the time [ns] of the clock that stamps the sensors. With a
    `policy`, each question is answered from the modalities that it needs. `encode(modalities, timeout)` encodes the latest frames
    of the modalities and calls `put` within that time [s], or returns without. Questions about the robot itself are answered from
    its state: `rig`, plan, health and last answer.
    """

    def __init__(
        self,
        model: Model,
        config: LlmConfig,
        now: Callable[[], int],
        policy: PerQuestionPolicy | None = None,
        encode: Callable[[Sequence[str], float], None] | None = None,
        rig: Rig | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.policy = policy
        self._encode = encode
        self._now = now
        self._lock = Lock()
        self._newest: dict[tuple[str, str], Tokens] = {}
        self._plan: Plan | None = None
        self._rig = rig
        self._health: dict[tuple[str, str], Health] = {}
        self._last: Answer | None = None
        self._conversations = Conversations()
        self._latents: dict[str, tuple[tuple[Tokens, ...], int, str, LatentCache]] = {}

    def put(self, tokens: Tokens) -> None:
        """Store `tokens` as the latest of their source; tokens of an older frame are ignored. Raises BadInput."""
        self._check(tokens)
        key = (tokens.modality, tokens.source)
        with self._lock:
            held = self._newest.get(key)
            # A frame from the future dates from before a jump back in time and is replaced.
            if held is None or tokens.stamp >= held.stamp or held.stamp > self._now():
                self._newest[key] = tokens

    def set_plan(self, plan: Plan) -> None:
        """Use `plan` from the next question on. Before the first plan every modality is plugged."""
        with self._lock:
            self._plan = plan

    def set_health(self, health: Health) -> None:
        """Store the latest health of a sensor."""
        with self._lock:
            self._health[health.modality, health.source] = health

    def clear(self) -> None:
        """Remove all tokens, as after a jump back in time. The plan stays."""
        with self._lock:
            self._newest.clear()
            self._latents.clear()

    def ask(
        self,
        question: str,
        question_id: str = "",
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        conversation: str = "",
    ) -> Answer:
        """Answer from the plugged modalities' readings that are fresh now.

        Args:
            question: at most 2000 characters.
            on_text: gets the answer piece by piece.
            cancelled: called between steps; True raises Cancelled.
            conversation: id under which follow-up questions refer to earlier turns, empty = none.

        Where no sensor that can answer is available, the answer is "I cannot tell without ...", with the confidence of a guess.
        A question about the robot itself is answered from its state.

        Raises BadInput for an empty or over-long question, and with `require_evidence` when nothing is plugged.
        """
        check_question(question)
        started = time.perf_counter()
        standalone = self._conversations.resolve(conversation, question)
        wanted = self._wanted(standalone)
        if wanted.type == SELF:
            answer = self._report(wanted, question, question_id, started)
            if on_text:
                on_text(answer.answer)
        else:
            answer = self._answer(standalone, wanted, question, question_id, on_text, cancelled, started)
            self._last = answer
        self._conversations.add(conversation, question, standalone, answer.answer)
        return answer

    def _wanted(self, question: str) -> QuestionClass:
        """The class of a question; one that names a signal which the model reads is answered from that signal."""
        named, known = asked_signals(question), set(self.model.modalities)
        if known - {"camera", "lidar", "imu", "objects"} and known & set(named):
            return QuestionClass(OUT_OF_SCOPE, modalities=named)
        return classify_question(question)

    def _report(self, wanted: QuestionClass, question: str, question_id: str, started: float) -> Answer:
        """The answer to a question about the robot itself, from its state."""
        with self._lock:
            state = RobotState(self._rig, tuple(self._health.values()), self._plan, self._last, CALIBRATED_ON)
        return Answer(
            stamp=0,
            question_id=question_id,
            question=question,
            answer=report(wanted, state),
            confidence=1.0,
            evidence=(),
            unplugged={},
            latency=time.perf_counter() - started,
            model=self.model.name,
            revision=self.model.revision,
        )

    def _answer(
        self,
        standalone: str,
        wanted: QuestionClass,
        question: str,
        question_id: str,
        on_text: Callable[[str], None] | None,
        cancelled: Callable[[], bool] | None,
        started: float,
    ) -> Answer:
        """The answer of the model to `standalone`, which `question` stands for in its conversation."""
        with self._lock:
            newest, plan = dict(self._newest), self._plan
            notes = {source: reading_note(health.signals) for source, health in self._health.items()}
        moment = self._moment(newest)
        choice = self._decide(standalone, newest, plan, moment)
        # Without a plan table a question may need everything that is plugged.
        needed = choice.modalities if choice else [name for name, on in plan.plugged.items() if on] if plan else ()
        if stale := self._stale_modalities(needed, newest, moment):
            self._encode(stale, self.config.encode_timeout)
            with self._lock:
                newest = dict(self._newest)
            moment = self._moment(newest)
        used, unplugged = self._choose(newest, plan, moment, choice)
        if not used and choice:  # no modality that the question needs is available: use the plan instead
            used, unplugged = self._choose(newest, plan, moment)
        if not used and self.config.require_evidence:
            reasons = ", ".join(f"{name}: {reason}" for name, reason in unplugged.items())
            raise BadInput(f"no sensor is plugged, and require_evidence is set ({reasons})")
        latent_cache = self._latent_cache(used, choice.linked_blocks if choice else plan.linked_blocks if plan else 0)
        able = [modality for modality in with_similar(wanted.modalities) if modality in self.model.modalities]
        unable = bool(able) and not any(tokens.modality in able for tokens in used)
        seeing = bool(self.model.answers) and any(tokens.modality in OBJECTS for tokens in used)
        place = described_place(standalone) if seeing else None
        # The model's own text is streamed only where it is the answer.
        streamed = on_text if place is not None or not (unable or CANNOT_TELL in self.model.answers) else None
        if place is not None:
            scored = self._describe(place, latent_cache, used, on_text, cancelled)
        else:
            scored = self.model.answer(standalone, latent_cache, streamed, cancelled)
        answer = scored.answer
        if unable:
            answer = f"I cannot tell without the {' or the '.join(able)}"
        elif answer == CANNOT_TELL:
            answer = cannot_tell(sorted({tokens.modality for tokens in used}))
        if on_text and not streamed:
            on_text(answer)
        evidence = tuple(
            Evidence(t.modality, t.source, t.stamp, (moment - t.stamp) / NANOSECONDS, notes.get((t.modality, t.source), ""))
            for t in used
        )
        return Answer(
            stamp=max((tokens.stamp for tokens in used), default=0),
            question_id=question_id,
            question=question,
            answer=answer,
            confidence=min(scored.confidence, BLIND_CONFIDENCE) if unable or not used else scored.confidence,
            evidence=evidence,
            unplugged=unplugged,
            latency=time.perf_counter() - started,
            model=self.model.name,
            revision=self.model.revision,
        )

    def _describe(
        self,
        place: str,
        latent_cache: LatentCache,
        used: list[Tokens],
        on_text: Callable[[str], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Scored:
        """Sentences about what is at `place`, composed of facts that the model scores (dialogue/description.py)."""

        def check() -> None:
            if cancelled and cancelled():
                raise Cancelled

        def score(questions: Sequence[str]) -> list[dict[str, float]]:
            return [scored.distribution for scored in self.model.score_all(questions, latent_cache)]

        found = describe(score, place, on_text, check, colours=any(tokens.modality == "camera" for tokens in used))
        return Scored(found.text, found.confidence)

    def _moment(self, newest: dict[tuple[str, str], Tokens]) -> int:
        """The time of a question [ns]; before the first /clock that of the newest tokens."""
        return self._now() or max((tokens.stamp for tokens in newest.values()), default=0)

    def _check(self, tokens: Tokens) -> None:
        """Raise BadInput for tokens that do not fit the model."""
        origin = f"tokens of {tokens.modality}/{tokens.source}"
        if tokens.modality not in self.model.connectors:
            raise BadInput(f"{origin}: model {self.model.name} takes only {list(self.model.modalities)}")
        expected = self.model.encoder_revisions[tokens.modality]
        if tokens.encoder != expected:
            raise BadInput(f"{origin} come from encoder {tokens.encoder!r}, model {self.model.name} was made for {expected!r}")
        width = self.model.connectors[tokens.modality].shape["token_width"]
        if tokens.values.ndim != 2 or tokens.values.shape[1] != width or not 1 <= len(tokens.values) <= MAX_TOKENS:
            raise BadInput(f"{origin} have shape {list(tokens.values.shape)}, not [1 to {MAX_TOKENS}, {width}]")
        if tokens.places.shape != (len(tokens.values), 3):
            raise BadInput(f"{origin} have places of shape {list(tokens.places.shape)}, not [{len(tokens.values)}, 3]")
        if not (np.isfinite(tokens.values).all() and np.isfinite(tokens.places).all()):
            raise BadInput(f"{origin} hold values that are not finite")

    def _decide(self, question: str, newest: dict[tuple[str, str], Tokens], plan: Plan | None, moment: int) -> Choice | None:
        """The modalities for this question; None = those of the plan."""
        if plan is None or self.policy is None or not plan.available:
            return None
        ready = [modality for modality in plan.available if self._fresh(modality, newest, moment)]
        choice = self.policy.choose(question, plan, ready, self.config.epsilon)
        return choice if self._encode or set(choice.modalities) <= set(ready) else None

    def _stale_modalities(self, modalities: Iterable[str], newest: dict[tuple[str, str], Tokens], moment: int) -> list[str]:
        known = [modality for modality in modalities if modality in self.model.modalities]
        return [modality for modality in known if not self._fresh(modality, newest, moment)] if self._encode else []

    def _fresh(self, modality: str, newest: dict[tuple[str, str], Tokens], moment: int) -> bool:
        stamps = [tokens.stamp for (name, _), tokens in newest.items() if name == modality]
        return bool(stamps) and abs(moment - max(stamps)) <= self.config.fresh_for * NANOSECONDS

    def _choose(
        self, newest: dict[tuple[str, str], Tokens], plan: Plan | None, moment: int, choice: Choice | None = None
    ) -> tuple[list[Tokens], dict[str, str]]:
        """The readings to use, and a reason for every modality, or `modality/source`, that is not used."""
        used, unplugged = [], {}
        for modality in self.model.modalities:
            if choice and modality in plan.available and modality not in choice.modalities:
                unplugged[modality] = choice.reasons.get(modality, f"{NOT_SELECTED} the question does not need it")
                continue
            needed = choice and modality in choice.modalities
            if plan and not needed and not plan.plugged.get(modality, True):
                reason = plan.reasons.get(modality, "").removeprefix(NOT_SELECTED).strip()
                unplugged[modality] = f"unplugged by the plan: {reason or 'no reason given'}"
                continue
            readings = [tokens for (name, _), tokens in sorted(newest.items()) if name == modality]
            ages = {tokens.source: (moment - tokens.stamp) / NANOSECONDS for tokens in readings}
            fresh = [tokens for tokens in readings if abs(ages[tokens.source]) <= self.config.max_age]
            used += fresh
            if not readings:
                unplugged[modality] = "no data received yet"
            elif not fresh:
                unplugged[modality] = self._stale(min(ages.values(), key=abs))
            else:
                stale = [tokens.source for tokens in readings if tokens not in fresh]
                unplugged |= {f"{modality}/{source}": self._stale(ages[source]) for source in stale}
        return used, unplugged

    def _stale(self, age: float) -> str:
        if age < 0:
            return f"stamped {-age:.1f} s in the future, is its clock right?"
        return f"too old: {age:.1f} s, at most {self.config.max_age:g} s allowed"

    def _latent_cache(self, used: list[Tokens], linked_blocks: int) -> LatentCache:
        """The latent cache of the readings; that of a modality is reused until one of its readings changes."""
        wanted = self.config.linked_blocks or linked_blocks or self.model.linked_blocks
        linked = min(wanted, self.model.linked_blocks)
        revision = self.model.revision
        latent_caches = {}
        for modality in {tokens.modality for tokens in used}:
            readings = tuple(tokens for tokens in used if tokens.modality == modality)
            with self._lock:
                held = self._latents.get(modality)
            if held is None or held[1:3] != (linked, revision) or not _same(held[0], readings):
                held = (readings, linked, revision, self.model.latent_caches(readings, linked)[modality])
                with self._lock:
                    self._latents[modality] = held
            latent_caches[modality] = held[3]
        return merge(latent_caches)


def check_question(question: str) -> None:
    """Raise BadInput for a question that is empty or too long."""
    if not question.strip():
        raise BadInput("the question is empty")
    if control := next((c for c in question if not c.isprintable() and not c.isspace()), None):
        raise BadInput(f"the question has the control character {control!r}")
    if len(question) > LONGEST_QUESTION:
        raise BadInput(f"the question is {len(question)} characters long, at most {LONGEST_QUESTION} are allowed")


def _same(held: tuple[Tokens, ...], readings: tuple[Tokens, ...]) -> bool:
    """Whether both hold the same objects; comparing their arrays would cost more than encoding them again."""
    return len(held) == len(readings) and all(a is b for a, b in zip(held, readings, strict=True))
