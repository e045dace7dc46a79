# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The attention adapter: plugged latents are attended to exactly, and unplugged ones have no effect."""

from __future__ import annotations

import threading

import pytest
import torch
from tiny_decoders import FAMILIES, tiny_decoder
from transformers import BloomConfig, BloomForCausalLM, GPT2Config, GPT2LMHeadModel

from mmllm_ros.datatypes import BadInput
from mmllm_ros.latent import attention_adapter
from mmllm_ros.latent.attention_adapter import Latent, attach, plugged
from mmllm_ros.latent.decoder_blocks import FrozenProjections, decoder_blocks

TEXT = torch.tensor([[5, 9, 11, 7, 20, 33]])
families = pytest.mark.parametrize("family", FAMILIES)


def attached(family: str, seed: int = 0):
    llm = tiny_decoder(family, seed)
    attach(llm)
    return llm


def random_latent_cache(
    llm, blocks=(1, 3), slots: int = 5, rows: int = 1, gate: float = -1.0, seed: int = 1
) -> dict[int, Latent]:
    generator = torch.Generator().manual_seed(seed)
    latent_cache = {}
    for block in blocks:
        projections = FrozenProjections.of(decoder_blocks(llm)[block])
        shape = (rows, projections.heads, slots, projections.head_width)
        key, value = (torch.randn(shape, generator=generator) for _ in range(2))
        latent_cache[block] = Latent(key, value, torch.full((rows, slots), gate))
    return latent_cache


def logits(llm, ids=TEXT, latent_cache=None, **options) -> torch.Tensor:
    with plugged(latent_cache or {}), torch.no_grad():
        return llm(ids, use_cache=False, **options).logits


def select(latent_cache, slots):
    return {block: Latent(x.key[:, :, slots], x.value[:, :, slots], x.log_gate[:, slots]) for block, x in latent_cache.items()}


@families
def test_nothing_plugged_is_the_bare_llm_bit_for_bit(family):
    bare = tiny_decoder(family)
    with torch.no_grad():
        expected = bare(TEXT, use_cache=False).logits
    llm = attached(family)
    assert torch.equal(logits(llm), expected)
    assert not torch.equal(logits(llm, latent_cache=random_latent_cache(llm)), expected)


@families
def test_a_latent_cache_with_closed_gates_is_the_bare_llm_bit_for_bit(family, monkeypatch):
    llm = attached(family)
    monkeypatch.setattr(attention_adapter, "_latent_bias", lambda *_: pytest.fail("attended to an absent slot"))
    assert torch.equal(logits(llm, latent_cache=random_latent_cache(llm, gate=-torch.inf)), logits(llm))


@families
def test_a_closed_gate_is_an_absent_slot(family):
    llm = attached(family)
    latent_cache = random_latent_cache(llm, slots=6)
    closed = {block: Latent(x.key, x.value, x.log_gate.clone()) for block, x in latent_cache.items()}
    for latent in closed.values():
        latent.log_gate[:, [1, 4]] = -torch.inf
    torch.testing.assert_close(
        logits(llm, latent_cache=closed), logits(llm, latent_cache=select(latent_cache, [0, 2, 3, 5])), atol=1e-5, rtol=1e-5
    )


