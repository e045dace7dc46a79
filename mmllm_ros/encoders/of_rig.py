# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The encoders that a rig names in place of a model's own: an object detector for its cameras, clusters for its lidar."""

from __future__ import annotations

from pathlib import Path

from ..resources import shared_folder
from ..rig import CLUSTERS, Rig
from .nanodet import detector_folder


def clusters_folder() -> Path:
    """The shipped lidar encoder of kind clusters (lidar_clusters.py)."""
    return shared_folder() / "models" / "lidar_clusters"


def rig_encoders(rig: Rig) -> dict[str, Path]:
    """The folder of the encoder of each modality for which the rig names one. Raises BadInput where it is not there."""
    folders = {}
    if rig.detector and rig.cameras:
        folders["camera"] = detector_folder(rig.detector)
    if rig.lidar and rig.lidar.encoder == CLUSTERS:
        folders["lidar"] = clusters_folder()
    return folders
