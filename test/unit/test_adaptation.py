# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning on the road: lessons are kept and checked, the course fits the budget, the result serves only if it is better."""

from __future__ import annotations

import dataclasses
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lidar_samples import ASKED, lessons, tokens
from tiny_model import make_tiny_model
from torch import nn

from mmllm_ros.adaptation import training_plan
from mmllm_ros.adaptation.acceptance_test import beyond_chance
from mmllm_ros.adaptation.adapt import Request, _begin, adapt
from mmllm_ros.adaptation.cost_meter import Meter
from mmllm_ros.adaptation.replay_buffer import ReplayBuffer
from mmllm_ros.adaptation.sample_tensors import SampleTensors
from mmllm_ros.adaptation.samples import Labelled, LabelledSample, SelfTaught, split, usable
from mmllm_ros.adaptation.state import State
from mmllm_ros.adaptation.training_plan import Budget, Pace
from mmllm_ros.datasets.simulated import Asked
from mmllm_ros.datatypes import BadInput, Question, Tokens
from mmllm_ros.encoders.proposals import ATTRIBUTES
from mmllm_ros.model import Model
from mmllm_ros.training.warm_start import can_warm_start, fresh, twin, warm_started


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder) -> Model:
    return Model.load(folder, "cpu")


@pytest.fixture(scope="module")
def without_lidar(folder) -> Model:
    """Whoever is new here has nobody to inherit from."""
    model = drop(Model.load(folder, "cpu"), "lidar")
    model.universal = None
    return model


def drop(model: Model, modality: str) -> Model:
    other = model.variant({}, {})
    del other.connectors[modality]
    return other


@pytest.fixture(scope="module")
def learned(folder, without_lidar, tmp_path_factory):
    """A newcomer taught from forty labelled lessons, and what was reported on the way."""
    told = []
    taught = lessons(Model.load(folder, "cpu"))
    work = tmp_path_factory.mktemp("work")
    outcome = adapt(without_lidar, taught, Request(("lidar",)), work, lambda progress, _: told.append(progress))
    return outcome, told, taught


def test_a_newcomer_learns_what_only_it_can_see(learned):
    outcome, _, taught = learned
    assert outcome.better and outcome.accuracy_after >= 0.9 > outcome.accuracy_before
    assert outcome.lessons == len(taught) and outcome.message.endswith("better")


def test_the_estimate_comes_first_and_the_measured_cost_at_the_end(learned):
    outcome, told, _ = learned
    assert told[0].step == 0 and told[0].plan == str(outcome.estimate) and told[0].steps == outcome.estimate.steps
    assert [progress.step for progress in told] == list(range(outcome.estimate.steps + 1))
    assert outcome.flops == pytest.approx(outcome.estimate.flops, rel=0.5)
    assert outcome.seconds > 0 and outcome.peak_memory_mb > 50


def test_the_serving_model_is_not_touched_by_an_adaptation(folder, without_lidar, learned):
    shipped = Model.load(folder, "cpu")
    assert without_lidar.modalities == ("camera", "imu")
    for name, connector in without_lidar.connectors.items():
        for key, value in connector.state_dict().items():
            assert torch.equal(value, shipped.connectors[name].state_dict()[key])


def test_answers_that_do_not_use_the_newcomer_are_the_same_bit_for_bit(model, without_lidar, learned):
    adapted = learned[0].model
    for seen in ((), ("camera",), ("camera", "imu")):
        readings = [tokens(model, modality, 7) for modality in seen]
        one, other = (m.score(ASKED[0], m.latents(readings)) for m in (without_lidar, adapted))
        assert one == other


def test_an_adapted_model_is_a_model_folder_with_links_and_survives_a_restart(folder, learned, tmp_path):
    state = State(tmp_path, folder)
    assert state.serving() == folder
    written = state.swap_in(learned[0].model)
    assert state.serving() == written and (written / "llm").is_symlink() and (written / "encoders" / "lidar").is_symlink()
    served, shipped = Model.load(State(tmp_path, folder).serving(), "cpu"), Model.load(folder, "cpu")
    assert served.revision not in ("unsaved", shipped.revision)
    swapped = shipped.load_variant(written)
    assert swapped.revision == served.revision and swapped.llm is shipped.llm
    readings = [tokens(served, "lidar", 3)]
    assert served.score(ASKED[0], served.latents(readings)) == swapped.score(ASKED[0], swapped.latents(readings))


