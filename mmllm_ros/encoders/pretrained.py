# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Any Hugging Face vision encoder (ViT, DINOv2, SigLIP, CLIP vision) as a frozen camera encoder."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoImageProcessor, AutoModel

from ..datatypes import BadInput, CameraFrame, one_line
from ..io.weights import revision_of
from ..rig import Rig
from .base import Encoder


class PretrainedCamera(Encoder):
    """Pooled patch tokens of a pretrained encoder, with the bearing and elevation of each pool.

    Args:
        rig: mounts of the cameras, by source name.
        name: folder of the Hugging Face model, relative to the encoder's own folder, or a hub name.
        pools: rows and columns of pooled patch tokens per view.
    """

    modality = "camera"

    def __init__(self, rig: Rig, name: str, pools: tuple[int, int] = (2, 4)) -> None:
        super().__init__(rig, {"modality": self.modality, "kind": "pretrained camera", "name": name, "pools": list(pools)})
        self.pools = tuple(pools)
        self.vision: nn.Module | None = None

    @property
    def token_width(self) -> int:
        return self._loaded().config.hidden_size

    def load(self, folder: Path) -> None:
        """Read the vision model through `from_pretrained`. Raises BadInput where that fails."""
        name = self.config["name"]
        source = str(folder / name) if (folder / name).is_dir() else name
        try:
            whole = AutoModel.from_pretrained(source, use_safetensors=True)
            processor = AutoImageProcessor.from_pretrained(source)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise BadInput(f"vision encoder {source} cannot be loaded: {one_line(error)}") from error
        self.vision = getattr(whole, "vision_model", whole).eval().requires_grad_(False)
        self.mean, self.std = (torch.tensor(part).view(3, 1, 1) * 255.0 for part in (processor.image_mean, processor.image_std))
        self.size = self.vision.config.image_size
        self.revision = revision_of(folder) if source != name else f"{name}@{AutoConfig.from_pretrained(source)._commit_hash}"
        self.eval()

    def save(self, folder: Path) -> None:
        """Write config.json and, where the model is loaded, the model itself under `name`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1) + "\n")

    def to_tensor(self, frame: CameraFrame) -> Tensor:
        """The view scaled to a square, uint8 [3, size, size]."""
        image = cv2.resize(frame.image, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(image).permute(2, 0, 1).contiguous()

    def prepare(self, newest: CameraFrame, previous: CameraFrame | None) -> dict[str, Tensor]:
        mount = self.rig.camera(newest.source)
        height, width = newest.image.shape[:2]
        return {
            "now": self.to_tensor(newest),
            "mount": torch.tensor([mount.bearing, mount.fov, mount.pitch, height / width], dtype=torch.float32),
        }

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        mount, view = batch["mount"][:, :4], batch["now"].float()
        height, width = view.shape[-2:]
        if (height, width) != (self.size, self.size):
            # Views of the training data come in their own size and without an aspect ratio in `mount`; the size gives it.
            mount = torch.cat([mount[:, :3], mount.new_full((len(mount), 1), height / width)], 1)
            view = functional.interpolate(view, (self.size, self.size), mode="bilinear", antialias=True)
        pixels = (view - self.mean.to(view.device)) / self.std.to(view.device)
        hidden = self._loaded()(pixel_values=pixels).last_hidden_state
        side = math.isqrt(hidden.shape[1])
        patches = hidden[:, hidden.shape[1] - side * side :].transpose(1, 2).unflatten(-1, (side, side))
        values = functional.adaptive_avg_pool2d(patches, self.pools).flatten(2).transpose(1, 2)
        return values, self._places(mount)

    def _places(self, mount: Tensor) -> Tensor:
        rows, columns = self.pools
        half = (mount[:, 1] / 2).tan()[:, None, None]
        across = torch.linspace(1, -1, 2 * columns + 1, device=mount.device)[1::2]
        down = torch.linspace(1, -1, 2 * rows + 1, device=mount.device)[1::2] * mount[:, 3, None]
        bearing = (half * across).atan().expand(-1, rows, -1)
        elevation = (half * down[:, :, None]).atan() * bearing.cos()
        places = [bearing + mount[:, 0, None, None], elevation - mount[:, 2, None, None], torch.zeros_like(bearing)]
        return torch.stack(places, dim=-1).flatten(1, 2)

    def _loaded(self) -> nn.Module:
        if self.vision is None:
            raise BadInput(f"vision encoder {self.config['name']} is not loaded")
        return self.vision
