# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training of the universal encoder: targets, mirrored moments, stages."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import make_tiny_model
from torch import nn

from mmllm_ros.datatypes import BadInput, Signal
from mmllm_ros.encoders.universal.encoder import LAYOUTS
from mmllm_ros.model import Model
from mmllm_ros.resources import shared_folder
from mmllm_ros.simulator.signal_moment import AHEAD, SIGNALS, SignalMoment, render_moment
from mmllm_ros.simulator.truth import CATEGORIES
from mmllm_ros.training.connectors import TokenTable
from mmllm_ros.training.loop import Schedule
from mmllm_ros.training.pretrained import Trained
from mmllm_ros.training.universal import questions
from mmllm_ros.training.universal.alignment import UNKNOWN, Alignment, Batches, Labels, templates_of
from mmllm_ros.training.universal.calibration import spread_over_scenes
from mmllm_ros.training.universal.mirror import mirrored, mirrored_answers, mirrored_targets, other_side
from mmllm_ros.training.universal.moments import read_moments, render_all
from mmllm_ros.training.universal.questions import Asked, answering_tokens, draw_connected, select_learners
from mmllm_ros.training.universal.settings import AlignmentStage, is_universal, read_settings
from mmllm_ros.training.universal.stages import new_encoder, sizes, start_from_image, train_stage
from mmllm_ros.training.universal.targets import PATCHES, SOUNDS, TEMPLATES, answers_of, sector_targets

CONFIGURATION = shared_folder() / "config" / "train" / "universal.yaml"


