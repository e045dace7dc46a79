# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stages of alignment (OneLLM, arXiv 2312.03700, section 3.2): images first, then more kinds of signals, with replay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ...encoders.universal.backbone import Backbone
from ...encoders.universal.encoder import LAYOUTS, UniversalEncoder
from ...encoders.universal.tokenizers import Patches
from ...rig import load_rig
from ..loop import fit
from .alignment import Alignment, Batches, Labels
from .moments import Moments, read_moments
from .settings import AlignmentStage, UniversalSettings

RIG = "front"
"""An encoder takes a rig; the universal one does not use it."""


def new_encoder(
    projection: dict, backbone: Backbone | None = None, modalities: Sequence[str] = tuple(LAYOUTS)
) -> UniversalEncoder:
    """An untrained universal encoder, with random tokenizers and projection."""
    encoder = UniversalEncoder(load_rig(RIG), {name: LAYOUTS[name].to_settings() for name in modalities}, projection)
    if backbone is not None:
        encoder.use(backbone)
    return encoder


def pretrain(
    settings: UniversalSettings, moments: Moments, labels: Labels, work: Path
) -> tuple[Backbone, UniversalEncoder | None]:
    """The backbone, trained on images and then frozen, and the encoder of one expert that was trained with it.

    A backbone that the settings name is used as it is, with None. Raises BadInput.
    """
    if settings.backbone:
        return Backbone.load(settings.backbone), None
    folder = work / "pretrained"
    if not (folder / "config.json").is_file():
        torch.manual_seed(settings.seed)
        encoder = new_encoder({**settings.projection, "experts": 1}, modalities=["image"])
        encoder.backbone.requires_grad_(True)
        train_stage("pretraining", Alignment(encoder, sizes(labels)), settings.pretraining, moments, labels, work, settings.seed)
        encoder.backbone.requires_grad_(False)
        encoder.save(folder)
    encoder = new_encoder({**settings.projection, "experts": 1}, modalities=["image"])
    encoder.load(folder)
    return encoder.backbone, encoder


def train_stage(
    name: str, alignment: Alignment, stage: AlignmentStage, moments: Moments, labels: Labels, work: Path, seed: int
) -> None:
    """Train what requires a gradient in `alignment`, in place; its checkpoint and curves are called `name`."""
    batches = Batches(alignment, moments, labels, stage.shares, stage.batch, stage.modalities)
    fit(name, alignment, batches, stage.schedule, work, seed)


@torch.no_grad()
def start_from_image(encoder: UniversalEncoder, modality: str) -> None:
    """Initialize what `modality` has of its own with what images have, as far as the shapes agree."""
    encoder.projection.modalities[modality].load_state_dict(encoder.projection.modalities["image"].state_dict())
    tokenizer = encoder.tokenizers[modality]
    embeddings = encoder.backbone.vision.embeddings.own
    patches = getattr(getattr(embeddings, "patch_embeddings", None), "projection", None)
    if not isinstance(tokenizer, Patches) or patches is None:
        return
    weight, own = patches.weight, tokenizer.convolution.weight
    if own.ndim == 5 and own[:, :, 0].shape == weight.shape:
        # A clip of one still image has the tokens of that image.
        own.copy_((weight / own.shape[2])[:, :, None].expand_as(own))
        tokenizer.convolution.bias.copy_(patches.bias)
    if tokenizer.position.shape == embeddings.position_embeddings[0, 1:].shape:
        tokenizer.position.copy_(embeddings.position_embeddings[0, 1:])


def align(settings: UniversalSettings, moments: Moments, labels: Labels, work: Path, image_init: bool = True) -> Alignment:
    """Run all stages of alignment on the frozen, pretrained backbone. Without `image_init` the projection starts at random."""
    backbone, image = pretrain(settings, moments, labels, work)
    torch.manual_seed(settings.seed)
    encoder = new_encoder(settings.projection, backbone)
    encoder.requires_grad_(True).backbone.requires_grad_(False)
    image_init = image_init and image is not None
    if image_init:
        encoder.projection.copy_experts(image.projection)
        encoder.projection.modalities["image"].load_state_dict(image.projection.modalities["image"].state_dict())
        encoder.range.load_state_dict(image.range.state_dict())
    alignment = Alignment(encoder, sizes(labels))
    known = {"image"}
    for name, stage in settings.alignment.items():
        for modality in stage.shares:
            if modality not in known and image_init:
                start_from_image(encoder, modality)
        known |= set(stage.shares)
        train_stage(f"alignment_{name}", alignment, stage, moments, labels, work, settings.seed)
    return alignment


def sizes(labels: Labels) -> list[int]:
    """How many answers each kind of question has, at least one."""
    return [max(1, len(names)) for names in labels.names]


def load_all(paths: Sequence[Path]) -> Moments:
    """The moments of `paths` with all modalities."""
    return read_moments(paths, tuple(LAYOUTS))
