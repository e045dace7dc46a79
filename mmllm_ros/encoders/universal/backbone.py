# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The backbone: one frozen vision transformer that reads the tokens of every kind of signal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, ViTConfig, ViTModel
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import logging as transformers_logging

from ...datatypes import BadInput, one_line
from ...io.weights import revision_of

SHAPE = {"hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 3, "intermediate_size": 576}
"""The default vision transformer, 2.0 million parameters."""
IMAGE_SIZE, PATCH = (96, 160), 16
HALF = (0.5, 0.5, 0.5)
FOLDER = "backbone"
"""Where a saved encoder has its backbone."""

_LOADED: WeakValueDictionary[tuple[str, str], Backbone] = WeakValueDictionary()
"""Backbones in use, by folder and revision, so that all encoders of a process share one."""


class _TokensOrPixels(nn.Module):
    """The embeddings of a vision transformer, or, given tokens [B, N, W] in place of pixels [B, 3, H, W], just these."""

    def __init__(self, own: nn.Module) -> None:
        super().__init__()
        self.own = own

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.own, name)

    def forward(self, pixels: Tensor, *arguments, **options) -> Tensor:
        return pixels if pixels.ndim == 3 else self.own(pixels, *arguments, **options)


class Backbone(nn.Module):
    """Any Hugging Face vision transformer (ViT, CLIP vision, SigLIP vision, DINOv2), frozen; all its tokens are used.

    backbone = Backbone.load("google/siglip-base-patch16-224")
    features = backbone(tokens)                             # [B, N, W] -> [B, N, W]
    features = backbone(backbone.embed_image(pixels))       # [B, 3, h, w], -1 to 1
    """

    def __init__(self, vision: nn.Module, revision: str = "untrained", mean: Sequence[float] = HALF, std: Sequence[float] = HALF):
        super().__init__()
        self.revision = revision
        self.mean, self.std = list(mean), list(std)
        vision = getattr(vision, "vision_model", vision)
        if getattr(vision, "pooler", None) is not None:
            vision.pooler = None
        vision.embeddings = _TokensOrPixels(vision.embeddings)
        self.vision = vision.eval().requires_grad_(False)
        self.width = vision.config.hidden_size
        size = vision.config.image_size
        self.image_size = (size, size) if isinstance(size, int) else tuple(size)

    @classmethod
    def untrained(cls, **shape) -> Backbone:
        """A small vision transformer with random weights; `shape` changes SHAPE."""
        config = ViTConfig(image_size=list(IMAGE_SIZE), patch_size=PATCH, **{**SHAPE, **shape})
        return cls(ViTModel(config, add_pooling_layer=False))

    @classmethod
    def load(cls, name: str | Path) -> Backbone:
        """A vision transformer by hub name or folder; one that is in use already is not loaded again. Raises BadInput."""
        folder = Path(name)
        try:
            key = (str(folder.resolve()), revision_of(folder)) if folder.is_dir() else (str(name), "")
        except OSError as error:
            raise BadInput(f"vision transformer {name} cannot be loaded: {one_line(error)}") from error
        backbone = _LOADED.get(key)
        if backbone is None:
            backbone = _LOADED[key] = cls._read(name, key[1])
        return backbone

    @classmethod
    def _read(cls, name: str | Path, revision: str) -> Backbone:
        transformers_logging.disable_progress_bar()
        try:
            # A ViT that was saved without its pooler would get a random one, with a warning.
            options = {"add_pooling_layer": False} if AutoConfig.from_pretrained(name).model_type == "vit" else {}
            vision = AutoModel.from_pretrained(name, use_safetensors=True, dtype=torch.float32, **options)
        except Exception as error:
            raise BadInput(f"vision transformer {name} cannot be loaded: {one_line(error)}") from error
        vision = getattr(vision, "vision_model", vision)
        if not hasattr(vision, "embeddings") or not hasattr(vision.config, "image_size"):
            raise BadInput(f"{name} is {type(vision).__name__}, not a vision transformer with patch embeddings")
        try:
            processing, _ = ImageProcessingMixin.get_image_processor_dict(name)
        except OSError:
            processing = {}
        revision = revision or str(getattr(vision.config, "_commit_hash", ""))[:12]
        return cls(vision, revision, processing.get("image_mean", HALF), processing.get("image_std", HALF))

    def save(self, folder: Path) -> None:
        """Write the vision transformer, 16-bit, so that `load` reads it, and set `revision`."""
        state = {key.replace("embeddings.own.", "embeddings."): value.half() for key, value in self.vision.state_dict().items()}
        self.vision.save_pretrained(folder, state_dict=state)
        (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": self.mean, "image_std": self.std}) + "\n")
        self.revision = revision_of(folder)

    def train(self, mode: bool = True) -> Backbone:
        """Always in evaluation mode: a frozen transformer has no dropout."""
        return super().train(False)

    def embed_image(self, pixels: Tensor) -> Tensor:
        """The tokens of images [B, 3, h, w], -1 to 1, of `image_size`, by the transformer's own patch embedding."""
        mean, std = (pixels.new_tensor(part).view(3, 1, 1) for part in (self.mean, self.std))
        return self.vision.embeddings.own((pixels / 2 + 0.5 - mean) / std)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, N, W] -> features [B, N, W] after the last norm. Gradients reach the tokens, not the weights."""
        features = self.vision(tokens).last_hidden_state
        # CLIP norms only its pooled token itself.
        return self.vision.post_layernorm(features) if self.vision.config.model_type == "clip_vision_model" else features
