# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The universal encoder: signals of eight kinds -> tokens."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmllm_ros.datatypes import GRAVITY, BadInput, Signal
from mmllm_ros.encoders import load_encoder
from mmllm_ros.encoders.universal.backbone import Backbone
from mmllm_ros.encoders.universal.encoder import LAYOUTS, UniversalEncoder
from mmllm_ros.encoders.universal.points import farthest_points, point_patches
from mmllm_ros.encoders.universal.projection import ROUTERS, UniversalProjection
from mmllm_ros.encoders.universal.signals import Layout
from mmllm_ros.encoders.universal.spectrogram import LEVEL_UNIT, RATE, audio_features, mel_bands
from mmllm_ros.rig import load_rig

SMALL = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 24}
RIG = load_rig("front")


def signals(seed: int = 0) -> dict[str, Signal]:
    rng = np.random.default_rng(seed)
    data = {
        "image": rng.integers(0, 256, (3, 96, 160), np.uint8),
        "video": rng.integers(0, 256, (4, 3, 96, 160), np.uint8),
        "depth": rng.uniform(0, 50, (1, 96, 160)),
        "normals": np.zeros((3, 96, 160)),
        "points": rng.uniform(-20, 20, (500, 4)),
        "audio": rng.normal(0, 0.1, (4, 20_000)),
        "imu": rng.normal(0, 1, (100, 6)),
        "array": rng.uniform(0, 1, (8, 128)),
    }
    return {modality: Signal(modality, 7, "front", values, 0.2, 1.2) for modality, values in data.items()}


@pytest.fixture(scope="module")
def encoder() -> UniversalEncoder:
    torch.manual_seed(0)
    return UniversalEncoder(RIG, projection={"tokens": 4, "experts": 2, "blocks": 1}, backbone_shape=SMALL).eval()


def test_every_kind_of_signal_becomes_the_same_number_of_tokens(encoder: UniversalEncoder) -> None:
    for tokens in encoder.encode(list(signals().values())):
        assert tokens.values.shape == (4, 24) and tokens.places.shape == (4, 3)
        # Four equal sectors of a view of 1.2 rad around 0.2 rad, from left to right.
        assert tokens.places[:, 0] == pytest.approx([0.65, 0.35, 0.05, -0.25])
        has_range = tokens.modality not in ("audio", "imu")
        assert np.all((tokens.places[:, 2] > 0) == has_range) and tokens.places[:, 2].max() < 100


def test_the_tokens_of_a_modality_do_not_depend_on_what_else_is_encoded(encoder: UniversalEncoder) -> None:
    alone = {modality: encoder.encode([signal])[0] for modality, signal in signals().items()}
    together = encoder.encode(list(reversed(signals().values())))
    assert [tokens.modality for tokens in together] == list(reversed(signals()))
    for tokens in together:
        assert np.array_equal(tokens.values, alone[tokens.modality].values)


