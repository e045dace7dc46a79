# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adaptation: samples are stored and checked, the plan fits the budget, the result is used only if it is better."""

from __future__ import annotations

import dataclasses
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lidar_samples import ASKED, labelled_samples, tokens
from tiny_model import make_tiny_model
from torch import nn

from mmllm_ros.adaptation import training_plan
from mmllm_ros.adaptation.acceptance_test import beyond_chance
from mmllm_ros.adaptation.adapt import AdaptationRequest, _initial_connector, adapt
from mmllm_ros.adaptation.cost_meter import CostMeter
from mmllm_ros.adaptation.replay_buffer import ReplayBuffer
from mmllm_ros.adaptation.sample_tensors import SampleTensors
from mmllm_ros.adaptation.samples import LabelledSample, LabelledSource, PseudoLabelled, split, usable
from mmllm_ros.adaptation.state import AdaptationState
from mmllm_ros.adaptation.training_plan import TrainingBudget, TrainingRate
from mmllm_ros.datasets.examples import Example
from mmllm_ros.datatypes import BadInput, Question, Tokens
from mmllm_ros.encoders.proposals import ATTRIBUTES
from mmllm_ros.model import Model
from mmllm_ros.training.warm_start import can_warm_start, copy_connector, new_connector, warm_started


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder) -> Model:
    return Model.load(folder, "cpu")


@pytest.fixture(scope="module")
def without_lidar(folder) -> Model:
    """The tiny model without a lidar connector and without a source for a warm start."""
    model = drop(Model.load(folder, "cpu"), "lidar")
    model.modality_agnostic = None
    return model


def drop(model: Model, modality: str) -> Model:
    other = model.variant({}, {})
    del other.connectors[modality]
    return other


@pytest.fixture(scope="module")
def learned(folder, without_lidar, tmp_path_factory):
    """The outcome of an adaptation to a new modality with forty labelled samples, the progress reports, and the samples."""
    reports = []
    samples = labelled_samples(Model.load(folder, "cpu"))
    work = tmp_path_factory.mktemp("work")
    outcome = adapt(without_lidar, samples, AdaptationRequest(("lidar",)), work, lambda progress, _: reports.append(progress))
    return outcome, reports, samples


def test_a_new_modality_learns_labels_that_only_it_can_predict(learned):
    outcome, _, samples = learned
    assert outcome.better and outcome.accuracy_after >= 0.9 > outcome.accuracy_before
    assert outcome.samples == len(samples) and outcome.message.endswith("better")


def test_a_large_llm_learns_which_of_its_answers_is_right(model):
    large, samples = model.variant({}, {}), labelled_samples(model)[:12]
    large.attend_last = 2
    scored = [large.score(sample.question, large.latents(sample.tokens)) for sample in samples]
    tensors, rows = SampleTensors(large, samples, ()), np.arange(12)
    latent_caches = tensors.latent_caches({}, tensors.moment, 0)
    loss, right = tensors.loss(latent_caches, rows, torch.from_numpy(rows), tensors.validation_visible(rows))
    # The mean negative log-probability of the labels in the distribution over the answer set.
    wanted = np.mean([-np.log(one.distribution[sample.answer]) for one, sample in zip(scored, samples, strict=True)])
    assert loss.item() == pytest.approx(wanted, rel=1e-2)
    assert right == np.mean([one.answer == sample.answer for one, sample in zip(scored, samples, strict=True)])


def test_the_estimate_comes_first_and_the_measured_cost_at_the_end(learned):
    outcome, reports, _ = learned
    assert reports[0].step == 0 and reports[0].plan == str(outcome.estimate) and reports[0].steps == outcome.estimate.steps
    assert [progress.step for progress in reports] == list(range(outcome.estimate.steps + 1))
    assert outcome.flops == pytest.approx(outcome.estimate.flops, rel=0.5)
    assert outcome.seconds > 0 and outcome.peak_memory_mb > 50


def test_the_serving_model_is_not_touched_by_an_adaptation(folder, without_lidar, learned):
    shipped = Model.load(folder, "cpu")
    assert without_lidar.modalities == ("camera", "imu")
    for name, connector in without_lidar.connectors.items():
        for key, value in connector.state_dict().items():
            assert torch.equal(value, shipped.connectors[name].state_dict()[key])


