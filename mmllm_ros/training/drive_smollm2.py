# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Makes models/drive_smollm2: `python -m mmllm_ros.training.drive_smollm2 --work FOLDER --out FOLDER --minutes 90`.

Renders drives, encodes them with the encoders of drive_tiny, asks questions in template and everyday wordings, computes their
texts with the frozen LLM, trains connectors and LoRA for the given time, calibrates, and writes the model folder. What is in the
work folder already stays; a training that was cut off goes on from its last averaged weights.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ..datasets.simulated import simulated_examples
from ..encoders import load_encoder
from ..io.weights import load_weights
from ..latent.checkpoint import LORA_FILE
from ..latent.prompt import Prompt
from ..metrics.score_calibration import best_temperature
from ..model import Model
from ..resources import EMBEDDED, shared_folder
from ..rig import Rig, load_rig
from ..simulator.questions.everyday_kinds import ask_kinds
from .connectors import TokenTable, encode_all
from .prepared_batches import Answers, Store, draw
from .prepared_questions import Prepared, Texts, prepare, read_prepared, write_prepared
from .prepared_texts import encode_shard, read_shard
from .pretrained import Trained, step_loss, train
from .pretrained_model import ATTEND_LAST, BASE, ENCODERS, PROMPT, fill, save, untrained, warm_start
from .render import ONE_FRAME_EACH, render
from .shards import Shards

RIG = "nuscenes"
FIRST_SCENE = 702_000
"""Scenes that neither the encoders nor the connectors of drive_tiny learned from. One frame of each: a model that saw three
frames of each of 800 scenes answered 82 % right about these, 65 % about others."""
VIEWS = {(0, 1, 2, 3, 4, 5): 0.6, (0,): 0.25, (0, 1, 2): 0.15}
"""Which cameras a step has, and how often: the rig of six, and the rig of one."""
NEW_TEXTS, EACH, NEW_KINDS = 130, 10, 4
"""New texts and questions for each frame of a shard, and how many of these are of the kinds that only everyday language has."""
BATCH = (16, 12)
"""Frames of a step, and questions about each."""
RATES = (3e-3, 2e-3)
"""Learning rates of matrices (Muon) and of the rest (AdamW)."""
SAVE_EVERY = 600.0
CALIBRATION_SCENES = 40


def tokens_of(shards: list[Path], encoders: Path, rig: Rig, work: Path) -> list[dict[str, TokenTable]]:
    """The tokens of each shard."""
    loaded = {modality: load_encoder(encoders / modality, rig, "cpu") for modality in ENCODERS}
    return [encode_all(Shards([shard], rig), loaded, work) for shard in shards]


