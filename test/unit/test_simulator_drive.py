# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A whole drive: reproducible bytes, truth that agrees with the sensors, faults, and refused parameters."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from mmllm_ros.datatypes import NANOSECONDS, BadInput
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.sensors.faults import Fault, Snapshot
from mmllm_ros.simulator.truth import CATEGORIES, STATUSES, VEHICLES, SceneTruth, Weather
from mmllm_ros.simulator.world.ego_vehicle import Ego
from mmllm_ros.simulator.world.shapes import shapes
from mmllm_ros.simulator.world.town import Town
from mmllm_ros.simulator.world.weather import CHANGE_PERIOD, CONTEXTS, sample

FRONT = load_rig("front")
LIDAR_ONLY = dataclasses.replace(load_rig("nuscenes"), cameras=())


def same(first: Snapshot, second: Snapshot) -> bool:
    return (
        all(np.array_equal(a.image, b.image) for a, b in zip(first.cameras, second.cameras, strict=True))
        and np.array_equal(first.lidar.points, second.lidar.points)
        and np.array_equal(first.imu.samples, second.imu.samples)
        and first.truth == second.truth
    )


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    snapshots = []
    for seed in (5, 5, 6):
        drive = Drive(seed, FRONT, "rain")
        drive.advance(0.7)
        snapshots.append(drive.capture())
    assert same(snapshots[0], snapshots[1])
    assert not np.array_equal(snapshots[0].cameras[0].image, snapshots[2].cameras[0].image)


def test_many_small_advances_are_one_large_one():
    first, second = Drive(8, LIDAR_ONLY, "day"), Drive(8, LIDAR_ONLY, "day")
    first.advance(1.0)
    for _ in range(40):
        second.advance(0.025)
    a, b = first.capture(), second.capture()
    assert a.truth == b.truth and np.array_equal(a.lidar.points, b.lidar.points)


def test_capturing_changes_nothing():
    drive = Drive(4, FRONT, "night")
    assert same(drive.capture(), drive.capture())


def test_a_seed_is_the_same_world_in_every_weather():
    day, night = (Drive(9, LIDAR_ONLY, context).capture() for context in ("day", "night"))
    assert [o.position for o in day.truth.objects] == [o.position for o in night.truth.objects]


