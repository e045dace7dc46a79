# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The whole training of the universal encoder: moments, backbone, alignment, questions, temperature, model folder."""

from __future__ import annotations

import os
from pathlib import Path

from ...encoders import load_encoder
from ...encoders.universal.encoder import LAYOUTS, UniversalEncoder
from ...latent.manifest import Manifest
from ...model import Model
from ...rig import load_rig
from .alignment import Labels
from .calibration import calibrate, spread_over_scenes
from .moments import Moments, render_all
from .questions import new_model, questions_about, tokens_of, train_questions
from .settings import UniversalSettings
from .stages import ENCODER, RIG, align, load_all

CALIBRATION_QUESTIONS = 200
"""Questions that the temperature is fitted on."""


def train(settings: UniversalSettings, work: Path, out: Path) -> Model:
    """Train and write the model folder `out`; what `work` has already is not computed again. Raises BadInput.

    Trains on the CPU: the models are small.
    """
    paths = render_all(work / "moments", "train", *settings.scenes["train"], LAYOUTS)
    moments = load_all(paths)
    labels = Labels.of(moments.answers)
    encoder = trained_encoder(settings, moments, labels, work)
    answers = {name for names in labels.names for name in names}
    if settings.start:
        answers |= set(Manifest.read(Path(settings.start)).answers)
    model = new_model(encoder, settings.questions, sorted(answers), out.name, settings.seed)
    if settings.start:
        go_on(model, Path(settings.start))
    train_questions(model, encoder, moments, labels, settings.questions, work, settings.seed)
    held = load_all(render_all(work / "moments", "val", *settings.scenes["val"], LAYOUTS))
    asked = questions_about(held, Labels.of(held.answers, labels.names), "known", settings.seed)
    calibrate(model, tokens_of(encoder, held, flip=False), spread_over_scenes(asked, CALIBRATION_QUESTIONS, settings.seed))
    encoder.save(out / "encoders" / ENCODER)
    for modality in encoder.modalities:
        link = out / "encoders" / modality
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(out / "encoders" / ENCODER, link.parent), target_is_directory=True)
    model.save(out)
    return model


def go_on(model: Model, start: Path) -> None:
    """Give `model` the connectors and the LoRA of the model folder `start`. Raises BadInput."""
    earlier = Model.load(start, "cpu")
    model.connectors.load_state_dict(earlier.connectors.state_dict())
    model.lora.load_state_dict(earlier.lora.state_dict())


def trained_encoder(settings: UniversalSettings, moments: Moments, labels: Labels, work: Path) -> UniversalEncoder:
    """The aligned encoder with the weights that are shipped: 16-bit ones, as the connectors will get their tokens."""
    folder = work / "encoder"
    if not (folder / "config.json").is_file():
        align(settings, moments, labels, work).encoder.eval().save(folder)
    encoder = load_encoder(folder, load_rig(RIG), "cpu")
    return encoder.requires_grad_(False)
