# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The lidar encoder for real sweeps: ground removal, clusters, their classification and its training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmllm_ros.commands.doctor_checks import _lidar
from mmllm_ros.commands.doctor_findings import NOTE, OK
from mmllm_ros.datatypes import NANOSECONDS, LidarScan
from mmllm_ros.encoders import load_encoder
from mmllm_ros.encoders.cluster_motion import DistanceMap, own_motion, standing_points
from mmllm_ros.encoders.clusters import FEATURES, clusters
from mmllm_ros.encoders.ground_removal import ground_heights
from mmllm_ros.encoders.lidar_clusters import LidarClusters, statuses
from mmllm_ros.encoders.objects import CATEGORIES
from mmllm_ros.encoders.of_rig import clusters_folder, rig_encoders
from mmllm_ros.encoders.proposals import STATUSES
from mmllm_ros.model import Model
from mmllm_ros.resources import model_folder
from mmllm_ros.rig import LidarMount, Rig
from mmllm_ros.simulator.world.crowds import draw_crowd
from mmllm_ros.simulator.world.mesh import box
from mmllm_ros.simulator.world.ray_scene import RayScene, SceneMesh
from mmllm_ros.simulator.world.shapes import pick
from mmllm_ros.simulator.world.town import ground
from mmllm_ros.training import cluster_motion, lidar_clusters
from mmllm_ros.training.lidar_clusters import Sample, label, train
from mmllm_ros.training.untrained_modalities import of_rig


def plane(slope: float = 0.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """Ground points [n, 3] that rises by `slope` along x, denser near the vehicle."""
    rng = rng or np.random.default_rng(0)
    away, bearing = 3.0 + 37.0 * rng.random(20_000) ** 1.5, rng.uniform(-np.pi, np.pi, 20_000)
    x, y = away * np.cos(bearing), away * np.sin(bearing)
    return np.stack([x, y, slope * x + rng.normal(0, 0.01, len(x))], axis=1)


def block(x: float, y: float, size: tuple[float, float, float], lift: float = 0.0, count: int = 600) -> np.ndarray:
    """Points [count, 3] on the sides and the top of a box that stands at (x, y), its ground at z = `lift`."""
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.5, 0.5, (count, 3))
    axis = rng.integers(0, 3, count)
    points[np.arange(count), axis] = np.where(axis == 2, 0.5, np.sign(points[np.arange(count), axis]) / 2)
    return points * size + (x, y, lift + size[2] / 2)


def test_ground_that_slopes_is_followed_below_an_object():
    # Four degrees; the ground below the middle of the box is 0.07 * 12 = 0.84 m up, its roof 1.5 m higher.
    car = block(12.0, 0.0, (4.4, 1.8, 1.5), lift=0.84)
    points = np.concatenate([plane(0.07), car])
    assert ground_heights(np.array([[12.0, 0.0, 5.0], [30.0, 10.0, 5.0]])).shape == (2,)
    below = ground_heights(points)
    assert np.abs(below[:20_000] - points[:20_000, 2]).mean() < 0.06
    assert below[20_000:].mean() == pytest.approx(0.84, abs=0.1)


def test_objects_a_metre_apart_are_two_clusters_and_ground_is_none():
    points = np.concatenate([plane(), block(10.0, 2.0, (4.0, 1.8, 1.5)), block(10.0, 4.8, (4.0, 1.8, 1.5))])
    found = clusters(points.astype(np.float32))
    assert found.shapes.shape == (2, FEATURES) and np.isfinite(found.shapes).all()
    assert sorted(found.centres[:, 1].round(1)) == [2.0, 4.8]
    assert (found.member[:20_000] == -1).all() and found.counts.sum() > 800


def test_a_sweep_without_objects_gives_empty_tokens():
    encoder = LidarClusters(Rig("bare", (), LidarMount(position=(0.0, 0.0, 1.0))))
    points = np.concatenate([plane() - (0, 0, 1.0), np.zeros((20_000, 1))], axis=1).astype(np.float32)
    tokens = encoder.encode([(LidarScan(7, "lidar", points), None)])[0]
    assert tokens.modality == "lidar" and tokens.stamp == 7 and tokens.values[:, 1].max() < 0.01
    empty = encoder.encode([(LidarScan(7, "lidar", np.zeros((0, 4), np.float32)), None)])[0]
    assert empty.values.shape == tokens.values.shape


def test_clusters_are_labelled_by_the_box_that_holds_them():
    points = np.concatenate([plane(), block(10.0, 2.0, (4.0, 1.8, 1.5)), block(15.0, -4.0, (1.0, 1.0, 1.0))]).astype(np.float32)
    found = clusters(points)
    sample = label(found, points, [("car", (10.5, 2.0), 0.0, (5.0, 1.8))], 1.0)
    # The cluster's middle is at x = 10, the box's at 10.5: half a metre further away, seen along almost x.
    assert sorted(sample.labels) == [0, 1 + CATEGORIES.index("car")]
    assert sample.offsets[sample.labels > 0][0] == pytest.approx((0.49, -0.1), abs=0.05)


