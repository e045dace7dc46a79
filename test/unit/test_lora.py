# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LoRA of a connector: it acts in rows that attend to its modality, and nowhere else."""

from __future__ import annotations

import pytest
import scenes
import torch
from teacher_forcing import answer_loss, lay_out
from test_connector_training import PAIRS, ROWS, SEEN, VIEWS, token_tables
from test_connector_training import tiny_model as plain_model
from tiny_decoders import FAMILIES, tiny_decoder

from mmllm_ros.latent.attention_adapter import attach, plugged
from mmllm_ros.latent.connector import Connector, merge
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.latent.split_forward import full_pass
from mmllm_ros.model import Model
from mmllm_ros.training import connectors as training
from mmllm_ros.training.batches import Batch
from mmllm_ros.training.lower_cache import LowerCache

TEXT = torch.tensor([[5, 9, 11, 7, 20, 33], [4, 4, 8, 9, 1, 3]])
WIDTHS = {"camera": 6, "imu": 5}


def make(family: str = "llama", **lora: int):
    """An attached decoder with a connector for each modality of `lora`, of that rank, with random LoRA weights."""
    llm = tiny_decoder(family)
    attach(llm)
    torch.manual_seed(0)
    connectors = {name: Connector(name, WIDTHS[name], llm, 2, trunk=16, rank=4, lora=rank) for name, rank in lora.items()}
    for connector in connectors.values():
        for weight in connector.loras.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    return llm, connectors


def tokens(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(WIDTHS[name])
    return torch.randn((2, 4, WIDTHS[name]), generator=generator), torch.randn((2, 4, 3), generator=generator)


def logits(llm, latent_cache) -> torch.Tensor:
    with torch.inference_mode(), plugged(latent_cache):
        return llm(TEXT).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_with_nothing_plugged_the_llm_is_the_bare_one_bit_for_bit(family):
    bare = tiny_decoder(family)
    attach(bare)
    llm, connectors = make(family, camera=3)
    absent = connectors["camera"](*tokens("camera"), valid=torch.zeros(2, 4, dtype=torch.bool))
    assert torch.equal(logits(llm, {}), logits(bare, {}))
    assert torch.equal(logits(llm, absent), logits(bare, {}))
    assert all(torch.equal(one, other) for one, other in zip(llm.parameters(), bare.parameters(), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_it_changes_the_logits_of_rows_that_attend_to_its_modality_only(family):
    llm, connectors = make(family, camera=3)
    valid = torch.tensor([[True] * 4, [False] * 4])
    latent_cache = connectors["camera"](*tokens("camera"), valid=valid)
    without = {block: latent.of_rows(torch.arange(2), latent.log_gate) for block, latent in latent_cache.items()}
    without = {block: type(latent)(latent.key, latent.value, latent.log_gate) for block, latent in without.items()}
    changed = (logits(llm, latent_cache) - logits(llm, without)).abs().amax((1, 2))
    assert changed[0] > 1e-3 and changed[1] == 0


def test_at_initialization_it_changes_nothing():
    llm, connectors = make(camera=3)
    latent_cache = connectors["camera"](*tokens("camera"))
    for lora in connectors["camera"].loras:
        torch.nn.init.zeros_(lora.query[1].weight)
        torch.nn.init.zeros_(lora.output[1].weight)
    plain = {block: type(latent)(latent.key, latent.value, latent.log_gate) for block, latent in latent_cache.items()}
    assert torch.equal(logits(llm, latent_cache), logits(llm, plain))


def test_a_modality_that_is_not_plugged_changes_nothing_of_the_others():
    llm, connectors = make(camera=3, imu=2)
    alone_llm, alone = make(camera=3)
    latent_cache = merge({"camera": connectors["camera"](*tokens("camera"))})
    torch.manual_seed(0)
    alone["camera"].load_state_dict(connectors["camera"].state_dict())
    assert torch.equal(logits(llm, latent_cache), logits(alone_llm, merge({"camera": alone["camera"](*tokens("camera"))})))


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_packed_questions_have_the_loss_of_separate_questions(family):
    llm, connectors = make(family, camera=3, imu=2)
    model, tables = plain_model(llm, 2), token_tables()
    model = model.variant(connectors, dict.fromkeys(connectors, "x"))
    frames = torch.tensor([4, 1, 3])
    batch = Batch(frames, scenes.AROUND, VIEWS, PAIRS, ROWS, SEEN)
    value, _ = training.answers_loss(model, training.batch_latents(model, tables, batch, 2), batch, LowerCache(llm, 2))
    alone = torch.zeros(())
    for index, (pair, row) in enumerate(zip(PAIRS, ROWS, strict=True)):
        frame = frames[row][None]
        latent_cache = merge(
            {
                name: connectors[name](table.values[frame].float(), table.places[frame])
                for name, table in tables.items()
                if SEEN[name][index]
            }
        )
        asked = lay_out([pair], 0)
        alone = alone + answer_loss(full_pass(llm, asked.ids, latent_cache, positions=asked.places), asked.targets)[0]
    torch.testing.assert_close(value, alone / len(PAIRS), rtol=1e-5, atol=1e-6)


def test_it_is_saved_and_loaded_with_its_connector_and_trains_with_it(tmp_path):
    model = plain_model()
    connector = Connector("camera", WIDTHS["camera"], model.llm, 3, trunk=16, rank=4, lora=2)
    model = model.variant({"camera": connector}, {"camera": "x"})
    assert {name for name in training.free_connectors(model) if ".loras." in name} == {
        f"camera.loras.{block}.{part}.{half}.weight" for block in range(3) for part in ("query", "output") for half in (0, 1)
    }
    for weight in connector.loras.parameters():
        torch.nn.init.normal_(weight)
    model.save(tmp_path / "model")
    assert Manifest.read(tmp_path / "model").connectors["camera"]["lora"] == 2
    loaded = Model.load(tmp_path / "model", "cpu").connectors["camera"].loras
    for one, other in zip(connector.loras.parameters(), loaded.parameters(), strict=True):
        torch.testing.assert_close(one.half().float(), other.float())
