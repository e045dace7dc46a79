# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One session of questions: latest tokens by source, the plan, ask() -> Answer. Used by the llm node and by offline replay."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
import torch

from .config import LlmConfig
from .context.asked_signals import asked_signals, with_similar
from .context.context_estimate import estimate
from .context.health_check import reading_note
from .context.latest_health import LatestHealth
from .context.modality_selection import NOT_SELECTED, Choice
from .context.question_classifier import (
    OBJECTS,
    OUT_OF_SCOPE,
    SELF,
    TOPICS,
    QuestionClass,
    asks_for_decision,
    classify_question,
    direction,
    strip,
)
from .context.scope_policy import ScopePolicy
from .datatypes import NANOSECONDS, Answer, BadInput, Evidence, Health, Plan, Tokens
from .dialogue.answer_form import answers_of
from .dialogue.conversation import CONVERSATIONS, Conversations
from .dialogue.description import describe, described_place
from .dialogue.open_vocabulary import named_thing
from .dialogue.presupposition import missing_thing
from .dialogue.self_report import REFUSAL, RobotState, cannot_tell, report
from .dialogue.weather import answer_weather, asks_for_weather
from .encoders.familiarity import Familiarity, is_unlike
from .latent.attention_adapter import LatentCache
from .latent.connector import merge
from .latent.decoder_blocks import decoder_blocks
from .latent.generation import Cancelled
from .latent.question_router import DESCRIPTION
from .model import Model, Scored
from .question_policy import QuestionPolicy
from .rig import Rig
from .simulator.questions.everyday import CANNOT_TELL

__all__ = ["Asked", "Assistant", "Cancelled", "check_question"]

LONGEST_QUESTION = 2000
MAX_TOKENS = 4096
BLIND_CONFIDENCE = 0.3
"""Largest confidence of an answer without a sensor that can answer the question."""
LEAST_FITTING = 0.1
"""An answer that fits the form of a question is given from this probability on, where the likeliest does not fit."""
UNLIKE = "unlike training"
"""The note on a reading whose tokens are unlike those that the model was trained on."""
UNLIKE_TEMPERATURE = 2.2
"""The temperature by which the probabilities of answers from such a reading are softened, calibrated on real frames
(docs/results.md)."""

CALIBRATED_ON = "simulated scenes that were not trained on"
"""What the confidence of a model is calibrated on, see training/calibration.py."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it is asked, see `Assistant.ask`. One that nobody waits for (`standing`) is no "last question"."""

    question: str
    question_id: str = ""
    on_text: Callable[[str], None] | None = None
    cancelled: Callable[[], bool] | None = None
    conversation: str = ""
    standing: bool = False

    def is_cancelled(self) -> bool:
        return bool(self.cancelled and self.cancelled())


@dataclass(slots=True)
class _Question:
    """A question on its way to an answer.

    `standalone` stands for it outside of its conversation; `way` is where the model's router sends it; `weather` is the answer of
    the context estimate; `place` is described.
    """

    asked: Asked
    standalone: str
    way: str = ""
    wanted: QuestionClass | None = None
    refusal: BadInput | None = None
    used: list[Tokens] = field(default_factory=list)
    evidence: tuple[Evidence, ...] = ()
    unplugged: dict[str, str] = field(default_factory=dict)
    linked_blocks: int = 0
    weather: Scored | None = None
    place: str | None = None
    scored: Scored | None = None
    unlike: bool = False
    looked: Answer | None = None

    def uses(self, modality: str) -> bool:
        return any(tokens.modality == modality for tokens in self.used)


