# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Weights on disk as 16-bit safetensors, and the revision that identifies them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ..datatypes import BadInput, one_line


def save_weights(module: nn.Module, path: Path) -> None:
    """Write the state of `module` to `path`, 16-bit."""
    save_file({key: value.detach().half().contiguous() for key, value in module.state_dict().items()}, path)


def load_weights(module: nn.Module, path: Path, kind: str) -> None:
    """Fill `module` from `path`; `kind` is for the error. Raises BadInput for a missing or truncated file, other shapes, and
    NaN."""
    try:
        state = {key: value.float() for key, value in load_file(path).items()}
        invalid = [key for key, value in state.items() if value.isnan().any()]
        if invalid:
            raise ValueError(f"{invalid[0]} holds NaN")
        module.load_state_dict(state)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise BadInput(f"{kind} weights {path} cannot be used: {one_line(error)}") from error


def revision_of(folder: Path) -> str:
    """Twelve hexadecimal digits of the SHA-256 over config.json and every safetensors file in `folder`."""
    digest = hashlib.sha256()
    for path in [folder / "config.json", *sorted(folder.glob("*.safetensors"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
