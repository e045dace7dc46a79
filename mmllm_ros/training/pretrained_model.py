# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model folder of connectors and a LoRA into a base LLM: what pretrained.py trains, and what `Model.load` loads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..encoders import load_encoder
from ..latent.base_models import resolve_base
from ..latent.checkpoint import load_llm
from ..latent.connector import Connector
from ..latent.manifest import Manifest
from ..latent.shared_lora import SharedLora
from ..model import Model
from ..rig import Rig
from ..simulator.questions.question_maker import EVERYDAY_ANSWERS

BASE = "smollm2-135m-instruct"
PROMPT = "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
ATTEND_LAST = 3
"""The last tokens of the prompt, which attend to sensors: "assistant" and the line break."""
LINKED_BLOCKS = 8
CONNECTOR = {"linked_blocks": LINKED_BLOCKS, "trunk": 256, "rank": 48}
LORA = {"linked_blocks": LINKED_BLOCKS, "rank": 32, "output_rank": 16}
ENCODERS = ("camera", "lidar", "imu")
WARM_STARTED = ("normalise", "trunk", "token_gate")
"""Parts of a connector that know tokens and nothing of the LLM."""


def untrained(
    name: str,
    encoders: Path,
    rig: Rig,
    seed: int = 0,
    base: str = BASE,
    prompt: str = PROMPT,
    attend_last: int = ATTEND_LAST,
) -> Model:
    """The LLM `base`, a base model or a hub name, with fresh connectors for the encoders in folder `encoders` and a fresh LoRA.

    The last `attend_last` tokens of `prompt`, and the answer, attend to sensors. Raises BadInput.
    """
    llm, tokenizer, revision = load_llm(resolve_base(base), torch.device("cpu"), download=True)
    loaded = {modality: load_encoder(encoders / modality, rig, "cpu") for modality in ENCODERS}
    manifest = Manifest(
        name=name,
        llm=base,
        llm_revision=revision,
        encoder_revisions={modality: encoder.revision for modality, encoder in loaded.items()},
        answers=list(EVERYDAY_ANSWERS),
        prompt=prompt,
        answer_prefix="",
        attend_last=attend_last,
    )
    torch.manual_seed(seed)
    connectors = {
        modality: Connector(modality, encoder.token_width, llm, predicted_attributes=encoder.predicted_attributes, **CONNECTOR)
        for modality, encoder in loaded.items()
    }
    lora = SharedLora(llm, **LORA)
    lora.attach_to(llm)
    return Model(llm, tokenizer, manifest, connectors, lora)


@torch.no_grad()
def warm_start(model: Model, source: Path) -> None:
    """Take over what the connectors of model folder `source`, made for another LLM, know of the same encoders' tokens."""
    known = load_file(source / "connectors.safetensors")
    for name, value in model.connectors.named_parameters():
        if name.split(".")[1] in WARM_STARTED:
            value.copy_(known[name].float())
        if name.endswith("log_gate"):
            # Token gates are trained already: a block's own gate need not make up for them.
            value.zero_()


@torch.no_grad()
def fill(model: Model, weights: Mapping[str, Tensor]) -> None:
    """Take over trained weights, named as in pretrained.Trained."""
    parts = {"connectors": model.connectors, "lora": model.lora}
    for name, value in weights.items():
        part, rest = name.split(".", 1)
        parts[part].get_parameter(rest).copy_(value)


def save(model: Model, folder: Path, encoders: Path) -> None:
    """Write the model folder, with links to the encoders in folder `encoders`."""
    for modality in model.modalities:
        link = folder / "encoders" / modality
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(encoders / modality, link.parent), target_is_directory=True)
    model.save(folder)
