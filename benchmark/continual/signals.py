# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Data of the benchmark: rendered moments as tensors with questions, and features from frozen tokenizers and backbone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from mmllm_ros.datatypes import Signal
from mmllm_ros.encoders.universal.backbone import Backbone
from mmllm_ros.encoders.universal.encoder import LAYOUTS, UniversalEncoder
from mmllm_ros.encoders.universal.tokenizers import make_tokenizer
from mmllm_ros.io.atomic_write import atomic_file
from mmllm_ros.simulator.questions.signal_questions import wordings
from mmllm_ros.simulator.signal_moment import FOV, render_moment
from mmllm_ros.training.continual.answering import Asked
from mmllm_ros.training.loop import Schedule, fast, fit

KINDS = ("image", "video", "points", "depth", "audio", "imu")
FIRST = 400_000
"""Number of the first scene of each split; the splits' scenes are different."""
SHARD = 50
FULL_TURN = 2 * np.pi
VIEWS = {kind: (0.0, FOV if kind in ("image", "video", "depth") else FULL_TURN) for kind in KINDS}
"""Bearing and field of view of each sensor [rad]."""


@dataclass(frozen=True)
class Modality:
    """Features float16 [n, N, W] of all moments, training first; `views` [n, 2]; the questions and which rows are for what."""

    features: Tensor
    views: Tensor
    asked: list[Asked]
    train: list[int]
    test: list[int]

    def at(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Features and views of the moments that the questions `rows` are about."""
        samples = torch.tensor([self.asked[row].sample for row in rows])
        return self.features[samples].float(), self.views[samples]


def render(split: str, count: int, folder: Path) -> list[Path]:
    """Write the first `count` moments of `split` into files of SHARD moments; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{split}-{start:05d}.safetensors" for start in range(0, count, SHARD)]
    for number, path in track(list(enumerate(paths)), f"render {split}"):
        if path.is_file():
            continue
        kept: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
        asked = []
        for index in range(number * SHARD, (number + 1) * SHARD):
            moment = render_moment(split, FIRST + index)
            for kind in KINDS:
                kept[kind].append(LAYOUTS[kind].to_tensor(Signal(kind, 0, kind, moment.signals[kind])).half())
            for question in moment.questions:
                if question.template_type in KINDS:
                    text = wordings()[question.program]["known"][0]
                    asked.append((index - number * SHARD, text, question.answer, question.program, question.template_type))
        path.with_suffix(".json").write_text(json.dumps(asked))
        with atomic_file(path) as part:
            save_file({kind: torch.stack(tensors) for kind, tensors in kept.items()}, part)
    return paths


def read_asked(shards: Sequence[Path], kind: str) -> list[Asked]:
    """The questions about one kind of signal in all shards, with moments numbered through."""
    asked = []
    for number, path in enumerate(shards):
        rows = json.loads(path.with_suffix(".json").read_text())
        asked += [Asked(number * SHARD + row[0], *row[1:4]) for row in rows if row[4] == kind]
    return asked


def read_tensors(shards: Sequence[Path], kind: str) -> Tensor:
    """The tensors of one kind of signal in all shards, float16 [n, ...]."""
    return torch.cat([load_file(path)[kind] for path in shards])


class Reader(nn.Module):
    """Answers the kinds of question about one modality from the mean and maximum of its features: trains a tokenizer alone."""

    def __init__(self, embed: nn.Module, backbone: Backbone, asked: Sequence[Asked]) -> None:
        super().__init__()
        self.embed = embed
        self._frozen = [backbone]
        self.answers = {kind: sorted({one.answer for one in asked if one.kind == kind}) for kind in {one.kind for one in asked}}
        self.heads = nn.ModuleDict({kind: nn.Linear(2 * backbone.width, len(a)) for kind, a in sorted(self.answers.items())})

    def features(self, tensors: Tensor) -> Tensor:
        return self._frozen[0](self.embed(tensors))

    def loss(self, tensors: Tensor, asked: Sequence[Sequence[Asked]]) -> tuple[Tensor, dict[str, float]]:
        """The mean loss of the questions `asked[i]` about `tensors[i]`."""
        features = self.features(tensors)
        pooled = torch.cat([features.mean(1), features.amax(1)], dim=-1)
        losses, right = [], []
        for vector, questions in zip(pooled, asked, strict=True):
            for one in questions:
                logits, wanted = self.heads[one.kind](vector), self.answers[one.kind].index(one.answer)
                losses.append(functional.cross_entropy(logits, torch.tensor(wanted)))
                right.append(float(logits.argmax() == wanted))
        return torch.stack(losses).mean(), {"right": float(np.mean(right))}


def train_reader(reader: Reader, tensors: Tensor, asked: Sequence[Asked], steps: int, name: str, folder: Path) -> None:
    """Train the parameters of `reader` that require a gradient on the questions about `tensors`."""
    by_sample: dict[int, list[Asked]] = {}
    for one in asked:
        by_sample.setdefault(one.sample, []).append(one)
    samples = sorted(by_sample)

    def loss(rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        chosen = rng.choice(samples, min(32, len(samples)), replace=False).tolist()
        return reader.loss(tensors[chosen].float(), [by_sample[sample] for sample in chosen])

    fit(name, reader, loss, Schedule(steps, 1e-3, warmup=min(20, steps)), folder, 0)


def pretrained_backbone(shards: Sequence[Path], steps: int, folder: Path) -> Backbone:
    """The backbone trained on the questions about images and then frozen; kept in `folder`."""
    place = folder / "backbone"
    if not (place / "config.json").is_file():
        torch.manual_seed(0)
        backbone = Backbone.untrained()
        reader = Reader(nn.Identity(), backbone, read_asked(shards, "image"))
        reader.backbone = backbone.requires_grad_(True)
        reader.features = lambda tensors: backbone(backbone.embed_image(tensors))
        train_reader(reader, read_tensors(shards, "image"), read_asked(shards, "image"), steps, "backbone", folder)
        backbone.requires_grad_(False).save(place)
    return Backbone.load(place)


@torch.no_grad()
def _features(reader: Reader, shards: Sequence[Path], kind: str) -> Tensor:
    found = []
    for path in shards:
        with fast(torch.device("cpu")):
            found.append(reader.features(load_file(path)[kind].float()).half())
    return torch.cat(found)


def read_modality(
    kind: str, encoder: UniversalEncoder, train: Sequence[Path], test: Sequence[Path], steps: int, folder: Path
) -> Modality:
    """The questions about `kind`, and its features: those of `encoder`'s frozen backbone, behind a tokenizer that is trained on
    this modality alone."""
    asked = read_asked(train, kind)
    path = folder / f"features-{kind}.safetensors"
    if not path.is_file():
        torch.manual_seed(1)
        backbone = encoder.backbone
        if kind == "image":
            reader = Reader(nn.Identity(), backbone, asked)
            reader.features = lambda tensors: backbone(backbone.embed_image(tensors))
        else:
            reader = Reader(make_tokenizer(LAYOUTS[kind], backbone.width), backbone, asked)
            train_reader(reader, read_tensors(train, kind), asked, steps, f"tokenizer-{kind}", folder)
        with atomic_file(path) as part:
            save_file({"features": torch.cat([_features(reader, train, kind), _features(reader, test, kind)])}, part)
    features = load_file(path)["features"]
    later = [Asked(one.sample + SHARD * len(train), one.question, one.answer, one.kind) for one in read_asked(test, kind)]
    rows = list(range(len(asked))), list(range(len(asked), len(asked) + len(later)))
    views = torch.tensor([VIEWS[kind]]).expand(len(features), 2)
    return Modality(features, views, [*asked, *later], *rows)
