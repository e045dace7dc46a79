# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training: targets match the scene, text reaches the LLM through the attention adapter, a resumed run is exact."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scenes
import torch
from teacher_forcing import answer_loss, lay_out
from torch import nn
from torch.nn import functional

from mmllm_ros.datatypes import BadInput, LidarScan
from mmllm_ros.encoders import CameraEncoder, ImuEncoder, LidarEncoder
from mmllm_ros.encoders.birds_eye import REACH, SIDE, SLICES, birds_eye
from mmllm_ros.encoders.motion_detection import gone_through
from mmllm_ros.encoders.proposals import CLASSES
from mmllm_ros.encoders.scan_matching import Sweeps, move, move_back
from mmllm_ros.latent.attention_adapter import Latent
from mmllm_ros.latent.checkpoint import load_llm
from mmllm_ros.latent.prompt import Prompt
from mmllm_ros.latent.split_forward import lower_states, upper
from mmllm_ros.metrics.score_calibration import best_temperature
from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.questions.programs import object_sets, parse
from mmllm_ros.simulator.questions.programs import text as program_text
from mmllm_ros.simulator.questions.question_maker import ask, vocabulary
from mmllm_ros.simulator.questions.scene_graph import SceneGraph
from mmllm_ros.simulator.questions.text_description import TEXT_SENSORS
from mmllm_ros.simulator.truth import SceneTruth
from mmllm_ros.training import text, text_scenes
from mmllm_ros.training.encoders import mirrored
from mmllm_ros.training.loop import Schedule, _optimizers, fit
from mmllm_ros.training.muon import orthogonal
from mmllm_ros.training.render import render
from mmllm_ros.training.settings import TrainSettings, read_settings
from mmllm_ros.training.shards import Shards
from mmllm_ros.training.synthetic_scenes import synthetic_scene
from mmllm_ros.training.synthetic_sensors import TOKEN_WIDTH, Facts, synthetic_tokens
from mmllm_ros.training.targets import camera_targets, lidar_targets
from mmllm_ros.training.train import _train_llm, connected, interpolate_weights
from mmllm_ros.training.warm_start import warm_started

RIG = load_rig("nuscenes")
SHAPE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8,
}  # fmt: skip


def visible_to(camera: str, category: str, x: float, y: float):
    return scenes.thing(category, x, y, pixels={camera: 50}, clear_pixels={camera: 50})


