# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers questions about daylight, fog and rain from the context estimate (context/context_estimate.py), which is better at them
than the language model: levels that are fitted to the health signals of camera and lidar.

    estimated = estimate(healths)
    answer_weather("is it raining outside?", estimated)     # {"yes": 0.93, "no": 0.07}
"""

from __future__ import annotations

import re

from ..context.context_estimate import DUSK, NIGHT, Context
from ..context.question_classifier import strip

PRESENT = 0.22
"""Level of fog or rain from which it counts as present: between what is clearly absent (0.1) and clearly present (0.35)."""

_RAIN = r"\b(?:rain|raining|rainy|rains|raindrops|pouring|drizzle|drizzling|drizzly)\b"
_FOG = r"\b(?:fog|foggy|mist|misty)\b"
_TIMES = {
    "dusk": r"\b(?:dusk|twilight|getting dark|dawn)\b",
    "night": r"\b(?:night[- ]?time|night|dark)\b",
    "day": r"\b(?:day[- ]?time|day|daylight|light)\b",
}
"""In this order: "getting dark" is not "dark"."""
_TIME_OF_DAY = r"\b(?:time|part) of (?:the )?day\b"
_REPORT = (
    r"(?:what|how) is (?:the )?(?:weather|visibility)(?: like)?"
    r"(?: (?:right )?now| outside| today| out there| around (?:me|us|you))*"
)
_ABILITY = r"\b(?:at|by|in the) (?:night|day|dark)\b|\b(?:see|look) (?:in|at)\b"
"""As in "can you see at night?"."""
_OTHER = frozenset(
    re.findall(
        r"\w+",
        """
        a about actually ahead air already am an and any are around as at become begun bright can come comes could
        currently detect did do does fall falling had has have here i if in is it just look looks make me moment not
        notice now of or out outside present really right say see sky some spot started still thanks that the there
        think to today up us view was we what whether which would yet you
        """,
    )
)
"""The other words of a question that asks for nothing else."""


def asks_for_weather(question: str) -> bool:
    """Whether the question asks for daylight, fog, rain or the weather, and for nothing else."""
    core = strip(question)
    return re.fullmatch(_REPORT, core) is not None or _asks_for_weather_alone(core)


def answer_weather(question: str, context: Context) -> dict[str, float] | None:
    """The probability of each answer; None where the question asks for something else, or its level is not known."""
    if not asks_for_weather(question):
        return None
    core = strip(question)
    try:
        if re.fullmatch(_REPORT, core):
            return _described(context)
        rain, fog = (re.search(pattern, core) is not None for pattern in (_RAIN, _FOG))
        if rain and fog:
            neither = (1 - context.chance_above("rain", PRESENT)) * (1 - context.chance_above("fog", PRESENT))
            return _yes_no(1 - neither) if re.search(r"\bor\b", core) else None
        if rain or fog:
            return _yes_no(context.chance_above("rain" if rain else "fog", PRESENT))
        times = _daylight(context)
    except KeyError:  # no healthy sensor tells it
        return None
    asked = _asked_times(core)
    if re.search(_TIME_OF_DAY, core) or (len(asked) > 1 and "dusk" in asked):
        return times
    # Where nobody speaks of dusk it is day: real cameras are darker by day than those of the fit.
    two = {"day": 1 - times["night"], "night": times["night"]}
    return two if len(asked) == 2 else _yes_no({**times, **two}[asked[0]]) if asked else None


def _asks_for_weather_alone(core: str) -> bool:
    if re.search(_ABILITY, core):
        return False
    rest = core
    for pattern in (_TIME_OF_DAY, _RAIN, _FOG, *_TIMES.values()):
        rest = re.sub(pattern, " ", rest)
    return rest != core and set(re.findall(r"[a-z]+", rest)) <= _OTHER


def _asked_times(core: str) -> list[str]:
    """The times of day that a question names; "light" is one only beside another, as in "dark or light"."""
    found, rest = [], re.sub(_TIME_OF_DAY, " ", core)
    for name, pattern in _TIMES.items():
        if re.search(pattern, rest):
            found.append(name)
            rest = re.sub(pattern, " ", rest)
    return [] if found == ["day"] and not re.search(r"\bday", core) else found


def _yes_no(chance: float) -> dict[str, float]:
    return {"yes": chance, "no": 1 - chance}


def _daylight(context: Context) -> dict[str, float]:
    above_night, day = context.chance_above("light", NIGHT), context.chance_above("light", DUSK)
    return {"day": day, "dusk": above_night - day, "night": 1 - above_night}


def _described(context: Context) -> dict[str, float]:
    """One sentence; its probability is that of its least certain part."""
    chances = {"it rains": context.chance_above("rain", PRESENT), "there is fog": context.chance_above("fog", PRESENT)}
    times = _daylight(context)
    time = max(times, key=times.__getitem__)
    present = [words for words, chance in chances.items() if chance > 0.5]
    sentence = f"It is {time}" + (f" and {' and '.join(present)}." if present else ", without rain or fog.")
    sure = min(times[time], *(max(chance, 1 - chance) for chance in chances.values()))
    return {sentence: sure, "": 1 - sure}
