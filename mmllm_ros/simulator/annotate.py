# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Builds the meshes of actors and traffic lights for ray casting, and the truth of a scene from the owners of the hits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .sensors.camera import View
from .sensors.lidar import Sweep
from .truth import EgoMotion, SceneObject, TrafficLight, Weather
from .world.actor import Actor
from .world.ego_vehicle import Ego
from .world.mesh import Colour, Surface
from .world.ray_scene import SCENERY, SceneMesh
from .world.town import SIGNAL, SIGNAL_HEAD, SIGNAL_POST, STOP_LINE, Town
from .world.weather import headlights_on

SIGNAL_OWNER = 0
"""The owner number of the traffic light that governs the ego lane; actors have numbers from 1."""

_REACH = 60.0
_SIGNAL_COLOUR = {"red": (6.0, 0.1, 0.05), "yellow": (6.0, 2.9, 0.05), "green": (0.12, 5.5, 1.5)}
_SIGNAL_SURFACE = {"red": Surface.RED, "yellow": Surface.YELLOW, "green": Surface.GREEN}


@dataclass(frozen=True, slots=True)
class Counts:
    """Pixels by camera and owner, all and clear; lidar returns by owner, before and after losses."""

    pixels: dict[str, np.ndarray]
    clear: dict[str, np.ndarray]
    returns: np.ndarray
    kept: np.ndarray


def _dimmed(colour: Colour, weather: Weather) -> Colour:
    """The colour of a lamp: dimmer at night in the units of shading, where the exposure is longer."""
    level = 0.2 + 0.8 * weather.light
    return (colour[0] * level, colour[1] * level, colour[2] * level)


def street_lamp(town: Town, weather: Weather) -> Colour:
    """Emission of the street lamps."""
    on = town.street_light if weather.light < 0.5 else 0.0
    return (1.6 * on, 1.25 * on, 0.8 * on)


def scene_meshes(
    town: Town, ego: Ego, actors: Sequence[Actor], weather: Weather, signal: tuple[int, int, int, int] | None
) -> list[SceneMesh]:
    """Meshes of actors and traffic lights near the ego, with the emission of their lit lamps."""
    shown = []
    for actor in actors:
        lit = _vehicle_lamps(actor, weather)
        shown.append(SceneMesh(actor.mesh(), actor.identifier, lit))
    for axis in (0, 1):
        place = (ego.x, ego.y)
        first, second = (math.floor(place[i] / town.pitch[i]) for i in (axis, 1 - axis))
        for crossing in (first, first + 1):
            for street in (second, second + 1):
                shown += _signals(town, ego, axis, street, crossing, weather, signal)
    return shown


def _vehicle_lamps(actor: Actor, weather: Weather) -> dict[int, Colour]:
    if actor.mode == "still":
        return {}
    dark = headlights_on(weather)
    lit = {int(Surface.HEAD): _dimmed((4.0, 3.7, 3.0) if dark else (0.9, 0.9, 0.85), weather)}
    if actor.braking:
        # Brake lights must be visible on a body that the ego's head lights illuminate.
        lit[int(Surface.TAIL)] = (2.5 + 3.5 * weather.light, 0.02, 0.01)
    elif dark:
        lit[int(Surface.TAIL)] = _dimmed((1.2, 0.01, 0.005), weather)
    return lit


def _signals(town: Town, ego: Ego, axis: int, street: int, crossing: int, weather: Weather, mine) -> list[SceneMesh]:
    state = town.signal(axis, street, crossing, ego.time)
    if state is None:
        return []
    heads = []
    for heading in (-1, 1):
        x, y, yaw = town.signal_place(axis, street, crossing, heading)
        if math.hypot(x - ego.x, y - ego.y) < _REACH + 10:
            owner = SIGNAL_OWNER if (axis, street, crossing, heading) == mine else SCENERY
            colour = _dimmed(_SIGNAL_COLOUR[state], weather)
            heads.append(SceneMesh(SIGNAL_POST.placed(x, y, yaw), SCENERY, {}))
            heads.append(SceneMesh(SIGNAL.placed(x, y, yaw), owner, {int(_SIGNAL_SURFACE[state]): colour}))
    return heads


