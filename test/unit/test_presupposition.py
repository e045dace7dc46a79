# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions about a thing that is not there."""

from __future__ import annotations

import pytest

from mmllm_ros.dialogue.presupposition import missing_thing


def there(chance: float):
    """A model that says "no" with that probability, and the list of what it was asked."""
    asked = []

    def ask(question: str) -> dict[str, float]:
        asked.append(question)
        return {"no": chance, "yes": 1 - chance}

    return ask, asked


@pytest.mark.parametrize(
    ("question", "kind", "things"),
    [
        ("Where is the bus?", "where", "buses"),
        ("hey robot, where's the lorry", "where", "lorries"),
        ("How far is it to the nearest person?", "distance", "people"),
        ("what colour is that car?", "light", "cars"),
        ("Are the trucks moving?", "status", "trucks"),
    ],
)
def test_a_thing_that_is_surely_not_there_is_said_to_be_missing(question, kind, things):
    ask, asked = there(0.9)
    found = missing_thing(question, kind, ask)
    assert found[f"I see no {things}."] == 0.9
    assert asked == [f"Are there any {things}?"]
    assert missing_thing(question, kind, there(0.7)[0]) is None


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is there a bus?", "exist"),
        ("Is a bus moving?", "status"),
        ("Where is it?", "where"),
        ("Where is the thing behind me?", "where"),
        ("What colour is the traffic light?", "light"),
        ("Is the bus closer than the car?", "comparison"),
    ],
)
def test_where_nothing_of_a_known_class_is_presupposed_nothing_more_is_asked(question, kind):
    ask, asked = there(1.0)
    assert missing_thing(question, kind, ask) is None and asked == []
