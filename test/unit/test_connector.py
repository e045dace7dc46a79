# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Connectors: their latents, their trainable parameters, and the effect of adding or removing one."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from safetensors.torch import load, save
from tiny_decoders import FAMILIES, tiny_decoder

from mmllm_ros.datatypes import BadInput
from mmllm_ros.latent.attention_adapter import attach, plugged
from mmllm_ros.latent.connector import Connector, merge, place_features
from mmllm_ros.latent.decoder_blocks import FrozenProjections, decoder_blocks, find
from mmllm_ros.latent.split_forward import can_split, full_pass, lower_states, upper

TEXT = torch.tensor([[5, 9, 11, 7, 20, 33]])
WIDTHS = {"camera": 12, "imu": 7, "lidar": 9}
families = pytest.mark.parametrize("family", FAMILIES)


def make(family: str = "llama", linked: int = 3, seed: int = 0):
    """An attached decoder with three connectors whose heads have random weights."""
    llm = tiny_decoder(family, seed)
    attach(llm)
    connectors = {m: Connector(m, width, llm, linked, trunk=16, rank=4) for m, width in WIDTHS.items()}
    for connector in connectors.values():
        for parameter in connector.heads.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return llm, connectors


def tokens(modality: str, rows: int = 1, count: int = 4, seed: int = 0):
    generator = torch.Generator().manual_seed(seed + WIDTHS[modality])
    values = torch.randn((rows, count, WIDTHS[modality]), generator=generator)
    return values, torch.randn((rows, count, 3), generator=generator)


def logits(llm, latent_cache) -> torch.Tensor:
    with plugged(latent_cache), torch.no_grad():
        return llm(TEXT, use_cache=False).logits