def ask_all(shards: list[Path], tables: list[dict[str, TokenTable]], rig: Rig, work: Path) -> tuple[list[list[Prepared]], Texts]:
    """The questions about each shard, and all texts."""
    texts, asked = Texts(), []
    for number, (shard, table) in enumerate(zip(shards, tables, strict=True)):
        truths = Shards([shard], rig).truths
        found = prepare(truths, table, rig, list(VIEWS), EACH, texts, NEW_TEXTS, number)
        found += prepare(truths, table, rig, list(VIEWS), NEW_KINDS, texts, NEW_TEXTS // 2, number, kinds=ask_kinds)
        path = work / f"{shard.name}.questions.jsonl"
        if not path.is_file():
            write_prepared(path, found)
        asked.append(read_prepared(path))
    return asked, texts


def encode_all_texts(model: Model, asked: list[list[Prepared]], texts: Texts, work: Path) -> list[Path]:
    """The texts of each shard, as far as an earlier one does not have them."""
    answers, done, files = answers_of(model), set(), []
    for number, questions in enumerate(asked):
        wanted = {(question.text, answers.suffix[question.answer]) for question in questions}
        path = work / f"{number:05d}.texts.safetensors"
        if not path.is_file():
            named = dict(enumerate(texts.all))
            prompt: Prompt = model.prompt
            encode_shard(model.llm, prompt, model.lora.first_block, model.attend_last, named, sorted(wanted - done), path)
        done |= wanted
        files.append(path)
    return files


def answers_of(model: Model) -> Answers:
    """The answer set of `model` as the loss needs it."""
    return Answers(model.answers, [model.prompt.answer_ids(answer) for answer in model.answers])


def fit(model: Model, store: Store, minutes: float, work: Path, seed: int) -> None:
    """Train connectors and LoRA of `model` in place; the averaged weights are kept in `work` from time to time."""
    path, saved = work / "averaged.safetensors", time.time()
    trained, answers = Trained(dict(model.connectors.items()), model.lora), answers_of(model)
    if path.is_file():
        fill(model, load_file(path))

    def watch(step: int, figures: dict[str, float], averaged: dict[str, torch.Tensor]) -> None:
        nonlocal saved
        if step % 10 == 0:
            print(step, " ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)
        if time.time() - saved > SAVE_EVERY:
            save_file({name: value.contiguous() for name, value in averaged.items()}, path)
            saved = time.time()

    def step(rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        rows, attended = draw(store, VIEWS, BATCH, rng)
        loss, parts, _ = step_loss(model.llm, trained, store, answers, rows, attended)
        return loss, parts

    seconds = time.time(), time.time() + 60 * minutes
    fill(model, train(trained, step, seconds, RATES, seed, watch))


def calibrated(model: Model, encoders: Path, seed: int) -> float:
    """Set the temperature of `model` on everyday questions of both rigs, validation scenes, all modalities connected."""
    model.temperature = 1.0
    rows, correct = [], []
    for name in (RIG, "front"):
        rig = load_rig(name)
        loaded = {modality: load_encoder(encoders / modality, rig, "cpu") for modality in ENCODERS}
        for moment in simulated_examples(loaded, rig, "val", CALIBRATION_SCENES, seed, language="everyday"):
            latent_cache = model.latents(moment.tokens)
            for question in moment.questions:
                distribution = model.score(question.question, latent_cache).distribution
                rows.append([distribution[answer] for answer in model.answers])
                correct.append(model.answers.index(question.answer))
    log_probabilities = torch.from_numpy(np.log(np.maximum(rows, 1e-12)))
    model.temperature = best_temperature(log_probabilities, torch.tensor(correct))
    return model.temperature


def main() -> None:
    """Read the options and make the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default=BASE, help="base LLM: a name that `mmllm fetch` knows, or a hub name")
    parser.add_argument("--prompt", default=PROMPT, help="its chat template, with {question}")
    parser.add_argument("--attend-last", type=int, default=ATTEND_LAST, help="last tokens of the prompt that attend to sensors")
    parser.add_argument("--start", type=Path, help="model folder whose connectors and LoRA the training goes on from")
    parser.add_argument("--scenes", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rig, tiny = load_rig(RIG), shared_folder() / "models" / EMBEDDED
    frames = arguments.scenes * ONE_FRAME_EACH[0] * ONE_FRAME_EACH[1]
    shards = render(arguments.work / "frames", frames, RIG, first_scene=FIRST_SCENE, chains=ONE_FRAME_EACH)
    tables = tokens_of(shards, tiny / "encoders", rig, arguments.work)
    asked, texts = ask_all(shards, tables, rig, arguments.work)
    llm = {"base": arguments.base, "prompt": arguments.prompt, "attend_last": arguments.attend_last}
    model = untrained(arguments.out.name, tiny / "encoders", rig, arguments.seed, **llm)
    files = encode_all_texts(model, asked, texts, arguments.work)
    if arguments.start:
        load_weights(model.connectors, arguments.start / "connectors.safetensors", "connector")
        load_weights(model.lora, arguments.start / LORA_FILE, "LoRA")
    else:
        warm_start(model, tiny)
    store, answers = Store.empty(), answers_of(model)
    for table, questions, file in zip(tables, asked, files, strict=True):
        store.ask(store.add(table), read_shard(file), questions, answers)
    fit(model, store, arguments.minutes, arguments.work, arguments.seed)
    print(f"temperature {calibrated(model, tiny / 'encoders', arguments.seed):.3f}")
    save(model, arguments.out, tiny / "encoders")


if __name__ == "__main__":
    main()