def test_answers_that_do_not_use_the_new_modality_are_the_same_bit_for_bit(model, without_lidar, learned):
    adapted = learned[0].model
    for seen in ((), ("camera",), ("camera", "imu")):
        seen_tokens = [tokens(model, modality, 7) for modality in seen]
        one, other = (m.score(ASKED[0], m.latents(seen_tokens)) for m in (without_lidar, adapted))
        assert one == other


def test_an_adapted_model_is_a_model_folder_with_links_and_survives_a_restart(folder, learned, tmp_path):
    state = AdaptationState(tmp_path, folder)
    assert state.serving() == folder
    written = state.swap_in(learned[0].model)
    assert state.serving() == written and (written / "llm").is_symlink() and (written / "encoders" / "lidar").is_symlink()
    served, shipped = Model.load(AdaptationState(tmp_path, folder).serving(), "cpu"), Model.load(folder, "cpu")
    assert served.revision not in ("unsaved", shipped.revision)
    swapped = shipped.load_variant(written)
    assert swapped.revision == served.revision and swapped.llm is shipped.llm
    seen_tokens = [tokens(served, "lidar", 3)]
    assert served.score(ASKED[0], served.latents(seen_tokens)) == swapped.score(ASKED[0], swapped.latents(seen_tokens))


def test_only_the_newest_revisions_stay_on_disk(folder, learned, tmp_path):
    state = AdaptationState(tmp_path, folder)
    written = [state.swap_in(learned[0].model) for _ in range(5)]
    assert state.serving() == written[-1] and [path.is_dir() for path in written] == [False, False, True, True, True]


def test_another_model_has_another_state_and_two_robots_do_not_share_one(folder, tmp_path):
    other = make_tiny_model(tmp_path / "model", seed=1)
    places = {
        AdaptationState(tmp_path, folder).folder,
        AdaptationState(tmp_path, other).folder,
        AdaptationState(tmp_path, folder, "/left").folder,
    }
    assert len(places) == 3


def test_two_adaptations_do_not_write_to_one_state(folder, tmp_path):
    one, other = AdaptationState(tmp_path, folder), AdaptationState(tmp_path, folder)
    with one.alone(), pytest.raises(BadInput, match="another adaptation is running"), other.alone():
        pass


def test_poisoned_labels_are_rolled_back(folder, model, learned, tmp_path):
    outcome, _, samples = learned
    # Training labels are wrong, validation labels are right.
    held = {sample.scene for sample in split(samples)[1]}
    wrong = {"yes": "no", "no": "yes"}
    poisoned = [one if one.scene in held else dataclasses.replace(one, answer=wrong[one.answer]) for one in samples]
    again = adapt(outcome.model, poisoned, AdaptationRequest(("lidar",)), tmp_path)
    assert not again.better and "rolled back" in again.message and again.accuracy_after <= again.accuracy_before


def test_a_margin_that_is_not_reached_is_a_rollback(learned, tmp_path):
    outcome = adapt(learned[0].model, learned[2], AdaptationRequest(("lidar",), margin=1.0), tmp_path)
    assert not outcome.better and "margin of 100 points" in outcome.message


