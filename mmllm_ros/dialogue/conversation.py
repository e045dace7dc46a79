# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Follow-up questions: "and behind me?", "what colour is it?", "how many of them are moving?" -> questions that stand alone."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from ..context.question_classifier import OUT_OF_SCOPE, SELF, beyond_sensors, classify_question, strip
from .mentions import Mention, find_places, find_thing, whole_place

TURNS = 8
"""How many turns of a conversation are remembered."""
CONVERSATIONS = 100
"""How many conversations are remembered; the one that was silent longest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A question as it was asked, the question that stands alone for it, and the answer."""

    asked: str
    question: str
    answer: str


class Conversations:
    """The last turns of conversations, by their ids. Nothing is remembered under an empty id. Threads may share an instance."""

    def __init__(self, most: int = CONVERSATIONS, turns: int = TURNS) -> None:
        self._most, self._kept = most, turns
        self._turns: OrderedDict[str, tuple[Turn, ...]] = OrderedDict()
        self._lock = Lock()

    def turns(self, conversation: str) -> tuple[Turn, ...]:
        """The remembered turns of a conversation, oldest first."""
        with self._lock:
            return self._turns.get(conversation, ())

    def resolve(self, conversation: str, question: str) -> str:
        """`question` as one that stands alone."""
        return resolve(question, self.turns(conversation))

    def add(self, conversation: str, asked: str, question: str, answer: str) -> None:
        """Remember a turn."""
        if not conversation:
            return
        with self._lock:
            turns = (*self._turns.pop(conversation, ()), Turn(asked, question, answer))
            self._turns[conversation] = turns[-self._kept :]
            while len(self._turns) > self._most:
                self._turns.popitem(last=False)


def resolve(question: str, turns: Sequence[Turn]) -> str:
    """`question` as one that stands alone, by what was asked and answered before. One that already does is returned as it is."""
    asked = re.sub(r"^(?:and|but|so|ok|hey)\b[ ,]*|[?.! ]+$", "", question.lower().strip())
    core = _fragment(question)
    last = _latest(turns, (SELF, OUT_OF_SCOPE))
    about = _latest(turns, (SELF, OUT_OF_SCOPE, "ego", "weather"))
    if last is None:
        return question
    if re.fullmatch(r"(?:(?:what|how) about )?(?:right )?now|still|again|once more|(?:what )?else", asked):
        return last.question
    if re.fullmatch(r"why(?: is that| so)?|how so|how come", core):
        return "How do you know?"
    if classify_question(last.question).type == "ego" and re.fullmatch(r"(?:to the )?(?:left|right)", core):
        return re.sub(r"\b(?:left|right)\b", core.split()[-1], last.question)
    if not core or about is None:
        return question
    before = re.sub(r"[?.! ]+$", "", about.question.lower())
    thing = _Antecedent(about)
    place = whole_place(re.sub(r"^(?:the|that|this) ones? (?:(?:that|which|who) (?:is|are) )?", "", core))
    if place:
        if not re.search(r"\b(?:it|them)\b", before):
            place = re.sub(r"\b(?:it|them)$", thing.one(), place)
        return _sentence(_elsewhere(before, place))
    linked = re.match(r"(?:and|but|or|(?:what|how) about)\b", asked)
    other = None if re.match(r"any", core) and not linked else _only_thing(core)
    if other is not None:
        return _sentence(_other_thing(before, other, core))
    if re.fullmatch(_STATE, core) and re.search(rf"\b(?:is|are)\b.*\b{_STATE}\b", before):
        return _sentence(re.sub(rf"\b{_STATE}\b", core, before))
    short = next((found for pattern in _SHORT if (found := re.fullmatch(pattern, core))), None)
    if short:
        words = {"one": thing.one(), "many": thing.many(), "there": thing.there(), **short.groupdict()}
        return _sentence(_SHORT[short.re.pattern].format(**words))
    resolved = _without_pronouns(core, thing)
    return question if resolved == core else _sentence(resolved)


def _latest(turns: Sequence[Turn], passed_over: Sequence[str]) -> Turn | None:
    """The last turn whose question is of none of some types."""
    return next((turn for turn in reversed(turns) if classify_question(turn.question).type not in passed_over), None)


_STATE = r"(?:moving|driving|parked|stopped|standing|sitting|walking)"
_SHORT = {
    r"how far(?: away)?(?: (?:is|are) (?:it|that|this|they))?": "how far away is {one}",
    r"how close(?: is (?:it|that))?": "how close is {one}",
    r"(?:what|which) colour(?: is (?:it|that|this))?": "what colour is {one}",
    r"where(?: exactly)?(?: is (?:it|that|this))?": "where is {one}",
    r"how many(?: (?:are|is) there| of them)?": "how many {many} are there {there}",
    rf"(?P<state>{_STATE})": "is {one} {state}",
    r"what is (?:it|that|this) doing|(?:and )?doing what": "what is {one} doing",
    r"which (?:one|ones)|what (?:kind|sort|type)(?: of (?:thing|object))?(?: is (?:it|that))?": "what is {one}",
}
"""Questions of few words -> what they mean about the thing of the turn before."""


def _fragment(question: str) -> str:
    """A question without what links it to the turn before: "and", "what about"."""
    core, previous = strip(question), None
    while core != previous:
        previous = core
        core = strip(re.sub(r"^(?:and|but|or|also|so|(?:and )?(?:what|how) about|what if)\b[ ,]*", "", core))
    return core


