# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The kinds of questions about signals, found by likeness to known wordings."""

from __future__ import annotations

import pytest

from mmllm_ros.context.question_kinds import SignalKindFinder
from mmllm_ros.simulator.questions.signal_questions import KINDS, wordings

FINDER = SignalKindFinder({name: kind.needs for name, kind in KINDS.items()})


@pytest.mark.parametrize("kind", KINDS)
def test_a_known_wording_is_of_its_own_kind(kind):
    for text in wordings()[kind]["known"]:
        found = FINDER.find(text)
        assert list(found.kinds) == [kind] and set(found.able) == set(KINDS[kind].needs) and found.company


def test_held_out_wordings_find_their_signal_or_no_kind_at_all():
    # Where no kind is found all signals are connected. Measured: 62 of 63 have what they need.
    missing = []
    for name, kind in KINDS.items():
        for text in wordings()[name]["held_out"]:
            found = FINDER.find(text)
            if found.kinds and not set(found.able) & set(kind.needs):
                missing.append(text)
    assert missing == ["On which side of the picture is there less room?"]


def test_a_question_that_names_a_signal_is_of_a_kind_that_this_answers():
    # By its letters it is most like questions about the array.
    found = FINDER.find("Are there laser echoes closer than seven metres in front of me?")
    assert found.able == ("points",) and all(KINDS[kind].needs == ("points",) for kind in found.kinds)
    assert FINDER.find("Does the clip show anything of interest to you at all?").able == ("video",)


def test_a_question_between_two_kinds_is_of_both():
    assert {"video_moving", "imu_moving"} <= set(FINDER.find("Am I moving?").kinds)


@pytest.mark.parametrize("question", ["Tell me a joke.", "xyzzy", "Is the way free?", "What do you see?"])
def test_a_question_that_resembles_none_or_is_for_other_sensors_has_no_kind(question):
    assert not FINDER.find(question).kinds


def test_only_kinds_of_the_table_are_found():
    finder = SignalKindFinder({"behind_near": ("array",)})
    assert not finder.find("Do you hear a siren?").kinds
    assert list(finder.find("anything within 2 m behind me").kinds) == ["behind_near"]
