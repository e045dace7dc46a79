# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The wordings of the questions. Slots in braces are filled by proposals.py; a `held_out` wording is for the test split only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Template:
    """One meaning in several wordings. Every word of a held-out wording occurs in a training wording of some template."""

    name: str
    type: str
    hop: int
    wordings: tuple[str, ...]
    held_out: tuple[str, ...]


# Slots: {things} moving cars, {thing} moving car, {where} front left, {place} of me | of the moving bus,
# {ref} moving bus, {one} and {other} things with a place, {d1} {d2} {r1} {r2} two directions and references.
TEMPLATES = (
    Template(
        "exist",
        "exist",
        0,
        ("Are any {things} visible?", "Are there any {things}?", "Is there any {thing}?"),
        ("Is any {thing} visible?", "Are there any visible {things}?"),
    ),
    Template(
        "exist_toward",
        "exist",
        1,
        (
            "Are there any {things} to the {where} {place}?",
            "Are any {things} visible to the {where} {place}?",
            "Is there any {thing} to the {where} {place}?",
        ),
        ("To the {where} {place}, are there any {things}?", "Is any {thing} visible to the {where} {place}?"),
    ),
    Template(
        "exist_there",
        "exist",
        1,
        (
            "There is a {ref}; are there any {things} to the {where} of it?",
            "There is a {ref}; is there any {thing} to the {where} of it?",
        ),
        ("There is a {ref}; are any {things} visible to the {where} of it?",),
    ),
    Template(
        "exist_alike",
        "exist",
        1,
        (
            "Is there another {thing} that has the same status as the {ref}?",
            "Are there any other {things} of the same status as the {ref}?",
            "Are there any other {things} in the same status as the {ref}?",
        ),
        ("Is there another {thing} of the same status as the {ref}?",),
    ),
    Template(
        "count",
        "count",
        0,
        ("How many {things} are there?", "What number of {things} are there?", "How many {things} are visible?"),
        ("What number of {things} are visible?", "How many visible {things} are there?"),
    ),
    Template(
        "count_toward",
        "count",
        1,
        (
            "How many {things} are to the {where} {place}?",
            "What number of {things} are to the {where} {place}?",
            "To the {where} {place}, how many {things} are there?",
        ),
        ("How many {things} are there to the {where} {place}?", "What number of {things} are visible to the {where} {place}?"),
    ),
    Template(
        "count_there",
        "count",
        1,
        (
            "There is a {ref}; how many {things} are to the {where} of it?",
            "There is a {ref}; what number of {things} are to the {where} of it?",
        ),
        ("There is a {ref}; how many {things} are visible to the {where} of it?",),
    ),
    Template(
        "count_alike",
        "count",
        1,
        (
            "How many other {things} are in the same status as the {ref}?",
            "What number of other {things} are there of the same status as the {ref}?",
        ),
        ("How many other {things} are there in the same status as the {ref}?",),
    ),
    Template(
        "object",
        "object",
        0,
        ("The {thing} is what?", "What is the {thing}?"),
        ("There is a {thing}; what is it?",),
    ),
    Template(
        "object_toward",
        "object",
        1,
        (
            "What is the {thing} to the {where} {place}?",
            "What is the {thing} that is to the {where} {place}?",
            "The {thing} to the {where} {place} is what?",
            "There is a {thing} to the {where} {place}; what is it?",
        ),
        ("The {thing} that is to the {where} {place} is what?",),
    ),
    Template(
        "object_both",
        "object",
        1,
        (
            "What is the {thing} that is both to the {d1} of {r1} and the {d2} of {r2}?",
            "The {thing} that is both to the {d1} of {r1} and the {d2} of {r2} is what?",
        ),
        ("There is a {thing} that is both to the {d1} of {r1} and the {d2} of {r2}; what is it?",),
    ),
    Template(
        "status",
        "status",
        0,
        (
            "What is the status of the {thing}?",
            "What status is the {thing}?",
            "The {thing} is in what status?",
            "There is a {thing}; what status is it?",
        ),
        ("There is a {thing}; what is its status?", "The {thing} has what status?"),
    ),
    Template(
        "status_toward",
        "status",
        1,
        (
            "What is the status of the {thing} to the {where} {place}?",
            "What status is the {thing} to the {where} {place}?",
            "There is a {thing} to the {where} {place}; what status is it?",
            "There is a {thing} to the {where} {place}; what is its status?",
        ),
        ("The {thing} to the {where} {place} is in what status?", "What status is the {thing} that is to the {where} {place}?"),
    ),
    Template(
        "comparison",
        "comparison",
        0,
        (
            "Do the {one} and the {other} have the same status?",
            "Does the {one} have the same status as the {other}?",
            "Is the status of the {one} the same as the {other}?",
            "There is a {one}; does it have the same status as the {other}?",
        ),
        ("Is the {one} the same status as the {other}?", "There is a {one}; is its status the same as the {other}?"),
    ),
    Template(
        "comparison_toward",
        "comparison",
        1,
        (
            "Do the {one} and the {other} have the same status?",
            "Does the {one} have the same status as the {other}?",
            "Is the status of the {one} the same as the {other}?",
            "There is a {one}; does it have the same status as the {other}?",
        ),
        ("Is the {one} the same status as the {other}?", "There is a {one}; is its status the same as the {other}?"),
    ),
    Template(
        "distance",
        "distance",
        0,
        ("How far is the nearest {thing}?", "What is the distance of the nearest {thing}?"),
        ("How far is it to the nearest {thing}?",),
    ),
    Template(
        "distance_toward",
        "distance",
        1,
        (
            "How far is the nearest {thing} to the {where} {place}?",
            "What is the distance of the nearest {thing} to the {where} {place}?",
        ),
        ("To the {where} {place}, how far is the nearest {thing}?",),
    ),
    Template(
        "traffic_light",
        "light",
        0,
        ("What colour is the traffic light?", "The traffic light is what colour?"),
        ("What is the colour of the traffic light?",),
    ),
    Template(
        "traffic_light_is",
        "light",
        0,
        ("Is the traffic light {colour}?",),
        ("Is the colour of the traffic light {colour}?",),
    ),
    Template(
        "colour_ahead",
        "light",
        1,
        ("What colour is the {thing} ahead?", "The {thing} ahead is what colour?"),
        ("What is the colour of the {thing} ahead?",),
    ),
    Template(
        "colour_ahead_is",
        "light",
        1,
        ("Is the {thing} ahead {colour}?",),
        ("Is the colour of the {thing} ahead {colour}?",),
    ),
    Template(
        "colour",
        "light",
        0,
        ("What colour is the {thing}?", "What is the colour of the {thing}?"),
        ("The {thing} is what colour?",),
    ),
    Template(
        "turn",
        "ego",
        0,
        ("Am I turning left, turning right or going straight?", "Am I turning or going straight?", "Which way am I turning?"),
        ("Am I going straight, turning left or turning right?", "Which way am I going?"),
    ),
    Template("turn_is", "ego", 0, ("Am I {turn}?", "Now am I {turn}?"), ("Am I {turn} now?",)),
    Template(
        "braking",
        "ego",
        0,
        ("Am I braking?", "Am I braking now?", "Is my speed going down?"),
        ("Now am I braking?", "Is my speed going down now?"),
    ),
    Template(
        "accelerating",
        "ego",
        0,
        ("Am I accelerating?", "Am I accelerating now?", "Is my speed going up?"),
        ("Now am I accelerating?", "Is my speed going up now?"),
    ),
    Template("moving", "ego", 0, ("Am I moving?", "Am I moving now?", "Am I going?"), ("Now am I moving?", "Am I going now?")),
)

TYPES = tuple(dict.fromkeys(template.type for template in TEMPLATES))
BY_TYPE = {kind: tuple(template for template in TEMPLATES if template.type == kind) for kind in TYPES}
