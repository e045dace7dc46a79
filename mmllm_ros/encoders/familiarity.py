# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far the tokens of a reading are from those that a model was trained on, by statistics of each of their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..datatypes import BadInput, Tokens, one_line

FOLDER = "familiarity"
"""In a model folder: a file for each encoder that has one, called as its revision."""
SHRINKAGE = 0.2
"""The covariance of few readings is moved by so much towards that of independent numbers."""
BORDER = 1.1
"""The border lies so much farther out than the farthest of the readings that the covariance was not fitted on."""


@dataclass(frozen=True, slots=True)
class Familiarity:
    """A Gaussian of the statistics of readings, [2 D] for tokens of width D: `mean`, and `whitening` [2 D, 2 D] after which a
    reading of training has the expected squared length 2 D. `border` is the farthest distance of training."""

    mean: np.ndarray
    whitening: np.ndarray
    border: float

    def distance(self, tokens: Tokens) -> float:
        """Root mean square of the whitened statistics over that at the border: above 1 a reading is unlike training."""
        apart = (statistics(tokens) - self.mean) @ self.whitening
        return float(np.sqrt(np.mean(apart**2)) / self.border)

    def save(self, path: Path) -> None:
        """Write the file `path`."""
        parts = {"mean": self.mean, "whitening": self.whitening, "border": np.array([self.border])}
        save_file({name: np.ascontiguousarray(part, dtype=np.float32) for name, part in parts.items()}, path)

    @classmethod
    def load(cls, path: Path) -> Familiarity:
        """Read the file `path`. Raises BadInput."""
        try:
            parts = load_file(path)
            mean, whitening, border = (parts[name] for name in ("mean", "whitening", "border"))
        except (OSError, SafetensorError, KeyError) as error:
            raise BadInput(f"{path} cannot be used: {one_line(error)}") from error
        if whitening.shape != (len(mean), len(mean)) or border.shape != (1,) or not border[0] > 0:
            raise BadInput(f"{path} holds shapes {[list(part.shape) for part in parts.values()]}, not [d], [d, d] and [1]")
        return cls(mean, whitening, float(border[0]))


def statistics(tokens: Tokens) -> np.ndarray:
    """Mean and standard deviation of each number over the tokens of a reading, float64 [2 D]."""
    values = tokens.values.astype(np.float64)
    return np.concatenate([values.mean(0), values.std(0)])


def fitted(known: np.ndarray, held_out: np.ndarray) -> Familiarity:
    """From statistics [n, 2 D] of simulated readings; the border is set by those of other scenes, `held_out` [m, 2 D]."""
    mean, scale = known.mean(0), known.std(0) + 1e-6
    covariance = (1 - SHRINKAGE) * np.cov(((known - mean) / scale).T) + SHRINKAGE * np.eye(known.shape[1])
    whitening = np.linalg.cholesky(np.linalg.inv(covariance)) / scale[:, None]
    farthest = np.sqrt(np.mean(((held_out - mean) @ whitening) ** 2, axis=1)).max()
    return Familiarity(mean, whitening, float(BORDER * farthest))


def load_familiarity(model: Path) -> dict[str, Familiarity]:
    """Those of a model folder, by the encoder's revision. Raises BadInput."""
    return {path.stem: Familiarity.load(path) for path in sorted((model / FOLDER).glob("*.safetensors"))}


def is_unlike(tokens: Tokens, known: Mapping[str, Familiarity]) -> bool:
    """Whether a reading is unlike those that its encoder was trained on; False for an encoder of which that is not known."""
    return tokens.encoder in known and known[tokens.encoder].distance(tokens) > 1.0
