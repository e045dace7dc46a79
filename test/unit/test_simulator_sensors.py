# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated sensors against geometry and physics that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmllm_ros.rig import CameraMount, LidarMount
from mmllm_ros.simulator.sensors.camera import Camera, Lens
from mmllm_ros.simulator.sensors.imu import SIMULATED_GRAVITY, Imu
from mmllm_ros.simulator.sensors.lidar import Lidar
from mmllm_ros.simulator.sensors.shading import LightingScene, shade
from mmllm_ros.simulator.truth import Weather
from mmllm_ros.simulator.world.mesh import box, join, uniform_mesh
from mmllm_ros.simulator.world.ray_scene import RayScene, SceneMesh
from mmllm_ros.simulator.world.town import Town

NOON = Weather(light=1.0)
POSE = (0.0, 0.0, 0.0)
FLOOR = uniform_mesh([(-90, -90, 0), (90, -90, 0), (90, 90, 0), (-90, 90, 0)], [(0, 1, 2), (0, 2, 3)], (0.2, 0.2, 0.2))
FRONT = CameraMount("front", "camera/front/image_raw", 0.0, math.radians(70))


@pytest.fixture(scope="module")
def town() -> Town:
    return Town.from_seed(1)


def ray_scene_with(*boxes) -> RayScene:
    return RayScene(FLOOR, [SceneMesh(mesh, number, {}) for number, mesh in enumerate(boxes, 1)])


def sweep(town: Town, ray_scene: RayScene, weather: Weather = NOON, **more):
    return Lidar(LidarMount()).capture(town, ray_scene, weather, POSE, np.random.default_rng(0), **more)


def scene(town: Town, weather: Weather = NOON) -> LightingScene:
    return LightingScene(town, weather, np.array([0.0, 0.0, 1.0], np.float32), POSE)


def picture(town: Town, ray_scene: RayScene, weather: Weather = NOON):
    lens = Lens(np.random.default_rng(0), np.random.default_rng(0), weather)
    return Camera(FRONT, (80, 160)).capture(scene(town, weather), ray_scene, 0.0, np.random.default_rng(0), lens)


def test_a_wall_ten_metres_ahead_reads_ten_metres_in_every_beam_that_meets_it(town):
    # The near face is at x = 10 and the lidar at x = 0, so every point on the wall has x = 10 whatever its beam.
    points = sweep(town, ray_scene_with(box((1.0, 30.0, 6.0), (10.5, 0.0, 3.0), colour=(0.5, 0.5, 0.5), reflectance=0.8))).points
    ahead = (np.abs(np.arctan2(points[:, 1], points[:, 0])) < math.radians(50)) & (points[:, 2] > -1.5) & (points[:, 2] < 4.0)
    assert ahead.sum() > 2000
    beam = np.linalg.norm(points[ahead, :3], axis=1) / points[ahead, 0]
    # Range noise of 1.5 cm is along the beam: five sigmas of it, as it shows on x.
    assert np.all(np.abs(points[ahead, 0] - 10.0) * beam < 0.075)


def test_returns_without_a_hit_are_absent(town):
    points = sweep(town, ray_scene_with(box((1, 1, 1), (8, 0, 0.5), colour=(0.5, 0.5, 0.5)))).points
    assert points.dtype == np.float32 and points.shape[1] == 4
    assert len(points) < 32 * 1024 and np.isfinite(points).all()
    assert points[:, 3].min() >= 0 and points[:, 3].max() <= 1


def test_a_box_on_the_left_is_left_in_image_and_points(town):
    ray_scene = ray_scene_with(box((1, 1, 2), (12, 4, 1), colour=(0.8, 0.1, 0.1)))
    columns = np.nonzero(picture(town, ray_scene).owner == 1)[1]
    assert len(columns) > 10 and columns.max() < 80
    # bearing 18.4 degrees left: column 80 - 114.3 * 4 / 10.5 = 36 from the camera at x = 1.5.
    assert abs(columns.mean() - 36) < 3
    seen = sweep(town, ray_scene)
    high = seen.points[seen.points[:, 2] > -1.6]
    assert len(high) and (high[:, 1] > 0).all()


def test_a_mirrored_world_gives_the_mirrored_image_and_points(town):
    shapes = [((2, 1.5, 2), (14, 5, 1)), ((1, 1, 3), (9, -3, 1.5)), ((4, 2, 1.5), (20, -1, 0.75))]
    ray_scenes = [
        ray_scene_with(*(box(size, (x, sign * y, z), colour=(0.6, 0.2, 0.1)) for size, (x, y, z) in shapes)) for sign in (1, -1)
    ]
    camera = Camera(FRONT, (80, 160))
    images = []
    for ray_scene in ray_scenes:
        view = picture(town, ray_scene)
        rays = camera.rays(POSE)
        total = shade(scene(town), ray_scene, rays, ray_scene.cast(rays), 0.01).total.reshape(80, 160, 3)
        images.append((view.owner, total))
    (owner, light), (mirrored_owner, mirrored_light) = images
    assert np.array_equal(owner, mirrored_owner[:, ::-1])
    on_things = owner > 0
    assert np.allclose(light[on_things], mirrored_light[:, ::-1][on_things], atol=1e-4)
    counts = [np.bincount(sweep(town, ray_scene).met, minlength=4) for ray_scene in ray_scenes]
    assert np.array_equal(counts[0], counts[1]) and counts[0][1:].all()