def test_only_the_newest_revisions_stay_on_disk(folder, learned, tmp_path):
    state = State(tmp_path, folder)
    written = [state.swap_in(learned[0].model) for _ in range(5)]
    assert state.serving() == written[-1] and [path.is_dir() for path in written] == [False, False, True, True, True]


def test_another_model_has_another_state_and_two_robots_do_not_share_one(folder, tmp_path):
    other = make_tiny_model(tmp_path / "model", seed=1)
    places = {State(tmp_path, folder).folder, State(tmp_path, other).folder, State(tmp_path, folder, "/left").folder}
    assert len(places) == 3


def test_two_adaptations_do_not_write_to_one_state(folder, tmp_path):
    one, other = State(tmp_path, folder), State(tmp_path, folder)
    with one.alone(), pytest.raises(BadInput, match="another adaptation is running"), other.alone():
        pass


def test_poisoned_labels_are_rolled_back(folder, model, learned, tmp_path):
    outcome, _, taught = learned
    # Trained on lies, examined on the truth.
    held = {lesson.scene for lesson in split(taught)[1]}
    lies = {"yes": "no", "no": "yes"}
    poisoned = [one if one.scene in held else dataclasses.replace(one, answer=lies[one.answer]) for one in taught]
    again = adapt(outcome.model, poisoned, Request(("lidar",)), tmp_path)
    assert not again.better and "rolled back" in again.message and again.accuracy_after <= again.accuracy_before


def test_a_margin_that_is_not_reached_is_a_rollback(learned, tmp_path):
    outcome = adapt(learned[0].model, learned[2], Request(("lidar",), margin=1.0), tmp_path)
    assert not outcome.better and "margin of 100 points" in outcome.message