@families
def test_the_softmax_is_joint_over_latents_and_text(family):
    # weights = softmax([gate + q.k_latent, q.k_text]), written out by hand.
    llm = attached(family)
    block = 2
    latent_cache = random_latent_cache(llm, blocks=(block,), slots=3, gate=0.7)
    attention = decoder_blocks(llm)[block].self_attn
    seen = {}

    original = attention_adapter.sdpa_attention_forward

    def spy(module, query, key, value, mask, **options):
        if module is attention:
            seen.update(query=query, key=key, value=value, scale=options["scaling"], length=query.shape[2])
            result = original(module, query, key, value, mask, **options)
            seen["mixed"] = result[0]
            return result
        return original(module, query, key, value, mask, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_adapter, "sdpa_attention_forward", spy)
        logits(llm, latent_cache=latent_cache)
    groups = seen["query"].shape[1] // seen["key"].shape[1]
    key, value = (seen[name].repeat_interleave(groups, dim=1) for name in ("key", "value"))
    score = seen["query"] @ key.transpose(2, 3) * seen["scale"]
    score[..., :3] += 0.7
    score[..., 3:] += torch.full((seen["length"],) * 2, -torch.inf).triu(1)
    expected = (score.softmax(-1) @ value).transpose(1, 2)
    torch.testing.assert_close(seen["mixed"], expected, atol=1e-5, rtol=1e-5)


@families
def test_the_order_of_slots_does_not_matter(family):
    llm = attached(family)
    latent_cache = random_latent_cache(llm, slots=6)
    torch.testing.assert_close(
        logits(llm, latent_cache=select(latent_cache, [3, 0, 5, 1, 4, 2])),
        logits(llm, latent_cache=latent_cache),
        atol=1e-5,
        rtol=1e-5,
    )


@families
def test_a_later_token_does_not_affect_an_earlier_one(family):
    llm = attached(family)
    changed = TEXT.clone()
    changed[0, 4] = 41
    latent_cache = random_latent_cache(llm)
    torch.testing.assert_close(
        logits(llm, changed, latent_cache)[:, :4], logits(llm, latent_cache=latent_cache)[:, :4], atol=1e-6, rtol=1e-6
    )
    assert not torch.allclose(logits(llm, changed, latent_cache)[:, 4:], logits(llm, latent_cache=latent_cache)[:, 4:])


@families
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_does_not_change_what_the_text_sees(family, side):
    llm = attached(family)
    padding = torch.zeros((1, 3), dtype=torch.long)
    ids = torch.cat([padding, TEXT] if side == "left" else [TEXT, padding], dim=1)
    mask = torch.cat([padding, torch.ones_like(TEXT)] if side == "left" else [torch.ones_like(TEXT), padding], dim=1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    for latent_cache in ({}, random_latent_cache(llm)):
        padded = logits(llm, ids, latent_cache, attention_mask=mask, position_ids=positions)
        kept = padded[:, 3:] if side == "left" else padded[:, :6]
        torch.testing.assert_close(kept, logits(llm, latent_cache=latent_cache), atol=2e-5, rtol=1e-4)
        assert padded.isfinite().all()


@families
def test_each_row_of_a_batch_sees_its_own_latents_only(family):
    llm = attached(family)
    latent_cache = random_latent_cache(llm, rows=3, slots=4)
    for latent in latent_cache.values():
        latent.log_gate[1] = -torch.inf  # the second row is unplugged
    rows = logits(llm, TEXT.expand(3, -1), latent_cache)
    for row in range(3):
        own = {
            block: Latent(*(part[row : row + 1] for part in (x.key, x.value, x.log_gate))) for block, x in latent_cache.items()
        }
        torch.testing.assert_close(rows[row : row + 1], logits(llm, latent_cache=own), atol=2e-5, rtol=1e-4)
    assert rows.isfinite().all()


@families
@pytest.mark.parametrize("beams", [1, 3])
def test_generate_with_cache_is_generate_without(family, beams):
    llm = attached(family)
    options = {
        "max_new_tokens": 6,
        "do_sample": False,
        "num_beams": beams,
        "attention_mask": torch.ones((2, 6), dtype=torch.long),
    }
    ids = torch.cat([TEXT, TEXT.flip(1)])
    with plugged(random_latent_cache(llm, rows=2)):
        cached = llm.generate(ids, use_cache=True, **options)
        recomputed = llm.generate(ids, use_cache=False, **options)
    assert torch.equal(cached, recomputed)


@families
def test_the_text_cache_holds_text_only(family):
    llm = attached(family)
    with plugged(random_latent_cache(llm)), torch.no_grad():
        cache = llm(TEXT, use_cache=True).past_key_values
        step = llm(torch.tensor([[8]]), past_key_values=cache, use_cache=True).logits
    assert [cache.get_seq_length(block) for block in range(4)] == [7] * 4
    whole = logits(llm, torch.cat([TEXT, torch.tensor([[8]])], dim=1), random_latent_cache(llm))
    torch.testing.assert_close(step[:, -1], whole[:, -1], atol=1e-5, rtol=1e-4)


@families
def test_the_gradient_of_a_gate_is_the_finite_difference(family):
    llm = attached(family).double()
    latent_cache = {
        block: Latent(x.key.double(), x.value.double(), x.log_gate.double()) for block, x in random_latent_cache(llm).items()
    }

    def loss(gate):
        opened = {block: Latent(x.key, x.value, x.log_gate + gate) for block, x in latent_cache.items()}
        with plugged(opened):
            return llm(TEXT, use_cache=False).logits[0, -1, 7]

    gate = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(gate), gate)
    # RMS norms compute in float32, where a small step would measure rounding; OPT's ReLUs have corners that a large one meets.
    step = 1e-5 if family.startswith("opt") else 1e-2
    with torch.no_grad():
        measured = (loss(gate + step) - loss(gate - step)) / (2 * step)
    assert slope.item() == pytest.approx(measured.item(), rel=5e-3)
    assert abs(slope.item()) > 1e-6