def test_one_backbone_serves_all_sensors_and_is_frozen(encoder: UniversalEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    forward = Backbone.forward
    monkeypatch.setattr(
        Backbone, "forward", lambda self, tokens: used.append(next(self.parameters()).data_ptr()) or forward(self, tokens)
    )
    encoder.encode(list(signals().values()))
    assert len(used) == 8 and len(set(used)) == 1
    assert not any(value.requires_grad for value in encoder.backbone.parameters())


def test_an_adapter_that_adds_nothing_leaves_every_bit(encoder: UniversalEncoder) -> None:
    names = []
    one = [signals()["audio"]]
    adapted = encoder.encode(one, adapt={"audio": lambda name, x: names.append(name)})
    assert np.array_equal(adapted[0].values, encoder.encode(one)[0].values)
    assert sorted(names) == sorted(encoder.projection.layer_names())


def test_removing_a_modality_leaves_the_tokens_of_the_others(encoder: UniversalEncoder) -> None:
    signal = signals()["depth"]
    before = encoder.encode([signal])[0].values
    encoder.add("scan", Layout("array", (1, 360), offset=10.0, scale=10.0), like="image")
    scan = Signal("scan", 7, "front", np.full((1, 360), 5.0))
    assert encoder.encode([scan, signal])[0].modality == "scan"
    encoder.remove("scan")
    assert np.array_equal(encoder.encode([signal])[0].values, before)
    with pytest.raises(BadInput, match="'scan'"):
        encoder.encode([scan])


def test_a_saved_encoder_has_the_same_tokens_up_to_16_bits(encoder: UniversalEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    loaded = load_encoder(tmp_path, RIG, "cpu")
    assert loaded.revision == encoder.revision
    # A second encoder of the same folder has its own projection, but no backbone of its own.
    second = load_encoder(tmp_path, RIG, "cpu")
    assert second.backbone is loaded.backbone and second.projection is not loaded.projection
    for one, other in zip(loaded.encode(list(signals().values())), encoder.encode(list(signals().values())), strict=True):
        assert np.allclose(one.values, other.values, atol=0.02)
    (tmp_path / "backbone" / "config.json").write_text((tmp_path / "backbone" / "config.json").read_text() + " ")
    with pytest.raises(BadInput, match="was made for backbone"):
        load_encoder(tmp_path, RIG, "cpu")


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2"])
def test_other_vision_transformers_are_backbones(kind: str, tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model, SiglipVisionConfig, SiglipVisionModel

    shape = {**SMALL, "image_size": 32, "patch_size": 16}
    if kind == "dinov2":
        shape["mlp_ratio"] = 1
    configs = {"clip": CLIPVisionConfig, "siglip": SiglipVisionConfig, "dinov2": Dinov2Config}
    models = {"clip": CLIPVisionModel, "siglip": SiglipVisionModel, "dinov2": Dinov2Model}
    vision = models[kind](configs[kind](**shape)).eval()
    vision.save_pretrained(tmp_path)
    backbone = Backbone.load(tmp_path)
    pixels = torch.rand(1, 3, 32, 32) * 2 - 1
    own = vision(pixels / 2 / 0.5).last_hidden_state
    if kind == "clip":
        own = vision.post_layernorm(own)
    assert torch.allclose(backbone(backbone.embed_image(pixels)), own, atol=1e-5)
    assert backbone(torch.rand(2, 7, 24)).shape == (2, 7, 24)


@pytest.mark.parametrize("router", ROUTERS)
def test_routers_weigh_the_experts(router: str) -> None:
    torch.manual_seed(1)
    projection = UniversalProjection(12, tokens=5, experts=3, blocks=1, router=router)
    projection.add("image")
    weights = projection.weights(torch.randn(6, 7, 12), "image")
    if router == "soft":
        assert torch.allclose(weights.sum(-1), torch.ones(6, 5)) and weights.std(0).max() > 0
    elif router == "sparse":
        assert ((weights > 0).sum(-1) == 1).all()
    else:
        assert (weights == 1 / 3).all()


def test_experts_copied_from_an_image_trained_projection_start_with_its_output() -> None:
    torch.manual_seed(2)
    source, target = UniversalProjection(12, experts=1, blocks=2), UniversalProjection(12, experts=3, blocks=2)
    source.add("image")
    target.add("image").load_state_dict(source.modalities["image"].state_dict())
    target.copy_experts(source)
    target.add("audio", like="image")
    features = torch.randn(2, 9, 12)
    # The weights of the experts sum to 1, and the three are equal.
    assert torch.allclose(target(features, "audio"), source(features, "image"), atol=1e-5)


def test_sound_from_the_left_is_louder_in_the_left_microphone() -> None:
    tone = np.sin(2 * math.pi * 500 * np.arange(20_000) / RATE).astype(np.float32)
    mean, left, right = audio_features(torch.from_numpy(np.stack([tone, tone / 4])), 64, 30)
    band = int(mean.mean(1).argmax())
    assert mel_bands(64)[band].argmax() == round(500 / RATE * 512)
    # A quarter of the amplitude is 2 ln 4 of the logarithm of power: half of it above and below the mean, in LEVEL_UNIT.
    assert left[band].mean() == pytest.approx(math.log(4) / LEVEL_UNIT, abs=0.01)
    assert torch.allclose(right[band], -left[band], atol=1e-5)


def test_patches_of_points_spread_over_the_cloud() -> None:
    cloud = torch.cat([torch.randn(200, 3) * 0.1 + torch.tensor([x, y, 0.0]) for x in (-10, 10) for y in (-10, 10)])
    assert len({tuple(cloud[index].sign()[:2].tolist()) for index in farthest_points(cloud, 4)}) == 4
    assert point_patches(cloud[:3], 8, 4).isfinite().all()


def test_the_published_layout_of_brain_scans_fits_an_array() -> None:
    encoder = UniversalEncoder(
        RIG, {"fmri": Layout("array", (1, 15_724)).to_settings()}, {"tokens": 2, "experts": 1}, backbone_shape=SMALL
    )
    prepared = encoder.prepare(Signal("fmri", 0, "scanner", np.random.default_rng(0).normal(size=(1, 15_724))))
    assert encoder.features("fmri", prepared["now"][None]).shape == (1, 8, 24)


@pytest.mark.parametrize(
    ("modality", "data", "words"),
    [
        ("image", np.zeros((3, 8, 8), np.float32), "uint8"),
        ("image", np.zeros((8, 8), np.uint8), r"shape \[8, 8\]"),
        ("video", np.zeros((0, 3, 8, 8), np.uint8), "0 numbers"),
        ("depth", np.full((1, 8, 8), 1e9), "larger than"),
        ("normals", np.full((3, 8, 8), 2.0), "larger than"),
        ("points", np.full((4, 3), np.nan), "not finite"),
        ("audio", np.zeros((3, 100)), r"shape \[3, 100\]"),
        ("imu", np.zeros((10, 5)), r"shape \[10, 5\]"),
        ("array", np.zeros((8, 128, 2)), "shape"),
        ("smell", np.zeros(3), "'smell'"),
    ],
)
def test_a_signal_of_another_form_is_refused_in_one_line(
    encoder: UniversalEncoder, modality: str, data: np.ndarray, words: str
) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        encoder.encode([Signal(modality, 0, "front", data)])
    assert "\n" not in str(caught.value)


def test_a_depth_pixel_keeps_the_nearest_range_and_what_is_missing() -> None:
    ranges = np.full((1, 192, 320), 40.0)
    ranges[0, :2, :2] = [[0.0, 40.0], [5.0, np.nan]]
    ranges[0, 2:4, 2:4] = 0.0
    scaled, present = LAYOUTS["depth"].to_tensor(Signal("depth", 0, "front", ranges))
    assert scaled[0, 0] == pytest.approx(math.log(6) / math.log(101)) and present[0, 0] == 1
    assert scaled[1, 1] == 0 and present[1, 1] == 0


def test_an_imu_at_rest_is_zero_at_any_rate() -> None:
    still = Signal("imu", 0, "imu", np.tile([0, 0, GRAVITY, 0, 0, 0], (37, 1)))
    assert LAYOUTS["imu"].to_tensor(still).abs().max() < 1e-5
    assert LAYOUTS["imu"].to_tensor(replace(still, data=still.data + 1.0)).shape == (6, 128)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "smell", "size": [1]},
        {"kind": "imu", "size": [0]},
        {"kind": "array", "size": [4]},
        {"kind": "imu"},
        {"kind": "array", "size": [1, 8], "scale": 0.0},
    ],
)
def test_a_layout_that_no_signal_has_is_refused(settings: dict) -> None:
    with pytest.raises(BadInput):
        Layout.of(settings)


def test_a_backbone_of_another_width_brings_fresh_tokenizers_and_projection() -> None:
    encoder = UniversalEncoder(RIG, {"imu": LAYOUTS["imu"].to_settings()}, {"experts": 1, "blocks": 1}, backbone_shape=SMALL)
    encoder.use(Backbone.untrained(**{**SMALL, "hidden_size": 36}), "owner/vision")
    assert encoder.config["backbone"] == "owner/vision"
    assert encoder.encode([signals()["imu"]])[0].values.shape == (16, 36)
