# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Larger LLMs and vision encoders of their published shapes, with two blocks and random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scenes
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Dinov2Config,
    Dinov2Model,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from mmllm_ros.datatypes import CameraFrame
from mmllm_ros.encoders import ImuEncoder, LidarEncoder, load_encoder
from mmllm_ros.encoders.pretrained import PretrainedCamera
from mmllm_ros.latent.generation import continue_text
from mmllm_ros.model import Model
from mmllm_ros.rig import load_rig
from mmllm_ros.training.connectors import TokenTable, train_connectors
from mmllm_ros.training.loop import Schedule
from mmllm_ros.training.settings import TrainSettings, read_settings
from mmllm_ros.training.train import connected

RIG = load_rig("front")
QUESTION = "are there any cars ?"
TRUTHS = [scenes.random_scene(np.random.default_rng(seed)) for seed in range(3)]

LLMS = {
    "Qwen/Qwen2.5-0.5B-Instruct": lambda: Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=2, num_attention_heads=14,
            num_key_value_heads=2, max_position_embeddings=32768, tie_word_embeddings=True,
        )
    ),
    "HuggingFaceTB/SmolLM2-360M-Instruct": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=49152, hidden_size=960, intermediate_size=2560, num_hidden_layers=2, num_attention_heads=15,
            num_key_value_heads=5, max_position_embeddings=8192, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
        )
    ),
    "facebook/opt-1.3b": lambda: OPTForCausalLM(
        OPTConfig(
            vocab_size=50272, hidden_size=2048, ffn_dim=8192, num_hidden_layers=2, num_attention_heads=32,
            max_position_embeddings=2048, word_embed_proj_dim=2048,
        )
    ),
}  # fmt: skip
VISION = {
    "google/siglip-base-patch16-224": lambda: SiglipVisionModel(
        SiglipVisionConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=2, num_attention_heads=12)
    ),
    "facebook/dinov2-small": lambda: Dinov2Model(
        Dinov2Config(hidden_size=384, num_hidden_layers=2, num_attention_heads=6, image_size=518, patch_size=14)
    ),
    "WinKawaks/vit-small-patch16-224": lambda: ViTModel(
        ViTConfig(hidden_size=384, intermediate_size=1536, num_hidden_layers=2, num_attention_heads=6)
    ),
}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level pair encoding of these families, without merges."""
    letters = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")


def settings_for(llm: Path) -> TrainSettings:
    paper = read_settings(Path(__file__).parents[2] / "config" / "train" / "mpnp.yaml")
    shape = {**paper.connector, "linked_blocks": 2, "lora": 4}
    return dataclasses.replace(paper, llm=str(llm), connector=shape)


def write_encoders(folder: Path, vision: str) -> None:
    """The encoders of a model folder, with a vision model of published width for the camera."""
    VISION[vision]().save_pretrained(folder / "camera" / "vision")
    ViTImageProcessor().save_pretrained(folder / "camera" / "vision")
    PretrainedCamera(RIG, "vision").save(folder / "camera")
    LidarEncoder(RIG, width=357).save(folder / "lidar")
    ImuEncoder(RIG).save(folder / "imu")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "vision"), list(zip(LLMS, VISION, strict=True)))
def test_a_larger_llm_and_a_pretrained_encoder_train_save_load_and_answer(tmp_path, name, vision):
    torch.manual_seed(0)
    llm = LLMS[name]()
    llm.half().save_pretrained(tmp_path / "llm")
    del llm
    byte_tokenizer().save_pretrained(tmp_path / "llm")
    write_encoders(tmp_path / "model" / "encoders", vision)
    model = connected(settings_for(tmp_path / "llm"), RIG, tmp_path / "model")
    encoders = {modality: load_encoder(tmp_path / "model" / "encoders" / modality, RIG, "cpu") for modality in model.modalities}
    image = np.random.default_rng(0).integers(0, 255, (96, 192, 3), dtype=np.uint8)
    (tokens,) = encoders["camera"].encode([(CameraFrame(0, "front", image), None)])
    tables = {
        modality: TokenTable(torch.randn(3, 4, encoder.token_width).half(), torch.randn(3, 4, 3), torch.zeros(4))
        for modality, encoder in encoders.items()
    }
    parts = (torch.from_numpy(part).expand(3, -1, -1) for part in (tokens.values, tokens.places))
    tables["camera"] = TokenTable(*parts, torch.zeros(len(tokens.values)))
    before = {key: value.clone() for key, value in model.connectors.state_dict().items()}
    train_connectors(model, tables, TRUTHS, scenes.FRONT, Schedule(1, 1e-3, warmup=1), (2, 2), tmp_path / "work", seed=0)
    assert any(not torch.equal(value, before[key]) for key, value in model.connectors.state_dict().items())
    model.save(tmp_path / "model")
    del model
    loaded = Model.load(tmp_path / "model", "cpu")
    latent_cache = loaded.latents([tokens])
    assert sorted(latent_cache) == [0, 1]
    assert 0.0 < loaded.score(QUESTION, latent_cache).confidence < 1.0
    text, _ = continue_text(loaded.llm, loaded.tokenizer, loaded.prompt.question_ids(QUESTION), latent_cache, 3)
    assert isinstance(text, str)


def test_the_configuration_of_the_paper_is_valid():
    paper = read_settings(Path(__file__).parents[2] / "config" / "train" / "mpnp.yaml")
    assert paper.llm == "facebook/opt-1.3b" and paper.connector["linked_blocks"] == 24
    assert set(paper.schedules) == {"lidar", "imu", "connectors"}
