# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the modality-agnostic connector of a model into a pretrained LLM:
`python -m mmllm_ros.training.pretrained_modality_agnostic --model models/drive_smollm2 --work FOLDER --minutes 25`.

It starts from the connector of the lidar, which reads predicted attributes too, and learns to read what perception stacks report
(simulated_detections.py) and what synthetic sensors give (synthetic_sensors.py). Nothing else of the model trains, so its answers
stay as they are. Scenes are simulated drives with a lidar alone, and drawn scenes with rows and crowds.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..datatypes import BadInput
from ..latent import checkpoint
from ..latent.attention_adapter import queries
from ..latent.connector import Connector, merge
from ..latent.duplicate_suppression import bearing_and_log_range, distance_squared
from ..model import Model
from ..resources import MODALITY_AGNOSTIC
from ..rig import Rig, load_rig
from ..simulator.drive import Drive
from ..simulator.questions.everyday_kinds import ask_kinds
from ..simulator.splits import scene_seed
from ..simulator.truth import SceneTruth
from .connectors import TokenTable
from .prepared_batches import Answers, lay_out
from .prepared_questions import FARTHEST_MATCH, LOOKS, Prepared, Texts, prepare
from .prepared_texts import KeptText, encode_shard, read_shard
from .pretrained import (
    ATTENTION_WEIGHT,
    SUPERVISED,
    TEXT_NOISE,
    answer_logits,
    attention_loss,
    fork_loss,
    noisy,
    train,
)
from .simulated_detections import cropped, crowded_scene, detected_tokens, draw_view
from .synthetic_sensors import TOKEN_WIDTH, Facts, synthetic_tokens
from .warm_start import can_warm_start, warm_started

