# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that rays can meet at one moment: the still town, kept between moments, and the actors on top of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import open3d as o3d

from .mesh import Colour, Mesh, Surface, join
from .town import Town, ground

_REACH = 80.0
SCENERY = -1


@dataclass(frozen=True, slots=True)
class Prop:
    """A mesh in world coordinates, who owns it, and the light that its lamps give off by surface."""

    mesh: Mesh
    owner: int
    lit: Mapping[int, Colour]


@dataclass(frozen=True, slots=True)
class Hits:
    """What rays meet. `depth` [N] in ray lengths, infinite for the sky; `index` [N] of the triangle, -1 for the sky."""

    depth: np.ndarray
    index: np.ndarray
    normal: np.ndarray


class Scenery:
    """The blocks around a place as one mesh, rebuilt only when the place moves on to another block."""

    def __init__(self, town: Town):
        self._town = town
        self._blocks: dict[tuple[int, int], Mesh] = {}
        self._key: frozenset[tuple[int, int]] = frozenset()
        self._mesh: Mesh | None = None

    def around(self, x: float, y: float) -> Mesh:
        """The scenery that matters at (x, y)."""
        town = self._town
        columns = range(int((x - _REACH) // town.pitch[0]), int((x + _REACH) // town.pitch[0]) + 1)
        rows = range(int((y - _REACH) // town.pitch[1]), int((y + _REACH) // town.pitch[1]) + 1)
        key = frozenset((column, row) for column in columns for row in rows)
        if self._mesh is None or key != self._key:
            self._blocks = {place: self._blocks.get(place) or town.block(*place) for place in sorted(key)}
            self._key, self._mesh = key, join([ground(x, y), *self._blocks.values()])
        return self._mesh


class Stage:
    """A ray-casting scene. The attributes are per triangle; `owner` is SCENERY or the number that its Prop carries."""

    def __init__(self, scenery: Mesh, props: Sequence[Prop], street_lamp: Colour = (0.0, 0.0, 0.0)):
        meshes = [scenery, *(prop.mesh for prop in props)]
        whole = join(meshes)
        self.colour, self.reflectance, self.surface = whole.colour, whole.reflectance, whole.surface
        self.owner = np.full(len(whole.triangles), SCENERY, np.int32)
        self.emission = np.zeros_like(whole.colour)
        self.emission[self.surface == Surface.STREET] = street_lamp
        start = len(scenery.triangles)
        for prop in props:
            end = start + len(prop.mesh.triangles)
            self.owner[start:end] = prop.owner
            for surface, light in prop.lit.items():
                self.emission[start:end][prop.mesh.surface == surface] = light
            start = end
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(o3d.core.Tensor(whole.vertices), o3d.core.Tensor(whole.triangles))

    def cast(self, rays: np.ndarray) -> Hits:
        """The first triangle on each ray, float32 [N, 6]: origin and direction."""
        found = self._scene.cast_rays(o3d.core.Tensor(np.ascontiguousarray(rays, np.float32)), nthreads=1)
        index = found["primitive_ids"].numpy().astype(np.int64)
        index[found["geometry_ids"].numpy() != 0] = -1
        return Hits(found["t_hit"].numpy(), index, found["primitive_normals"].numpy())

    def blocked(self, rays: np.ndarray) -> np.ndarray:
        """Whether anything lies on each ray, bool [N]."""
        return self._scene.test_occlusions(o3d.core.Tensor(np.ascontiguousarray(rays, np.float32)), nthreads=1).numpy()
