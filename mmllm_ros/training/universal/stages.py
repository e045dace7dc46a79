# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stages of alignment (OneLLM, arXiv 2312.03700, section 3.2): images first, then more kinds of signals, with replay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ...encoders import load_encoder
from ...encoders.universal.backbone import Backbone
from ...encoders.universal.encoder import LAYOUTS, UniversalEncoder
from ...encoders.universal.tokenizers import Patches
from ...rig import load_rig
from ..loop import fit
from .alignment import Alignment, Batches, Labels
from .moments import Moments, read_moments
from .settings import AlignmentStage, UniversalSettings

ENCODER = "universal"
"""The folder, in encoders/ of the model folder, that the folders of all modalities link to."""
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
    """The backbone, trained on what a camera gives and then frozen, and the encoder of one expert that was trained with it.

    A backbone that the settings name is used as it is, with None. Raises BadInput.
    """
    if settings.backbone:
        return Backbone.load(settings.backbone), None
    folder, modalities = work / "pretrained", list(settings.pretraining.shares)
    if not (folder / "config.json").is_file():
        torch.manual_seed(settings.seed)
        encoder = new_encoder({**settings.projection, "experts": 1}, modalities=modalities)
        for modality in modalities[1:]:
            start_from_image(encoder, modality)
        encoder.backbone.requires_grad_(True)
        train_stage("pretraining", Alignment(encoder, sizes(labels)), settings.pretraining, moments, labels, work, settings.seed)
        encoder.backbone.requires_grad_(False)
        encoder.save(folder)
    encoder = new_encoder({**settings.projection, "experts": 1}, modalities=modalities)
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
        # A clip has the tokens of its last image, which its questions are about.
        own.zero_()
        own[:, :, -1] = weight
        tokenizer.convolution.bias.copy_(patches.bias)
    if tokenizer.position.shape == embeddings.position_embeddings[0, 1:].shape:
        tokenizer.position.copy_(embeddings.position_embeddings[0, 1:])


@torch.no_grad()
def start_projection(encoder: UniversalEncoder, pretrained: UniversalEncoder) -> None:
    """Initialize the projection and tokenizers of `encoder` with those of `pretrained`, an encoder of one expert."""
    encoder.projection.copy_experts(pretrained.projection)
    for modality in pretrained.modalities:
        encoder.projection.modalities[modality].load_state_dict(pretrained.projection.modalities[modality].state_dict())
        if modality in pretrained.tokenizers:
            encoder.tokenizers[modality].load_state_dict(pretrained.tokenizers[modality].state_dict())
    encoder.range.load_state_dict(pretrained.range.state_dict())


def align(settings: UniversalSettings, moments: Moments, labels: Labels, work: Path) -> Alignment:
    """Run all stages of alignment on the frozen, pretrained backbone.

    With `settings.start` its encoder goes on. Raises BadInput.
    """
    if settings.start:
        encoder = load_encoder(Path(settings.start) / "encoders" / ENCODER, load_rig(RIG), "cpu")
        encoder.requires_grad_(True).backbone.requires_grad_(False)
        alignment = Alignment(encoder, sizes(labels))
        for name, stage in settings.alignment.items():
            train_stage(f"alignment_{name}", alignment, stage, moments, labels, work, settings.seed)
        return alignment
    backbone, pretrained = pretrain(settings, moments, labels, work)
    torch.manual_seed(settings.seed)
    encoder = new_encoder(settings.projection, backbone)
    encoder.requires_grad_(True).backbone.requires_grad_(False)
    if pretrained is not None:
        start_projection(encoder, pretrained)
    alignment = Alignment(encoder, sizes(labels))
    known = set(pretrained.modalities) if pretrained is not None else {"image"}
    for name, stage in settings.alignment.items():
        for modality in stage.shares:
            if modality not in known and pretrained is not None:
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
