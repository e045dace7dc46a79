# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled signals of one sensor: a folder with the signals as arrays and the questions about them.

    signals.safetensors   an array for each sample, named by its token; "bearing" and "fov" [rad] of the sensor in its metadata
    questions.json        questions and answers (io/question_files.py); `sample_token` names the sample

A token "scene/number" says that samples belong to one scene; validation holds out whole scenes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from ...datatypes import BadInput, Question, Signal, one_line
from ...encoders.universal.signals import Layout
from ...io.question_files import read_questions, write_questions
from .answering import Asked

SIGNALS, QUESTIONS = "signals.safetensors", "questions.json"
LARGEST_FILE = 1 << 30
MOST = 100_000
"""Samples, and questions."""


@dataclass(frozen=True)
class LabelledSignals:
    """n signals of one modality as the tensors of its layout [n, ...], `views` [n, 2] with the bearing and field of view of the
    sensor [rad], the scene of each, and the questions."""

    tensors: Tensor
    views: Tensor
    scenes: tuple[str, ...]
    asked: tuple[Asked, ...]


def write_labelled_signals(
    folder: Path, arrays: Mapping[str, np.ndarray], questions: Sequence[Question], bearing: float = 0.0, fov: float = 2 * math.pi
) -> None:
    """Write a folder of labelled signals; `arrays` are those of `Signal.data` by sample token."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {token: np.ascontiguousarray(array) for token, array in arrays.items()}
    save_file(whole, folder / SIGNALS, {"bearing": repr(bearing), "fov": repr(fov)})
    write_questions(folder / QUESTIONS, questions, "train")


def read_labelled_signals(folder: Path, modality: str, layout: Layout) -> LabelledSignals:
    """The signals and questions in `folder`. Raises BadInput naming the sample or question at fault."""
    path = folder / SIGNALS
    questions = read_questions(folder / QUESTIONS)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BadInput(f"{path} has {path.stat().st_size} bytes, more than {LARGEST_FILE}")
        with safe_open(path, "np") as file:
            tokens = sorted(file.keys())
            header = file.metadata() or {}
            view = float(header.get("bearing", 0.0)), float(header.get("fov", 2 * math.pi))
            if not (tokens and len(tokens) <= MOST and len(questions) <= MOST):
                raise BadInput(f"{folder} has {len(tokens)} samples and {len(questions)} questions, not 1 to {MOST} of each")
            signals = (Signal(modality, 0, token, file.get_tensor(token), *view) for token in tokens)
            tensors = torch.stack([layout.to_tensor(signal) for signal in signals])
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise BadInput(f"signals {path} cannot be used: {one_line(error)}") from error
    if not all(map(math.isfinite, view)):
        raise BadInput(f"{path} gives bearing {view[0]} and fov {view[1]}, not finite numbers")
    number = {token: index for index, token in enumerate(tokens)}
    asked = []
    for question in questions:
        if question.sample_token not in number:
            raise BadInput(f"{folder / QUESTIONS} asks about sample {question.sample_token!r}, which {path} does not have")
        asked.append(Asked(number[question.sample_token], question.question, question.answer, question.template_type))
    scenes = tuple(token.rpartition("/")[0] or token for token in tokens)
    return LabelledSignals(tensors, torch.tensor([view]).expand(len(tokens), 2).contiguous(), scenes, tuple(asked))