RIG = "front"
FIRST_SCENE = 760_000
"""Scenes that no other part of the shipped models learned from."""
SETTLE = 3.0
"""Simulated time before the moment of a drive [s]."""
EACH, NEW_KINDS = 12, 4
"""Questions for each scene, and how many more of the kinds that only everyday language has."""
AT_ONCE, NEW_TEXTS = 100, 250
"""Scenes that are asked about together, and how many new texts they may bring."""
UNSEEN = ("ego", "weather", "light")
"""Types of question that no list of objects answers."""
BATCH = (12, 10)
"""Scenes of a step, and questions about each."""
SYNTHETIC = 0.25
"""Share of the steps with synthetic sensors."""
RATES = (2e-3, 1e-3)
"""Learning rates of matrices (Muon) and of the rest (AdamW)."""
SAVE_EVERY = 300.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What a stack with the field of view `view` could see, by rig, and the questions about it. The looks of a question number
    the objects of `truth` instead of tokens."""

    truth: SceneTruth
    view: tuple[float, float]
    rig: Rig
    questions: tuple[Prepared, ...]


def driven(number: int, rig: Rig) -> SceneTruth:
    """A moment of a simulated drive."""
    drive = Drive(scene_seed("train", FIRST_SCENE + number), rig)
    drive.advance(SETTLE)
    return drive.capture().truth


def scenes(drives: int, drawn: int, texts: Texts, new_texts: int, seed: int) -> list[Scene]:
    """Moments of `drives` simulated drives and `drawn` synthetic scenes with questions in at most `new_texts` texts."""
    rig = load_rig(RIG)
    lidar, both = replace(rig, cameras=(), imu=None), replace(load_rig("nuscenes"), imu=None)
    rng = np.random.default_rng([seed, 1])
    truths = [(driven(number, lidar), lidar) for number in range(drives)]
    truths += [(crowded_scene(rng, both), both) for _ in range(drawn)]
    found = []
    for start in range(0, len(truths), AT_ONCE):
        views = [draw_view(rng) for _ in truths[start : start + AT_ONCE]]
        seen = [cropped(truth, view) for (truth, _), view in zip(truths[start:], views)]
        seen_by = truths[start][1]
        asked = _questions(seen, seen_by, texts, min(NEW_TEXTS, new_texts - len(texts.all)), start)
        rows = zip(seen, views, asked, strict=True)
        found += [Scene(truth, view, seen_by, tuple(questions)) for truth, view, questions in rows if questions]
    return found


def _questions(truths: Sequence[SceneTruth], rig: Rig, texts: Texts, new_texts: int, seed: int) -> list[list[Prepared]]:
    """Questions about each scene, in template and everyday wordings."""
    longest = max(1, *(len(truth.objects) for truth in truths))
    places = torch.zeros(len(truths), longest, 3)  # without a range: no object
    for row, truth in enumerate(truths):
        places[row, : len(truth.objects)] = _places(truth)
    tables = {"objects": TokenTable(places, places, torch.zeros(longest, dtype=torch.int64))}
    views = [tuple(range(len(rig.cameras)))]
    asked = prepare(truths, tables, rig, views, EACH, texts, new_texts, seed)
    asked += prepare(truths, tables, rig, views, NEW_KINDS, texts, new_texts // 2, seed, kinds=ask_kinds)
    rows: list[list[Prepared]] = [[] for _ in truths]
    for question in asked:
        if question.kind not in UNSEEN:
            rows[question.frame].append(question)
    return rows


def _places(truth: SceneTruth) -> Tensor:
    """Bearing, elevation 0 and range of each object, [n, 3]."""
    x, y, _ = torch.tensor([item.position for item in truth.objects], dtype=torch.float32).view(-1, 3).T
    return torch.stack([torch.atan2(y, x), torch.zeros_like(x), torch.hypot(x, y).clamp(min=0.5)], dim=-1)


def tokens_of_scenes(chosen: Sequence[Scene], rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Values [F, T, TOKEN_WIDTH], places [F, T, 3] and which tokens are there, bool [F, T], of newly drawn sensors."""
    if rng.random() < SYNTHETIC:
        # The scenes of a step see by rigs of different cameras: each is drawn alone, with the same numbers of tokens.
        torch.manual_seed(int(rng.integers(2**31)))
        sizes = np.random.default_rng(rng.integers(2**31))
        state = sizes.bit_generator.state
        rows = []
        for scene in chosen:
            sizes.bit_generator.state = state
            rows.append(synthetic_tokens(Facts.of([scene.truth], scene.rig), sizes))
        values, places = (torch.cat(part) for part in zip(*rows, strict=True))
        return values, places, torch.ones(values.shape[:2], dtype=torch.bool)
    made = [detected_tokens(scene.truth, scene.view, rng) for scene in chosen]
    longest = max(len(tokens.values) for tokens in made)
    values, places = torch.zeros(len(made), longest, TOKEN_WIDTH), torch.zeros(len(made), longest, 3)
    valid = torch.zeros(len(made), longest, dtype=torch.bool)
    for row, tokens in enumerate(made):
        values[row, : len(tokens.values)] = torch.from_numpy(tokens.values)
        places[row, : len(tokens.values)] = torch.from_numpy(tokens.places)
        valid[row, : len(tokens.values)] = True
    return values, places, valid


def looked_at(questions: Sequence[Prepared], scene: Scene, places: Tensor) -> Tensor:
    """Which of the tokens at `places` [T, 3] show the objects of each look, bool [Q, 2 * LOOKS, T]."""
    wanted = torch.zeros(len(questions), 2 * LOOKS, len(places), dtype=torch.bool)
    if not scene.truth.objects:
        return wanted
    here = tuple(part[:, None] for part in bearing_and_log_range(_places(scene.truth)))
    apart = distance_squared(here, tuple(part[None] for part in bearing_and_log_range(places)))
    nearest, near = apart.argmin(0), (apart.amin(0) <= FARTHEST_MATCH**2) & (places[:, 2] > 0)
    for row, question in enumerate(questions):
        for look, numbers in enumerate(question.looks):
            if numbers:
                wanted[row, look] = near & torch.isin(nearest, torch.tensor(numbers))
    return wanted