def test_an_adaptation_cut_off_and_asked_for_again_gives_the_same_weights_bit_for_bit(without_lidar, learned, tmp_path):
    outcome, _, taught = learned

    class Cut(Exception):
        pass

    def cut(progress, _):
        if progress.step == 7:
            raise Cut

    with pytest.raises(Cut):
        adapt(without_lidar, taught, Request(("lidar",)), tmp_path, cut)
    assert list(tmp_path.glob("*/adapt.safetensors"))
    steps = []
    again = adapt(without_lidar, taught, Request(("lidar",)), tmp_path, lambda progress, _: steps.append(progress.step))
    assert steps[0] > 0 and not list(tmp_path.iterdir())
    for one, other in zip(outcome.model.connectors.parameters(), again.model.connectors.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_loss_that_is_not_a_number_is_one_line_and_leaves_nothing_behind(without_lidar, learned, tmp_path, monkeypatch):
    for pace in ("USUAL", "GENTLE"):
        monkeypatch.setattr(f"mmllm_ros.adaptation.adapt.{pace}", Pace(1e30, 16))
    with pytest.raises(BadInput, match=r"training stopped, the old weights serve on: .*nan") as caught:
        adapt(without_lidar, learned[2], Request(("lidar",)), tmp_path)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_who_has_learned_does_not_train_at_the_pace_of_a_fresh_connector(without_lidar, learned, tmp_path, monkeypatch):
    before = learned[0].model.connectors["lidar"].state_dict()
    monkeypatch.setattr("mmllm_ros.adaptation.adapt.USUAL", Pace(1e30, 16))
    after = adapt(learned[0].model, learned[2], Request(("lidar",)), tmp_path).model.connectors["lidar"].state_dict()
    assert all((after[key] - value).abs().nan_to_num(0.0).max() < 0.05 for key, value in before.items())
    with pytest.raises(BadInput, match="training stopped"):
        adapt(without_lidar, learned[2], Request(("lidar",)), tmp_path)


def test_a_full_disk_is_one_line(without_lidar, learned, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(BadInput, match="training stopped, the old weights serve on: ") as caught:
            adapt(without_lidar, learned[2], Request(("lidar",)), tmp_path)
        with pytest.raises(BadInput, match="the lesson was not kept"):
            ReplayBuffer(tmp_path / "lessons").add(dataclasses.replace(learned[2][0], question="?" * 5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value) and len(ReplayBuffer(tmp_path / "lessons")) == 0


@pytest.mark.parametrize("trained", ["depth", "gates"])
def test_a_budget_chooses_depth_and_what_trains_and_what_is_not_trained_is_not_linked(without_lidar, learned, tmp_path, trained):
    whole = learned[0].estimate
    if trained == "depth":
        outcome = adapt(without_lidar, learned[2], Request(("lidar",), Budget(flops=0.5 * whole.flops)), tmp_path)
        assert outcome.flops <= 0.5 * whole.flops
        assert outcome.estimate.depth < whole.depth or outcome.estimate.steps < whole.steps
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training_plan, "resident_mb", lambda: 0.0)
            learners = nn.ModuleDict(
                {"lidar": fresh(without_lidar, "lidar", learned[0].model.connectors["lidar"].shape["token_width"])}
            )
            courses = training_plan._courses(SampleTensors(without_lidar, split(learned[2])[0], ["lidar"]), 8, learners, 60)
            tight = min(course.memory_mb for course in courses if course.trains == "connector") - 1e-6
            outcome = adapt(without_lidar, learned[2], Request(("lidar",), Budget(memory=tight)), tmp_path)
        assert outcome.estimate.trains == "gates" and outcome.estimate.memory_mb <= tight
    open_gates = int(torch.isfinite(outcome.model.connectors["lidar"].log_gate).sum())
    assert open_gates == outcome.estimate.depth


def test_a_budget_too_small_for_one_step_says_so(without_lidar, learned, tmp_path):
    for small, complaint in ((Budget(flops=1.0), "before the first step"), (Budget(memory=1.0), "memory is 1 MB, the least")):
        with pytest.raises(BadInput, match=complaint):
            adapt(without_lidar, learned[2], Request(("lidar",), small), tmp_path)


def test_the_seconds_of_the_budget_are_kept(without_lidar, learned, tmp_path):
    outcome = adapt(without_lidar, learned[2], Request(("lidar",), Budget(seconds=3600.0)), tmp_path)
    assert outcome.estimate == dataclasses.replace(
        learned[0].estimate, **{name: getattr(outcome.estimate, name) for name in ("step_seconds", "seconds", "memory_mb")}
    )


def test_an_heir_says_at_once_what_its_donor_says_when_only_read_outs_speak(model):
    donor, seen = twin(model, model.connectors["camera"]), tokens(model, "camera", 5, count=30)
    values, places = torch.from_numpy(seen.values)[None], torch.from_numpy(seen.places)[None]
    with torch.no_grad():
        donor.normalise.bias.normal_()
        child = warm_started(model, donor, "lidar", ATTRIBUTES + 9)
        said = child(torch.cat([torch.randn(1, 30, 9), values[..., -ATTRIBUTES:]], dim=-1), places)
        values[..., :-ATTRIBUTES] = 0.0
        for block, latent in donor(values, places).items():
            torch.testing.assert_close(said[block].key, latent.key)
            torch.testing.assert_close(said[block].value, latent.value)
            torch.testing.assert_close(said[block].log_gate, latent.log_gate)


def test_who_has_no_read_outs_hands_nothing_on(model):
    imu, universal = model.connectors["imu"], model.universal
    assert can_warm_start(universal, ATTRIBUTES + 1) and not can_warm_start(universal, ATTRIBUTES)
    assert not can_warm_start(imu, 99) and not can_warm_start(None, 99)


def test_an_adapted_modality_the_model_never_had_gets_a_connector_of_its_own(model, tmp_path):
    model = model.variant({}, {})
    model.universal = None
    taught = [
        dataclasses.replace(one, tokens=(one.tokens[0], dataclasses.replace(one.tokens[1], modality="radar", encoder="new")))
        for one in lessons(model)
    ]
    outcome = adapt(model, taught, Request(("radar",)), tmp_path)
    assert outcome.better and outcome.model.modalities == ("camera", "imu", "lidar", "radar")
    assert outcome.model.encoder_revisions["radar"] == "new"


def test_trusted_modalities_teach_what_they_are_sure_of_and_nobody_copies_in_the_examination(model):
    questions = tuple(Question(text, "", "exist", 0) for text in ASKED)
    asked = [Asked(f"s{i}", "day", (tokens(model, "camera", i), tokens(model, "lidar", i)), questions) for i in range(6)]
    everything = SelfTaught(model, asked, ("camera",), 0.0).lessons()
    assert len(everything) == 18 and {lesson.teachers for lesson in everything} == {("camera",)}
    assert everything[0].answer == model.score(ASKED[0], model.latents([tokens(model, "camera", 0)])).answer
    assert SelfTaught(model, asked, ("camera",), 1.01).lessons() == []
    seen = SampleTensors(model, everything, ["lidar"]).examined(np.arange(4))
    assert seen["lidar"].all() and not seen["camera"].any()


def test_whom_sensors_alone_teach_inherits_and_labels_would_choose(model, monkeypatch):
    asked = []
    monkeypatch.setattr(SampleTensors, "examine", lambda *arguments: asked.append(arguments) or (0.0, 0.0))
    newcomer = drop(model, "lidar")
    labelled = lessons(model)
    taught = [dataclasses.replace(one, teachers=("camera",)) for one in labelled]
    width = ATTRIBUTES + 5
    heirs = [
        bool(_begin(newcomer, SampleTensors(newcomer, part, ("lidar",)), "lidar", width, Meter()).readouts)
        for part in (taught, labelled)
    ]
    assert heirs[0] and len(asked) == 2, "labels choose between an heir and a fresh one"
    assert not _begin(newcomer, SampleTensors(newcomer, taught, ("lidar",)), "lidar", 3, Meter()).readouts


@pytest.mark.parametrize(("late", "better"), [(0, True), (3, False)])
def test_an_heir_of_sensors_serves_untrained_and_only_if_it_sees_what_they_see(model, tmp_path, late, better):
    newcomer, questions = drop(model, "lidar"), tuple(Question(text, "", "exist", 0) for text in ASKED)
    seen = []
    for index in range(40):
        camera = tokens(model, "camera", index, count=12)
        camera.values[:, :-ATTRIBUTES] = 0.0
        camera.values[:, -ATTRIBUTES:] *= 4.0
        seen.append(camera)
    lidar = [
        dataclasses.replace(one, modality="lidar", values=np.pad(one.values[:, -ATTRIBUTES:], ((0, 0), (5, 0)))) for one in seen
    ]
    asked = [Asked(f"s{i}", "day", (seen[i], lidar[i - late]), questions) for i in range(40)]
    taught = SelfTaught(newcomer, asked, ("camera",), 0.0).lessons()
    told = []
    outcome = adapt(newcomer, taught, Request(("lidar",)), tmp_path, lambda progress, _: told.append(progress))
    assert outcome.better is better and (outcome.accuracy_after > outcome.accuracy_before) >= better, outcome.message
    assert ("it sees what they see, serves" if better else "that may be chance, rolled back") in outcome.message
    assert [(one.step, one.steps) for one in told] == [(0, 0)] and outcome.estimate.trains == "nothing"
    few = [lesson for lesson in taught if int(lesson.scene[1:]) < 8]
    assert "it takes 10 scenes to tell, rolled back" in adapt(newcomer, few, Request(("lidar",)), tmp_path).message


def test_recorded_lessons_are_their_questions(model):
    asked = Asked(
        "s", "day", (tokens(model, "lidar"),), (Question(ASKED[0], "yes", "exist", 0), Question(ASKED[1], "red", "light", 0))
    )
    assert [(lesson.question, lesson.answer, lesson.scene) for lesson in Labelled([asked]).lessons()] == [
        (ASKED[0], "yes", "s"), (ASKED[1], "red", "s")
    ]  # fmt: skip


def spoilt(lesson: LabelledSample, kind: str) -> LabelledSample:
    camera, lidar = lesson.tokens
    if kind == "nan":
        values = lidar.values.copy()
        values[0, 0] = np.nan
        return dataclasses.replace(lesson, tokens=(camera, dataclasses.replace(lidar, values=values)))
    if kind == "answer":
        return dataclasses.replace(lesson, answer="perhaps")
    if kind == "word":
        return dataclasses.replace(lesson, question="are there any zebras ?")
    if kind == "encoder":
        return dataclasses.replace(lesson, tokens=(dataclasses.replace(camera, encoder="older"), lidar))
    return dataclasses.replace(lesson, tokens=(camera,))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("nan", "not finite"), ("answer", "'perhaps'"), ("word", "'zebras'"), ("encoder", "'older'"), ("absent", "without lidar")],
)
def test_a_spoilt_lesson_is_left_out_and_the_refusal_says_why(model, tmp_path, kind, reason):
    taught = [spoilt(lesson, kind) for lesson in lessons(model, 12)]
    kept, left_out = usable(taught, model, ["lidar"])
    assert not kept and list(left_out.values()) == [12] and reason in next(iter(left_out))
    with pytest.raises(BadInput, match=f"0 usable lessons .*12 .*{reason}"):
        adapt(model, taught, Request(("lidar",)), tmp_path)


