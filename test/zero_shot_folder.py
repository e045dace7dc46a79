# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder with a tiny random OWL-ViT: a zero-shot object detector without a download."""

from __future__ import annotations

import json
from pathlib import Path


def write_owlvit(folder: Path) -> Path:
    """Write the model with its processor into `folder`; its vocabulary is that of single letters."""
    import torch
    from transformers import CLIPTokenizer, OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor, OwlViTProcessor

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=64)
    width = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": len(pieces), "max_position_embeddings": 64, "bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}
    sizes = {"text_config": {**width, **text}, "vision_config": {**width, "image_size": 32, "patch_size": 16}}
    config = OwlViTConfig(**sizes, projection_dim=16)
    torch.manual_seed(4)  # with one seed of ten it finds no box
    OwlViTForObjectDetection(config).eval().save_pretrained(folder)
    images = OwlViTImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    OwlViTProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def write_grounding_dino(folder: Path) -> Path:
    """The same with a tiny random Grounding DINO, whose vocabulary is "a stroller"."""
    import torch
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "a", "stroller"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    width = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    stages = {"depths": [1, 1, 1], "num_heads": [1, 1, 1], "out_features": ["stage1", "stage2", "stage3"]}
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(image_size=32, embed_dim=8, window_size=2, **stages),
        text_config=BertConfig(vocab_size=len(words), max_position_embeddings=64, **width),
        num_queries=9, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
        decoder_attention_heads=2, d_model=32, num_feature_levels=3, max_text_len=16,
    )  # fmt: skip
    torch.manual_seed(4)
    GroundingDinoForObjectDetection(config).eval().save_pretrained(folder)
    images = GroundingDinoImageProcessor(size={"shortest_edge": 32, "longest_edge": 48})
    GroundingDinoProcessor(images, BertTokenizerFast(vocab=str(folder / "vocab.txt"))).save_pretrained(folder)
    return folder