class Assistant:
    """Stores the latest tokens of every source and answers questions from them.

    `put` may be called from another thread than `ask`. `now` returns the time [ns] of the clock that stamps the sensors. With a
    `policy`, each question is answered from the modalities that it needs. `encode(modalities, timeout)` encodes the latest frames
    of the modalities and calls `put` within that time [s], or returns without. Questions about the robot itself are answered from
    its state: `rig`, plan, health and last answer. `familiarity` tells readings that are unlike training, by encoder revision.
    `look(question, timeout)` answers about things that the model has no class for (dialogue/open_vocabulary.py), or returns None.
    """

    def __init__(
        self,
        model: Model,
        config: LlmConfig,
        now: Callable[[], int],
        policy: QuestionPolicy | None = None,
        encode: Callable[[Sequence[str], float], None] | None = None,
        rig: Rig | None = None,
        familiarity: Mapping[str, Familiarity] | None = None,
        look: Callable[[str, float], Answer | None] | None = None,
    ) -> None:
        self.model = model
        self._familiarity = familiarity or {}
        self.config = config
        self.policy = policy
        self._encode, self._look = encode, look
        self._now = now
        self._lock = Lock()
        self._newest: dict[tuple[str, str], Tokens] = {}
        self._plan: Plan | None = None
        self._rig = rig
        self._health = LatestHealth()
        self._last: OrderedDict[str, Answer] = OrderedDict()
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
        self._health.put(health)

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
        (outcome,) = self.ask_all([Asked(question, question_id, on_text, cancelled, conversation)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def ask_all(self, asked: Sequence[Asked]) -> Iterator[Answer | BadInput | Cancelled]:
        """The outcomes of `ask` for several questions at one moment, in order; the LLM scores them in one forward pass.

        A follow-up refers to the answer before it in its conversation: it begins another pass, at a later moment.
        """
        together: list[Asked] = []
        for item in asked:
            if item.conversation and any(other.conversation == item.conversation for other in together):
                yield from self._ask_together(together)
                together = []
            together.append(item)
        yield from self._ask_together(together)

    def _ask_together(self, asked: Sequence[Asked]) -> Iterator[Answer | BadInput | Cancelled]:
        started = time.perf_counter()
        questions = [_Question(item, item.question) for item in asked]
        sensed = []
        for question in questions:
            try:
                check_question(question.asked.question)
                self._route(question)
                question.wanted = self._wanted(question.standalone, question.way)
                if question.wanted.type == SELF:
                    continue
                # Half of the time that is left is for the language model, which answers where the detector does not.
                left = self.config.timeout - (time.perf_counter() - started)
                if left > 0 and not question.asked.is_cancelled():
                    question.looked = self._looked(question.standalone, left / 2)
                sensed += [question] if question.looked is None else []
            except BadInput as error:
                question.refusal = error
        self._find_readings(sensed)
        self._score_together(sensed)
        for question in questions:
            try:
                yield self._answer(question, started)
            except (BadInput, Cancelled) as error:
                yield error

    def _route(self, question: _Question) -> None:
        """Set the way of a question, and what stands for it outside of its conversation."""
        text = question.asked.question
        question.way = self._way(text)
        if question.way in TOPICS:  # "that" is the last answer, not a thing that was talked about
            return
        question.standalone = self._conversations.resolve(question.asked.conversation, text)
        if question.standalone != text:
            question.way = self._way(question.standalone)

    def _way(self, text: str) -> str:
        """Where the model's router sends a question; "" for one about the weather, which the rules know better."""
        return "" if asks_for_weather(text) else self.model.way(text)

    def _wanted(self, question: str, way: str) -> QuestionClass:
        """The class of a question; one that names a signal which the model reads, or is like those of a pack, is for these.

        One that is like known questions about signals may be answered from what these need, too.
        """
        if isinstance(self.policy, ScopePolicy) and (packs := self.policy.packs_for(question, self.model.modalities)):
            return QuestionClass(OUT_OF_SCOPE, modalities=packs)
        named, known = asked_signals(question), set(self.model.modalities)
        if known - {"camera", "lidar", "imu", "objects"} and known & set(named):
            return QuestionClass(OUT_OF_SCOPE, modalities=named)
        wanted = classify_question(question, way)
        if self.policy is None or wanted.type == SELF:
            return wanted
        return replace(wanted, modalities=tuple(dict.fromkeys((*self.policy.able(question), *wanted.modalities))))

    def _report(self, question: _Question, started: float) -> Answer:
        """The answer to a question about the robot itself, from its state."""
        with self._lock:
            last = self._last.get(question.asked.conversation)
            state = RobotState(self._rig, tuple(self._health.now().values()), self._plan, last, CALIBRATED_ON)
        answer = report(question.wanted, state)
        if question.asked.on_text:
            question.asked.on_text(answer)
        return self._made(question, answer, 1.0, started)

    def _find_readings(self, questions: Sequence[_Question]) -> None:
        """Choose the readings of each question, at one moment for all; what is not fresh is encoded before."""
        with self._lock:
            newest, plan = dict(self._newest), self._plan
        healths = self._health.now()
        notes = {source: [reading_note(health.signals)] for source, health in healths.items()}
        moment = self._moment(newest)
        choices = [self._decide(question.standalone, newest, plan, moment, healths.values()) for question in questions]
        # Without a plan table a question may need everything that is plugged.
        plugged = [name for name, on in plan.plugged.items() if on] if plan else []
        needed = dict.fromkeys(name for choice in choices for name in (choice.modalities if choice else plugged))
        if stale := self._stale_modalities(needed, newest, moment):
            self._encode(stale, self.config.encode_timeout)
            with self._lock:
                newest = dict(self._newest)
            moment = self._moment(newest)
        unlike = {source for source, tokens in newest.items() if is_unlike(tokens, self._familiarity)}
        for source in unlike:
            notes.setdefault(source, []).insert(0, UNLIKE)
        for question, choice in zip(questions, choices, strict=True):
            used, unplugged = self._choose(newest, plan, moment, choice)
            if not used and choice:  # no modality that the question needs is available: use the plan instead
                used, unplugged = self._choose(newest, plan, moment)
            if not used and self.config.require_evidence:
                reasons = ", ".join(f"{name}: {reason}" for name, reason in unplugged.items())
                question.refusal = BadInput(f"no sensor is plugged, and require_evidence is set ({reasons})")
            question.used, question.unplugged = used, unplugged
            able = with_similar(question.wanted.modalities)
            question.unlike = any((t.modality, t.source) in unlike for t in used if not able or t.modality in able)
            question.linked_blocks = choice.linked_blocks if choice else plan.linked_blocks if plan else 0
            question.evidence = tuple(
                Evidence(t.modality, t.source, t.stamp, (moment - t.stamp) / NANOSECONDS, "; ".join(filter(None, note)))
                for t in used
                for note in [notes.get((t.modality, t.source), [])]
            )
            question.weather = self._weather(question)
            if asks_for_decision(strip(question.standalone)):
                question.scored = Scored(CANNOT_TELL, 1.0)
            seeing = bool(self.model.answers) and any(tokens.modality in OBJECTS for tokens in used)
            question.place = self._place(question) if seeing and not (question.weather or question.scored) else None

    def _weather(self, question: _Question) -> Scored | None:
        """What the health signals of the sensors that are used tell about daylight, fog and rain, where it is asked for."""
        if not asks_for_weather(question.standalone):
            return None
        healths = [health for health in self._health.now().values() if question.uses(health.modality)]
        return _scored(answer_weather(question.standalone, estimate(healths)))

    @staticmethod
    def _place(question: _Question) -> str | None:
        """What is to be described, as in `described_place`: by the rules, or where the router says so of no yes-no question."""
        core, place = strip(question.standalone), described_place(question.standalone)
        fits = answers_of(core)
        routed = place is None and question.way == DESCRIPTION and not (fits and fits("yes"))
        return direction(core) if routed else place

    def _score_together(self, questions: Sequence[_Question]) -> None:
        """Set `scored` of the questions that the model can score in one pass, each with its own readings and linked blocks."""
        to_score = [one for one in questions if not (one.refusal or one.weather or one.scored) and one.place is None]
        free = [question for question in to_score if not question.asked.is_cancelled()]
        if len(free) < 2 or not self.model.answers:
            return
        linked = torch.tensor([self._linked(question.linked_blocks) for question in free])
        readings = {(t.modality, t.source): t for question in free for t in question.used}
        latent_caches = self._latent_caches(readings.values(), int(linked.max()))
        uses = {name: torch.tensor([question.uses(name) for question in free]) for name in latent_caches}
        above = len(decoder_blocks(self.model.llm)) - linked  # the first linked block of each question
        together = merge(
            {
                name: {block: latent.open_at(uses[name] & (block >= above)) for block, latent in latent_cache.items()}
                for name, latent_cache in latent_caches.items()
            }
        )
        try:
            scored = self.model.score_all([question.standalone for question in free], together)
        except BadInput:  # one of them is too long for the LLM: each is scored alone
            return
        for question, outcome in zip(free, scored, strict=True):
            question.scored = outcome

    def _answer(self, question: _Question, started: float) -> Answer:
        """The answer to a question. Raises BadInput and Cancelled."""
        asked = question.asked
        if question.refusal:
            raise question.refusal
        if question.wanted.type == SELF:
            answer = self._report(question, started)
        else:
            answer = self._retold(question, started) if question.looked is not None else self._sensed(question, started)
            self._keep(answer, asked)
        self._conversations.add(asked.conversation, asked.question, question.standalone, answer.answer)
        return answer

    def _keep(self, answer: Answer, asked: Asked) -> None:
        """Keep an answer as the last of its conversation, for "are you sure?"."""
        if asked.standing:
            return
        with self._lock:
            self._last.pop(asked.conversation, None)
            self._last[asked.conversation] = answer
            while len(self._last) > CONVERSATIONS:
                self._last.popitem(last=False)

    def _looked(self, question: str, seconds: float) -> Answer | None:
        """What `look` answers within `seconds`, where the plan lets the cameras be used."""
        if self._look is None or named_thing(question) is None:
            return None
        with self._lock:
            plan = self._plan
        usable = plan is None or plan.plugged.get("camera", True) or "camera" in plan.available
        return self._look(question, seconds) if usable else None

    def _retold(self, question: _Question, started: float) -> Answer:
        """The answer of `look` as that to the question that was asked."""
        asked = question.asked
        if asked.on_text:
            asked.on_text(question.looked.answer)
        latency = time.perf_counter() - started
        return replace(question.looked, question_id=asked.question_id, question=asked.question, latency=latency)

    def _sensed(self, question: _Question, started: float) -> Answer:
        """The answer of the model."""
        asked, used, scored = question.asked, question.used, question.weather or question.scored
        able = [modality for modality in with_similar(question.wanted.modalities) if modality in self.model.modalities]
        unable = bool(able) and not question.weather and not any(question.uses(modality) for modality in able)
        streamed = None
        if asked.is_cancelled():
            raise Cancelled
        if scored is None:
            # The model's own text is streamed only where it is the answer.
            composed = question.place is not None
            may_change = unable or CANNOT_TELL in self.model.answers or self.config.least_confidence > 0
            streamed = asked.on_text if composed or not may_change else None
            latent_cache = merge(self._latent_caches(used, question.linked_blocks))
            if composed:
                scored = self._describe(question, latent_cache)
            else:
                scored = self.model.answer(question.standalone, latent_cache, streamed, asked.cancelled)
        if CANNOT_TELL in self.model.answers and question.place is None and not question.weather:
            scored = fitting(question.standalone, scored)
            if used and not unable and scored.answer != CANNOT_TELL:
                scored = self._missing_thing(question) or scored
        if question.unlike:
            scored = softened(scored, UNLIKE_TEMPERATURE)
        answer = scored.answer
        if unable:
            answer = f"{REFUSAL} without the {' or the '.join(able)}"
        elif answer == CANNOT_TELL:
            answer = cannot_tell(sorted({tokens.modality for tokens in used}))
        elif scored.distribution and scored.confidence < self.config.least_confidence:
            answer = f"{REFUSAL}: I would be {scored.confidence:.0%} sure of {answer!r}"
        if asked.on_text and not streamed:
            asked.on_text(answer)
        confidence = min(scored.confidence, BLIND_CONFIDENCE) if unable or not used else scored.confidence
        return self._made(question, answer, confidence, started)

    def _missing_thing(self, question: _Question) -> Scored | None:
        """What is answered where the thing of a question is not there."""
        latent_cache = merge(self._latent_caches(question.used, question.linked_blocks))

        def ask(text: str) -> Mapping[str, float]:
            return self.model.score(text, latent_cache).distribution

        return _scored(missing_thing(question.standalone, question.wanted.type, ask))

    def _made(self, question: _Question, answer: str, confidence: float, started: float) -> Answer:
        return Answer(
            stamp=max((tokens.stamp for tokens in question.used), default=0),
            question_id=question.asked.question_id,
            question=question.asked.question,
            answer=answer,
            confidence=confidence,
            evidence=question.evidence,
            unplugged=question.unplugged,
            latency=time.perf_counter() - started,
            model=self.model.name,
            revision=self.model.revision,
        )

    def _describe(self, question: _Question, latent_cache: LatentCache) -> Scored:
        """Sentences about what is at a place, composed of facts that the model scores (dialogue/description.py)."""

        def check() -> None:
            if question.asked.is_cancelled():
                raise Cancelled

        def score(facts: Sequence[str]) -> list[dict[str, float]]:
            scored = self.model.score_all(facts, latent_cache)
            return [(softened(one, UNLIKE_TEMPERATURE) if question.unlike else one).distribution for one in scored]

        found = describe(score, question.place, question.asked.on_text, check, colours=question.uses("camera"))
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

    def _decide(
        self,
        question: str,
        newest: dict[tuple[str, str], Tokens],
        plan: Plan | None,
        moment: int,
        healths: Collection[Health],
    ) -> Choice | None:
        """The modalities for this question; None = those of the plan."""
        if plan is None or self.policy is None or not plan.available:
            return None
        ready = [modality for modality in plan.available if self._fresh(modality, newest, moment)]
        choice = self.policy.choose(question, plan, ready, self.config.epsilon, healths)
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

    def _linked(self, linked_blocks: int) -> int:
        """The linked blocks of an answer: as the operator says, else as the plan says, 0 = all."""
        return min(self.config.linked_blocks or linked_blocks or self.model.linked_blocks, self.model.linked_blocks)

    def _latent_caches(self, used: Collection[Tokens], linked_blocks: int) -> dict[str, LatentCache]:
        """The latent caches of the readings by modality; one is reused until one of its readings changes."""
        linked = self._linked(linked_blocks)
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
        return latent_caches


def _scored(chances: Mapping[str, float] | None) -> Scored | None:
    """The likeliest answer of `chances`; the empty one stands for all others."""
    if chances is None:
        return None
    answer = max(filter(None, chances), key=chances.__getitem__)
    return Scored(answer, chances[answer], dict(chances))


def fitting(question: str, scored: Scored) -> Scored:
    """The likeliest answer that fits the form of the question; "cannot tell" where none has LEAST_FITTING."""
    fits = answers_of(strip(question)) if scored.distribution else None
    if fits is None or scored.answer == CANNOT_TELL or fits(scored.answer):
        return scored
    best = max(filter(fits, scored.distribution), key=scored.distribution.__getitem__, default="")
    if scored.distribution.get(best, 0.0) < LEAST_FITTING:
        return Scored(CANNOT_TELL, scored.confidence)
    return Scored(best, scored.distribution[best], scored.distribution)


def softened(scored: Scored, temperature: float) -> Scored:
    """The answer with the probabilities of a higher `temperature`; the best answer stays. Free text stays as it is."""
    if not scored.distribution:
        return scored
    shares = np.array(list(scored.distribution.values())) ** (1 / temperature)
    distribution = dict(zip(scored.distribution, (shares / shares.sum()).tolist(), strict=True))
    return Scored(scored.answer, distribution[scored.answer], distribution)


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