def test_training_separates_classes_that_differ_in_one_number():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000) * 2
    shapes = rng.normal(0, 1, (2000, FEATURES)).astype(np.float32)
    shapes[:, 3] += 6 * (labels > 0)
    halves = [Sample(shapes[part], labels[part], np.zeros((1000, 2), np.float32)) for part in (slice(1000), slice(1000, None))]
    encoder = LidarClusters(Rig("bare", ()), width=16)
    # Two Gaussians six standard deviations apart overlap by 0.1 %.
    assert train(encoder, *halves, steps=300, seed=0) > 0.95


def sweep_of(height: float, rings: int) -> np.ndarray:
    """Points [n, 4] in the sensor's frame: a parked car 12 m ahead, seen from its side, and a wall of 14 m, on flat ground."""
    e, b = np.meshgrid(np.radians(np.linspace(2, -25, rings)), np.radians(np.arange(-70, 70, 0.2)), indexing="ij")
    beams = np.stack([np.cos(e) * np.cos(b), np.cos(e) * np.sin(b), np.sin(e)], axis=-1).reshape(-1, 3)
    car = pick("car", "", np.random.default_rng(0)).mesh.placed(12.0, 3.0, 1.3)
    wall = box((14.0, 0.3, 2.5), (14.0, -9.0, 1.25), colour=(0.3, 0.3, 0.3))
    scene = RayScene(ground(0.0, 0.0), [SceneMesh(mesh, 0, {}) for mesh in (car, wall)])
    depth = scene.cast(np.concatenate([np.tile((0.0, 0.0, height), (len(beams), 1)), beams], axis=1).astype(np.float32)).depth
    seen = depth < 70.0
    return np.concatenate([beams[seen] * depth[seen, None], np.zeros((seen.sum(), 1))], axis=1).astype(np.float32)


@pytest.mark.parametrize(("height", "rings"), [(0.5, 64), (1.7, 64), (1.9, 32)])
def test_the_shipped_classifier_tells_a_car_from_a_wall_for_lidars_of_any_height(height, rings):
    rig = Rig("real", (), LidarMount(position=(0.0, 0.0, height), rings=rings, encoder="clusters"))
    encoder = load_encoder(rig_encoders(rig)["lidar"], rig, "cpu")
    found = encoder.detect(LidarScan(0, "lidar", sweep_of(height, rings)))
    assert [CATEGORIES[int(item.classes.argmax())] for item in found] == ["car"]
    # The car's centre is hypot(12, 3) = 12.4 m away.
    assert found[0].distance == pytest.approx(12.4, abs=1.0)


def test_the_model_reads_the_tokens_of_the_encoder_that_the_rig_names():
    rig = Rig("real", (), LidarMount(position=(0.0, 0.0, 1.7), rings=32, encoder="clusters"))
    encoder = load_encoder(rig_encoders(rig)["lidar"], rig, "cpu")
    model = of_rig(Model.load(model_folder("drive_tiny"), "cpu"), rig)
    tokens = encoder.encode([(LidarScan(0, "lidar", sweep_of(1.7, 32)), None)])
    seen, blind = (model.score("Is there a car?", model.latents(made)).distribution["yes"] for made in (tokens, []))
    assert seen > max(blind, 0.8)


def test_doctor_names_the_cure_where_a_real_lidar_would_be_read_by_the_simulated_encoder():
    note, fine = (_lidar(Rig("real", (), LidarMount(encoder=name))) for name in ("", "clusters"))
    assert note.state == NOTE and "encoder: clusters" in note.cure
    assert fine.state == OK


def test_a_rig_without_clusters_names_no_lidar_encoder():
    assert rig_encoders(Rig("front", ())) == {}
    assert rig_encoders(Rig("real", (), LidarMount(encoder="clusters"))) == {"lidar": clusters_folder()}


def test_a_simulated_sweep_gives_clusters_of_objects_and_of_clutter(monkeypatch):
    monkeypatch.setattr(lidar_clusters, "MOMENTS", 1)
    (sample,) = lidar_clusters.samples(3)
    assert (sample.labels > 0).sum() >= 2 and (sample.labels == 0).sum() >= 5
    assert np.abs(sample.offsets).max() < 10.0