def test_lessons_outlast_the_process_and_the_oldest_go_first(model, tmp_path):
    taught = lessons(model, 6)
    for lesson in taught:
        ReplayBuffer(tmp_path, capacity=4).add(lesson)
    kept = ReplayBuffer(tmp_path, capacity=4).lessons()
    assert [lesson.scene for lesson in kept] == [lesson.scene for lesson in taught[2:]]
    for one, other in zip(kept, taught[2:], strict=True):
        assert (one.question, one.answer, one.teachers) == (other.question, other.answer, other.teachers)
        for a, b in zip(one.tokens, other.tokens, strict=True):
            assert (a.modality, a.source, a.stamp, a.encoder) == (b.modality, b.source, b.stamp, b.encoder)
            assert np.array_equal(a.values, b.values) and np.array_equal(a.places, b.places)


@given(st.binary(max_size=200), st.integers(0, 400))
@settings(max_examples=30)
def test_a_spoilt_file_in_the_buffer_is_passed_over(tmp_path_factory, garbage, cut):
    folder = tmp_path_factory.mktemp("buffer")
    buffer = ReplayBuffer(folder)
    values = Tokens("lidar", "lidar", 1, np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32), "r")
    for scene in ("one", "two"):
        buffer.add(LabelledSample(ASKED[0], "yes", (values,), scene))
    path = folder / "000000000.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + garbage)
    assert buffer.lessons()[-1].scene == "two"


def test_a_request_names_modalities_and_a_margin_that_can_be():
    with pytest.raises(BadInput, match="modalities is empty"):
        Request(())
    with pytest.raises(BadInput, match=r"margin is 2\.0"):
        Request(("lidar",), margin=2.0)
    with pytest.raises(BadInput, match=r"seconds is -1\.0"):
        Budget(seconds=-1.0)


@pytest.mark.parametrize(
    ("before", "after", "sure"),
    [
        ("1000", "1111", True),  # three gained, none lost: 3 > 1.64 sqrt(3)
        ("1100", "1111", False),  # two more right answers may be luck
        ("11110000", "11011111", False),  # four gained, one lost: 3 < 1.64 sqrt(5)
        ("11", "11", False),
        ("1111", "0000", False),
    ],
)
def test_a_gain_counts_when_it_is_more_than_chance(before, after, sure):
    assert beyond_chance(*([mark == "1" for mark in row] for row in (before, after))) is sure
