# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Objects that another perception stack reports -> detections -> tokens. Nothing here has weights or trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..datatypes import BadInput, Detection, ObjectList, Tokens
from ..io.object_messages import Report, ReportedObject
from ..io.pinhole import Pinhole
from ..rig import ObjectsMount, Rig, rotation
from .base import DetectionEncoder
from .box_ranges import box_range
from .coco import MEANINGS
from .objects import CATEGORIES, REVISION, distribution, located, object_tokens

DOUBT = 0.01
"""Share of the class probabilities that all ten classes divide evenly: no stack is always right."""
Transform = tuple[np.ndarray, np.ndarray]
"""Rotation [3, 3] and translation [3] from the frame of a message to the base frame."""


def mounted(mount: ObjectsMount) -> Transform:
    """The transform from the mount's frame to the base frame."""
    c, s = math.cos(mount.bearing), math.sin(mount.bearing)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return turn @ rotation(mount.axes).astype(float), np.array(mount.position)


class ClassNames:
    """Class names of a perception stack -> probabilities of CATEGORIES.

    Args:
        mapped: pairs of a name of the stack and one of CATEGORIES. Other names mean what they mean in coco.py, or are one of
            CATEGORIES themselves. Raises BadInput for a class of ours that does not exist.
    """

    def __init__(self, mapped: Sequence[tuple[str, str]] = ()) -> None:
        for name, ours in mapped:
            if ours not in CATEGORIES:
                raise BadInput(f"objects.classes maps {name!r} to {ours!r}, which is not one of {list(CATEGORIES)}")
        own = {name: {name: 1.0} for name in CATEGORIES}
        self._meanings = {**MEANINGS, **own, **{_plain(name): {ours: 1.0} for name, ours in mapped}}

    def read(self, scores: Sequence[tuple[str, float]]) -> tuple[float, np.ndarray] | None:
        """The score that one of our classes is there, and the probability of each, [10]; None where no name has a meaning."""
        weights = dict.fromkeys(CATEGORIES, 0.0)
        for name, score in scores:
            for ours, share in self._meanings.get(_plain(name), {}).items():
                weights[ours] += share * score
        total = sum(weights.values())
        if total <= 0.0:
            return None
        shares = {name: weight / total for name, weight in weights.items()}
        return min(total, 1.0), distribution(CATEGORIES, shares, DOUBT)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", " ")


def object_list(
    report: Report,
    source: str,
    names: ClassNames,
    transform: Transform | None = None,
    camera: Pinhole | None = None,
    sweep: tuple[np.ndarray, np.ndarray] | None = None,
) -> ObjectList:
    """The detections of a report.

    Args:
        transform: to the base frame, for objects with a centre.
        camera, sweep: of the image and of the lidar, as `box_range` takes them, for objects with corners.
    """
    found, unmapped = [], 0
    for item in report.objects:
        meaning = names.read(item.scores)
        if meaning is None:
            unmapped += 1
        else:
            found.append(Detection(*meaning, *_place(item, meaning[1], transform, camera, sweep)))
    return ObjectList(report.stamp, source, tuple(found), unmapped)


def located_objects(
    report: Report,
    source: str,
    names: ClassNames,
    transform_at: Callable[[str, int], Transform],
    view_at: Callable[[int], tuple[Pinhole, tuple[np.ndarray, np.ndarray] | None]] | None,
) -> ObjectList:
    """`object_list` with what it needs looked up.

    Args:
        transform_at: gives the transform from a frame to the base frame at a stamp [ns].
        view_at: gives camera and sweep at a stamp [ns]; None where the rig does not name the camera.

    Raises BadInput, also where they do.
    """
    if not any(item.corners for item in report.objects):
        transform = transform_at(report.frame, report.stamp) if report.objects else None
        return object_list(report, source, names, transform)
    if view_at is None:
        raise BadInput("boxes in an image have no bearing: name their camera as objects.camera in the rig")
    camera, sweep = view_at(report.stamp)
    return object_list(report, source, names, camera=camera, sweep=sweep)


def _place(
    item: ReportedObject,
    classes: np.ndarray,
    transform: Transform | None,
    camera: Pinhole | None,
    sweep: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[float, float, float, float]:
    """Bearing, elevation [rad], range [m] and the spread of its logarithm."""
    if item.corners is None:
        turn, origin = transform
        return *located(turn @ np.array(item.centre) + origin), 0.0
    return box_range(np.array(item.corners), classes, camera, sweep)


class ReportedObjectsEncoder(DetectionEncoder):
    """The encoder of modality `objects`: lists of objects -> tokens that the modality-agnostic connector reads."""

    modality = "objects"

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig, {"modality": self.modality})
        self.revision = REVISION

    def encode(self, pairs: Sequence[tuple[ObjectList, ObjectList | None]]) -> list[Tokens]:
        """Tokens of each list."""
        mount = self.rig.objects
        camera = self.rig.camera(mount.camera) if mount and mount.camera else None
        view = (camera.bearing, camera.fov / 2) if camera else (0.0, math.pi)
        return [
            object_tokens(list(newest.detections), newest.stamp, newest.source, self.modality, self.revision, view)
            for newest, _ in pairs
        ]
