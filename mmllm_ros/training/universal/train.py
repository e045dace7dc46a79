# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The whole training of the universal encoder: moments, backbone, alignment, questions, model folder."""

from __future__ import annotations

import os
from pathlib import Path

from ...encoders import load_encoder
from ...encoders.universal.encoder import LAYOUTS, UniversalEncoder
from ...model import Model
from ...rig import load_rig
from .alignment import Labels
from .moments import Moments, render_all
from .questions import new_model, train_questions
from .settings import UniversalSettings
from .stages import RIG, align, load_all

ENCODER = "universal"
"""The folder, in encoders/ of the model folder, that the folders of all modalities link to."""


def train(settings: UniversalSettings, work: Path, out: Path) -> Model:
    """Train and write the model folder `out`; what `work` has already is not computed again. Raises BadInput.

    Trains on the CPU: the models are small.
    """
    paths = render_all(work / "moments", "train", 0, settings.scenes["train"], LAYOUTS)
    moments = load_all(paths)
    labels = Labels.of(moments.answers)
    encoder = trained_encoder(settings, moments, labels, work)
    answers = sorted({name for names in labels.names for name in names})
    model = new_model(encoder, settings.questions, answers, out.name, settings.seed)
    train_questions(model, encoder, moments, labels, settings.questions, work, settings.seed)
    encoder.save(out / "encoders" / ENCODER)
    for modality in encoder.modalities:
        link = out / "encoders" / modality
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(out / "encoders" / ENCODER, link.parent), target_is_directory=True)
    model.save(out)
    return model


def trained_encoder(settings: UniversalSettings, moments: Moments, labels: Labels, work: Path) -> UniversalEncoder:
    """The aligned encoder with the weights that are shipped: 16-bit ones, as the connectors will get their tokens."""
    folder = work / "encoder"
    if not (folder / "config.json").is_file():
        align(settings, moments, labels, work).encoder.eval().save(folder)
    encoder = load_encoder(folder, load_rig(RIG), "cpu")
    return encoder.requires_grad_(False)
