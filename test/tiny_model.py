# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A complete model folder with random weights, created in a second or two, which tests load instead of drive_tiny."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from mmllm_ros.encoders import CameraEncoder, ImuEncoder, LidarEncoder
from mmllm_ros.encoders.proposals import ATTRIBUTES
from mmllm_ros.latent.attention_adapter import attach
from mmllm_ros.latent.connector import Connector
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.model import Model
from mmllm_ros.resources import MODALITY_AGNOSTIC
from mmllm_ros.rig import load_rig
from mmllm_ros.training.warm_start import warm_started

NUMBERS = [str(i) for i in range(11)]
ANSWERS = [*NUMBERS, "yes", "no", "car", "truck", "bus", "traffic cone", "traffic light", "moving", "not moving", "red", "green"]
PHRASES = (
    "question answer : ? . , ; the a an is are there any i am me what how many number of color light do does it to in on and",
    "both another other that which has have status same as visible front back left right far near nearest ahead behind see car",
    "cars truck trucks bus buses pedestrian pedestrians bicycle bicycles traffic cone cones barrier barriers thing things",
    "lights moving stopped parked standing turning braking not with without rider red green yellow yes no",
)
CONNECTORS = 1
"""Seed of the connectors, next to that of the LLM."""


def tiny_tokenizer(more: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """Words of the question language and of the texts `more`, lower case; everything else is unknown."""
    words = [*" ".join([*PHRASES, *NUMBERS]).split(), *re.findall(r"\w+|[^\w\s]+", " ".join(more).lower())]
    vocabulary = ["<pad>", "<unk>", "</s>", *dict.fromkeys(words)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=["input_ids", "attention_mask"], **special)


def tiny_llm(vocabulary: int, seed: int = 0) -> LlamaForCausalLM:
    """Four blocks of width 64, four heads on two kv heads, with the attention adapter."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048, initializer_range=0.2,
        pad_token_id=0, bos_token_id=None, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    llm = LlamaForCausalLM(config).eval().requires_grad_(False)
    attach(llm)
    return llm


def make_tiny_model(folder: Path, seed: int = 0, rig: str = "front") -> Path:
    """Write config.json, llm/, connectors.safetensors, modality_agnostic/ and encoders/ into `folder` and return it."""
    tokenizer = tiny_tokenizer()
    llm = tiny_llm(len(tokenizer), seed)
    shape = {"width": 32, "depth": 1, "heads": 2}
    mounts = load_rig(rig)
    encoders = [
        CameraEncoder(mounts, objects=4, **shape),
        LidarEncoder(mounts, objects=4, sectors=4, width=16),
        ImuEncoder(mounts, **shape),
    ]
    connectors, revisions = {}, {}
    # A seed of its own: the connectors do not depend on the shape of the encoders.
    torch.manual_seed(seed + CONNECTORS)
    for encoder in encoders:
        encoder.save(folder / "encoders" / encoder.modality)
        shape = {"linked_blocks": 3, "trunk": 64, "rank": 8, "predicted_attributes": encoder.predicted_attributes}
        connectors[encoder.modality] = Connector(encoder.modality, encoder.token_width, llm, **shape)
        revisions[encoder.modality] = encoder.revision
    manifest = Manifest(name="tiny", answers=ANSWERS, encoder_revisions=revisions)
    model = Model(llm, tokenizer, manifest, connectors)
    model.modality_agnostic = warm_started(model, connectors["camera"], MODALITY_AGNOSTIC, ATTRIBUTES + 1)
    model.save(folder)
    return folder
