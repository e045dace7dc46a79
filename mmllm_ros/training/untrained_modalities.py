# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Modalities that the modality-agnostic connector reads as it is: detections of a camera or of another perception stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from ..datatypes import BadInput
from ..encoders.objects import REVISION, TOKEN_WIDTH
from ..encoders.of_rig import rig_encoders
from ..io.weights import revision_of
from ..model import Model
from ..rig import Rig
from .warm_start import can_warm_start, warm_started


def with_detections(model: Model, revisions: Mapping[str, str]) -> Model:
    """`model` with a connector for detections in place of, or beside, its own: `revisions` names the encoder of each such
    modality.

    It starts from the modality-agnostic connector. A model without one has that of the lidar, which reads predicted attributes
    and places too, though less well. The revision is that of `model` and the names of these modalities. Raises BadInput where the
    model has neither.
    """
    source = model.modality_agnostic
    if source is None and "lidar" in model.connectors:
        source = model.connectors["lidar"]
    if not can_warm_start(source, TOKEN_WIDTH):
        raise BadInput(f"model {model.name} has no connector that reads detections: name drive_tiny")
    connectors = {name: warm_started(model, source, name, TOKEN_WIDTH).eval() for name in revisions}
    other = model.variant(connectors, revisions)
    other.revision = "+".join([model.revision, *revisions])
    return other


def of_rig(model: Model, rig: Rig) -> Model:
    """`model` with connectors for what the encoders that a rig names and its perception stack give, else `model` itself.

    Raises BadInput as `with_detections` does, and where such an encoder is not there.
    """
    revisions = {modality: revision_of(folder) for modality, folder in rig_encoders(rig).items()}
    if rig.objects and "objects" not in model.modalities:
        revisions["objects"] = REVISION
    return with_detections(model, revisions) if revisions else model


def restricted(model: Model, modalities: Sequence[str]) -> Model:
    """`model` without the connectors of other modalities than these."""
    other = model.variant({}, {})
    other.connectors = nn.ModuleDict({name: other.connectors[name] for name in modalities if name in other.connectors})
    return other
