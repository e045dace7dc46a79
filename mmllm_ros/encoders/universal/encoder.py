# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The universal encoder: signals of any kinds -> tokens, through one frozen backbone and one projection."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...datatypes import BadInput, Signal, Tokens
from ...io.weights import load_weights, revision_of, save_weights
from ...rig import Rig
from ..base import Encoder
from .backbone import FOLDER, SHAPE, Backbone
from .projection import Adapt, ModalityMaps, UniversalProjection
from .signals import FARTHEST, Layout
from .tokenizers import make_tokenizer

LAYOUTS = {
    "image": Layout("image", (96, 160)),
    "video": Layout("video", (4, 96, 160)),
    "depth": Layout("depth", (96, 160)),
    "normals": Layout("normals", (96, 160)),
    "points": Layout("points", (48, 32)),
    "audio": Layout("audio", (4, 64, 128)),
    "imu": Layout("imu", (128,)),
    "array": Layout("array", (8, 128)),
}
"""The modalities of the shipped encoder: each is named like its kind."""
RANGELESS = ("audio", "imu")
"""Kinds of signals whose tokens have no range."""


class UniversalEncoder(Encoder):
    """Signals of any modality that it knows -> P tokens each, with the bearing of a sector and a predicted range.

        encoder = UniversalEncoder(rig)
        audio, depth = encoder.encode([Signal("audio", stamp, "roof", sound), Signal("depth", stamp, "front", ranges)])

    The backbone is there once, however many sensors are encoded. Token p of a signal looks to the p-th of P equal sectors of the
    signal's field of view, from left to right; its range is that of the nearest thing there, 0 = unknown for sound and IMU.

    Args:
        rig: not used; a signal has its own bearing and field of view.
        layouts: by modality, as `Layout.to_settings` gives them; None = LAYOUTS.
        projection: shape of the UniversalProjection.
        backbone: folder relative to the encoder's own, or a hub name. Until `load`, a small one with random weights.
        backbone_revision: that the weights were trained with; "" = any.
        backbone_shape: of the small one.
    """

    modality = "universal"

    def __init__(
        self,
        rig: Rig,
        layouts: Mapping[str, Mapping] | None = None,
        projection: Mapping | None = None,
        backbone: str = FOLDER,
        backbone_revision: str = "",
        backbone_shape: Mapping | None = None,
    ) -> None:
        if layouts is None:
            layouts = {name: layout.to_settings() for name, layout in LAYOUTS.items()}
        super().__init__(rig, {"modality": self.modality, "kind": "universal", "backbone": backbone})
        self.config["backbone_revision"] = backbone_revision
        self.backbone = Backbone.untrained(**{**SHAPE, **(backbone_shape or {})})
        self.projection_shape = dict(projection or {})
        self._build(layouts)

    def _build(self, layouts: Mapping[str, Mapping]) -> None:
        """Fresh tokenizers, projection and range head for the width of the backbone."""
        self.layouts: dict[str, Layout] = {}
        self.tokenizers = nn.ModuleDict()
        self.projection = UniversalProjection(self.backbone.width, **self.projection_shape)
        self.range = nn.Linear(self.backbone.width, 1)
        for modality, settings in layouts.items():
            self.add(modality, Layout.of(settings))
        self.config |= {"projection": dict(self.projection.shape)}
        self.config |= {"layouts": {name: layout.to_settings() for name, layout in self.layouts.items()}}

    def use(self, backbone: Backbone, name: str = FOLDER) -> None:
        """Replace the backbone, with fresh weights for all the rest; `name` is its hub name, FOLDER where it is saved with the
        encoder."""
        self.backbone = backbone
        self.config["backbone"] = name
        self._build(self.config["layouts"])

    @property
    def token_width(self) -> int:
        return self.backbone.width

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that `encode` takes."""
        return tuple(self.layouts)

    def add(self, modality: str, layout: Layout, like: str | None = None, maps: ModalityMaps | None = None) -> None:
        """Take `modality`, with a fresh tokenizer and `maps`, or fresh maps, or copies of those of `like`. Raises BadInput."""
        if modality in self.layouts:
            raise BadInput(f"the universal encoder has modality {modality!r} already")
        if layout.kind == "image" and tuple(layout.size) != self.backbone.image_size:
            layout = Layout("image", self.backbone.image_size)
        if layout.kind != "image":
            self.tokenizers[modality] = make_tokenizer(layout, self.backbone.width)
        if maps is None:
            self.projection.add(modality, like)
        else:
            self.projection.modalities[modality] = maps
        self.layouts[modality] = layout

    def remove(self, modality: str) -> None:
        """Forget `modality` and everything that is its own. Raises BadInput."""
        self.layout(modality)
        del self.layouts[modality], self.projection.modalities[modality]
        if modality in self.tokenizers:
            del self.tokenizers[modality]

    def of_modality(self, modality: str) -> nn.ModuleList:
        """What is not shared with other modalities. Raises BadInput."""
        self.layout(modality)
        own = [self.tokenizers[modality]] if modality in self.tokenizers else []
        return nn.ModuleList([self.projection.modalities[modality], *own])

    def layout(self, modality: str) -> Layout:
        """The layout of the signals of `modality`. Raises BadInput."""
        if modality not in self.layouts:
            raise BadInput(f"the universal encoder does not know modality {modality!r}, only {list(self.layouts)}")
        return self.layouts[modality]

    def to_tensor(self, frame: Signal) -> Tensor:
        """The normalized tensor of a signal (signals.py). Raises BadInput."""
        return self.layout(frame.modality).to_tensor(frame)

    def prepare(self, newest: Signal, previous: Signal | None = None) -> dict[str, Tensor]:
        """`previous` is not used: a signal that shows motion contains its own past."""
        return {"now": self.to_tensor(newest), "view": torch.tensor([newest.bearing, newest.fov], dtype=torch.float32)}

    def features(self, modality: str, tensors: Tensor) -> Tensor:
        """Tensors [B, ...] of one modality -> features of the backbone [B, N, W]."""
        image = self.layout(modality).kind == "image"
        return self.backbone(self.backbone.embed_image(tensors) if image else self.tokenizers[modality](tensors))

    def project(self, modality: str, features: Tensor, view: Tensor, adapt: Adapt | None = None) -> tuple[Tensor, Tensor]:
        """Features [B, N, W] -> values [B, P, W] and places [B, P, 3]; `view` [B, 2] has bearing and field of view [rad]."""
        values = self.projection(features, modality, adapt)
        count = values.shape[1]
        across = torch.linspace(0.5, -0.5, 2 * count + 1, device=values.device)[1::2]
        bearing = view[:, :1] + view[:, 1:] * across
        bearing = torch.atan2(bearing.sin(), bearing.cos())
        distance = (self.range(values).squeeze(-1).sigmoid() * math.log1p(FARTHEST)).expm1()
        if self.layout(modality).kind in RANGELESS:
            distance = torch.zeros_like(distance)
        return values, torch.stack([bearing, torch.zeros_like(bearing), distance.float()], dim=-1)

    def forward(self, batch: dict[str, Tensor], modality: str, adapt: Adapt | None = None) -> tuple[Tensor, Tensor]:
        """Batched tensors of `prepare`, of one modality -> values [B, P, W] and places [B, P, 3]."""
        return self.project(modality, self.features(modality, batch["now"]), batch["view"], adapt)

    @torch.inference_mode()
    def encode(
        self, pairs: Sequence[Signal | tuple[Signal, Signal | None]], adapt: Mapping[str, Adapt] | None = None
    ) -> list[Tokens]:
        """Encode signals of any modalities, in order; `adapt` maps a modality to its adapter.

        Signals of one modality pass together. Those of different modalities do not mix: the tokens of a modality are bit for bit
        the same whatever else is encoded. Raises BadInput.
        """
        signals = [item if isinstance(item, Signal) else item[0] for item in pairs]
        groups: dict[str, list[int]] = defaultdict(list)
        for index, signal in enumerate(signals):
            groups[signal.modality].append(index)
        device = self.range.weight.device
        found: dict[int, Tokens] = {}
        for modality, members in groups.items():
            prepared = [self.prepare(signals[index]) for index in members]
            batch = {key: torch.stack([item[key] for item in prepared]).to(device) for key in prepared[0]}
            values, places = self(batch, modality, (adapt or {}).get(modality))
            for index, value, place in zip(members, values.float().cpu().numpy(), places.float().cpu().numpy(), strict=True):
                signal = signals[index]
                found[index] = Tokens(
                    modality, signal.source, signal.stamp, np.ascontiguousarray(value), np.ascontiguousarray(place), self.revision
                )
        return [found[index] for index in range(len(signals))]

    def save(self, folder: Path) -> None:
        """Write config.json, model.safetensors (16-bit, all but the backbone), and the backbone; a hub backbone by its name."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.config["backbone"] == FOLDER:
            self.backbone.save(folder / FOLDER)
        self.config["backbone_revision"] = self.backbone.revision
        (folder / "config.json").write_text(json.dumps(self.config, indent=1) + "\n")
        save_weights(self._own(), folder / "model.safetensors")
        self.revision = revision_of(folder)

    def load(self, folder: Path) -> None:
        """Fill the weights from `folder`. Raises BadInput, also for another revision of the backbone."""
        name = self.config["backbone"]
        self.backbone = Backbone.load(folder / name if (folder / name).is_dir() else name)
        if self.config["backbone_revision"] not in ("", self.backbone.revision):
            raise BadInput(f"{folder} was made for backbone {self.config['backbone_revision']!r}, not {self.backbone.revision!r}")
        self._build(self.config["layouts"])
        load_weights(self._own(), folder / "model.safetensors", "encoder")
        self.revision = revision_of(folder)
        self.eval()

    def _own(self) -> nn.ModuleDict:
        """Everything but the backbone."""
        return nn.ModuleDict({"tokenizers": self.tokenizers, "projection": self.projection, "range": self.range})
