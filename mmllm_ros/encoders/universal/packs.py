# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Modality packs: one folder for everything that a modality adds to a universal encoder, whose own weights stay as they are.

    packs/<modality>/config.json         modality, layout of its signals, rank, revisions of the encoder and of older packs
                     model.safetensors   tokenizer, input map, modality tokens, output map, adapters, in-adapters, gates
                     connector/          the connector into an LLM (latent/pack_connectors.py)
                     README.md           what it was trained on

A pack is for one encoder and for certain older packs, all named by the SHA-256 of their files: a mixture is refused by name.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import Tensor, nn

from ...datatypes import BadInput, Signal, Tokens, one_line
from ...io.weights import load_weights, revision_of, save_weights
from ...resources import PACKS
from ...rig import Rig
from .. import load_encoder
from .adapters import RANK, ModalityAdapters
from .encoder import UniversalEncoder
from .projection import ModalityMaps
from .signals import Layout
from .tokenizers import make_tokenizer

FORMAT = "mmllm_ros pack 1"
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
MOST_PACKS = 64
MOST_QUESTIONS, LONGEST_QUESTION = 200, 2000
"""Of a pack's manifest."""
LARGEST_RANK = 256
LARGEST_SIGNAL = 1 << 20
"""Numbers of a signal of the layout of a pack: the size of its tokenizer grows with them."""
LARGEST_FILE = 1 << 28
"""Bytes: a larger file of weights is not read."""


@dataclass(frozen=True)
class PackManifest:
    """config.json of a pack.

    `older` maps the older packs that it uses to their revisions, in the order of the gate's paths. `questions` are those that it
    was trained on: a robot connects it for questions like these (context/question_scope.py).
    """

    modality: str
    layout: dict
    rank: int
    encoder_revision: str
    older: dict[str, str] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not isinstance(self.modality, str) or not NAME.fullmatch(self.modality):
            raise BadInput(f"modality {self.modality!r} is not a plain lower-case name")
        if type(self.rank) is not int or not 1 <= self.rank <= LARGEST_RANK:
            raise BadInput(f"rank is {self.rank!r}, not a whole number from 1 to {LARGEST_RANK}")
        if not isinstance(self.layout, dict):
            raise BadInput(f"layout is {self.layout!r}, not an object")
        numbers = math.prod(Layout.of(self.layout).size)
        if numbers > LARGEST_SIGNAL:
            raise BadInput(f"a signal of size {self.layout['size']} has {numbers} numbers, more than {LARGEST_SIGNAL}")
        listed = isinstance(self.questions, list) and len(self.questions) <= MOST_QUESTIONS
        if not (listed and all(isinstance(text, str) and len(text) <= LONGEST_QUESTION for text in self.questions)):
            raise BadInput(f"questions is not a list of at most {MOST_QUESTIONS} texts of at most {LONGEST_QUESTION} characters")
        texts = isinstance(self.older, dict) and all(isinstance(value, str) for value in self.older.values())
        if not (texts and len(self.older) <= MOST_PACKS and isinstance(self.encoder_revision, str)):
            raise BadInput(
                f"encoder_revision and older are {self.encoder_revision!r}, {self.older!r}, not a text and texts by name"
            )

    @classmethod
    def read(cls, folder: Path) -> PackManifest:
        """Read and check `folder`/config.json. Raises BadInput."""
        path = folder / "config.json"
        try:
            with path.open("rb") as file:
                content = json.loads(file.read(1 << 20))
            if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
                raise BadInput(f"not of format {FORMAT!r}")
            return cls(**content)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise BadInput(f"pack {path} cannot be used: {one_line(error)}") from error

    def write(self, folder: Path) -> None:
        """Write `folder`/config.json."""
        (folder / "config.json").write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")


