# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Readings that are unlike training: measured on simulated scenes, and what ships with the models."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmllm_ros.datasets.examples import encode_pairs
from mmllm_ros.datasets.simulated import asked_drive
from mmllm_ros.datatypes import BadInput
from mmllm_ros.encoders import load_encoder
from mmllm_ros.encoders.familiarity import FOLDER, Familiarity, is_unlike, load_familiarity
from mmllm_ros.resources import EMBEDDED, PRETRAINED, shared_folder
from mmllm_ros.rig import load_rig
from mmllm_ros.training import familiarity

MODELS = shared_folder() / "models"


def test_the_shipped_models_know_simulated_sweeps_and_not_those_of_a_lidar_that_is_lower_than_stated():
    known = load_familiarity(MODELS / EMBEDDED)
    rig = load_rig("front")
    before, now, _ = asked_drive(rig, "test", 1_000_000_123, each=1)
    encoder = load_encoder(MODELS / EMBEDDED / "encoders" / "lidar", rig, "cpu")
    assert known.keys() == load_familiarity(MODELS / PRETRAINED).keys() == {encoder.revision}
    (usual,) = encode_pairs({"lidar": encoder}, [now.lidar], [before.lidar])
    low = [dataclasses.replace(sweep, points=sweep.points + np.float32([0, 0, 0.5, 0])) for sweep in (now.lidar, before.lidar)]
    (strange,) = encode_pairs({"lidar": encoder}, low[:1], low[1:])
    assert not is_unlike(usual, known) and is_unlike(strange, known)
    assert not is_unlike(dataclasses.replace(strange, encoder="another"), known)


def test_a_few_scenes_are_measured_and_written_for_the_encoder(tmp_path, monkeypatch):
    monkeypatch.delitem(familiarity.FIRST, "nuscenes")
    (tmp_path / "encoders").mkdir()
    (tmp_path / "encoders" / "lidar").symlink_to(MODELS / EMBEDDED / "encoders" / "lidar")
    familiarity.main(["--model", str(tmp_path), "--scenes", "2", "--held-out", "1"])
    (found,) = load_familiarity(tmp_path).values()
    assert found.whitening.shape == (182, 182) and found.border > 0  # mean and spread of 91 numbers


def test_a_damaged_file_is_refused_by_name(tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "abc.safetensors").write_bytes(b"none")
    with pytest.raises(BadInput, match=r"abc\.safetensors cannot be used"):
        load_familiarity(tmp_path)
    Familiarity(np.zeros(3), np.eye(2), 1.0).save(tmp_path / FOLDER / "abc.safetensors")
    with pytest.raises(BadInput, match="holds shapes"):
        load_familiarity(tmp_path)