def step_loss(
    model: Model,
    connector: Connector,
    chosen: Sequence[Scene],
    texts: dict[str, KeptText],
    answers: Answers,
    rng: np.random.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a step on `chosen` scenes, and its parts."""
    rows = []
    for row, scene in enumerate(chosen):
        picked = rng.choice(len(scene.questions), min(BATCH[1], len(scene.questions)), replace=False)
        rows.append([replace(scene.questions[place], frame=row) for place in picked])
    values, places, valid = tokens_of_scenes(chosen, rng)
    latent_cache = merge({MODALITY_AGNOSTIC: connector(values, places, valid=valid)})
    laid = lay_out(rows, texts, answers, connector.first_block)
    laid.hidden = noisy(laid.hidden, TEXT_NOISE)
    with queries() as asked:
        logits = answer_logits(model.llm, laid, latent_cache, answers, connector.first_block)
    count = sum(map(len, rows))
    answered, right = fork_loss(logits, laid, count)
    wanted = torch.cat([looked_at(row, scene, place) for row, scene, place in zip(rows, chosen, places, strict=True)])
    blocks = [connector.first_block + block for block in SUPERVISED]
    attention = attention_loss(model.llm, asked, latent_cache, wanted, laid.last, blocks) / count
    parts = {"answers": answered.item(), "right": float(right.float().mean()), "attention": attention.item()}
    return answered + ATTENTION_WEIGHT * attention, parts


def encode_all(model: Model, found: Sequence[Scene], texts: Texts, answers: Answers, path: Path) -> dict[str, KeptText]:
    """The states of all texts, kept in `path`."""
    wanted = {(question.text, answers.suffix[question.answer]) for scene in found for question in scene.questions}
    if not path.is_file():
        first = min(connector.first_block for connector in model.connectors.values())
        encode_shard(model.llm, model.prompt, first, model.attend_last, dict(enumerate(texts.all)), sorted(wanted), path)
    return read_shard(path)


def train_connector(model: Model, found: Sequence[Scene], texts: dict[str, KeptText], minutes: float, work: Path, seed: int):
    """Give `model` a modality-agnostic connector, trained for so many minutes. Raises BadInput where the lidar has none to start
    from."""
    source = model.modality_agnostic or dict(model.connectors.items()).get("lidar")
    if not model.attend_last or not can_warm_start(source, TOKEN_WIDTH):
        raise BadInput(f"model {model.name} has no connector of a lidar to start from, or no attend_last")
    connector = warm_started(model, source, MODALITY_AGNOSTIC, TOKEN_WIDTH)
    path, saved = work / "averaged.safetensors", time.time()
    if path.is_file():
        connector.load_state_dict(load_file(path))
    answers = Answers(model.answers, [model.prompt.answer_ids(answer) for answer in model.answers])
    means: dict[str, list[float]] = defaultdict(list)

    def step(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        chosen = [found[index] for index in rng.choice(len(found), BATCH[0], replace=False)]
        return step_loss(model, connector, chosen, texts, answers, rng)

    def watch(number: int, figures: dict[str, float], averaged: dict[str, Tensor]) -> None:
        nonlocal saved
        for name, value in figures.items():
            means[name].append(value)
        if number % 20 == 0:
            print(number, " ".join(f"{name} {np.mean(values):.3f}" for name, values in means.items()), flush=True)
            means.clear()
        if time.time() - saved > SAVE_EVERY:
            save_file({name: value.contiguous() for name, value in averaged.items()}, path)
            saved = time.time()

    model.connectors.requires_grad_(False)
    averaged = train(connector, step, (time.time(), time.time() + 60 * minutes), RATES, seed, watch)
    connector.load_state_dict({**connector.state_dict(), **averaged})
    model.modality_agnostic = connector.eval().requires_grad_(False)


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="model folder to write the connector into, none = --model")
    parser.add_argument("--drives", type=int, default=2500)
    parser.add_argument("--drawn", type=int, default=2500)
    parser.add_argument("--texts", type=int, default=3500)
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    model, texts = Model.load(arguments.model, "cpu"), Texts()
    answers = Answers(model.answers, [model.prompt.answer_ids(answer) for answer in model.answers])
    found = scenes(arguments.drives, arguments.drawn, texts, arguments.texts, arguments.seed)
    print(f"{len(found)} scenes, {sum(len(scene.questions) for scene in found)} questions, {len(texts.all)} texts", flush=True)
    kept = encode_all(model, found, texts, answers, arguments.work / "texts.safetensors")
    train_connector(model, found, kept, arguments.minutes, arguments.work, arguments.seed)
    out = arguments.out or arguments.model
    out.mkdir(parents=True, exist_ok=True)
    checkpoint.save_modality_agnostic(model.modality_agnostic, out, model.llm_revision)


if __name__ == "__main__":
    main()