class Pack(nn.Module):
    """What one modality adds to `encoder`: tokenizer, maps and modality tokens, adapters.

    Args:
        encoder: not changed; `Packs.add` adds the pack to it.
        modality: its name.
        layout: of its signals.
        older: packs of older modalities, whose adapters are used and never written.
        rank: of the adapters.
        like: a modality of the encoder whose maps and modality tokens it starts with; None = random ones.
    """

    def __init__(
        self,
        encoder: UniversalEncoder,
        modality: str,
        layout: Layout,
        older: Mapping[str, Pack] | None = None,
        rank: int = RANK,
        like: str | None = None,
    ) -> None:
        super().__init__()
        older = dict(older or {})
        revisions = {name: pack.revision for name, pack in older.items()}
        self.manifest = PackManifest(modality, layout.to_settings(), rank, encoder.revision, revisions)
        self.revision = "untrained"
        projection = encoder.projection
        self.tokenizer = nn.Identity() if layout.kind == "image" else make_tokenizer(layout, projection.width)
        self.maps = ModalityMaps(projection.width, projection.shape["tokens"])
        if like is not None:
            encoder.layout(like)
            self.maps.load_state_dict(projection.modalities[like].state_dict())
        size = (projection.width, projection.width)
        adapters = {name: pack.adapters for name, pack in older.items()}
        self.adapters = ModalityAdapters(dict.fromkeys(projection.layer_names(), size), rank, adapters)

    @property
    def modality(self) -> str:
        return self.manifest.modality

    @property
    def layout(self) -> Layout:
        return Layout.of(self.manifest.layout)

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (16-bit) into `folder`, and set `revision`.

        Raises BadInput for an encoder or an older pack that is not saved itself: its weights have no revision yet.
        """
        named = {"the encoder": self.manifest.encoder_revision, **{f"pack {name}": r for name, r in self.manifest.older.items()}}
        for name, revision in named.items():
            if revision == "untrained":
                raise BadInput(f"pack {self.modality} cannot be saved: {name} that it is for is not saved yet")
        folder.mkdir(parents=True, exist_ok=True)
        self.manifest.write(folder)
        save_weights(self, folder / "model.safetensors")
        self.revision = revision_of(folder)

    @classmethod
    def load(cls, folder: Path, encoder: UniversalEncoder, older: Mapping[str, Pack]) -> Pack:
        """Read the pack in `folder` for `encoder`; `older` has at least the packs that it uses. Raises BadInput."""
        manifest = PackManifest.read(folder)
        if manifest.encoder_revision != encoder.revision:
            raise BadInput(f"pack {folder} was made for encoder {manifest.encoder_revision!r}, not for {encoder.revision!r}")
        for name, revision in manifest.older.items():
            if name not in older:
                raise BadInput(f"pack {folder} uses the pack {name!r}, which is not there: add it first")
            if older[name].revision != revision:
                raise BadInput(f"pack {folder} uses revision {revision!r} of pack {name!r}, not {older[name].revision!r}")
        pack = cls(encoder, manifest.modality, Layout.of(manifest.layout), {n: older[n] for n in manifest.older}, manifest.rank)
        pack.manifest = manifest
        path = folder / "model.safetensors"
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            raise BadInput(f"{path} has {path.stat().st_size} bytes, more than {LARGEST_FILE}")
        load_weights(pack, path, "pack")
        pack.revision = revision_of(folder)
        return pack.eval().requires_grad_(False)


class Packs:
    """A universal encoder with packs, which can be added and removed at any time; the tokens of other modalities stay the same,
    bit for bit.

        packs = Packs.of_model(Path("models/universal"), rig)
        tokens = packs.encode([Signal("scan", stamp, "front", ranges)])
    """

    def __init__(self, encoder: UniversalEncoder) -> None:
        self.encoder = encoder
        self.loaded: dict[str, Pack] = {}

    @classmethod
    def of_model(cls, folder: Path, rig: Rig, device: str = "auto") -> Packs:
        """The universal encoder of model folder `folder`, with the packs in it. Raises BadInput where it has no such encoder."""
        place = folder / "encoders" / UniversalEncoder.modality
        if not place.is_dir():
            raise BadInput(f"model {folder} has no universal encoder, which packs need: there is no folder {place}")
        return cls.read(folder / PACKS, load_encoder(place, rig, device))

    @classmethod
    def read(cls, folder: Path, encoder: UniversalEncoder) -> Packs:
        """The packs in `folder`, each after those that it uses; no folder = no packs. Raises BadInput."""
        packs = cls(encoder)
        manifests = manifests_in(folder)
        while waiting := [name for name in manifests if name not in packs.loaded]:
            ready = [name for name in waiting if not (manifests[name].older.keys() & set(waiting)) - {name}]
            if not ready:
                raise BadInput(f"the packs {waiting} in {folder} use each other")
            for name in ready:
                packs.add(Pack.load(folder / name, encoder, packs.loaded))
        return packs

    def add(self, pack: Pack) -> None:
        """Add `pack` to the encoder. Raises BadInput where the encoder has its modality already."""
        pack.to(self.encoder.range.weight.device)
        self.encoder.add(pack.modality, pack.layout, maps=pack.maps)
        if pack.layout.kind != "image":
            self.encoder.tokenizers[pack.modality] = pack.tokenizer
        self.loaded[pack.modality] = pack

    def remove(self, modality: str) -> None:
        """Remove a pack. Raises BadInput where it is not there or another pack uses it."""
        require_removable(modality, {name: pack.manifest for name, pack in self.loaded.items()})
        self.encoder.remove(modality)
        del self.loaded[modality]

    def project(self, modality: str, features: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
        """`UniversalEncoder.project` with the adapters of `modality` where it has any."""
        pack = self.loaded.get(modality)
        return self.encoder.project(modality, features, view, pack and pack.adapters)

    def encode(self, signals: Sequence[Signal]) -> list[Tokens]:
        """Tokens of signals of any modalities, in order; those of a pack name the pack's revision as their encoder."""
        found = self.encoder.encode(signals, {name: pack.adapters for name, pack in self.loaded.items()})
        return [
            dataclasses.replace(tokens, encoder=self.loaded[tokens.modality].revision)
            if tokens.modality in self.loaded
            else tokens
            for tokens in found
        ]


def manifests_in(folder: Path) -> dict[str, PackManifest]:
    """The manifests of the packs in `folder`, by modality; no folder = none. Raises BadInput."""
    names = (
        sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.endswith(".part"))
        if folder.is_dir()
        else []
    )
    if len(names) > MOST_PACKS:
        raise BadInput(f"{folder} has {len(names)} packs, more than {MOST_PACKS}")
    manifests = {name: PackManifest.read(folder / name) for name in names}
    for name, manifest in manifests.items():
        if manifest.modality != name:
            raise BadInput(f"pack {folder / name} is for modality {manifest.modality!r}: its folder must have that name")
    return manifests


def require_removable(modality: str, manifests: Mapping[str, PackManifest]) -> None:
    """Raise BadInput unless `modality` is a pack and no other pack uses it."""
    if modality not in manifests:
        raise BadInput(f"there is no pack {modality!r}, only {sorted(manifests)}")
    if users := sorted(name for name, manifest in manifests.items() if modality in manifest.older):
        raise BadInput(f"pack {modality!r} cannot be removed: its adapters are used by {', '.join(users)}; remove that first")
