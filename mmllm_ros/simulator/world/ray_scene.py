# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The geometry for ray casting at one moment: the static town, cached between moments, and the actors."""

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
class SceneMesh:
    """A mesh in world coordinates, the number of its owner, and the emission of its lamps by surface."""

    mesh: Mesh
    owner: int
    lit: Mapping[int, Colour]


@dataclass(frozen=True, slots=True)
class Hits:
    """Results of ray casting. `depth` [N] in ray lengths, infinite for the sky; `index` [N] of the triangle, -1 for the sky."""

    depth: np.ndarray
    index: np.ndarray
    normal: np.ndarray


class Scenery:
    """The static blocks around a position as one mesh, rebuilt only when the set of blocks changes."""

    def __init__(self, town: Town):
        self._town = town
        self._blocks: dict[tuple[int, int], Mesh] = {}
        self._key: frozenset[tuple[int, int]] = frozenset()
        self._mesh: Mesh | None = None

    def around(self, x: float, y: float) -> Mesh:
        """The scenery within reach of (x, y)."""
        town = self._town
        columns = range(int((x - _REACH) // town.pitch[0]), int((x + _REACH) // town.pitch[0]) + 1)
        rows = range(int((y - _REACH) // town.pitch[1]), int((y + _REACH) // town.pitch[1]) + 1)
        key = frozenset((column, row) for column in columns for row in rows)
        if self._mesh is None or key != self._key:
            self._blocks = {place: self._blocks.get(place) or town.block(*place) for place in sorted(key)}
            self._key, self._mesh = key, join([ground(x, y), *self._blocks.values()])
        return self._mesh


class RayScene:
    """A ray-casting scene. The attributes are per triangle; `owner` is SCENERY or the owner of its SceneMesh."""

    def __init__(self, scenery: Mesh, owned: Sequence[SceneMesh], street_lamp: Colour = (0.0, 0.0, 0.0)):
        meshes = [scenery, *(item.mesh for item in owned)]
        whole = join(meshes)
        self.colour, self.reflectance, self.surface = whole.colour, whole.reflectance, whole.surface
        self.owner = np.full(len(whole.triangles), SCENERY, np.int32)
        self.emission = np.zeros_like(whole.colour)
        self.emission[self.surface == Surface.STREET] = street_lamp
        start = len(scenery.triangles)
        for item in owned:
            end = start + len(item.mesh.triangles)
            self.owner[start:end] = item.owner
            for surface, light in item.lit.items():
                self.emission[start:end][item.mesh.surface == surface] = light
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