def test_an_interrupted_adaptation_resumed_gives_the_same_weights_bit_for_bit(without_lidar, learned, tmp_path):
    outcome, _, samples = learned

    class Cut(Exception):
        pass

    def cut(progress, _):
        if progress.step == 7:
            raise Cut

    with pytest.raises(Cut):
        adapt(without_lidar, samples, AdaptationRequest(("lidar",)), tmp_path, cut)
    assert list(tmp_path.glob("*/adapt.safetensors"))
    steps = []
    again = adapt(
        without_lidar, samples, AdaptationRequest(("lidar",)), tmp_path, lambda progress, _: steps.append(progress.step)
    )
    assert steps[0] > 0 and not list(tmp_path.iterdir())
    for one, other in zip(outcome.model.connectors.parameters(), again.model.connectors.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_loss_that_is_not_a_number_is_one_line_and_leaves_nothing_behind(without_lidar, learned, tmp_path, monkeypatch):
    for rate in ("NEW_CONNECTOR", "TRAINED_CONNECTOR"):
        monkeypatch.setattr(f"mmllm_ros.adaptation.adapt.{rate}", TrainingRate(1e30, 16))
    with pytest.raises(BadInput, match=r"training stopped, the old weights stay in use: .*nan") as caught:
        adapt(without_lidar, learned[2], AdaptationRequest(("lidar",)), tmp_path)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_trained_connector_does_not_train_at_the_rate_of_a_new_one(without_lidar, learned, tmp_path, monkeypatch):
    before = learned[0].model.connectors["lidar"].state_dict()
    monkeypatch.setattr("mmllm_ros.adaptation.adapt.NEW_CONNECTOR", TrainingRate(1e30, 16))
    after = adapt(learned[0].model, learned[2], AdaptationRequest(("lidar",)), tmp_path).model.connectors["lidar"].state_dict()
    assert all((after[key] - value).abs().nan_to_num(0.0).max() < 0.05 for key, value in before.items())
    with pytest.raises(BadInput, match="training stopped"):
        adapt(without_lidar, learned[2], AdaptationRequest(("lidar",)), tmp_path)


def test_a_full_disk_is_one_line(without_lidar, learned, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(BadInput, match="training stopped, the old weights stay in use: ") as caught:
            adapt(without_lidar, learned[2], AdaptationRequest(("lidar",)), tmp_path)
        with pytest.raises(BadInput, match="the sample was not stored"):
            ReplayBuffer(tmp_path / "samples").add(dataclasses.replace(learned[2][0], question="?" * 5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value) and len(ReplayBuffer(tmp_path / "samples")) == 0


@pytest.mark.parametrize("trained", ["depth", "gates"])
def test_a_budget_chooses_depth_and_what_trains_and_what_is_not_trained_is_not_linked(without_lidar, learned, tmp_path, trained):
    whole = learned[0].estimate
    if trained == "depth":
        outcome = adapt(
            without_lidar, learned[2], AdaptationRequest(("lidar",), TrainingBudget(flops=0.5 * whole.flops)), tmp_path
        )
        assert outcome.flops <= 0.5 * whole.flops
        assert outcome.estimate.depth < whole.depth or outcome.estimate.steps < whole.steps
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training_plan, "resident_mb", lambda: 0.0)
            learners = nn.ModuleDict(
                {"lidar": new_connector(without_lidar, "lidar", learned[0].model.connectors["lidar"].shape["token_width"])}
            )
            training = SampleTensors(without_lidar, split(learned[2])[0], ["lidar"])
            tight = training_plan._plan(training, 8, learners, 60, "connector", depth=1).memory_mb - 1e-6
            outcome = adapt(without_lidar, learned[2], AdaptationRequest(("lidar",), TrainingBudget(memory=tight)), tmp_path)
        assert outcome.estimate.trains == "gates" and outcome.estimate.memory_mb <= tight
    open_gates = int(torch.isfinite(outcome.model.connectors["lidar"].log_gate).sum())
    assert open_gates == outcome.estimate.depth


@pytest.mark.parametrize("most", [0, 1, 2, 5, 7, 8])
def test_the_deepest_plan_that_fits_is_found_with_few_measurements(most):
    measured = []

    def plan(depth):
        measured.append(depth)
        return depth

    assert training_plan._deepest(plan, lambda depth: depth <= most, 8) == max(most, 1)
    assert len(measured) <= 5 and len(measured) == len(set(measured))


def test_a_budget_too_small_for_one_step_says_so(without_lidar, learned, tmp_path):
    for small, complaint in (
        (TrainingBudget(flops=1.0), "before the first step"),
        (TrainingBudget(memory=1.0), "memory is 1 MB, the least"),
    ):
        with pytest.raises(BadInput, match=complaint):
            adapt(without_lidar, learned[2], AdaptationRequest(("lidar",), small), tmp_path)


def test_the_seconds_of_the_budget_are_kept(without_lidar, learned, tmp_path):
    outcome = adapt(without_lidar, learned[2], AdaptationRequest(("lidar",), TrainingBudget(seconds=3600.0)), tmp_path)
    assert outcome.estimate == dataclasses.replace(
        learned[0].estimate, **{name: getattr(outcome.estimate, name) for name in ("step_seconds", "seconds", "memory_mb")}
    )


def test_a_warm_started_connector_gives_the_latents_of_its_source_when_only_attributes_differ_from_zero(model):
    source, seen = copy_connector(model, model.connectors["camera"]), tokens(model, "camera", 5, count=30)
    values, places = torch.from_numpy(seen.values)[None], torch.from_numpy(seen.places)[None]
    with torch.no_grad():
        source.normalise.bias.normal_()
        connector = warm_started(model, source, "lidar", ATTRIBUTES + 9)
        output = connector(torch.cat([torch.randn(1, 30, 9), values[..., -ATTRIBUTES:]], dim=-1), places)
        values[..., :-ATTRIBUTES] = 0.0
        for block, latent in source(values, places).items():
            torch.testing.assert_close(output[block].key, latent.key)
            torch.testing.assert_close(output[block].value, latent.value)
            torch.testing.assert_close(output[block].log_gate, latent.log_gate)


def test_a_connector_without_predicted_attributes_is_no_source_of_a_warm_start(model):
    imu, modality_agnostic = model.connectors["imu"], model.modality_agnostic
    assert can_warm_start(modality_agnostic, ATTRIBUTES + 1) and not can_warm_start(modality_agnostic, ATTRIBUTES)
    assert not can_warm_start(imu, 99) and not can_warm_start(None, 99)


def test_an_adapted_modality_the_model_never_had_gets_a_connector_of_its_own(model, tmp_path):
    model = model.variant({}, {})
    model.modality_agnostic = None
    samples = [
        dataclasses.replace(one, tokens=(one.tokens[0], dataclasses.replace(one.tokens[1], modality="radar", encoder="new")))
        for one in labelled_samples(model)
    ]
    outcome = adapt(model, samples, AdaptationRequest(("radar",)), tmp_path)
    assert outcome.better and outcome.model.modalities == ("camera", "imu", "lidar", "radar")
    assert outcome.model.encoder_revisions["radar"] == "new"


def test_confident_answers_of_trusted_modalities_are_pseudo_labels_and_teachers_are_hidden_in_validation(model):
    questions = tuple(Question(text, "", "exist", 0) for text in ASKED)
    asked = [Example(f"s{i}", "day", (tokens(model, "camera", i), tokens(model, "lidar", i)), questions) for i in range(6)]
    everything = PseudoLabelled(model, asked, ("camera",), 0.0).samples()
    assert len(everything) == 18 and {sample.teachers for sample in everything} == {("camera",)}
    assert everything[0].answer == model.score(ASKED[0], model.latents([tokens(model, "camera", 0)])).answer
    assert PseudoLabelled(model, asked, ("camera",), 1.01).samples() == []
    seen = SampleTensors(model, everything, ["lidar"]).validation_visible(np.arange(4))
    assert seen["lidar"].all() and not seen["camera"].any()


def test_pseudo_labels_imply_a_warm_start_and_labels_select_the_better_start(model, monkeypatch):
    asked = []
    monkeypatch.setattr(SampleTensors, "validate", lambda *arguments: asked.append(arguments) or (0.0, 0.0))
    base = drop(model, "lidar")
    labelled = labelled_samples(model)
    samples = [dataclasses.replace(one, teachers=("camera",)) for one in labelled]
    width = ATTRIBUTES + 5
    warm = [
        bool(_initial_connector(base, SampleTensors(base, part, ("lidar",)), "lidar", width, CostMeter()).predicted_attributes)
        for part in (samples, labelled)
    ]
    assert warm[0] and len(asked) == 2, "labels select between a warm-started and a new connector"
    assert not _initial_connector(base, SampleTensors(base, samples, ("lidar",)), "lidar", 3, CostMeter()).predicted_attributes


@pytest.mark.parametrize(("late", "better"), [(0, True), (3, False)])
def test_a_warm_started_connector_with_pseudo_labels_is_used_untrained_if_it_agrees_with_its_teachers(
    model, tmp_path, late, better
):
    base, questions = drop(model, "lidar"), tuple(Question(text, "", "exist", 0) for text in ASKED)
    seen = []
    for index in range(40):
        camera = tokens(model, "camera", index, count=12)
        camera.values[:, :-ATTRIBUTES] = 0.0
        camera.values[:, -ATTRIBUTES:] *= 4.0
        seen.append(camera)
    lidar = [
        dataclasses.replace(one, modality="lidar", values=np.pad(one.values[:, -ATTRIBUTES:], ((0, 0), (5, 0)))) for one in seen
    ]
    asked = [Example(f"s{i}", "day", (seen[i], lidar[i - late]), questions) for i in range(40)]
    samples = PseudoLabelled(base, asked, ("camera",), 0.0).samples()
    reports = []
    outcome = adapt(base, samples, AdaptationRequest(("lidar",)), tmp_path, lambda progress, _: reports.append(progress))
    assert outcome.better is better and (outcome.accuracy_after > outcome.accuracy_before) >= better, outcome.message
    assert ("agrees with its teachers, accepted" if better else "the difference may be chance, rolled back") in outcome.message
    assert [(one.step, one.steps) for one in reports] == [(0, 0)] and outcome.estimate.trains == "nothing"
    few = [sample for sample in samples if int(sample.scene[1:]) < 8]
    assert "at least 10 scenes are needed, rolled back" in adapt(base, few, AdaptationRequest(("lidar",)), tmp_path).message


def test_recorded_samples_are_their_questions(model):
    asked = Example(
        "s", "day", (tokens(model, "lidar"),), (Question(ASKED[0], "yes", "exist", 0), Question(ASKED[1], "red", "light", 0))
    )
    assert [(sample.question, sample.answer, sample.scene) for sample in LabelledSource([asked]).samples()] == [
        (ASKED[0], "yes", "s"), (ASKED[1], "red", "s")
    ]  # fmt: skip


def faulty(sample: LabelledSample, kind: str) -> LabelledSample:
    camera, lidar = sample.tokens
    if kind == "nan":
        values = lidar.values.copy()
        values[0, 0] = np.nan
        return dataclasses.replace(sample, tokens=(camera, dataclasses.replace(lidar, values=values)))
    if kind == "answer":
        return dataclasses.replace(sample, answer="perhaps")
    if kind == "word":
        return dataclasses.replace(sample, question="are there any zebras ?")
    if kind == "encoder":
        return dataclasses.replace(sample, tokens=(dataclasses.replace(camera, encoder="older"), lidar))
    return dataclasses.replace(sample, tokens=(camera,))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("nan", "not finite"), ("answer", "'perhaps'"), ("word", "'zebras'"), ("encoder", "'older'"), ("absent", "without lidar")],
)
def test_a_faulty_sample_is_left_out_and_the_refusal_says_why(model, tmp_path, kind, reason):
    samples = [faulty(sample, kind) for sample in labelled_samples(model, 12)]
    kept, left_out = usable(samples, model, ["lidar"])
    assert not kept and list(left_out.values()) == [12] and reason in next(iter(left_out))
    with pytest.raises(BadInput, match=f"0 usable samples .*12 .*{reason}"):
        adapt(model, samples, AdaptationRequest(("lidar",)), tmp_path)


