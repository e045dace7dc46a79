# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Loads what an offline command needs: the model with its encoders, for one rig."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..rig import Rig

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..model import Model


def load_model(name: str, rig: Rig, device: str) -> tuple[Model, dict[str, Encoder]]:
    """The model and its encoders by modality; an encoder that the rig names replaces one. Raises BadInput."""
    from ..encoders import load_encoder
    from ..encoders.of_rig import rig_encoders
    from ..model import Model
    from ..resources import model_folder

    folder = model_folder(name)
    model = Model.load(folder, device)
    encoders = {modality: load_encoder(folder / "encoders" / modality, rig, device) for modality in model.modalities}
    if others := {name: load_encoder(place, rig, device) for name, place in rig_encoders(rig).items()}:
        from ..training.untrained_modalities import with_detections

        encoders |= others
        model = with_detections(model, {name: encoder.revision for name, encoder in others.items()})
    return model, encoders
