# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adapter-in-adapter: nothing changes at the start, older adapters are never written, and the gate is noisy only in training."""

from __future__ import annotations

import pytest
import torch

from mmllm_ros.encoders.universal.adapters import ModalityAdapters
from mmllm_ros.encoders.universal.projection import UniversalProjection

LAYERS = {"experts.0.0.query": (12, 12), "experts.0.0.output": (12, 20)}


def trained(older: dict[str, ModalityAdapters] | None = None) -> ModalityAdapters:
    """Adapters with random weights."""
    adapters = ModalityAdapters(LAYERS, 4, older)
    with torch.no_grad():
        for value in adapters.parameters():
            value.normal_()
    return adapters


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 5, 12)


def test_adapters_are_zero_at_initialization_with_and_without_older_modalities(x: torch.Tensor) -> None:
    for adapters in (ModalityAdapters(LAYERS, 4), ModalityAdapters(LAYERS, 4, {"audio": trained(), "imu": trained()})):
        for layer, (_, outputs) in LAYERS.items():
            assert torch.equal(adapters(layer, x), torch.zeros(2, 5, outputs))


def test_the_sum_over_paths_is_that_of_the_equation(x: torch.Tensor) -> None:
    audio = trained()
    depth = trained({"audio": audio})
    layer, old = depth.layers["experts/0/0/query"], audio.layers["experts/0/0/query"].own
    weights = (x @ layer.own.down.weight.T @ layer.gate.score.weight.T).softmax(-1)
    through = x @ old.down.weight.T @ layer.between["audio"].weight.T @ old.up.weight.T
    own = layer.own.scale * (x @ layer.own.down.weight.T @ layer.own.up.weight.T)
    expected = weights[..., :1] * through + weights[..., 1:] * own
    torch.testing.assert_close(depth("experts.0.0.query", x), expected)


def test_training_writes_nothing_of_an_older_modality_and_all_of_the_new_one(x: torch.Tensor) -> None:
    audio = trained().requires_grad_(False)
    depth = trained({"audio": audio})
    before = {name: value.clone() for name, value in audio.state_dict().items()}
    optimizer = torch.optim.AdamW(depth.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(0)
    sum(depth(layer, x, generator).square().sum() for layer in LAYERS).backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in audio.state_dict().items())
    assert all(value.grad is not None for value in depth.parameters())
    # Of the pair audio and depth, depth has the in-adapter: 2 layers of 4 x 4.
    owned = {name for name in depth.state_dict() if ".between." in name}
    assert owned == {f"layers.experts/0/0/{layer}.between.audio.weight" for layer in ("query", "output")}


def test_only_a_generator_makes_the_gate_noisy_and_the_same_seed_the_same_noise(x: torch.Tensor) -> None:
    depth = trained({"audio": trained()})
    noisy = [depth("experts.0.0.query", x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])
    assert torch.equal(depth("experts.0.0.query", x), depth("experts.0.0.query", x))


@pytest.mark.parametrize(("width", "shape"), [(1024, (30, 3, 8, 16)), (192, (16, 1, 2, 3))])
def test_the_adapters_of_a_fifth_modality_are_less_than_two_percent_of_the_projection(width: int, shape: tuple) -> None:
    # OneLLM's projection (3 experts of 8 blocks of width 1024), and that of the benchmark. A fifth modality has four older ones.
    with torch.device("meta"):
        projection = UniversalProjection(width, *shape)
        layers = dict.fromkeys(projection.layer_names(), (width, width))
        older = {name: ModalityAdapters(layers) for name in ("video", "audio", "depth", "points")}
        adapters = ModalityAdapters(layers, older=older)
    trained, whole = (sum(value.numel() for value in part.parameters()) for part in (adapters, projection.experts))
    # Each layer: two maps of rank 4 and a scale, four 4 x 4, a gate of 4 x 5 and 5 levels of noise.
    assert trained == len(layers) * (2 * width * 4 + 1 + 4 * 16 + 4 * 5 + 5)
    assert trained / whole < 0.02