def test_a_car_straight_ahead_is_in_the_middle_of_the_front_view_and_its_range_is_the_camera_s():
    encoder = CameraEncoder(RIG, width=32, depth=1, heads=2)
    mount = RIG.camera("front")
    targets = camera_targets(scenes.scene(visible_to("front", "car", 11.7, -0.1)), mount, encoder.rows, encoder.columns, 0.5)
    row, column = divmod(int(targets.cell[targets.centre][0]), encoder.columns)
    # Twenty columns: the axis lies between the tenth and the eleventh; right of it is the eleventh.
    assert (row, column) == (encoder.rows // 2, 10) and CLASSES[targets.kind[0]] == "car"
    assert math.exp(targets.place[0, 1]) == pytest.approx(10.0, abs=0.01)


def test_the_cell_of_a_target_looks_at_it():
    encoder = CameraEncoder(RIG, width=32, depth=1, heads=2)
    mount = RIG.camera("back_left")
    batch = torch.tensor([[mount.bearing, mount.fov, mount.pitch, *mount.position]])
    bearings = encoder.rays(batch)[0][0]
    angle, distance = mount.bearing - 0.4, 15.0
    x, y = mount.position[0] + distance * math.cos(angle), mount.position[1] + distance * math.sin(angle)
    targets = camera_targets(scenes.scene(visible_to("back_left", "bus", x, y)), mount, encoder.rows, encoder.columns, 0.5)
    assert bearings[targets.cell].numpy() + targets.place[:, 0] == pytest.approx(angle, abs=1e-5)
    assert targets.centre.sum() == 1 and len(targets.cell) > 1


def turned(angle: float, side: float = 1.0) -> np.ndarray:
    """A view that turns by `angle` [rad], after exchanging left and right where `side` is -1."""
    return np.array([[math.cos(angle), -math.sin(angle) * side], [math.sin(angle), math.cos(angle) * side]])


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_cells_of_a_lidar_target_lead_to_it_from_any_view(side):
    encoder = LidarEncoder(RIG, width=16)
    forward, left = (part.numpy() for part in encoder.middles(torch.device("cpu")))
    for angle in np.linspace(-3.1, 3.1, 17):
        targets = lidar_targets(scenes.scene(scenes.thing("truck", 12.0, 5.0)), encoder.side, turned(angle, side))
        led = np.stack([forward, left], 1)[targets.cell] + targets.place
        np.testing.assert_allclose(led, np.tile(turned(angle, side) @ [12.0, 5.0], (9, 1)), atol=1e-5)
        assert targets.centre.sum() == 1 and np.abs(targets.place[targets.centre]).max() <= 0.5


def test_the_middle_of_an_object_keeps_its_cell_beside_another_one():
    encoder = LidarEncoder(RIG, width=16)
    truth = scenes.scene(scenes.thing("pedestrian", 8.4, 0.4), scenes.thing("bicycle", 9.6, 0.4))
    targets = lidar_targets(truth, encoder.side, np.eye(2))
    assert sorted(CLASSES[kind] for kind in targets.kind[targets.centre]) == ["bicycle", "pedestrian"]
    assert len(set(targets.cell)) == len(targets.cell)


def test_a_view_turns_the_map_as_it_turns_the_targets():
    torch.manual_seed(0)
    encoder = LidarEncoder(RIG, width=16).eval()
    points = np.array([[10.0 + 0.1 * i, 4.0, 0.1 * j - 1.0, 0.5] for i in range(12) for j in range(9)], np.float32)
    batch = {key: value[None] for key, value in encoder.prepare(LidarScan(0, "lidar", points), None).items()}

    def middle_of_mass(view: np.ndarray) -> np.ndarray:
        motion = torch.zeros(1, 2)
        now = Sweeps.of(batch["now"], batch["mount"])
        seen = torch.from_numpy(view).float()[None]
        counted = birds_eye(now, now, motion, batch["now"][:, 2].float(), batch["mount"], seen)[0, 1:SLICES].sum(0)
        cells = torch.linspace(-REACH, REACH, 2 * SIDE + 1)[1::2]
        return np.array([(counted.sum(1) @ cells / counted.sum()).item(), (counted.sum(0) @ cells / counted.sum()).item()])

    straight = middle_of_mass(np.eye(2))
    assert straight == pytest.approx([10.55, 4.0], abs=0.2)
    for view in (turned(2.0), turned(-0.7, -1.0)):
        assert middle_of_mass(view) == pytest.approx(view @ straight, abs=0.2)


def sweeps_of(encoder: LidarEncoder, *walls: list[tuple[float, float]]) -> list[Sweeps]:
    """Sweeps of walls that stand at points of the ground, each as high as the lidar sees."""
    heights = np.linspace(-1.2, 0.2, 12)
    points = (np.array([(x, y, z, 0.5) for x, y in wall for z in heights], np.float32) for wall in walls)
    scans = [LidarScan(0, "lidar", one) for one in points]
    return [Sweeps.of(*(encoder.prepare(scan, None)[key][None] for key in ("now", "mount"))) for scan in scans]


def test_the_map_shows_where_something_came_and_where_it_went_and_nothing_of_what_stayed():
    encoder = LidarEncoder(RIG, width=16).eval()
    wall = [(8.0, y) for y in np.linspace(5.0, 9.0, 40)]
    now, before = sweeps_of(encoder, *([*wall, (x, -4.0)] for x in (12.0, 9.0)))
    mount = encoder.prepare(LidarScan(0, "lidar", np.zeros((0, 4), np.float32)), None)["mount"][None]
    ground = birds_eye(now, before, torch.zeros(1, 2), torch.zeros(1, *encoder.size), mount)
    for moved, x in zip(ground[0, -4:], (12.0, 9.0) * 2, strict=True):
        row, column = (moved == moved.max()).nonzero().float().mean(0).add(0.5).mul(0.5).sub(REACH).tolist()
        assert moved.max() > 0.5 and (row, column) == pytest.approx((x + RIG.lidar.position[0], -4.0), abs=0.5)
        assert moved[:, SIDE // 2 :].max() == 0


@pytest.mark.parametrize(
    ("there", "gone"),
    [
        ([(20.0, y) for y in np.linspace(-6.0, 6.0, 400)], True),
        ([(9.0, y) for y in np.linspace(-6.0, 6.0, 400)], False),
        ([(12.0, y) for y in np.linspace(-6.0, 6.0, 400)], False),
        ([(-9.0, 0.0)], True),
    ],
    ids=["a beam came farther", "blocked before", "still there", "nothing was met"],
)
def test_a_return_moved_if_a_beam_of_the_other_sweep_went_through_its_place(there, gone):
    encoder = LidarEncoder(RIG, width=16)
    now, other = sweeps_of(encoder, [(12.0, y) for y in np.linspace(-1.0, 1.0, 60)], there)
    found = gone_through(*now.ground_plane(), now.z, other, torch.ones_like(other.reach, dtype=torch.bool))
    assert (found[now.reach > 0].mean() > 0.9) if gone else not found[now.reach > 0].any()


def test_a_point_moved_on_and_back_is_where_it_was():
    points = torch.randn(2, 3, 4) * 10
    motion = torch.tensor([[3.0, 0.2], [1.0, -0.3], [0.0, 0.0]]).T[:, :, None]
    torch.testing.assert_close(torch.stack(move_back(*move(*points, *motion), *motion)), points)


def test_mirrored_targets_are_the_targets_of_the_mirrored_scene():
    encoder = CameraEncoder(RIG, width=32, depth=1, heads=2)
    left, right = (
        camera_targets(
            scenes.scene(visible_to("front", "car", 12.0, side * 2.0)), RIG.camera("front"), encoder.rows, encoder.columns, 0.5
        )
        for side in (1, -1)
    )
    flipped = mirrored(left, encoder.columns)
    assert dict(zip(flipped.cell, flipped.place[:, 0], strict=True)) == pytest.approx(
        dict(zip(right.cell, right.place[:, 0], strict=True)), abs=1e-6
    )


def test_a_shard_that_cannot_be_rendered_ends_the_rendering_with_its_error(tmp_path):
    with pytest.raises(BadInput, match="no_such_rig"):
        render(tmp_path, 1, "no_such_rig")


def test_frames_that_train_have_one_half_a_second_before_them(tmp_path):
    for shard, previous in enumerate(([0, 0, 1], [0, 1, 1])):
        folder = tmp_path / f"{shard:05d}"
        folder.mkdir()
        np.save(folder / "previous.npy", np.array(previous))
        np.save(folder / "lidar.npy", np.arange(3.0)[:, None] + 10 * shard)
        truths = [dataclasses.replace(scenes.scene(), stamp=10 * shard + row) for row in range(3)]
        (folder / "truth.jsonl").write_text("".join(json.dumps(truth.to_json()) + "\n" for truth in truths))
    shards = Shards(sorted(tmp_path.iterdir()), RIG)
    assert [truth.stamp for truth in shards.truths] == [1, 2, 12] and len(shards) == 3
    batch = shards.lidar(np.array([2, 0, 1]), np.array([False, False, True]))
    assert batch["now"].flatten().tolist() == [12.0, 1.0, 2.0] and batch["before"].flatten().tolist() == [11.0, 0.0, 2.0]
    assert batch["gap"].tolist() == [0.5, 0.5, 0.0]
    with torch.device("meta"):
        drawn = [*shards.lidar(np.array([0]), np.array([False])).values(), text.draw_visible(np.random.default_rng(0), 3)]
        drawn += synthetic_tokens(Facts.of([scenes.scene()] * 2, RIG), np.random.default_rng(0))
    assert all(part.is_meta for part in drawn), "a step on a GPU draws its tensors there"


def write(truth: SceneTruth, prompt: Prompt, rng: np.random.Generator) -> text_scenes.TextScene:
    return text_scenes.write_scene(truth, RIG, prompt, ask(truth, RIG, rng, 6), rng)


@pytest.fixture(scope="module")
def written() -> tuple[Prompt, list[text_scenes.TextScene]]:
    prompt = Prompt(text.make_tokenizer("{question}"), "{question}")
    rng = np.random.default_rng(0)
    drawn = (write(synthetic_scene(rng, RIG, 14), prompt, rng) for _ in range(40))
    return prompt, [scene for scene in drawn if scene.statements and scene.questions][:8]


def test_the_tokenizer_has_every_word_of_the_language_in_any_case():
    tokenizer = text.make_tokenizer("{question}")
    assert tokenizer.unk_token_id not in tokenizer(" ".join(vocabulary()).upper())["input_ids"]
    assert tokenizer.unk_token_id in tokenizer("are there any zebras ?")["input_ids"]


def visibility(scenes: list[text_scenes.TextScene], all_of_them: bool) -> torch.Tensor:
    return torch.full((sum(len(scene.questions) for scene in scenes), len(TEXT_SENSORS)), all_of_them)


def test_a_question_without_visible_sensors_is_answered_as_without_a_scene(written):
    prompt, some = written
    torch.manual_seed(0)
    llm = text.make_llm(prompt.tokenizer, SHAPE).eval()
    _, parts = text.text_loss(llm, some, visibility(some, False), 2, prompt.tokenizer.pad_token_id)
    asked = lay_out([question for scene in some for question in scene.questions], prompt.tokenizer.pad_token_id)
    bare = upper(llm, lower_states(llm, asked.ids, first_block=2), {}, first_block=2, positions=asked.places)
    assert parts["answers"] == pytest.approx(answer_loss(bare, asked.targets)[0].item(), rel=1e-5) and parts["attention"] == 0


def test_statements_of_a_sensor_reach_only_the_questions_where_it_is_visible(written):
    prompt, some = written
    torch.manual_seed(0)
    llm = text.make_llm(prompt.tokenizer, SHAPE).eval()
    camera = torch.tensor([sensor == "camera" for sensor in TEXT_SENSORS]).expand_as(visibility(some, True))
    camera_only = [
        text_scenes.TextScene(
            *zip(
                *(one for one in zip(s.statements, s.names, s.sensors, s.things, strict=True) if TEXT_SENSORS[one[2]] == "camera")
            ),
            s.questions,
            s.target_sets,
        )
        for s in some
    ]
    values = [text.text_loss(llm, s, camera, 1, prompt.tokenizer.pad_token_id)[1]["answers"] for s in (some, camera_only)]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_the_order_of_statements_does_not_matter(written):
    prompt, some = written
    torch.manual_seed(0)
    llm = text.make_llm(prompt.tokenizer, SHAPE).eval()
    backwards = [
        dataclasses.replace(s, statements=s.statements[::-1], names=s.names[::-1], sensors=s.sensors[::-1], things=s.things[::-1])
        for s in some
    ]
    values = [text.text_loss(llm, s, visibility(s, True), 1, prompt.tokenizer.pad_token_id)[0] for s in (some, backwards)]
    torch.testing.assert_close(*values)


def test_two_statements_about_one_thing_share_its_weight():
    scene = text_scenes.TextScene([[1], [2], [3]], [], [0, 2, 0], [7, 7, None], [([1], [2])] * 3, [])
    visible = torch.tensor([[True, True, True], [True, True, False], [False, True, False]])
    gates = text_scenes.statement_gates([scene], visible)
    # Camera and lidar describe thing 7: weight 0.5 each where both are visible.
    assert gates.exp().tolist() == [pytest.approx([0.5, 0.5, 1]), pytest.approx([1, 0, 1]), [0, 0, 0]]


def test_attention_is_supervised_towards_the_reference_and_then_what_is_counted():
    truth = scenes.scene(scenes.thing("bus", 10.0, 0.0), scenes.thing("car", 20.0, 0.0), scenes.thing("car", -9.0, 0.0))
    program = parse("count(pick(any, car, toward(front, the(pick(any, bus)))))")
    assert object_sets(program, SceneGraph(truth, RIG)) == ([0b001], [0b010])
    same = parse("same(the(pick(any, bus)), the(pick(any, car, toward(back, me()))))")
    assert object_sets(same, SceneGraph(truth, RIG)) == ([], [0b001, 0b100])


@pytest.mark.parametrize("readable", ["moving()", "is(light(), red)", "distance(nearest(pick(any, construction vehicle)))"])
def test_a_program_is_read_back_from_its_text(readable):
    assert program_text(parse(readable)) == readable


def test_the_attention_loss_of_a_head_that_attends_to_its_targets_is_their_entropy(written):
    prompt, some = written
    llm = text.make_llm(prompt.tokenizer, SHAPE)
    wanted = text_scenes.attention_targets(some)
    keys = torch.zeros(len(some), 2, wanted.shape[-1], 8)
    gates = torch.where(wanted[:: len(some[0].questions)][: len(some), 2], 0.0, -40.0)
    latents = {2: Latent(keys, keys, gates)}
    rows = gates.exp().sum(-1) > 0.5
    asked = {2: torch.zeros(len(some), 4, 3, 8)}
    target_sets = torch.zeros(len(some), 2 * text_scenes.TARGET_SETS, wanted.shape[-1], dtype=torch.bool)
    target_sets[:, 2] = (gates > -1) & rows[:, None]
    loss = text.attention_supervision_loss(llm, asked, latents, target_sets, torch.zeros(len(some), dtype=torch.long))
    entropy = target_sets[:, 2].sum(-1).clamp(min=1).float().log().sum()
    torch.testing.assert_close(loss, entropy)


def test_a_gradient_of_the_answers_reaches_the_statements(written):
    prompt, some = written
    torch.manual_seed(0)
    llm = text.make_llm(prompt.tokenizer, SHAPE)
    value, _ = text.text_loss(llm, some, visibility(some, True), 2, prompt.tokenizer.pad_token_id)
    value.backward()
    # Block 2 is the first linked one: the gradient through the statements reaches its value projection.
    assert llm.model.layers[2].self_attn.v_proj.weight.grad.abs().sum() > 0


def test_near_places_start_near_each_other_and_the_two_sides_apart():
    tokenizer = text.make_tokenizer("{question}")
    torch.manual_seed(0)
    table = text.make_llm(tokenizer, SHAPE).get_input_embeddings().weight
    words = tokenizer.get_vocab()

    def alike(one: str, other: str) -> float:
        return functional.cosine_similarity(table[words[one]], table[words[other]], dim=0).item()

    assert alike("ahead20", "ahead21") > 0.8 > alike("ahead20", "behind20")
    assert alike("ahead0", "behind0") == pytest.approx(1.0)
    assert abs(alike("ahead20", "left20")) < 0.5


def regression(seed: int) -> tuple[nn.Module, callable]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 1))

    def loss(rng):
        inputs = torch.from_numpy(rng.normal(size=(16, 4)).astype(np.float32))
        value = (module(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        return value, {"twice": 2 * value.item()}

    return module, loss


@pytest.mark.parametrize("matrix_rate", [0.0, 1e-2])
def test_an_interrupted_and_resumed_training_gives_the_same_weights_bit_for_bit(tmp_path, matrix_rate):
    schedule = Schedule(12, 1e-2, warmup=3, checkpoint_every=4, matrix_rate=matrix_rate)
    whole, loss = regression(0)
    fit("whole", whole, loss, schedule, tmp_path, seed=5)
    cut, loss = regression(0)

    class Cut(Exception):
        pass

    calls = iter(range(100))

    def cut_loss(rng):
        if next(calls) == 9:
            raise Cut
        return loss(rng)

    with pytest.raises(Cut):
        fit("cut", cut, cut_loss, schedule, tmp_path, seed=5)
    resumed, loss = regression(1)
    fit("cut", resumed, loss, schedule, tmp_path, seed=5)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert (tmp_path / "cut.png").stat().st_size > 1000
    assert (tmp_path / "cut.csv").read_text() == (tmp_path / "whole.csv").read_text()


@pytest.mark.parametrize("shape", [(4, 6, 6), (1, 8, 5), (2, 5, 8)])
def test_muon_moves_a_matrix_by_about_the_same_in_every_direction(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert values.min() > 0.5 and values.max() < 1.3


def test_muon_leaves_embeddings_and_vectors_to_adamw():
    module = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.Conv2d(2, 3, 3))
    adamw, muon = _optimizers(module, dict(module.named_parameters()), Schedule(1, 1e-3, matrix_rate=1e-2))
    assert [tuple(v.shape) for group in muon.param_groups for v in group["params"]] == [(3, 4), (3, 2, 3, 3)]
    assert [tuple(v.shape) for group in adamw.param_groups for v in group["params"]] == [(5, 4), (3,), (3,)]


def test_a_loss_that_is_not_a_number_stops_the_training_and_names_the_checkpoint(tmp_path):
    module, _ = regression(0)
    with pytest.raises(FloatingPointError, match="nan at step 0"):
        fit("bad", module, lambda rng: (module(torch.full((1, 4), math.nan)).sum(), {}), Schedule(3, 1e-2), tmp_path, seed=0)


def test_the_best_temperature_undoes_overconfidence():
    # Three of four answers right at odds e^4: calibrated odds are 3, so T = 4 / ln 3.
    logits = torch.tensor([[4.0, 0.0]] * 4, dtype=torch.float64)
    assert best_temperature(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(4 / math.log(3), rel=1e-3)


@pytest.mark.parametrize("name", ["drive_tiny", "two_cores"])
def test_a_training_configuration_of_the_package_reads(name):
    settings = read_settings(Path(__file__).parents[2] / "config" / "train" / f"{name}.yaml")
    assert settings.name == name and settings.schedules["connectors"].steps > 0


def test_an_llm_continues_from_its_start(tmp_path):
    prompt = Prompt(text.make_tokenizer("{question}"), "{question}")
    text.save_llm(text.make_llm(prompt.tokenizer, SHAPE), prompt, tmp_path / "first")
    settings = TrainSettings(
        name="on", rig="nuscenes", seed=1, prompt="{question}", frames=0, calibration_scenes=0,
        llm={"start": str(tmp_path / "first")}, connector={},
        schedules={"world": Schedule(1, 1e-2)}, batches={"world": (1, 2, 3)},
    )  # fmt: skip
    _train_llm(settings, SimpleNamespace(truths=[], rig=RIG), tmp_path / "work", tmp_path / "second", torch.device("cpu"))
    first, second = (load_llm(tmp_path / name, torch.device("cpu"))[0].state_dict() for name in ("first", "second"))
    apart = max((first[key] - second[key]).abs().max().item() for key in first)
    assert 0 < apart < 0.02


def test_weights_are_interpolated_towards_their_start_and_closed_gates_stay_closed():
    module = torch.nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, -torch.inf]]))
        start = {name: value.clone() for name, value in module.state_dict().items()}
        module.weight[0, 0] = 2.0
    interpolate_weights(module, start, 0.25)
    assert module.weight.tolist() == [[1.75, -torch.inf]] and torch.equal(module.bias, start["bias"])


