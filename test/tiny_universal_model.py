# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model folder with a small universal encoder and random weights, made from the tiny model in a second or two."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from mmllm_ros.encoders.universal.encoder import UniversalEncoder
from mmllm_ros.latent.connector import Connector
from mmllm_ros.model import Model
from mmllm_ros.rig import load_rig

SMALL = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 24}


def make_tiny_universal_model(folder: Path, tiny_model: Path, modalities: Iterable[str]) -> Path:
    """Write the model into `folder`, with a connector for each of `modalities` beside those of the tiny model, and return it."""
    torch.manual_seed(0)
    shape = {"tokens": 4, "experts": 1, "blocks": 1}
    encoder = UniversalEncoder(load_rig("front"), projection=shape, backbone_shape=SMALL)
    encoder.save(folder / "encoders" / "universal")
    tiny = Model.load(tiny_model, "cpu")
    connectors = {
        name: Connector(name, encoder.token_width, tiny.llm, linked_blocks=3, trunk=64, rank=8) for name in sorted(modalities)
    }
    tiny.variant(connectors, dict.fromkeys(connectors, encoder.revision)).save(folder)
    return folder