def test_predicted_attributes_are_not_normalised_and_the_other_numbers_are():
    connector = Connector("camera", 12, tiny_decoder("llama"), 2, trunk=16, rank=4, predicted_attributes=5)
    values, places = tokens("camera")
    louder = [torch.cat([loud * values[..., :7], read * values[..., 7:]], dim=-1) for loud, read in ((2, 1), (1, 2))]
    key, loud, read = (connector(each, places)[3].key for each in (values, *louder))
    torch.testing.assert_close(loud, key, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(read, key, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("predicted_attributes", [-1, 12])
def test_a_token_needs_numbers_beside_its_predicted_attributes(predicted_attributes):
    with pytest.raises(BadInput, match="predicted attributes in a token of 12 numbers"):
        Connector("camera", 12, tiny_decoder("llama"), 2, predicted_attributes=predicted_attributes)


@families
def test_the_latents_start_as_the_projections_of_the_block_itself(family):
    llm = tiny_decoder(family)
    attach(llm)
    connector = Connector("camera", 12, llm, 2, trunk=16, rank=4)
    values, places = tokens("camera")
    latent_cache = connector(values, places)
    features = connector.trunk(torch.cat([connector.normalise(values), place_features(places)], dim=-1))
    assert list(latent_cache) == [2, 3]
    for block, latent in latent_cache.items():
        module = decoder_blocks(llm)[block]
        hidden = connector.hidden(features)
        if family != "opt, norm after attention":
            hidden = find(module, "input norm")(hidden)
        value = module.self_attn.v_proj(hidden)
        heads = latent.value.shape[1]
        assert torch.equal(latent.value, value.view(1, 4, heads, -1).transpose(1, 2))
        assert latent.key.shape == latent.value.shape
        # The gate of the block makes up for those of the tokens.
        torch.testing.assert_close(latent.log_gate, torch.full((1, 4), -1.0))


def test_duplicate_suppression_is_weak_at_initialization():
    _, connectors = make(linked=2)
    places = torch.tensor([[[0.3, 0.0, 12.0]] * 4])
    latent_caches = {name: connector(tokens(name)[0], places) for name, connector in connectors.items()}
    for block, latent in merge(latent_caches).items():
        alone = torch.cat([latent_caches[name][block].log_gate for name in sorted(latent_caches)], dim=-1)
        assert ((latent.log_gate - alone).exp() > 0.8).all(), "of eight others at the same place"


def test_qwen3_normalises_latent_keys_like_text_keys():
    llm = tiny_decoder("qwen3")
    projections = FrozenProjections.of(decoder_blocks(llm)[0])
    key, _ = projections(torch.randn(1, 4, 32), torch.zeros(1, 4, 16), torch.zeros(1, 4, 16))
    # An RMS norm of weight one: each key of 8 numbers has a mean square of 1.
    torch.testing.assert_close(key.pow(2).mean(-1), torch.ones(1, 2, 4), atol=1e-3, rtol=1e-3)


def test_the_trainable_set_is_trunk_heads_and_gates_by_name():
    llm, connectors = make(linked=2)
    names = {name for name, parameter in connectors["camera"].named_parameters() if parameter.requires_grad}
    head = {"hidden.0.weight", "hidden.1.weight", "hidden.1.bias", "key.0.weight", "key.1.weight", "key.1.bias"}
    head |= {"value.0.weight", "value.1.weight", "value.1.bias"}
    expected = {"log_gate", *(f"{part}.{kind}" for part in ("normalise", "hidden", "token_gate") for kind in ("weight", "bias"))}
    expected |= {f"trunk.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")}
    expected |= {f"heads.{i}.{name}" for i in range(2) for name in head}
    assert names == expected == set(connectors["camera"].state_dict())
    assert not any(parameter.requires_grad for parameter in llm.parameters())


@families
def test_every_connector_parameter_learns_and_no_llm_parameter_does(family):
    llm, connectors = make(family)
    latent_cache = merge({m: connector(*tokens(m)) for m, connector in connectors.items()})
    with plugged(latent_cache):
        llm(TEXT, use_cache=False).logits[0, -1, 7].backward()
    for connector in connectors.values():
        for name, parameter in connector.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert all(parameter.grad is None for parameter in llm.parameters())


@families
def test_connector_gradients_are_the_finite_differences(family):
    llm, connectors = make(family)
    llm, connector = llm.double(), connectors["camera"].double()
    values, places = (part.double() for part in tokens("camera"))

    def loss():
        with plugged(connector(values, places)):
            return llm(TEXT, use_cache=False).logits[0, -1, 7]

    parameters = dict(connector.named_parameters())
    slopes = dict(zip(parameters, torch.autograd.grad(loss(), list(parameters.values())), strict=True))
    for name in ("log_gate", "trunk.0.weight", "hidden.weight", "heads.1.key.0.weight", "heads.2.value.1.weight"):
        parameter, slope = parameters[name].data, slopes[name]
        direction = slope / slope.norm()
        # Some norms compute in float32 and want a long step; OPT's do not, and its ReLU has kinks.
        step = 1e-5 if family.startswith("opt") else 3e-3
        parameter += step * direction
        above = loss().item()
        parameter -= 2 * step * direction
        below = loss().item()
        parameter += step * direction
        assert (above - below) / (2 * step) == pytest.approx(slope.norm().item(), rel=2e-2), name


def test_the_order_of_plugging_does_not_change_a_bit():
    llm, connectors = make()
    latent_caches = {m: connector(*tokens(m)) for m, connector in connectors.items()}
    results = [logits(llm, merge({m: latent_caches[m] for m in order})) for order in itertools.permutations(latent_caches)]
    assert all(torch.equal(result, results[0]) for result in results)


def test_an_unplugged_modality_has_no_effect():
    llm, connectors = make()
    latent_caches = {m: connector(*tokens(m)) for m, connector in connectors.items()}
    before = logits(llm, merge({"camera": latent_caches["camera"]}))
    logits(llm, merge(latent_caches))
    assert torch.equal(logits(llm, merge({"camera": latent_caches["camera"]})), before)


def test_adding_a_modality_leaves_old_answers_bit_identical():
    llm, connectors = make()
    old = {m: connectors[m](*tokens(m)) for m in ("camera", "imu")}
    before = logits(llm, merge(old))
    radar = Connector("radar", 5, llm, 2, trunk=16, rank=4)
    with plugged(radar(torch.randn(1, 3, 5), torch.randn(1, 3, 3))):
        llm(TEXT, use_cache=False).logits.sum().backward()
    torch.optim.SGD(radar.parameters(), lr=1.0).step()
    after = logits(llm, merge({m: connectors[m](*tokens(m)) for m in ("camera", "imu")}))
    assert torch.equal(after, before)


def test_fewer_linked_blocks_are_the_last_ones_and_the_same_latents():
    _, connectors = make(linked=3)
    whole, nested = (connectors["lidar"](*tokens("lidar"), linked_blocks=n) for n in (None, 2))
    assert list(whole) == [1, 2, 3] and list(nested) == [2, 3]
    assert all(torch.equal(nested[block].key, whole[block].key) for block in nested)
    with pytest.raises(BadInput, match="linked_blocks is 4, not between 1 and 3"):
        connectors["lidar"](*tokens("lidar"), linked_blocks=4)


def test_a_pruned_gate_costs_nothing_and_stays_closed_on_disk():
    llm, connectors = make()
    connector = connectors["camera"]
    connector.log_gate.data = torch.tensor([-9.0, -1.0, -0.5])
    assert connector.prune(below=-5.0) == 1
    assert list(connector(*tokens("camera"))) == [2, 3]
    again = Connector("camera", 12, llm, 3, trunk=16, rank=4)
    again.load_state_dict(load(save({key: value.half() for key, value in connector.state_dict().items()})))
    assert list(again(*tokens("camera"))) == [2, 3]


@families
def test_a_row_without_valid_tokens_is_that_row_unplugged(family):
    llm, connectors = make(family)
    text = TEXT.expand(3, -1)
    valid = {m: torch.ones((3, 4), dtype=torch.bool) for m in WIDTHS}
    valid["camera"][0] = False
    for m in WIDTHS:
        valid[m][2] = False
    latent_cache = merge({m: connector(*tokens(m, rows=3), valid[m]) for m, connector in connectors.items()})
    with plugged(latent_cache):
        rows = llm(text, use_cache=False).logits
        rows[:, -1].logsumexp(-1).sum().backward()
    for connector in connectors.values():
        assert all(parameter.grad.isfinite().all() for parameter in connector.parameters())
    without_camera = {m: connectors[m](*(part[:1] for part in tokens(m, rows=3))) for m in ("imu", "lidar")}
    torch.testing.assert_close(rows[:1].detach(), logits(llm, merge(without_camera)), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(rows[2:].detach(), logits(llm, {}), atol=2e-5, rtol=1e-4)


def test_the_same_token_elsewhere_is_another_latent():
    # "To the back left" can only be answered when direction and range reach the keys.
    _, connectors = make()
    values, _ = tokens("camera", count=1)
    places = [(0.0, 0.0, 10.0), (math.pi, 0.0, 10.0), (0.0, 0.3, 10.0), (0.0, 0.0, 40.0), (0.0, 0.0, 0.0)]
    keys = [connectors["camera"](values, torch.tensor([[place]]))[3].key for place in places]
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in itertools.combinations(keys, 2))


def test_a_full_turn_is_the_same_bearing():
    places = torch.tensor([[[0.7, 0.1, 5.0], [0.7 + 2 * math.pi, 0.1, 5.0]]])
    features = place_features(places)
    torch.testing.assert_close(features[0, 0], features[0, 1], atol=1e-5, rtol=0)


def test_more_linked_blocks_than_the_llm_has_are_refused():
    with pytest.raises(BadInput, match="5 linked blocks, but the LLM has 4"):
        Connector("camera", 4, tiny_decoder("llama"), 5)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "smollm3"])
