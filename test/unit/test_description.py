# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Descriptions: which questions ask for one, sentences that the parser reads back, and facts that only sure answers become."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmllm_ros.cli import main
from mmllm_ros.commands.load_model import load_model
from mmllm_ros.dialogue.description import describe, described_place
from mmllm_ros.dialogue.description_text import Fact, facts_in, sentence
from mmllm_ros.evaluation.description_accuracy import claims, recalled
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.questions.scene_graph import DIRECTIONS, ME, SceneGraph, direction


@pytest.mark.parametrize(
    ("question", "place"),
    [
        ("Describe what is around me.", ""),
        ("what do you see?", ""),
        ("Can you describe the surroundings, please?", ""),
        ("What's at 3 o'clock?", "right"),
        ("what is ahead on my left", "front left"),
        ("List everything to the back right of me", "back right"),
        ("What is the thing behind me?", None),
        ("What is behind the bus?", None),
        ("Describe the car behind me", None),
        ("Are there any cars behind me?", None),
    ],
)
def test_a_request_for_a_description_is_told_from_other_questions(question, place):
    assert described_place(question) == place


def test_the_parser_reads_the_facts_of_a_sentence_back():
    facts = [
        Fact("front", "car", 2, distance="5 to 10 metres"),
        Fact("front", "pedestrian", 1, status="moving", distance="under 5 metres"),
        Fact("front left", "bus", 2, exact=False),
        Fact("front left", "motorcycle", 1, status="without rider", distance="over 20 metres"),
        Fact("back", "truck", 1, status="moving", colour="red"),
        Fact("back", "traffic cone", 10),
    ]
    text = sentence(facts)
    assert text == (
        "Ahead of me there are two cars (the nearest 5 to 10 metres away) and a walking pedestrian less than 5 metres away; "
        "to my front left there are two or more buses and a motorcycle without a rider more than 20 metres away; "
        "behind me there is a moving red truck and ten or more traffic cones."
    )
    assert facts_in(text) == facts
    assert facts_in("Behind me there is nothing.") == [Fact("back", "thing", 0)]
    assert facts_in("I cannot tell what is behind me: I am not sure of anything there.") == []


def answers(table):
    """A scorer that gives the answers of `table`, (answer, probability) by question, and "no" or "0" elsewhere."""

    def score(questions):
        found = []
        for question in questions:
            answer, probability = table.get(question, ("no" if question.startswith("Are") else "0", 0.99))
            found.append({answer: probability, "0": 1 - probability} if answer != "0" else {answer: probability})
        return found

    return score


BUS_BEHIND = {
    "Are there any things to the back of me?": ("yes", 0.98),
    "How many buss are there?": ("1", 0.97),
    "How many buss are to the back of me?": ("1", 0.96),
    "Are there any buss to the back of me?": ("yes", 0.95),
    "How far is the nearest bus to the back of me?": ("5 to 10 metres", 0.97),
    "What is the status of the bus to the back of me?": ("parked", 0.4),
}


def test_only_sure_answers_become_parts_of_a_sentence():
    pieces = []
    found = describe(answers(BUS_BEHIND), "", pieces.append, sure=0.9)
    assert found.text == "".join(pieces) == "Behind me there is a bus 5 to 10 metres away."
    # The number is as sure as the least sure of its questions, 0.95, the distance 0.97.
    assert found.confidence == pytest.approx(0.96)
    assert facts_in(found.text) == list(found.facts)
    unsure = describe(answers({**BUS_BEHIND, "Are there any buss to the back of me?": ("yes", 0.5)}), "back", sure=0.9)
    assert unsure.text == "I cannot tell what is behind me: I am not sure of anything there." and unsure.confidence == 0.0


def test_an_empty_place_is_described_as_empty():
    assert describe(answers({}), "front left", sure=0.9).text == "To my front left there is nothing."
    empty = describe(answers({}), "", sure=0.9)
    assert empty.text == "There is nothing around me." and facts_in(empty.text) == list(empty.facts) == [Fact("", "thing", 0)]


def test_claims_and_recall_are_judged_by_the_truth():
    drive = Drive(11, load_rig("front"), "day")
    drive.advance(1.0)
    graph = SceneGraph(drive.capture().truth, load_rig("front"))
    item = graph.objects[0]
    where = direction(*item.position[:2])
    number = (graph.toward(ME, where) & graph.select("any", item.category)).bit_count()
    assert claims(Fact(where, item.category, number), graph) == {"number": True}
    assert claims(Fact(where, item.category, number + 1), graph) == {"number": False}
    assert claims(Fact(where, item.category, 1, exact=False, status="no such"), graph) == {"number": True, "status": False}
    assert claims(Fact(where, "thing", 0), graph) == {"number": False}
    named, total = recalled([], graph)
    everything = [Fact(where, category, 10) for where in DIRECTIONS for category in graph.categories]
    assert (named, recalled(everything, graph)) == (0, (total, total))


def test_questions_in_one_pass_score_as_each_alone_and_a_description_rests_on_the_sensors(tmp_path):
    model, _ = load_model("drive_tiny", load_rig("front"), "cpu")
    questions = ["How many cars are there?", "Are there any things to the front of me?", "How far is the nearest car?"]
    for together, question in zip(model.score_all(questions, {}), questions, strict=True):
        alone = model.score(question, {})
        assert together.answer == alone.answer
        np.testing.assert_allclose(list(together.distribution.values()), list(alone.distribution.values()), atol=2e-3)
    report = tmp_path / "report.json"
    assert main(["evaluate-descriptions", "--scenes", "2", "--model", "drive_tiny", "--json", str(report)]) == 0
    rows = {row["from"]: row for row in json.loads(report.read_text())["rows"]}
    assert rows["sensors"]["precision"]["share"] > 0.5 > rows["another scene"]["precision"]["share"]
    assert main(["evaluate-descriptions", "--sure", "0"]) == 2
