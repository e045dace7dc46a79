# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A second, slow way from the text of a program to its answer: its own parser, lists instead of bit masks, vectors for angles."""

from __future__ import annotations

import re

import numpy as np

VEHICLES = {"bus", "car", "construction vehicle", "trailer", "truck"}
SECTORS = {"front": 0, "front left": 60, "back left": 120, "back": 180, "back right": -120, "front right": -60}


def parse(text: str) -> tuple:
    """`count(pick(any, car))` -> ("count", ("pick", "any", "car"))."""
    tokens = re.findall(r"[^(),]+|[(),]", text)
    position = 0

    def expression():
        nonlocal position
        name = tokens[position].strip()
        position += 1
        if position >= len(tokens) or tokens[position] != "(":
            return name
        position += 1
        arguments = []
        while tokens[position] != ")":
            if tokens[position] in (",",):
                position += 1
                continue
            arguments.append(expression())
        position += 1
        return (name, *arguments)

    return expression()


def answer(text: str, truth, cameras: list[str], lidar: bool) -> str:
    """The answer to a program; a violated "the" or an unclear ego state fails an assertion."""
    seen = [item for item in truth.objects if np.linalg.norm(item.position[:2]) <= 35.0 and _shown(item, cameras, lidar)]
    return _value(parse(text), truth, seen, cameras)


def _shown(item, cameras, lidar) -> bool:
    return any(item.pixels.get(name, 0) >= 12 for name in cameras) or (lidar and item.returns >= 6)


def _value(node, truth, seen, cameras):
    name, arguments = node[0], node[1:]
    if name == "exist":
        return "yes" if _chosen(arguments[0], seen) else "no"
    if name == "count":
        return str(min(10, len(_chosen(arguments[0], seen))))
    if name == "category":
        return _one(arguments[0], seen).category
    if name == "status":
        return _one(arguments[0], seen).status
    if name == "same":
        return "yes" if len({_one(argument, seen).status for argument in arguments}) == 1 else "no"
    if name == "distance":
        metres = np.linalg.norm(_one(arguments[0], seen).position[:2])
        names = ["under 5 metres", "5 to 10 metres", "10 to 20 metres", "over 20 metres"]
        return names[int(np.digitize(metres, [5.0, 10.0, 20.0]))]
    if name == "colour":
        item = _one(arguments[0], seen)
        assert _shown(item, cameras, lidar=False)
        return item.colour
    if name == "light":
        assert any(truth.traffic_light.pixels[camera] >= 6 for camera in cameras)
        return truth.traffic_light.state
    if name == "is":
        return "yes" if _value(arguments[0], truth, seen, cameras) == arguments[1] else "no"
    ego = truth.ego
    if name == "turn":
        return "going straight" if abs(ego.yaw_rate) < 0.05 else "turning left" if ego.yaw_rate > 0 else "turning right"
    if name == "moving":
        return "yes" if ego.speed > 0.5 else "no"
    assert name in ("accelerating", "braking"), name
    return "yes" if (ego.acceleration if name == "accelerating" else -ego.acceleration) > 0.5 else "no"


def _one(node, seen):
    found = _chosen(node[1], seen)
    if node[0] == "nearest":
        return sorted(found, key=lambda item: np.hypot(*item.position[:2]))[0]
    assert node[0] == "the" and len(found) == 1, (node, len(found))
    return found[0]


def _chosen(node, seen):
    _, status, category, *relations = node
    found = [item for item in seen if category in ("thing", item.category) and status in ("any", item.status)]
    for relation in relations:
        if relation[0] == "alike":
            reference = _one(relation[1], seen)
            found = [item for item in found if item is not reference and item.status == reference.status]
        else:
            reference = None if relation[2] == ("me",) else _one(relation[2], seen)
            found = [item for item in found if item is not reference and _sector(item, reference) == relation[1]]
    return found


def _sector(item, reference) -> str:
    """The sector whose middle direction is closest: sixty degrees each, as the six middles are sixty degrees apart."""
    displacement = np.array(item.position[:2]) - (np.zeros(2) if reference is None else np.array(reference.position[:2]))
    middles = {name: np.array([np.cos(np.radians(a)), np.sin(np.radians(a))]) for name, a in SECTORS.items()}
    return max(middles, key=lambda name: float(middles[name] @ displacement))