@pytest.mark.parametrize("padded", [False, True])
def test_the_two_parts_are_the_full_pass_bit_for_bit(family, padded):
    llm, connectors = make(family)
    assert can_split(llm)
    ids = torch.cat([TEXT, TEXT.flip(1)])
    mask = torch.ones_like(ids)
    if padded:
        mask[1, 4:] = 0
    positions = mask.sum(1, keepdim=True) - 1
    for latent_cache in ({}, merge({m: connector(*tokens(m, rows=2)) for m, connector in connectors.items()})):
        with torch.no_grad():
            hidden = lower_states(llm, ids, mask, first_block=1)
            halves = upper(llm, hidden, latent_cache, mask, first_block=1, positions=positions)
            whole = full_pass(llm, ids, latent_cache, mask, positions=positions)
            with plugged(latent_cache):
                library = llm(ids, attention_mask=mask, use_cache=False).logits
        assert torch.equal(halves, whole)
        torch.testing.assert_close(halves[:, 0], library[torch.arange(2), positions[:, 0]], atol=1e-6, rtol=1e-6)


def test_the_upper_half_has_the_gradients_of_the_full_pass():
    llm, connectors = make()
    gradients = []
    for run in ("halves", "whole"):
        latent_cache = merge({m: connector(*tokens(m)) for m, connector in connectors.items()})
        at = {"positions": torch.tensor([5])}
        if run == "halves":
            with torch.no_grad():
                hidden = lower_states(llm, TEXT, first_block=1)
            output = upper(llm, hidden, latent_cache, first_block=1, **at)
        else:
            output = full_pass(llm, TEXT, latent_cache, **at)
        gradients.append(torch.autograd.grad(output.logsumexp(-1).sum(), list(connectors["camera"].parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_latent_cache_below_the_upper_half_is_refused():
    llm, connectors = make(linked=3)
    hidden = lower_states(llm, TEXT, first_block=2)
    with pytest.raises(ValueError, match="the latent cache links block 1, below the first block that is run, 2"):
        upper(llm, hidden, connectors["imu"](*tokens("imu")), first_block=2, positions=torch.tensor([0]))


def test_a_family_with_windows_or_other_parts_is_not_split():
    assert not can_split(tiny_decoder("opt"))