def test_members_of_a_crowd_keep_off_each_other_and_off_traffic():
    taken = np.array([[10.0, 0.0, 3.0]])
    crowd = draw_crowd((0.0, 0.0, 0.0), taken, np.random.default_rng(3))
    assert len(crowd) > 3
    assert all(np.hypot(item.x - 10.0, item.y) > 3.0 for item in crowd)
    assert [item.x for item in crowd] == [item.x for item in draw_crowd((0.0, 0.0, 0.0), taken, np.random.default_rng(3))]


def test_clusters_are_not_trained_through_batches_of_tensors():
    with pytest.raises(ValueError, match="use `encode`"):
        LidarClusters(Rig("bare", ()))({"now": torch.zeros(1)})


def two_sweeps(forward: float, moved: float) -> tuple[LidarScan, LidarScan]:
    """Sweeps half a second apart: the vehicle drives `forward` [m], and of two equal cars the left one moves ahead by `moved`."""

    def sweep(stamp: int, origin: float, shift: float) -> LidarScan:
        e, b = np.meshgrid(np.radians(np.linspace(2, -25, 48)), np.radians(np.arange(-70, 70, 0.3)), indexing="ij")
        beams = np.stack([np.cos(e) * np.cos(b), np.cos(e) * np.sin(b), np.sin(e)], axis=-1).reshape(-1, 3)
        mesh = pick("car", "", np.random.default_rng(0)).mesh
        solids = [mesh.placed(14.0 + shift, 5.0, 0.0), mesh.placed(14.0, -5.0, 0.0)]
        grey = {"colour": (0.3, 0.3, 0.3)}
        solids += [box((0.4, 0.4, 2.0), (10.0 + 3.0 * n, 9.0 * (-1) ** n, 1.0), **grey) for n in range(6)]
        scene = RayScene(ground(0.0, 0.0), [SceneMesh(solid, 0, {}) for solid in solids])
        start = np.tile((origin, 0.0, 1.7), (len(beams), 1))
        depth = scene.cast(np.concatenate([start, beams], axis=1).astype(np.float32)).depth
        seen = depth < 70.0
        points = np.concatenate([beams[seen] * depth[seen, None], np.zeros((seen.sum(), 1))], axis=1)
        return LidarScan(stamp, "lidar", points.astype(np.float32))

    return sweep(NANOSECONDS // 2, forward, moved), sweep(0, 0.0, 0.0)


def test_a_car_that_moves_is_told_from_one_that_stands_while_the_vehicle_drives():
    rig = Rig("real", (), LidarMount(position=(0.0, 0.0, 1.7), rings=48, encoder="clusters"))
    encoder = load_encoder(rig_encoders(rig)["lidar"], rig, "cpu")
    newest, previous = two_sweeps(forward=4.0, moved=5.0)
    cars = [item for item in encoder.detect(newest, previous) if CATEGORIES[int(item.classes.argmax())] == "car"]
    left, right = sorted(cars, key=lambda item: -item.bearing)
    assert left.statuses[STATUSES.index("moving")] > 0.8 and right.statuses[STATUSES.index("moving")] < 0.2
    # A sweep alone, and one from another time, tell nothing of motion.
    assert all(item.statuses is None for item in encoder.detect(newest))
    assert all(item.statuses is None for item in encoder.detect(newest, replace(previous, stamp=-NANOSECONDS)))


def test_the_own_motion_is_that_between_the_sweeps():
    newest, previous = two_sweeps(forward=4.0, moved=5.0)
    now, before = (standing_points(scan.points[:, :3] + np.array([0.0, 0.0, 1.7])) for scan in (newest, previous))
    forward, yaw, fit = own_motion(now, DistanceMap(before))
    assert (forward, yaw) == (pytest.approx(4.0, abs=0.1), pytest.approx(0.0, abs=0.01)) and fit > 0.6


def test_a_standing_object_is_whatever_its_class_can_be_while_it_stands():
    shares = dict(zip(STATUSES, statuses(np.eye(10)[CATEGORIES.index("car")], 0.2), strict=True))
    assert shares["stopped"] == shares["parked"] == pytest.approx(0.4, abs=0.02) and sum(shares.values()) == pytest.approx(1.0)
    ridden = dict(zip(STATUSES, statuses(np.eye(10)[CATEGORIES.index("bicycle")], 1.0), strict=True))
    assert ridden["with rider"] > 0.95


def test_training_of_motion_learns_from_pairs_of_simulated_sweeps(tmp_path, capsys):
    assert (
        cluster_motion.main(["--encoder", str(clusters_folder()), "--out", str(tmp_path), "--scenes", "2", "--steps", "40"]) == 0
    )
    assert "objects to learn from" in capsys.readouterr().out
    made, shipped = (load_encoder(folder, Rig("real", ()), "cpu") for folder in (tmp_path, clusters_folder()))
    assert all(torch.equal(a, b) for a, b in zip(made.classifier.parameters(), shipped.classifier.parameters(), strict=True))
