# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training of the universal encoder: targets, mirrored moments, stages."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmllm_ros.datatypes import BadInput, Signal
from mmllm_ros.encoders.universal.encoder import LAYOUTS
from mmllm_ros.resources import shared_folder
from mmllm_ros.simulator.signal_moment import SIGNALS, SignalMoment, render_moment
from mmllm_ros.training.loop import Schedule
from mmllm_ros.training.universal.alignment import UNKNOWN, Alignment, Batches, Labels, templates_of
from mmllm_ros.training.universal.mirror import mirrored, mirrored_answers, other_side
from mmllm_ros.training.universal.moments import read_moments, render_all
from mmllm_ros.training.universal.settings import AlignmentStage, is_universal, read_settings
from mmllm_ros.training.universal.stages import new_encoder, sizes, start_from_image, train_stage
from mmllm_ros.training.universal.targets import AHEAD, SOUNDS, TEMPLATES, answers_of, sector_targets

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
    assert all(len(value) == 16 for name, value in targets.items() if name != "motion")
    nearest = min(value for value in targets["ahead_range"] if value > 0)
    # The nearest upright pixel is not behind the nearest thing of both halves of the view.
    assert nearest >= 0.9 * min(moment.truth.depth_left, moment.truth.depth_right)
    heard = {SOUNDS[kind] for kind in targets["around_sound"].any(0).nonzero()[0]}
    assert heard == {source.kind for _, source in moment.truth.heard()}


def test_mirroring_twice_gives_the_moment_back(moment: SignalMoment) -> None:
    for modality, layout in LAYOUTS.items():
        tensors = layout.to_tensor(Signal(modality, 0, "front", moment.signals[modality]))[None]
        turned = mirrored(layout.kind, tensors)
        # The phase differences of sound are averaged over mel bands, and to another microphone: not exactly.
        loud = slice(4) if layout.kind == "audio" else slice(None)
        assert torch.allclose(mirrored(layout.kind, turned)[:, loud], tensors[:, loud])
        assert layout.kind in ("imu", "array") or not torch.allclose(turned, tensors)


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


def test_a_clip_of_a_still_image_starts_with_the_tokens_of_that_image() -> None:
    encoder = new_encoder({"tokens": 16, "experts": 1, "blocks": 1}, modalities=["image", "video"])
    start_from_image(encoder, "video")
    image = torch.rand(1, 3, 96, 160)
    still = encoder.tokenizers["video"](image[:, :, None].expand(-1, -1, 4, -1, -1))
    # The first token of an image is the class token.
    assert torch.allclose(still, encoder.backbone.embed_image(image)[:, 1:], atol=1e-5)


def test_the_shipped_configuration_is_read(tmp_path: Path) -> None:
    assert is_universal(CONFIGURATION)
    settings = read_settings(CONFIGURATION)
    assert set(settings.alignment["all"].shares) == set(LAYOUTS) and set(AHEAD) <= set(LAYOUTS)
    wrong = tmp_path / "universal.yaml"
    wrong.write_text(CONFIGURATION.read_text().replace("shares: {image: 1}}", "shares: {smell: 1}}"))
    with pytest.raises(BadInput, match="smell"):
        read_settings(wrong)


def test_answers_follow_the_truth(moment: SignalMoment) -> None:
    answers = dict(zip(TEMPLATES, answers_of(moment.truth), strict=True))
    for question in moment.questions:
        assert answers[question.program] == question.answer