class _Antecedent:
    """What "it" and "they" stand for after a turn."""

    def __init__(self, turn: Turn) -> None:
        question = turn.question.lower().rstrip("?.! ")
        self._thing = find_thing(question)
        self._places = " ".join(question[start:end] for start, end in find_places(question))
        answered = find_thing(turn.answer.lower())
        # "What is behind me?" "A bus." It is the bus behind me.
        self._named = answered if answered and classify_question(turn.question).type in ("object", "comparison") else None
        if self._named and classify_question(turn.question).type == "comparison":
            self._thing, self._places = None, ""

    def one(self) -> str:
        """ "the moving car behind me"."""
        return f"the {self._words(plural=False)} {self._places}".strip()

    def many(self) -> str:
        """ "moving cars"."""
        return self._words(plural=True)

    def all(self) -> str:
        """ "the moving cars behind me"."""
        return f"the {self._words(plural=True)} {self._places}".strip()

    def noun(self, plural: bool) -> str:
        """The noun alone, "car"."""
        thing = self._named or self._thing
        return ("things" if plural else "thing") if thing is None else thing.many if plural else thing.one

    def there(self) -> str:
        """ "behind me"."""
        return self._places

    def _words(self, plural: bool) -> str:
        thing = self._thing
        if self._named is None:
            return thing.words(plural) if thing else "things" if plural else "thing"
        noun = self._named.many if plural else self._named.one
        return f"{thing.before} {noun}{thing.after}".strip() if thing else noun


def _only_thing(core: str) -> Mention | None:
    """The thing of a question that is nothing but a thing, and perhaps its place: "the buses", "any trucks behind us"."""
    thing = find_thing(core)
    if thing is None:
        return None
    rest = core[: thing.start] + core[thing.end :]
    for start, end in reversed(find_places(rest)):
        rest = rest[:start] + rest[end:]
    return thing if re.fullmatch(r" *(?:the|a|an|any|some)? *", rest) else None


def _other_thing(before: str, other: Mention, core: str) -> str:
    """The question before about another thing; its place changes if the fragment names one."""
    places = find_places(core)
    if places:
        before = _elsewhere(before, core[places[0][0] : places[-1][1]])
    thing = find_thing(before)
    if thing is None:
        there = " ".join(before[start:end] for start, end in find_places(before))
        return f"are there any {other.words(plural=True)} {there}".strip()
    plural = thing.plural
    said = (
        other if other.before or other.after else Mention(0, 0, thing.before, other.one, other.many, thing.after, plural, False)
    )
    words = said.words(plural)
    if thing.pronoun:
        words = f"any {said.words(plural=True)}" if before[thing.start :].startswith("any") else f"a {words}"
    changed = before[: thing.start] + words + before[thing.end :]
    return re.sub(r"\b(a|an) (?=([a-z]))", lambda found: "an " if found.group(2) in "aeiou" else "a ", changed)


def _elsewhere(before: str, place: str) -> str:
    """The question before, about another place."""
    places = find_places(before)
    if places:
        for start, end in reversed(places[1:]):
            before = before[:start] + before[end:]
        start, end = places[0]
        return re.sub(r" {2,}", " ", before[:start] + place + before[end:]).strip()
    thing = find_thing(before)
    if thing is not None and classify_question(before).type in ("status", "light", "comparison"):
        return f"{before[: thing.end]} {place}{before[thing.end :]}"
    return f"{before} {place}"


_EXPLETIVE = re.compile(
    r"\bit (?:true|possible|better)\b|\bit (?:is )?that\b|\bis it to\b|\bis it a\b.*(?:\blight\b|, the )"
    r"|\bdoes it (?:rain|smell)\b"
)
"""Where "it" stands for nothing that was mentioned before."""


def _without_pronouns(core: str, thing: _Antecedent) -> str:
    """A question whose pronouns are replaced by what they stand for, unless it names that itself."""
    kind = classify_question(core).type
    if kind in (SELF, "weather", "ego") or _EXPLETIVE.search(core) or (beyond_sensors(core) and not re.search(r"\bit$", core)):
        return core
    own = find_thing(core)
    for pattern, words in (
        (r"\b(?:them|they|those|these)\b(?! (?!are|is|move|have|do)\w+s\b)", thing.all()),
        (r"\b(?:it|that one|this one|the one)\b", thing.one()),
        (r"\b(?:he|she|him|her)\b", thing.one()),
        (rf"(?<=\bis )(?:that|this)(?=$| (?:{_STATE}|doing|red|green|yellow|blue|white|black)\b)", thing.one()),
    ):
        found = re.search(pattern, core)
        named = own is not None and found is not None and own.start < found.start()
        following = find_thing(core[found.end() :].strip()) if found else None
        if found and found.group() in ("that", "this") and find_places(core):
            continue
        if (
            found
            and not named
            and not (found.group() in ("that", "this", "those", "these") and following and following.start == 0)
        ):
            core = core[: found.start()] + words + core[found.end() :]
            own = find_thing(core)
    core = re.sub(
        r"\b(another|other|nearest|closest|which|any|red|green|blue|yellow|white|black) (one|ones)\b",
        lambda found: f"{found.group(1)} {thing.noun(found.group(2) == 'ones')}",
        core,
    )
    if thing.there() and re.search(r"(?<!is )(?<!are )(?<!standing )(?<!stay )\bthere$", core) and not find_places(core):
        core = re.sub(r"\b(?:over )?there$", thing.there(), core)
    return core


def _sentence(core: str) -> str:
    core = re.sub(r" {2,}", " ", core).strip()
    return core[0].upper() + core[1:] + "?"