def test_connectors_continue_from_those_of_their_start(tmp_path):
    prompt = Prompt(text.make_tokenizer("{question}"), "{question}")
    text.save_llm(text.make_llm(prompt.tokenizer, SHAPE), prompt, tmp_path / "llm")
    for encoder in (CameraEncoder(RIG, width=32, depth=1, heads=2), LidarEncoder(RIG), ImuEncoder(RIG)):
        encoder.save(tmp_path / "encoders" / encoder.modality)
    settings = TrainSettings(
        name="on", rig="nuscenes", seed=1, prompt="{question}", frames=0, calibration_scenes=0, llm=SHAPE,
        connector={"linked_blocks": 2, "trunk": 16, "rank": 4}, schedules={}, batches={},
    )  # fmt: skip
    first = connected(settings, RIG, tmp_path)
    for parameter in first.connectors.parameters():
        nn.init.normal_(parameter)
    first.modality_agnostic = warm_started(first, first.connectors["camera"], "modality_agnostic", TOKEN_WIDTH)
    first.save(tmp_path / "first")
    on = dataclasses.replace(settings, seed=2, connector={**settings.connector, "start": str(tmp_path / "first")})
    second = connected(on, RIG, tmp_path)
    for before, after in ((first.connectors, second.connectors), (first.modality_agnostic, second.modality_agnostic)):
        state = after.state_dict()
        for key, value in before.state_dict().items():
            torch.testing.assert_close(state[key], value, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("seed:", "sede:"), "sede"),
        (("  connectors: {batch", "  planet: {batch"), "planet"),
        ((" steps: ", " stpes: "), "stpes"),
        (("weight_interpolation: 0.2", "weight_interpolation: 1.5"), "weight_interpolation is 1.5"),
        (("connector: {start: models/drive_tiny, ", "connector: {"), "weight_interpolation is 0.2"),
    ],
)
def test_a_misspelt_entry_of_a_training_configuration_is_named(tmp_path, change, complaint):
    shipped = Path(__file__).parents[2] / "config" / "train" / "drive_tiny.yaml"
    path = tmp_path / "bad.yaml"
    path.write_text(shipped.read_text().replace(*change))
    with pytest.raises(BadInput, match=complaint):
        read_settings(path)
