# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which answers fit the form of a question: a number to "how many", yes or no to "is there".

The model scores all answers of its answer set. To a wording unlike those of its training the likeliest may be no answer at all,
such as "10 to 20 metres" to "how fast are we going?".
"""

from __future__ import annotations

import re
from collections.abc import Callable

Fits = Callable[[str], bool]

_ASKING = r"^(?:is|are|am|was|were|do|does|did|has|have|had|can|could|would)\b"
_FIND = (
    r"^\w+ (?:i|we|you) (?:\w+ )?"
    r"(?:locate|find|point|tell|count|say|describe|guess|estimate|give|show|name|identify|recogni[sz]e)\b"
)
"""As in "can you locate the bus?": what is asked for is not whether."""
_ALTERNATIVES = r"^(?:is|are|am|was|were|do|does|did) (?:the|it|that|this|they|i|we|my|our)\b.*\bor\b(?! (?:not|no|any|some))"
_SPEED = (
    r"^(?:how fast|(?:what|which|at what) speed|what is (?:my|our|your|the|its) speed)\b(?!.*\b(?:before|doing|compared|ago)\b)"
)
_YES_NO = ("yes", "no")


def answers_of(core: str) -> Fits | None:
    """Whether an answer fits the stripped question `core`, apart from "cannot tell", which always does; None where any may."""
    if re.search(r"[.?!;:]", core):  # more than one sentence
        return None
    if re.search(_SPEED, core):
        return lambda answer: False  # no answer is a speed
    if re.search(r"^how many (?!met)", core):
        return lambda answer: any(map(str.isdigit, answer))
    if re.search(_ALTERNATIVES, core) or re.search(r"^(?:what|which|where|how)\b", core):
        return lambda answer: answer not in _YES_NO
    if re.search(_ASKING, core) and not re.search(_FIND, core) and not re.search(r"\bor\b", core):
        return lambda answer: answer in _YES_NO
    return None