@pytest.fixture(scope="module")
def moment() -> SignalMoment:
    return render_moment("train", 1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return render_all(tmp_path_factory.mktemp("moments"), "train", 0, 3, LAYOUTS, progress=lambda _: None)


def test_every_kind_of_signal_answers_some_kind_of_question() -> None:
    assert set(LAYOUTS) == set(SIGNALS)
    assert all(templates_of(modality) for modality in LAYOUTS)


def test_the_simulator_delivers_what_the_encoder_reads(moment: SignalMoment) -> None:
    for modality, layout in LAYOUTS.items():
        assert layout.to_tensor(Signal(modality, 0, "front", moment.signals[modality])).isfinite().all()


def test_sectors_show_what_the_truth_says(moment: SignalMoment) -> None:
    targets = sector_targets(moment)
    assert all(len(value) == 16 for name, value in targets.items() if name != "motion" and name not in PATCHES)
    nearest = min(value for value in targets["ahead_range"] if value > 0)
    # The nearest upright pixel is not behind the nearest thing of both halves of the view.
    assert nearest >= 0.9 * min(moment.truth.depth_left, moment.truth.depth_right)
    heard = {SOUNDS[kind] for kind in targets["around_sound"].any(0).nonzero()[0]}
    assert heard == {source.kind for _, source in moment.truth.heard()}


def test_mirroring_twice_gives_the_moment_back(moment: SignalMoment) -> None:
    for modality, layout in LAYOUTS.items():
        tensors = layout.to_tensor(Signal(modality, 0, "front", moment.signals[modality]))[None]
        turned = mirrored(layout.kind, tensors)
        assert torch.allclose(mirrored(layout.kind, turned), tensors)
        assert layout.kind in ("imu", "array") or not torch.allclose(turned, tensors)


def test_patches_show_the_objects_that_the_camera_sees() -> None:
    moment = render_moment("train", 2)
    targets = sector_targets(moment)
    seen = {item.category for item in moment.truth.scene.objects if (moment.owner == item.identifier).sum() > 0}
    shown = {CATEGORIES[number - 1] for number in targets["patch_object"].flatten() if number}
    assert shown and shown <= seen and targets["patch_range"].shape == (6, 10)
    turned = mirrored_targets({name: torch.from_numpy(np.asarray(value))[None] for name, value in targets.items()})
    assert (turned["patch_object"][0, :, 0].numpy() == targets["patch_object"][:, -1]).all()


def test_a_question_has_all_or_only_its_own_modality_connected_as_often_as_the_settings_say() -> None:
    stage = replace(read_settings(CONFIGURATION).questions, alone=0.25, everything=0.5)
    own, names = ["audio"] * 2000, list(LAYOUTS)
    connected = draw_connected(own, names, stage, np.random.default_rng(0))
    count = torch.stack([connected[name] for name in names]).sum(0)
    assert connected["audio"].all()
    # Besides a quarter and a half, a random set is one or all sometimes: with a uniform chance per modality, one time in eight.
    assert (count == 1).float().mean() == pytest.approx(0.25 + 0.25 / 8, abs=0.03)
    assert (count == len(names)).float().mean() == pytest.approx(0.5 + 0.25 / 8, abs=0.04)


def test_heads_are_supervised_to_attend_to_what_answers_only_beside_something_that_does_not() -> None:
    siren = TEMPLATES.index("siren")
    asked = [Asked(0, siren, "", "yes")] * 2
    connected = {"array": torch.tensor([True, False]), "audio": torch.tensor([True, True])}
    wanted = answering_tokens(asked, connected, {"audio": 3, "array": 2})
    assert wanted[0, 0].tolist() == [0, 0, 1, 1, 1] and not wanted[1].any()


def test_questions_for_calibration_come_from_as_many_scenes_as_there_are() -> None:
    asked = [Asked(row, 0, f"{row} {number}", "yes") for row in range(3) for number in range(4)]
    chosen = spread_over_scenes(asked, 7, 0)
    assert len(set(chosen)) == 7 and all(2 <= sum(one.row == row for one in chosen) <= 3 for row in range(3))


def test_left_and_right_change_places_in_answers() -> None:
    assert other_side("back left") == "back right" and other_side("upright surfaces") == "upright surfaces"
    answers = [f"{name} left" for name in TEMPLATES]
    turned = dict(zip(TEMPLATES, mirrored_answers(answers), strict=True))
    assert turned["left_near"] == "left_near right" and turned["siren_side"] == "siren_side right"
    assert mirrored_answers(list(turned.values())) == answers


def test_answers_of_a_kind_of_question_count_alike() -> None:
    rows = [[None] * len(TEMPLATES) for _ in range(4)]
    for row, answer in zip(rows, ("no", "no", "no", "yes"), strict=True):
        row[0] = answer
    labels = Labels.of(rows)
    assert labels.names[0] == ["no", "yes"] and labels.plain[:, 0].tolist() == [0, 0, 0, 1]
    # Four answers of two kinds: 4 / (2 * 3) and 4 / (2 * 1).
    assert labels.weights[0].tolist()[:2] == pytest.approx([2 / 3, 2.0])
    assert (labels.plain[:, 1:] == UNKNOWN).all()


def test_a_stage_trains_tokenizers_and_projection_and_never_the_backbone(shards: list[Path], tmp_path: Path) -> None:
    moments = read_moments(shards, ("image", "audio"))
    labels = Labels.of(moments.answers)
    torch.manual_seed(0)
    encoder = new_encoder({"tokens": 16, "experts": 2, "blocks": 1}, modalities=["image", "audio"])
    encoder.backbone.requires_grad_(False)
    alignment = Alignment(encoder, sizes(labels))
    before = {name: value.clone() for name, value in alignment.state_dict().items()}
    stage = AlignmentStage(Schedule(2, 1e-3, warmup=1), 2, 2, {"image": 1.0, "audio": 1.0})
    train_stage("stage", alignment, stage, moments, labels, tmp_path, 0)
    changed = {name for name, value in alignment.state_dict().items() if not torch.equal(value, before[name])}
    assert not [name for name in changed if name.startswith("encoder.backbone")]
    assert {"encoder.tokenizers.audio.convolution.weight", "encoder.projection.experts.1.0.query.weight"} <= changed
    with torch.no_grad():
        _, parts = Batches(alignment, moments, labels, {"audio": 1.0}, 2, 1).loss("audio", torch.arange(2), True)
    assert 0.0 <= parts["right"] <= 1.0


def test_a_clip_starts_with_the_tokens_of_its_last_image() -> None:
    encoder = new_encoder({"tokens": 16, "experts": 1, "blocks": 1}, modalities=["image", "video"])
    start_from_image(encoder, "video")
    clip = torch.rand(1, 3, 4, 96, 160)
    # The first token of an image is the class token.
    last = encoder.backbone.embed_image(clip[:, :, -1])[:, 1:]
    assert torch.allclose(encoder.tokenizers["video"](clip), last, atol=1e-5)


def test_the_shipped_configurations_are_read(tmp_path: Path) -> None:
    assert is_universal(CONFIGURATION)
    settings = read_settings(CONFIGURATION)
    assert set(settings.alignment["all"].shares) == set(LAYOUTS) and set(AHEAD) <= set(LAYOUTS)
    more = read_settings(CONFIGURATION.with_name("universal_go_on.yaml"))
    assert more.start and more.pretraining is None and set(more.questions.shares) == set(LAYOUTS)
    renew = CONFIGURATION.with_name("universal_renew.yaml")
    assert read_settings(renew).questions.renew == ("array",) and not more.questions.renew
    wrong = tmp_path / "universal.yaml"
    for path, entry, other in (
        (CONFIGURATION, "shares: {image: 3, video: 2}}", "shares: {smell: 1}}"),
        (renew, "renew: [array]", "renew: [smell]"),
    ):
        wrong.write_text(path.read_text().replace(entry, other))
        with pytest.raises(BadInput, match="smell"):
            read_settings(wrong)


def test_a_renewed_connector_begins_anew_and_trains_alone(tmp_path: Path) -> None:
    model = Model.load(make_tiny_model(tmp_path), "cpu")
    trained, before = Trained(dict(model.connectors.items()), nn.Linear(2, 2)), copy.deepcopy(model.connectors.state_dict())
    select_learners(trained, model, ())
    assert all(value.requires_grad for value in trained.parameters())
    select_learners(trained, model, ("imu",))
    learners = {name.split(".")[1] for name, value in trained.named_parameters() if value.requires_grad}
    changed = {
        name.split(".")[0] for name, value in model.connectors.state_dict().items() if not torch.equal(value, before[name])
    }
    assert learners == changed == {"imu"}


def test_noise_on_tokens_is_of_the_size_of_their_variation() -> None:
    class Asis(nn.Module):
        def forward(self, values: torch.Tensor, places: torch.Tensor, **_: object) -> dict:
            return {0: values}

    table = TokenTable(torch.ones(4, 2, 3).half(), torch.zeros(4, 2, 3), torch.zeros(2, dtype=torch.long))
    rows = torch.arange(4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions, "merge", lambda caches: caches)
        clean = questions.connect({"array": Asis()}, {"array": table}, rows, ["array"])["array"][0]
        noisy = questions.connect({"array": Asis()}, {"array": table}, rows, ["array"], {"array": 0.1})["array"][0]
    assert torch.equal(clean, table.values.float())
    assert 0 < (noisy - clean).abs().max() < 0.6


def test_answers_follow_the_truth(moment: SignalMoment) -> None:
    answers = dict(zip(TEMPLATES, answers_of(moment.truth), strict=True))
    for question in moment.questions:
        assert answers[question.program] == question.answer
