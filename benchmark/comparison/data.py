# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Data for training and evaluation of all fusion methods: tokens of the same frames, the same questions in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmllm_ros.datatypes import Question
from mmllm_ros.encoders import load_encoder
from mmllm_ros.latent.base_models import resolve_base
from mmllm_ros.latent.checkpoint import load_llm
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.model import Model
from mmllm_ros.rig import Rig
from mmllm_ros.simulator.questions.question_maker import ask
from mmllm_ros.simulator.truth import SceneTruth
from mmllm_ros.training.connectors import TokenTable, encode_all
from mmllm_ros.training.packing import Packed, Pair, pack
from mmllm_ros.training.render import FRAMES_PER_SHARD, render
from mmllm_ros.training.shards import Shards


@dataclass(frozen=True, slots=True)
class QuestionBatch:
    """Questions about `frames` [F] of the tables, packed; `about[i]` is question i, `scenes[i]` the drive that it is about."""

    frames: Tensor
    packed: list[Packed]
    about: list[Question]
    scenes: list[str]


@dataclass(frozen=True, slots=True)
class ComparisonData:
    """Frames as tokens and truths. The last `held_out` of the frames, of separate drives, are for evaluation only."""

    model: Model
    rig: Rig
    tables: Mapping[str, TokenTable]
    truths: Sequence[SceneTruth]
    held_out: int

    @property
    def widths(self) -> dict[str, int]:
        """Width of a token by modality."""
        return {name: table.values.shape[-1] for name, table in self.tables.items()}

    def tokens(self, frames: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Values and places of `frames` by modality."""
        return {name: (table.values[frames].float(), table.places[frames]) for name, table in self.tables.items()}

    def draw(self, rng: np.random.Generator, frames: int, each: int) -> QuestionBatch:
        """`each` questions about `frames` training frames."""
        return self._ask(rng.integers(len(self.truths) - self.held_out, size=frames), rng, each)

    def training_questions(self, each: int) -> list[Question]:
        """`each` questions about every training frame: what the majority answer is taken from."""
        return self._ask(np.arange(len(self.truths) - self.held_out), np.random.default_rng(1), each).about

    def held_out_questions(self, each: int, at_once: int = 50) -> list[QuestionBatch]:
        """`each` questions about every held-out frame, the same in every call."""
        frames = np.arange(len(self.truths) - self.held_out, len(self.truths))
        rng = np.random.default_rng(0)
        return [self._ask(part, rng, each) for part in np.array_split(frames, max(1, len(frames) // at_once))]

    def _ask(self, frames: np.ndarray, rng: np.random.Generator, each: int) -> QuestionBatch:
        asked = [(row, question) for row, frame in enumerate(frames) for question in ask(self.truths[frame], self.rig, rng, each)]
        packed = pack([self._pair(q) for _, q in asked], [row for row, _ in asked], self._pad, torch.device("cpu"))
        scenes = [self.truths[frames[row]].scene for row, _ in asked]
        return QuestionBatch(torch.from_numpy(frames), packed, [question for _, question in asked], scenes)

    def _pair(self, question: Question) -> Pair:
        return self.model.prompt.question_ids(question.question), self.model.prompt.answer_ids(question.answer)

    @property
    def _pad(self) -> int:
        return self.model.tokenizer.pad_token_id


def load_data(folder: Path, rig: Rig, frames: Path, shards: int, held_out: int, kept: Path) -> ComparisonData:
    """Encode `shards` shards of `frames`, rendering missing ones; the last `held_out` of them are for evaluation."""
    model = Model.load(folder, "cpu")
    if model.lora:
        # The rows start from the frozen LLM alone, which the LoRA of the folder is attached to.
        model.llm = load_llm(resolve_base(Manifest.read(folder).llm), torch.device("cpu"))[0]
    data = Shards(render(frames, shards * FRAMES_PER_SHARD, rig.name), rig)
    encoders = {name: load_encoder(folder / "encoders" / name, rig, "cpu") for name in model.modalities}
    kept.mkdir(parents=True, exist_ok=True)
    return ComparisonData(model, rig, encode_all(data, encoders, kept), data.truths, held_out * len(data) // shards)
