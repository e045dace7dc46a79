# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Encoders: frames of any size and rate become tokens with places."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTImageProcessor, ViTModel

from mmllm_ros.datatypes import NANOSECONDS, BadInput, CameraFrame, ImuWindow, LidarScan
from mmllm_ros.encoders import CameraEncoder, ImuEncoder, LidarEncoder, load_encoder
from mmllm_ros.encoders.lidar import range_image
from mmllm_ros.encoders.proposals import Proposals
from mmllm_ros.io.frame_history import FrameHistory
from mmllm_ros.rig import load_rig

RIG = load_rig("nuscenes")
SMALL = {"width": 32, "depth": 1, "heads": 2}


def camera(source: str = "front", stamp: int = 0, size: tuple[int, int] = (376, 672), seed: int = 0) -> CameraFrame:
    return CameraFrame(stamp, source, np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def imu(rate: float, stamp: int = NANOSECONDS) -> ImuWindow:
    times = stamp - np.arange(round(rate) - 1, -1, -1, dtype=np.int64) * round(NANOSECONDS / rate)
    turning = np.tile(np.array([0.0, 0.0, 9.80665, 0.0, 0.0, 0.2], np.float32), (len(times), 1))
    return ImuWindow(stamp, "imu", times, turning)


def test_a_batch_of_views_has_the_tokens_of_the_separate_views():
    torch.manual_seed(0)
    encoder = CameraEncoder(RIG, **SMALL).eval()
    frames = [(camera(mount.name, seed=i), None) for i, mount in enumerate(RIG.cameras)]
    together = encoder.encode(frames)
    for pair, tokens in zip(frames, together, strict=True):
        (alone,) = encoder.encode([pair])
        assert tokens.source == pair[0].source and tokens.values.shape == (10, encoder.token_width)
        np.testing.assert_allclose(alone.values, tokens.values, atol=1e-4)


def test_the_places_of_tokens_are_in_the_view_of_the_camera():
    encoder = CameraEncoder(RIG, **SMALL).eval()
    torch.nn.init.zeros_(encoder.proposals.heads.weight)
    torch.nn.init.zeros_(encoder.proposals.heads.bias)
    for mount in RIG.cameras:
        (tokens,) = encoder.encode([(camera(mount.name), None)])
        sectors = tokens.places[8:, 0]
        # Two sectors, a quarter of the field of view to the left and to the right of the axis (a pinhole makes it a bit less).
        offsets = sorted(math.remainder(bearing - mount.bearing, 2 * math.pi) for bearing in sectors)
        assert offsets == pytest.approx([-mount.fov / 4, mount.fov / 4], abs=0.12)


def test_the_same_image_in_a_camera_turned_left_moves_its_tokens_to_the_left():
    torch.manual_seed(0)
    encoder = CameraEncoder(RIG, **SMALL).eval()
    turned = dataclasses.replace(RIG.camera("front"), name="turned", bearing=0.5)
    encoder.rig = dataclasses.replace(RIG, cameras=(*RIG.cameras, turned))
    image = camera().image
    ahead, left = encoder.encode([(CameraFrame(0, "front", image), None), (CameraFrame(0, "turned", image), None)])
    np.testing.assert_allclose(ahead.values, left.values, atol=1e-4)
    sectors = slice(8, None)
    np.testing.assert_allclose(left.places[sectors, 0] - ahead.places[sectors, 0], 0.5, atol=1e-5)


def test_an_unknown_camera_is_refused_by_name():
    with pytest.raises(BadInput, match="no camera 'roof'"):
        CameraEncoder(RIG, **SMALL).encode([(camera("roof"), None)])


def test_a_range_image_keeps_bearing_elevation_and_the_nearest_return():
    up, down = math.radians(10), math.radians(-30)
    ahead = [10.0, 0.0, 0.0, 0.5]
    behind_it = [20.0, 0.0, 0.0, 0.9]
    left = [0.0, 5.0, 0.0, 0.2]
    image = range_image(np.array([behind_it, ahead, left], np.float32), 32, 480, up, down)
    # Elevation 0 lies a quarter of the way down (10 of 40 degrees); bearing 0 in the middle, bearing 90 degrees a quarter in.
    assert image[0, 8, 239:241].max() == 10.0 and image[0, 8, 119:121].max() == 5.0
    assert np.count_nonzero(image[0]) == 2


def test_an_unobservable_group_is_uniform_and_the_other_attributes_are_unchanged():
    torch.manual_seed(0)
    complete, uniform = Proposals(8, objects=3, sectors=2), Proposals(8, objects=3, sectors=2, unobservable=("colour",))
    uniform.load_state_dict(complete.state_dict())
    cells, places = torch.randn(4, 10, 8), torch.zeros(4, 10, 3)
    sector = torch.arange(10) // 5
    known, unknown = (
        part(cells, torch.zeros(4, 10), sector, lambda _: places, lambda found: found)[0] for part in (complete, uniform)
    )
    assert torch.equal(unknown[..., :-6], known[..., :-6]) and not torch.allclose(unknown, known)
    # The attributes of a group still sum to 1 in an object token, and to the expected number of objects in a sector token.
    torch.testing.assert_close(unknown[..., -6:].sum(-1), known[..., -6:].sum(-1))
    torch.testing.assert_close(unknown[..., -6:].std(-1), torch.zeros(4, 5))


def test_a_rotated_sweep_rotates_its_sector_tokens():
    torch.manual_seed(0)
    encoder = LidarEncoder(RIG, width=16).eval()
    empty = LidarScan(0, "lidar", np.zeros((0, 4), np.float32))
    (tokens,) = encoder.encode([(empty, None)])
    bearings = tokens.places[28:, 0]
    # Twelve sectors of 30 degrees from +180 down to -180 degrees: their middles are 165, 135, ...
    assert bearings == pytest.approx(np.radians(np.arange(165, -180, -30)), abs=0.02)


@pytest.mark.parametrize("rate", [20.0, 32.0, 100.0, 400.0])
def test_an_imu_of_any_rate_gives_the_same_means(rate):
    encoder = ImuEncoder(RIG, **SMALL)
    means = encoder.to_tensor(imu(rate))[:6]
    np.testing.assert_allclose(means[5], 0.2, atol=1e-6)
    np.testing.assert_allclose(means[2], 9.80665, atol=1e-5)


def test_an_imu_window_of_one_sample_is_refused():
    window = imu(100.0)
    with pytest.raises(BadInput, match="1 samples in the last second"):
        ImuEncoder(RIG, **SMALL).encode([(ImuWindow(window.stamp, "imu", window.times[-1:], window.samples[-1:]), None)])


def test_history_pairs_a_frame_with_the_one_half_a_second_older():
    history = FrameHistory()
    stamps = [0, 100, 240, 510, 560, 1080]
    partners = [history.pair(camera(stamp=ms * 1_000_000, size=(4, 4)))[1] for ms in stamps]
    # 240 has only 0 and 100 before it, 240 ms at most: too near. 1080 finds 560 (0.52 s older), not 510.
    assert [partner and partner.stamp // 1_000_000 for partner in partners] == [None, None, None, 0, 100, 560]


def test_history_forgets_when_time_jumps_back():
    history = FrameHistory()
    history.pair(camera(stamp=10 * NANOSECONDS, size=(4, 4)))
    assert history.pair(camera(stamp=NANOSECONDS, size=(4, 4)))[1] is None


def test_a_saved_encoder_loads_with_its_revision_and_gives_the_same_tokens(tmp_path):
    torch.manual_seed(0)
    encoder = LidarEncoder(RIG, width=16).eval()
    encoder.load_state_dict({key: value.half().float() for key, value in encoder.state_dict().items()})
    encoder.save(tmp_path)
    loaded = load_encoder(tmp_path, RIG, "cpu")
    scan = LidarScan(0, "lidar", np.random.default_rng(0).normal(0, 10, (500, 4)).astype(np.float32))
    (before,), (after,) = encoder.encode([(scan, None)]), loaded.encode([(scan, None)])
    np.testing.assert_array_equal(before.values, after.values)
    assert after.encoder == before.encoder == loaded.revision and len(after.encoder) == 12


@pytest.mark.parametrize("harm", ["missing", "truncated", "shape", "config"])
def test_a_damaged_encoder_is_refused_naming_the_file(tmp_path, harm):
    ImuEncoder(RIG, **SMALL).save(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    if harm == "missing":
        weights.unlink()
    elif harm == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif harm == "shape":
        config.write_text(config.read_text().replace('"width": 32', '"width": 64'))
    else:
        config.write_text("{")
    with pytest.raises(BadInput) as refused:
        load_encoder(tmp_path, RIG, "cpu")
    assert str(config if harm == "config" else weights) in str(refused.value) and "\n" not in str(refused.value)


def test_a_hugging_face_vision_encoder_works_as_camera_encoder(tmp_path):
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    ViTModel(ViTConfig(**shape, image_size=32, patch_size=8)).save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    (tmp_path / "config.json").write_text('{"modality": "camera", "kind": "pretrained camera", "name": "vit", "pools": [2, 4]}')
    encoder = load_encoder(tmp_path, RIG, "cpu")
    (tokens,) = encoder.encode([(camera("front_left"), None)])
    assert tokens.values.shape == (8, 32) and encoder.token_width == 32
    middle = np.degrees(tokens.places[:, 0]).mean()
    assert middle == pytest.approx(55.0, abs=0.01)
    # Training gives the view as it was rendered, with the mount in full.
    mount, image = RIG.camera("front_left"), camera("front_left").image
    rendered = torch.from_numpy(image).permute(2, 0, 1)[None]
    batch = {"now": rendered, "mount": torch.tensor([[mount.bearing, mount.fov, mount.pitch, *mount.position]])}
    with torch.inference_mode():
        values, places = encoder(batch)
    np.testing.assert_allclose(places[0].numpy(), tokens.places, atol=1e-5)
    assert values.shape == (1, *tokens.values.shape)


def test_tokens_of_a_camera_pitched_down_have_lower_elevations():
    encoder = CameraEncoder(RIG, **SMALL)
    front = RIG.camera("front")
    level, tilted = ([front.bearing, front.fov, pitch, *front.position] for pitch in (0.0, 0.2))
    _, elevations = encoder.rays(torch.tensor([level, tilted]))
    torch.testing.assert_close(elevations[1], elevations[0] - 0.2)