def test_samples_survive_a_restart_and_the_oldest_are_removed_first(model, tmp_path):
    samples = labelled_samples(model, 6)
    for sample in samples:
        ReplayBuffer(tmp_path, capacity=4).add(sample)
    kept = ReplayBuffer(tmp_path, capacity=4).samples()
    assert [sample.scene for sample in kept] == [sample.scene for sample in samples[2:]]
    for one, other in zip(kept, samples[2:], strict=True):
        assert (one.question, one.answer, one.teachers) == (other.question, other.answer, other.teachers)
        for a, b in zip(one.tokens, other.tokens, strict=True):
            assert (a.modality, a.source, a.stamp, a.encoder) == (b.modality, b.source, b.stamp, b.encoder)
            assert np.array_equal(a.values, b.values) and np.array_equal(a.places, b.places)


@given(st.binary(max_size=200), st.integers(0, 400))
@settings(max_examples=30)
def test_a_corrupt_file_in_the_buffer_is_skipped(tmp_path_factory, garbage, cut):
    folder = tmp_path_factory.mktemp("buffer")
    buffer = ReplayBuffer(folder)
    values = Tokens("lidar", "lidar", 1, np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32), "r")
    for scene in ("one", "two"):
        buffer.add(LabelledSample(ASKED[0], "yes", (values,), scene))
    path = folder / "000000000.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + garbage)
    assert buffer.samples()[-1].scene == "two"


def test_a_request_names_modalities_and_a_margin_that_can_be():
    with pytest.raises(BadInput, match="modalities is empty"):
        AdaptationRequest(())
    with pytest.raises(BadInput, match=r"margin is 2\.0"):
        AdaptationRequest(("lidar",), margin=2.0)
    with pytest.raises(BadInput, match=r"seconds is -1\.0"):
        TrainingBudget(seconds=-1.0)


@pytest.mark.parametrize(
    ("before", "after", "sure"),
    [
        ("1000", "1111", True),  # three gained, none lost: 3 > 1.64 sqrt(3)
        ("1100", "1111", False),  # two more right answers may be chance
        ("11110000", "11011111", False),  # four gained, one lost: 3 < 1.64 sqrt(5)
        ("11", "11", False),
        ("1111", "0000", False),
    ],
)
def test_a_gain_counts_when_it_is_more_than_chance(before, after, sure):
    assert beyond_chance(*([mark == "1" for mark in row] for row in (before, after))) is sure
