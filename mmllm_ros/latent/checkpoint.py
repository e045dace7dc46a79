# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model folder: config.json, llm/, connectors.safetensors, encoders/<modality>/. Bad content is refused in one line."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from ..datatypes import BadInput
from ..encoders.base import revision_of
from .port import attach

FORMAT = "mmllm_ros model 1"
LLM_FOLDER = "llm"
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Manifest:
    """What config.json says.

    `llm` is "llm" for the folder beside it, or a hub name; `llm_revision` the weights that the connectors were made for;
    `connectors` the shape of each by modality; `encoder_revisions` whose tokens each connector reads.
    """

    name: str
    llm: str = LLM_FOLDER
    llm_revision: str = ""
    connectors: dict = field(default_factory=dict)
    encoder_revisions: dict = field(default_factory=dict)
    answers: list = field(default_factory=list)
    temperature: float = 1.0
    prompt: str = "question: {question} answer:"
    answer_prefix: str = " "

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read and check `folder`/config.json. Raises BadInput."""
        path = folder / "config.json"
        content = read_json(path)
        if content.get("format") != FORMAT:
            raise BadInput(f"{path} has format {content.get('format')!r}, this version reads {FORMAT!r}")
        content.pop("format")
        kinds = {item.name: type(item.default if item.default is not dataclasses.MISSING else item.default_factory())
                 for item in dataclasses.fields(cls) if item.name != "name"} | {"name": str}  # fmt: skip
        for key, value in content.items():
            if key not in kinds:
                raise BadInput(f"{path} has an entry {key!r} that this version does not know")
            if not isinstance(value, (int, float) if kinds[key] is float else kinds[key]):
                raise BadInput(f"{path}: {key} is {value!r}, not a {kinds[key].__name__}")
        if "name" not in content:
            raise BadInput(f"{path} has no entry 'name'")
        if not 0 < content.get("temperature", 1.0) < float("inf"):
            raise BadInput(f"{path}: temperature is {content['temperature']!r}, not a positive number")
        return cls(**content)

    def write(self, folder: Path) -> None:
        """Write `folder`/config.json."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        (folder / "config.json").write_text(json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> dict:
    """A JSON object of at most one megabyte. Raises BadInput."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(1 << 20))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds no JSON object")
    return content


def one_line(error: Exception) -> str:
    """An error of a library as one line of bounded length."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def load_llm(source: str | Path, device: torch.device, *, download: bool = False) -> tuple[nn.Module, Any, str]:
    """Load a frozen decoder with its tokenizer, attached to the port. Returns (llm, tokenizer, revision).

    `source` is a folder or a hub name; a hub name is looked up in the local cache, and fetched only with `download`.
    On a CPU the weights become float32, on a GPU they keep their own type. Raises BadInput.
    """
    transformers_logging.disable_progress_bar()
    options = {"local_files_only": not download or Path(source).is_dir()}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        llm, info = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=torch.float32 if device.type == "cpu" else "auto",
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except Exception as error:
        raise BadInput(f"LLM {source} cannot be loaded: {one_line(error)}") from error
    if info["missing_keys"]:
        raise BadInput(f"LLM {source} cannot be loaded: its weights lack {sorted(info['missing_keys'])[0]}")
    revision = revision_of(Path(source)) if Path(source).is_dir() else str(getattr(llm.config, "_commit_hash", ""))[:12]
    llm = llm.to(device).eval().requires_grad_(False)
    attach(llm)
    return llm, tokenizer, revision


def save_llm(llm: nn.Module, tokenizer: Any, folder: Path) -> str:
    """Write the decoder as 16-bit safetensors with its tokenizer into `folder`. Returns its revision."""
    transformers_logging.disable_progress_bar()
    state = {key: value.half() if value.dtype == torch.float32 else value for key, value in llm.state_dict().items()}
    llm.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)
    return revision_of(folder)


def load_connectors(connectors: nn.ModuleDict, folder: Path) -> None:
    """Fill `connectors` from `folder`/connectors.safetensors. Raises BadInput: missing, truncated, other shapes."""
    path = folder / "connectors.safetensors"
    try:
        state = {key: value.float() for key, value in load_file(path).items()}
        connectors.load_state_dict(state)
    except Exception as error:
        raise BadInput(f"connector weights {path} cannot be used: {one_line(error)}") from error
    for key, value in state.items():
        if value.isnan().any():
            raise BadInput(f"connector weights {path} cannot be used: {key} holds NaN")


def save_connectors(connectors: nn.ModuleDict, folder: Path) -> None:
    """Write `folder`/connectors.safetensors, 16-bit."""
    state = {key: value.detach().half().contiguous() for key, value in connectors.state_dict().items()}
    save_file(state, folder / "connectors.safetensors")


def check_revisions(manifest: Manifest, folder: Path, llm_revision: str) -> None:
    """Raise BadInput where the LLM or an encoder in `folder` is not the one that the connectors were made for."""
    found = {"llm": (manifest.llm_revision, llm_revision, folder / LLM_FOLDER)}
    for modality, expected in manifest.encoder_revisions.items():
        encoder = folder / "encoders" / modality
        if encoder.is_dir():
            found[modality] = (expected, _encoder_revision(encoder), encoder)
    for expected, actual, path in found.values():
        if expected != actual:
            raise BadInput(f"{path} has revision {actual!r}, but {folder / 'config.json'} was made for {expected!r}")


def _encoder_revision(folder: Path) -> str:
    try:
        return revision_of(folder)
    except OSError as error:
        raise BadInput(f"encoder {folder} cannot be read: {one_line(error)}") from error


def model_revision(folder: Path) -> str:
    """Twelve hexadecimal digits over connectors, tokenizer and config.json, which names the LLM's and encoders' revisions."""
    digest = hashlib.sha256()
    for name in ("config.json", "connectors.safetensors", f"{LLM_FOLDER}/tokenizer.json"):
        if (folder / name).is_file():
            digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]
