# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Data of the benchmark: rendered moments as tensors with questions, and features from frozen tokenizers and backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from mmllm_ros.encoders.universal.backbone import Backbone
from mmllm_ros.encoders.universal.encoder import LAYOUTS, UniversalEncoder
from mmllm_ros.encoders.universal.tokenizers import make_tokenizer
from mmllm_ros.io.atomic_write import atomic_file
from mmllm_ros.simulator.questions.signal_questions import KINDS as QUESTIONS
from mmllm_ros.simulator.questions.signal_questions import wordings
from mmllm_ros.simulator.signal_moment import AHEAD
from mmllm_ros.training.continual.answering import Asked
from mmllm_ros.training.loop import Schedule, fast, fit
from mmllm_ros.training.universal.moments import VIEWS, read_moments
from mmllm_ros.training.universal.targets import TEMPLATES

MODALITIES = ("image", "video", "points", "depth", "audio", "imu")


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


def read_asked(shards: Sequence[Path], kind: str) -> list[Asked]:
    """The questions about one kind of signal in all shards, with moments numbered through. Common answers are asked for less
    often, as the simulator does."""
    rng, asked, start = np.random.default_rng(0), [], 0
    for path in shards:
        answers = read_moments([path], ()).answers
        for number, row in enumerate(answers):
            for name, answer, draw in zip(TEMPLATES, row, rng.random(len(row)), strict=True):
                question = QUESTIONS[name]
                if question.needs[0] == kind and answer is not None and draw < question.rare.get(answer, 1.0):
                    asked.append(Asked(start + number, wordings()[name]["known"][0], answer, name))
        start += len(answers)
    return asked


def read_tensors(shards: Sequence[Path], kind: str) -> Tensor:
    """The tensors of one kind of signal in all shards [n, ...]."""
    moments = read_moments(shards, (kind,))
    return moments.batch(kind, torch.arange(len(moments)))


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
        return reader.loss(tensors[chosen], [by_sample[sample] for sample in chosen])

    fit(name, reader, loss, Schedule(steps, 1e-3, warmup=min(20, steps), matrix_rate=3e-3), folder, 0)


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
        tensors = read_tensors([path], kind)
        with fast(torch.device("cpu")):
            found.append(reader.features(tensors).half())
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
    # The draw of questions begins anew with each reading, so those of training come first.
    everything = read_asked([*train, *test], kind)
    rows = list(range(len(asked))), list(range(len(asked), len(everything)))
    views = torch.tensor([VIEWS[kind in AHEAD]]).expand(len(features), 2)
    return Modality(features, views, everything, *rows)