def test_a_near_box_hides_a_far_one(town):
    near, far = box((1, 6, 6), (8, 0, 3), colour=(0.5, 0.5, 0.5)), box((1, 2, 2), (20, 0, 1), colour=(0.5, 0.5, 0.5))
    assert (picture(town, ray_scene_with(near, far)).owner == 2).sum() == 0
    assert (picture(town, ray_scene_with(far)).owner == 1).sum() > 20


def test_night_darkens_the_camera_and_does_not_change_the_lidar(town):
    ray_scene = ray_scene_with(box((2, 2, 2), (25, 3, 1), colour=(0.5, 0.5, 0.5)))
    day, night = picture(town, ray_scene), picture(town, ray_scene, Weather(light=0.0))
    assert night.image.mean() < 0.6 * day.image.mean()
    assert night.clear[night.owner == 1].sum() < 0.5 * day.clear[day.owner == 1].sum()
    assert np.array_equal(sweep(town, ray_scene).points, sweep(town, ray_scene, Weather(light=0.0)).points)


def test_fog_shortens_the_lidar_and_adds_false_returns(town):
    ray_scene = ray_scene_with(box((1, 60, 8), (45, 0, 4), colour=(0.5, 0.5, 0.5)))
    clear, foggy = sweep(town, ray_scene), sweep(town, ray_scene, Weather(light=1.0, fog=0.9))
    far = [np.percentile(np.linalg.norm(sweep.points[:, :3], axis=1), 95) for sweep in (foggy, clear)]
    assert far[0] < far[1]
    assert len(clear.kept) > 200 and len(foggy.kept) < 0.1 * len(clear.kept)
    assert len(foggy.met) == len(clear.met)
    floating = foggy.points[(foggy.points[:, 2] > -1.5) & (foggy.points[:, 0] < 40)]
    assert len(floating) > 100


@pytest.mark.parametrize("weather", [Weather(light=0.8, fog=0.9), Weather(light=0.8, glare=1.0), Weather(light=0.0)])
def test_bad_weather_leaves_fewer_clear_pixels(town, weather):
    ray_scene = ray_scene_with(box((2, 2, 2), (24, 1, 1), colour=(0.5, 0.5, 0.5)))
    # The sun of glare stands right ahead, low.
    glaring = LightingScene(town, weather, np.array([0.99, 0.0, 0.14], np.float32), POSE)
    lens = Lens(np.random.default_rng(0), np.random.default_rng(0), weather)
    bad = Camera(FRONT, (80, 160)).capture(glaring, ray_scene, 0.0, np.random.default_rng(0), lens)
    good = picture(town, ray_scene)
    assert good.clear[good.owner == 1].mean() > 0.9
    assert bad.clear[bad.owner == 1].mean() < 0.5


def test_points_of_a_wall_shift_when_the_lidar_moves_during_the_sweep(town):
    ray_scene = ray_scene_with(box((1, 4, 6), (10.5, 0, 3), colour=(0.5, 0.5, 0.5), reflectance=0.8))
    still, moving = sweep(town, ray_scene), sweep(town, ray_scene, motion=(20.0, 0.0))
    # Half a turn before the stamp the sensor was 0.05 s * 20 m/s = 1 m farther back.
    wall = [s.points[(s.points[:, 0] > 5) & (np.abs(s.points[:, 1]) < 1.5) & (s.points[:, 2] > -1.4)] for s in (still, moving)]
    assert abs(wall[1][:, 0].mean() - wall[0][:, 0].mean() - 1.0) < 0.1


def test_an_imu_at_rest_reads_gravity_upwards():
    samples = Imu(np.random.default_rng(0)).window([(0.0, 0.0, 0.0, 0.0)] * 100, np.random.default_rng(1))
    assert samples.shape == (100, 6) and samples.dtype == np.float32
    assert np.allclose(samples.mean(0), [0, 0, SIMULATED_GRAVITY, 0, 0, 0], atol=0.15)
    assert samples[:, 3:].std() < 0.01


def test_a_left_turn_is_a_positive_yaw_rate_and_a_force_to_the_left():
    samples = Imu(np.random.default_rng(0)).window([(8.0, 0.4, 0.0, 0.0)] * 100, np.random.default_rng(1)).mean(0)
    assert abs(samples[5] - 0.4) < 0.05
    # centripetal force of a left turn points left: v * yaw rate = 3.2 m/s^2 on +y.
    assert abs(samples[1] - 3.2) < 0.3


def test_braking_is_negative_x_and_vibration_grows_with_speed():
    imu = Imu(np.random.default_rng(0))
    assert imu.window([(8.0, 0.0, -3.0, 0.0)] * 100, np.random.default_rng(1)).mean(0)[0] < -2.5
    slow, fast = (imu.window([(v, 0.0, 0.0, 0.0)] * 100, np.random.default_rng(1))[:, 2].std() for v in (0.0, 14.0))
    assert fast > 3 * slow


def test_meshes_join_without_sharing_vertices():
    first, second = box((1, 1, 1), (0, 0, 0), colour=(1, 0, 0)), box((1, 1, 1), (5, 0, 0), colour=(0, 1, 0))
    both = join([first, second])
    assert both.triangles.max() == 15 and len(both.triangles) == 24
    assert both.vertices[both.triangles[12:]].min(axis=(0, 1))[0] > 4
