# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""config.json of a model folder: LLM, connectors, encoders, answers and prompt. Every entry is checked before use."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..datatypes import BadInput, one_line

FORMAT = "mmllm_ros model 1"
LLM_FOLDER = "llm"
MODALITY = re.compile(r"[a-z][a-z0-9_]{0,63}")
SHAPE = {"token_width", "linked_blocks", "trunk", "rank"}
OPTIONAL = {"lora", "predicted_attributes"}
LORA = {"linked_blocks", "rank", "output_rank"}
LARGEST = 1 << 14


@dataclass(frozen=True)
class Manifest:
    """The content of config.json.

    `llm` is "llm" for the folder beside it, the name of a base model (base_models.py) or a hub name; `llm_revision` names the
    weights that the connectors are trained for; `connectors` are the shapes by modality; `encoder_revisions` name the encoder of
    each connector's tokens. `temperature` calibrates the confidence; `prompt` and `answer_prefix` are those of prompt.py. `lora`
    is the shape of the LoRA that all modalities share (shared_lora.py), empty where there is none; only the last `attend_last`
    tokens of a prompt, and what follows, attend to sensors, 0 = all of them.
    """

    name: str
    llm: str = LLM_FOLDER
    llm_revision: str = ""
    connectors: dict[str, dict[str, int]] = field(default_factory=dict)
    encoder_revisions: dict[str, str] = field(default_factory=dict)
    answers: list[str] = field(default_factory=list)
    temperature: float = 1.0
    prompt: str = "question: {question} answer:"
    answer_prefix: str = " "
    lora: dict[str, int] = field(default_factory=dict)
    attend_last: int = 0

    def __post_init__(self) -> None:
        for key in ("name", "llm", "llm_revision", "prompt", "answer_prefix"):
            _require(isinstance(getattr(self, key), str), f"{key} is {getattr(self, key)!r}, not a text")
        temperature = self.temperature
        number = isinstance(temperature, (int, float)) and math.isfinite(temperature)
        _require(number and temperature > 0, f"temperature is {temperature!r}, not a positive number")
        texts = isinstance(self.answers, list) and all(isinstance(answer, str) for answer in self.answers)
        _require(texts and len(self.answers) <= LARGEST, f"answers is not a list of at most {LARGEST} texts")
        _require(isinstance(self.connectors, dict), f"connectors is {self.connectors!r}, not an object")
        for modality, shape in self.connectors.items():
            _require(bool(MODALITY.fullmatch(modality)), f"connectors names a modality {modality!r}: not a plain lower-case name")
            require_shape(shape, f"connectors gives {modality}")
        shape = self.lora
        right = isinstance(shape, dict) and set(shape) in (set(), LORA)
        right = right and all(type(size) is int and 1 <= size <= LARGEST for size in shape.values())
        _require(right, f"lora is {shape!r}, not {sorted(LORA)} from 1 to {LARGEST}, or nothing")
        last = self.attend_last
        _require(
            type(last) is int and 0 <= last <= LARGEST, f"attend_last is {last!r}, not a number of tokens from 0 to {LARGEST}"
        )
        revisions = self.encoder_revisions
        texts = isinstance(revisions, dict) and all(isinstance(revision, str) for revision in revisions.values())
        _require(texts, f"encoder_revisions is {revisions!r}, not texts by modality")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check `folder`/config.json. Raises BadInput."""
        path = folder / "config.json"
        content = read_json(path)
        if content.pop("format", None) != FORMAT:
            raise BadInput(f"{path} is not of format {FORMAT!r}")
        known = {item.name for item in dataclasses.fields(cls)}
        if content.keys() - known:
            raise BadInput(f"{path} has an entry {sorted(content.keys() - known)[0]!r} that this version does not know")
        try:
            manifest = cls(**content)
            revised, connected = sorted(manifest.encoder_revisions), sorted(manifest.connectors)
            _require(revised == connected, f"encoder_revisions is for {revised}, connectors for {connected}")
            return manifest
        except (BadInput, TypeError) as error:
            raise BadInput(f"{path}: {one_line(error)}") from error

    def write(self, folder: Path) -> None:
        """Write `folder`/config.json."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        (folder / "config.json").write_text(json.dumps(content, indent=1) + "\n")


def require_shape(shape: object, whose: str) -> None:
    """Raise BadInput unless `shape` is that of a connector; `whose` starts the message."""
    right = isinstance(shape, dict) and set(shape) - OPTIONAL == SHAPE
    right = right and all(type(size) is int and 1 <= size <= LARGEST for size in shape.values())
    _require(right, f"{whose} the shape {shape!r}, not {sorted(SHAPE)} from 1 to {LARGEST}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BadInput(message)


def read_json(path: Path) -> dict:
    """A JSON object of at most one megabyte. Raises BadInput."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(1 << 20))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds no JSON object")
    return content