def governing_signal(town: Town, ego: Ego) -> tuple[int, int, int, int] | None:
    """(axis, street, crossing, heading) of the traffic light ahead of the ego, None where none is near."""
    for line, *place in ego.route.stops[-3:]:
        ahead = line + STOP_LINE - 0.4 - ego.distance
        if 3.0 < ahead < 50.0 and town.signal(*place[:3], ego.time) is not None:
            axis, street, crossing, heading = place
            return axis, street, crossing, heading
    return None


def _local(ego: Ego, x: float, y: float) -> tuple[float, float]:
    c, s = math.cos(ego.yaw), math.sin(ego.yaw)
    dx, dy = x - ego.x, y - ego.y
    return c * dx + s * dy, -s * dx + c * dy


def count_by_owner(names: Sequence[str], views: Sequence[View], sweep: Sweep | None) -> Counts:
    """Count pixels and returns by owner; scenery is excluded."""
    pixels, clear = {}, {}
    for name, view in zip(names, views, strict=True):
        pixels[name] = np.bincount(view.owner[view.owner != SCENERY])
        clear[name] = np.bincount(view.owner[(view.owner != SCENERY) & view.clear])
    none = np.zeros(0, np.int64)
    return Counts(pixels, clear, np.bincount(sweep.met) if sweep else none, np.bincount(sweep.kept) if sweep else none)


def _of(table: np.ndarray, owner: int) -> int:
    return int(table[owner]) if owner < len(table) else 0


def _by_camera(tables: dict[str, np.ndarray], owner: int) -> dict[str, int]:
    return {name: _of(table, owner) for name, table in tables.items()}


def scene_objects(ego: Ego, actors: Sequence[Actor], counts: Counts) -> tuple[SceneObject, ...]:
    """All actors within 60 m of the ego."""
    objects = []
    for actor in actors:
        x, y = _local(ego, actor.x, actor.y)
        if math.hypot(x, y) > _REACH:
            continue
        yaw = math.remainder(actor.yaw - ego.yaw, 2 * math.pi)
        moving = math.remainder(actor.yaw - actor.turn - ego.yaw, 2 * math.pi)
        number, size = actor.identifier, actor.size
        objects.append(
            SceneObject(
                identifier=number,
                category=actor.category,
                status=actor.status,
                position=(x, y, size[2] / 2),
                yaw=yaw,
                size=size,
                velocity=(actor.speed * math.cos(moving), actor.speed * math.sin(moving)),
                colour=actor.colour,
                pixels=_by_camera(counts.pixels, number),
                clear_pixels=_by_camera(counts.clear, number),
                returns=_of(counts.returns, number),
                clear_returns=_of(counts.kept, number),
            )
        )
    return tuple(objects)


def traffic_light(town: Town, ego: Ego, counts: Counts) -> TrafficLight | None:
    """The traffic light that governs the ego lane, at the centre of its lamps."""
    place = governing_signal(town, ego)
    if place is None:
        return None
    axis, street, crossing, heading = place
    x, y, yaw = town.signal_place(axis, street, crossing, heading)
    forward, left, up = SIGNAL_HEAD
    world = (x + forward * math.cos(yaw) - left * math.sin(yaw), y + forward * math.sin(yaw) + left * math.cos(yaw))
    state = town.signal(axis, street, crossing, ego.time)
    return TrafficLight(
        str(state),
        (*_local(ego, *world), up),
        _by_camera(counts.pixels, SIGNAL_OWNER),
        _by_camera(counts.clear, SIGNAL_OWNER),
    )


def ego_motion(ego: Ego) -> EgoMotion:
    """Means over the last second."""
    speed, turning, along, _ = np.mean(np.asarray(ego.log), axis=0)
    return EgoMotion(float(speed), float(turning), float(along))