def test_stamps_follow_time_and_the_imu_window_ends_at_the_stamp():
    drive = Drive(3, FRONT, "day")
    before = drive.capture().truth.stamp
    drive.advance(0.5)
    snapshot = drive.capture()
    assert snapshot.truth.stamp - before == NANOSECONDS // 2
    assert snapshot.imu.times[-1] == snapshot.imu.stamp == snapshot.cameras[0].stamp == snapshot.lidar.stamp
    assert len(snapshot.imu.times) == 100 and (np.diff(snapshot.imu.times) == NANOSECONDS // 100).all()


def test_a_rig_without_sensors_gives_none():
    snapshot = Drive(1, dataclasses.replace(FRONT, cameras=(), lidar=None, imu=None), "day").capture()
    assert snapshot.cameras == () and snapshot.lidar is None and snapshot.imu is None
    assert all(item.returns == 0 and item.pixels == {} for item in snapshot.truth.objects)


def test_truth_lies_where_the_sensors_see_it():
    checked = 0
    for seed in range(6):
        snapshot = Drive(seed, FRONT, Weather(light=1.0)).capture()
        points = snapshot.lidar.points[:, :3] + np.asarray(FRONT.lidar.position, np.float32)
        for item in snapshot.truth.objects:
            assert item.category in CATEGORIES and item.status in ("", *STATUSES)
            assert item.clear_returns <= item.returns
            assert item.clear_pixels["front"] <= item.pixels["front"]
            c, s = math.cos(item.yaw), math.sin(item.yaw)
            offset = points - np.asarray(item.position, np.float32)
            local = np.stack([c * offset[:, 0] + s * offset[:, 1], -s * offset[:, 0] + c * offset[:, 1], offset[:, 2]], 1)
            inside = (np.abs(local) < np.asarray(item.size) / 2 + 0.1).all(1)
            assert inside.sum() >= item.clear_returns
            checked += item.clear_returns > 0
    assert checked > 10


def test_truth_survives_json():
    truth = Drive(2, LIDAR_ONLY, "day").capture().truth
    assert SceneTruth.from_json(truth.to_json()) == truth


def test_every_class_and_status_is_frequent():
    blind = dataclasses.replace(FRONT, cameras=(), lidar=None)
    seen = [item for seed in range(60) for item in Drive(seed, blind).capture().truth.objects]
    for category in CATEGORIES:
        assert sum(item.category == category for item in seen) > 0.03 * len(seen), category
    for status in STATUSES:
        assert sum(item.status == status for item in seen) > 0.02 * len(seen), status
    for item in seen:
        speed = math.hypot(*item.velocity)
        assert (item.status == "moving") == (speed > 1.0) or item.category not in VEHICLES
        assert (item.colour != "") == (item.category in VEHICLES)


def test_every_class_has_shapes_of_a_realistic_size():
    lengths = {"car": (3.5, 5.5), "bus": (6, 13), "truck": (5, 10), "pedestrian": (0.3, 1.2), "traffic cone": (0.2, 0.8)}
    for category in CATEGORIES:
        assert len(shapes(category)) >= 2
    for category, (low, high) in lengths.items():
        assert all(low < shape.size[0] < high for shape in shapes(category))


@pytest.mark.parametrize(
    ("manoeuvre", "check"),
    [
        ("left", lambda speed, turning, along: turning > 0.1),
        ("right", lambda speed, turning, along: turning < -0.1),
        ("brake", lambda speed, turning, along: along < -0.8),
        ("accelerate", lambda speed, turning, along: along > 0.5),
        ("stand", lambda speed, turning, along: speed == 0),
    ],
)
def test_the_ego_performs_its_manoeuvre(manoeuvre, check):
    good = 0
    for seed in range(20):
        ego = Ego(Town.from_seed(seed), np.random.default_rng(seed), manoeuvre)
        for _ in range(150):
            ego.advance(math.inf)
        speed, turning, along, _ = np.mean(np.asarray(ego.log), axis=0)
        good += check(speed, turning, along)
    assert good >= 16


def test_a_long_drive_stays_on_its_way_and_stops_for_red():
    town = Town.from_seed(3)
    ego = Ego(town, np.random.default_rng(3), "cruise")
    stood = 0
    for _ in range(18_000):
        ego.advance(math.inf)
        stood += ego.speed == 0
        x, y, _, _ = ego.route.samples[int(ego.distance / ego.route.SPACING)]
        assert math.hypot(ego.x - x, ego.y - y) < 2.5
    assert ego.distance > 300 and stood > 500


def test_traffic_is_replaced_during_a_long_drive():
    drive = Drive(12, dataclasses.replace(FRONT, cameras=(), lidar=None), "day")
    counts = []
    for _ in range(9):
        drive.advance(20.0)
        truth = drive.capture().truth
        counts.append(len(truth.objects))
        places = [(item.identifier, item.position) for item in truth.objects]
        assert len({identifier for identifier, _ in places}) == len(places)
    assert min(counts) >= 2


def test_weather_may_change_with_time():
    drive = Drive(2, FRONT, lambda seconds: Weather(light=max(1.0 - seconds / 10, 0.0)))
    bright = drive.capture()
    drive.advance(10.0)
    dark = drive.capture()
    assert bright.truth.weather.name == "day" and dark.truth.weather.name == "night"
    assert dark.cameras[0].image.mean() < bright.cameras[0].image.mean()


@pytest.mark.parametrize("context", [name for name in CONTEXTS if name != "mixed"])
def test_a_context_draws_weather_of_its_name(context):
    for seed in range(20):
        assert sample(context, np.random.default_rng(seed)).name == context


def faulty(kind: str, source: str, **more) -> tuple[Snapshot, Snapshot]:
    drives = [Drive(7, FRONT, "day", faults=faults) for faults in ((), (Fault(source, kind, **more),))]
    for drive in drives:
        drive.capture()
        drive.advance(0.5)
    return drives[0].capture(), drives[1].capture()


def test_a_black_sensor_gives_zeros():
    assert faulty("black", "front")[1].cameras[0].image.max() == 0
    assert len(faulty("black", "lidar")[1].lidar.points) == 0
    assert np.abs(faulty("black", "imu")[1].imu.samples).max() == 0


def test_a_frozen_sensor_repeats_itself_under_new_stamps():
    drive = Drive(7, FRONT, "day", faults=[Fault("front", "frozen")])
    first = drive.capture()
    drive.advance(0.5)
    second = drive.capture()
    assert np.array_equal(first.cameras[0].image, second.cameras[0].image)
    assert second.cameras[0].stamp == second.truth.stamp > first.cameras[0].stamp


def test_a_shifted_sensor_has_old_stamps():
    good, bad = faulty("shifted", "imu", shift=0.25)
    assert good.imu.stamp - bad.imu.stamp == NANOSECONDS // 4
    assert np.array_equal(good.imu.times - NANOSECONDS // 4, bad.imu.times)


def test_a_half_covered_sensor_has_no_data_on_its_left():
    good, bad = faulty("half_covered", "front")
    assert bad.cameras[0].image[:, :80].max() == 0
    assert np.array_equal(bad.cameras[0].image[:, 80:], good.cameras[0].image[:, 80:])
    assert (faulty("half_covered", "lidar")[1].lidar.points[:, 1] <= 0).all()


def test_a_missing_sensor_gives_no_frame_and_faults_never_change_the_truth():
    good, bad = faulty("missing", "front")
    assert bad.cameras == () and bad.lidar is not None and bad.truth == good.truth


def test_a_fault_acts_only_in_its_time():
    drive = Drive(7, FRONT, "day", faults=[Fault("front", "black", since=0.4, until=0.6)])
    levels = []
    for _ in range(3):
        levels.append(int(drive.capture().cameras[0].image.max()))
        drive.advance(0.45)
    assert levels[0] > 0 and levels[1] == 0 and levels[2] > 0


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Drive(-1, FRONT), "seed"),
        (lambda: Drive("one", FRONT), "seed"),
        (lambda: Drive(1, FRONT, "sandstorm"), "sandstorm"),
        (lambda: Drive(1, FRONT, Weather(light=2.0)), "weather.light"),
        (lambda: Drive(1, FRONT, Weather(fog=math.nan)), "weather.fog"),
        (lambda: Drive(1, FRONT, camera_size=(0, 160)), "camera_size"),
        (lambda: Drive(1, FRONT, "day").advance(-1.0), "seconds"),
        (lambda: Drive(1, FRONT, "day").advance(math.nan), "seconds"),
        (lambda: Drive(1, FRONT, "day", faults=[Fault("rear", "black")]), "fault.source"),
        (lambda: Fault("front", "melted"), "fault.kind"),
        (lambda: Fault("imu", "half_covered"), "fault.kind"),
        (lambda: Fault("front", "black", since=3, until=1), "fault.since"),
        (lambda: Fault("front", "shifted", shift=-1), "fault.shift"),
        (lambda: Drive(1, FRONT, lambda seconds: None).capture(), "context"),
    ],
)
def test_bad_parameters_are_refused_with_one_line_that_names_the_field(make, field):
    with pytest.raises(BadInput) as refused:
        make()
    assert field in str(refused.value) and "\n" not in str(refused.value)


def test_changing_weather_passes_from_one_context_to_the_next():
    drive = Drive(7, load_rig("front"), "changing")
    seen = set()
    for _ in range(5):
        drive.advance(CHANGE_PERIOD / 2)
        seen.add(drive.weather.name)
        drive.advance(CHANGE_PERIOD / 2)
    assert {"day", "night", "fog"} <= seen
