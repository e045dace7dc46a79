# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled samples for a tiny model whose label is in the lidar tokens only."""

from __future__ import annotations

import numpy as np

from mmllm_ros.adaptation.samples import LabelledSample
from mmllm_ros.datatypes import Tokens
from mmllm_ros.model import Model

ASKED = ("are there any cars ?", "what color is the light ?", "how many trucks are there ?")


def tokens(model: Model, modality: str, seed: int = 0, count: int = 4, source: str = "") -> Tokens:
    rng = np.random.default_rng([seed, len(modality)])
    width = model.connectors[modality].shape["token_width"]
    values, places = rng.normal(size=(count, width)), rng.normal(size=(count, 3))
    revision = model.encoder_revisions[modality]
    return Tokens(modality, source or modality, 1, values.astype(np.float32), places.astype(np.float32), revision)


def labelled_samples(model: Model, count: int = 40, modalities=("camera", "lidar")) -> list[LabelledSample]:
    """Samples whose label (yes or no) is the sign of every lidar token."""
    made = []
    for index in range(count):
        seen = [tokens(model, modality, index) for modality in modalities]
        for item in seen:
            if item.modality == "lidar":
                item.values[:] = 3.0 * (-1) ** index * np.sign(np.arange(item.values.shape[1]) % 2 - 0.5)
        made.append(LabelledSample(ASKED[0], "yes" if index % 2 else "no", tuple(seen), f"scene {index // 2}"))
    return made