def test_two_threads_have_separate_latent_caches():
    llm = attached("llama")
    latent_caches = [random_latent_cache(llm, seed=seed) for seed in (1, 2)]
    expected = [logits(llm, latent_cache=latent_cache) for latent_cache in latent_caches]
    bare = logits(llm)
    barrier = threading.Barrier(3)
    wrong = []

    def ask(latent_cache, answer):
        barrier.wait()
        for _ in range(30):
            if not torch.equal(logits(llm, latent_cache=latent_cache), answer):
                wrong.append(answer)

    cases = [*zip(latent_caches, expected, strict=True), ({}, bare)]
    threads = [threading.Thread(target=ask, args=case) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_new_thread_starts_with_nothing_plugged():
    llm = attached("llama")
    bare, seen = logits(llm), []
    with plugged(random_latent_cache(llm)):
        thread = threading.Thread(target=lambda: seen.append(llm(TEXT, use_cache=False).logits))
        thread.start()
        thread.join()
    assert torch.equal(seen[0], bare)


def test_attaching_one_model_does_not_change_another():
    attached("llama")
    assert tiny_decoder("llama").config._attn_implementation == "sdpa"


def test_a_latent_cache_that_does_not_fit_the_batch_is_refused():
    llm = attached("llama")
    with pytest.raises(ValueError, match="a latent cache of 2 rows does not fit a batch of 3"):
        logits(llm, TEXT.expand(3, -1), random_latent_cache(llm, rows=2))


@pytest.mark.parametrize(
    "llm",
    [
        lambda: BloomForCausalLM(BloomConfig(vocab_size=50, hidden_size=32, n_layer=2, n_head=4)),
        lambda: GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4)),
    ],
)
def test_a_decoder_without_attention_interface_is_refused_in_one_line(llm):
    with pytest.raises(BadInput) as refusal:
        attach(llm().eval())
    assert "\n" not in str(refusal.value)
    assert "ForCausalLM" in str(refusal.value) or "GPT2LMHeadModel" in str(refusal.value)


def test_a_decoder_that_does_not_dispatch_is_refused_by_name(monkeypatch):
    llm = tiny_decoder("llama")
    monkeypatch.setattr(llm, "set_attn_implementation", lambda name: None)
    with pytest.raises(BadInput, match=r"LlamaForCausalLM \(llama\) does not dispatch its attention: only blocks \[\] of 4"):
        attach(llm)
