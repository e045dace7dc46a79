# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model folder: config.json, llm/, connectors.safetensors, encoders/<modality>/. Invalid content raises BadInput."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from ..datatypes import BadInput, one_line
from ..device import half_products
from ..io.weights import load_weights, revision_of, save_weights
from ..resources import MODALITY_AGNOSTIC, ROUTER
from .attention_adapter import attach
from .connector import Connector
from .manifest import LLM_FOLDER, Manifest, read_json, require_shape
from .shared_lora import SharedLora

LORA_FILE = "lora.safetensors"
"""The weights of the LoRA that all modalities share, in a model folder that has one."""
UNIVERSAL = "universal"
"""The folder of the universal encoder among the encoders: it serves several modalities."""


def load_llm(source: str | Path, device: torch.device, *, download: bool = False) -> tuple[nn.Module, Any, str]:
    """Load a frozen decoder with its tokenizer and attach the attention adapter. Returns (llm, tokenizer, revision).

    `source` is a folder or a hub name; a hub name is looked up in the local cache and downloaded only with `download`.
    The weights keep the type of their file on a GPU, and bfloat16 on a CPU that has products of it; other types become float32 on
    a CPU. Raises BadInput.
    """
    transformers_logging.disable_progress_bar()
    try:
        llm, tokenizer, missing = _from_pretrained(source, local_files_only=True)
    except BadInput:
        if not download:
            raise
        _require_on_hub(str(source))
        llm, tokenizer, missing = _from_pretrained(source, local_files_only=False)
    if missing:
        raise BadInput(f"LLM {source} cannot be loaded: its weights lack {sorted(missing)[0]}")
    revision = revision_of(Path(source)) if Path(source).is_dir() else str(getattr(llm.config, "_commit_hash", ""))[:12]
    if device.type == "cpu" and not (llm.dtype == torch.bfloat16 and half_products()):
        llm = llm.float()
    llm = llm.to(device).eval().requires_grad_(False)
    attach(llm)
    return llm, tokenizer, revision


def _from_pretrained(source: str | Path, local_files_only: bool) -> tuple[nn.Module, Any, set[str]]:
    options = {"dtype": "auto", "use_safetensors": True, "output_loading_info": True, "local_files_only": local_files_only}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local_files_only)
        llm, info = AutoModelForCausalLM.from_pretrained(source, **options)
    except Exception as error:
        raise BadInput(f"LLM {source} cannot be loaded: {one_line(error)}") from error
    return llm, tokenizer, set(info["missing_keys"])


def _require_on_hub(name: str) -> None:
    """Query the hub once for `name`: without a network the loaders retry for a minute. Raises BadInput."""
    try:
        huggingface_hub.model_info(name, timeout=10)
    except Exception as error:
        raise BadInput(
            f"model {name!r} is not a folder, not in the local Hugging Face cache, and the hub returns: {one_line(error)}"
        ) from error


def save_llm(llm: nn.Module, tokenizer: Any, folder: Path) -> str:
    """Write the decoder as 16-bit safetensors with its tokenizer into `folder`. Returns its revision."""
    transformers_logging.disable_progress_bar()
    halves = {id(value): value.half() if value.dtype == torch.float32 else value for value in llm.parameters()}
    # One 16-bit copy for each parameter, not for each name: tied weights are written once.
    state = {key: halves.get(id(value), value) for key, value in llm.state_dict(keep_vars=True).items()}
    llm.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)
    return revision_of(folder)


def make_connector(modality: str, shape: Mapping[str, int], llm: nn.Module, folder: Path) -> Connector:
    """An untrained connector of the shape that `folder`/config.json gives. Raises BadInput."""
    try:
        return Connector(modality, llm=llm, **shape)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"{folder / 'config.json'} cannot be used: {one_line(error)}") from error


def load_lora(manifest: Manifest, folder: Path, llm: nn.Module) -> SharedLora | None:
    """The LoRA of model folder `folder` where its config.json gives one, attached to `llm`. Raises BadInput."""
    if not manifest.lora:
        return None
    try:
        lora = SharedLora(llm, **manifest.lora)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise BadInput(f"{folder / 'config.json'} cannot be used: {one_line(error)}") from error
    load_weights(lora, folder / LORA_FILE, "LoRA")
    lora = lora.to(llm.device).eval().requires_grad_(False)
    lora.attach_to(llm)
    return lora


def save_modality_agnostic(connector: Connector, folder: Path, llm_revision: str) -> None:
    """Write the modality-agnostic connector of model folder `folder`."""
    place = folder / MODALITY_AGNOSTIC
    place.mkdir(exist_ok=True)
    content = {"llm_revision": llm_revision, "shape": connector.shape}
    (place / "config.json").write_text(json.dumps(content, indent=1) + "\n")
    save_weights(connector, place / "model.safetensors")


def load_modality_agnostic(folder: Path, llm: nn.Module, llm_revision: str | None) -> Connector | None:
    """The modality-agnostic connector of model folder `folder` where there is one, made for that LLM; None = any. Raises
    BadInput."""
    place = folder / MODALITY_AGNOSTIC
    if not place.is_dir():
        return None
    content = read_json(place / "config.json")
    if llm_revision not in (None, content.get("llm_revision")):
        raise BadInput(f"{place} was made for LLM {content.get('llm_revision')!r}, not for {llm_revision!r}")
    require_shape(content.get("shape"), f"{place / 'config.json'} gives")
    connector = make_connector(MODALITY_AGNOSTIC, content["shape"], llm, place)
    load_weights(connector, place / "model.safetensors", "connector")
    return connector.to(llm.device).eval().requires_grad_(False)


def link_parts(source: Path, folder: Path, encoder_revisions: Mapping[str, str]) -> None:
    """Link LLM, modality-agnostic connector and router of model folder `source`, and its encoders of the given revisions, into
    `folder`."""
    parts = [name for name in (LLM_FOLDER, MODALITY_AGNOSTIC, ROUTER) if (source / name).is_dir()]
    for modality, revision in encoder_revisions.items():
        encoder = source / "encoders" / modality
        if encoder.is_dir() and _encoder_revision(encoder) == revision:
            parts.append(f"encoders/{modality}")
    universal = source / "encoders" / UNIVERSAL
    if universal.is_dir() and _encoder_revision(universal) in encoder_revisions.values():
        parts.append(f"encoders/{UNIVERSAL}")
    for part in parts:
        (folder / part).parent.mkdir(exist_ok=True)
        (folder / part).symlink_to((source / part).resolve(), target_is_directory=True)


def check_revisions(manifest: Manifest, folder: Path, llm_revision: str) -> None:
    """Raise BadInput where the LLM or an encoder in `folder` is not the one that the connectors are trained for."""
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
    """Twelve hexadecimal digits over connectors, LoRA, tokenizer, modality-agnostic connector and router, and over config.json,
    which names other revisions."""
    digest = hashlib.sha256()
    parts = [f"{part}/{name}" for part in (MODALITY_AGNOSTIC, ROUTER) for name in ("config.json", "model.safetensors")]
    for name in ("config.json", "connectors.safetensors", LORA_FILE, f"{LLM_FOLDER}/tokenizer.json", *parts):
        if (folder / name).is_file():
            digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]
