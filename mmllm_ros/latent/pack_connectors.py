# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The connectors of modality packs: `packs/<modality>/connector/` of a model folder, for one LLM and one revision of the pack."""

from __future__ import annotations

import json
from pathlib import Path

from torch import nn

from ..datatypes import BadInput, one_line
from ..io.weights import load_weights, revision_of, save_weights
from .checkpoint import make_connector
from .connector import Connector
from .manifest import read_json, require_shape

CONNECTOR = "connector"


def save_pack_connector(connector: Connector, pack: Path, llm_revision: str) -> None:
    """Write `connector`, which reads the tokens of the pack in folder `pack`, into that folder."""
    folder = pack / CONNECTOR
    folder.mkdir(exist_ok=True)
    content = {"llm_revision": llm_revision, "encoder_revision": revision_of(pack), "shape": dict(connector.shape)}
    (folder / "config.json").write_text(json.dumps(content, indent=1) + "\n")
    save_weights(connector, folder / "model.safetensors")


def load_pack_connector(pack: Path, llm: nn.Module, llm_revision: str) -> tuple[Connector, str]:
    """The connector of the pack in folder `pack`, and the pack's revision, which its tokens name. Raises BadInput."""
    folder = pack / CONNECTOR
    content = read_json(folder / "config.json")
    try:
        revision = revision_of(pack)
    except OSError as error:
        raise BadInput(f"pack {pack} cannot be read: {one_line(error)}") from error
    for made_for, actual, what in (
        (content.get("llm_revision"), llm_revision, "LLM"),
        (content.get("encoder_revision"), revision, "pack"),
    ):
        if made_for != actual:
            raise BadInput(f"{folder} was made for {what} {made_for!r}, not for {actual!r}")
    require_shape(content.get("shape"), f"{folder / 'config.json'} gives")
    connector = make_connector(pack.name, content["shape"], llm, folder)
    load_weights(connector, folder / "model.safetensors", "connector")
    return connector.to(llm.device).eval().requires_grad_(False), revision


def load_pack_connectors(packs: Path, llm: nn.Module, llm_revision: str) -> dict[str, tuple[Connector, str]]:
    """The connector and the revision of each pack in folder `packs`, by modality; no folder = none. Raises BadInput."""
    found = sorted(path for path in packs.iterdir() if (path / "config.json").is_file()) if packs.is_dir() else []
    return {path.name: load_pack_connector(path, llm, llm_revision) for path in found}
