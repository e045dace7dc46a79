# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the tokens of a frame are like those of training, by the statistics of their features, and how sure an answer may then
be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..datatypes import BadInput, Tokens
from ..model import Scored

LIMIT_SHARE = 0.99
"""So many of the training frames count as usual."""
MOST_SOFTENING = 4.0
"""The temperature of answers about an unusual input grows with its distance, at most by this factor."""


def frame_features(tokens: Tokens) -> np.ndarray:
    """What is compared: mean and standard deviation over a frame's tokens of each number of them, float64 [2 D]."""
    values = tokens.values.astype(np.float64)
    return np.concatenate([values.mean(0), values.std(0)])


@dataclass(frozen=True, slots=True)
class Familiar:
    """Statistics of the training frames of one modality: `mean` and `deviation` [2 D], and the `limit` of the usual distance."""

    mean: np.ndarray
    deviation: np.ndarray
    limit: float

    @classmethod
    def of(cls, frames: Iterable[Tokens]) -> Familiar:
        """From the tokens of training frames, one source each. Raises BadInput for fewer than eight."""
        features = [frame_features(tokens) for tokens in frames]
        if len(features) < 8:
            raise BadInput(f"{len(features)} frames do not tell what is usual: give at least eight")
        table = np.stack(features)
        mean, deviation = table.mean(0), table.std(0)
        # A number that never changed in training may not, by its rounding, make everything unusual.
        deviation = np.maximum(deviation, 0.05 * np.median(deviation) + 1e-6)
        distances = np.sqrt((((table - mean) / deviation) ** 2).mean(1))
        return cls(mean, deviation, float(np.quantile(distances, LIMIT_SHARE)))

    def distance(self, tokens: Tokens) -> float:
        """Root mean square of the standardized features, in units of the limit: over 1 is unlike training. Raises BadInput."""
        features = frame_features(tokens)
        if features.shape != self.mean.shape:
            raise BadInput(f"tokens of {tokens.modality} have width {features.size // 2}, not {self.mean.size // 2}")
        return float(np.sqrt((((features - self.mean) / self.deviation) ** 2).mean()) / self.limit)


def unusual(tokens: Sequence[Tokens], familiar: Mapping[str, Familiar]) -> dict[str, float]:
    """The sources ("lidar", "camera/front") whose tokens are unlike training, with their distances in units of the limit."""
    found = {}
    for item in tokens:
        if item.modality in familiar and (distance := familiar[item.modality].distance(item)) > 1.0:
            found[item.modality if item.source == item.modality else f"{item.modality}/{item.source}"] = distance
    return found


def softened(scored: Scored, temperature: float) -> Scored:
    """The same answer with its probabilities at another temperature; one without a distribution stays as it is."""
    if not scored.distribution:
        return scored
    names = list(scored.distribution)
    logits = np.log(np.maximum([scored.distribution[name] for name in names], 1e-12)) / temperature
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    return Scored(scored.answer, float(shares[names.index(scored.answer)]), dict(zip(names, shares.tolist(), strict=True)))


def judged(scored: Scored, tokens: Sequence[Tokens], familiar: Mapping[str, Familiar]) -> tuple[Scored, str]:
    """The answer with the confidence that its input permits, and what is unusual about the input, "" where nothing is."""
    found = unusual(tokens, familiar)
    if not found:
        return scored, ""
    temperature = min(max(found.values()), MOST_SOFTENING)
    named = ", ".join(f"{name} ({distance:.1f} times the limit)" for name, distance in sorted(found.items()))
    return softened(scored, temperature), f"unlike training: {named}"


def abstention(confidence: Sequence[float], right: Sequence[float], wanted: float = 0.8) -> float:
    """The least confidence from which on answers are right in `wanted` of the cases; more than 1 where they never are."""
    order = np.argsort(-np.asarray(confidence, dtype=float), kind="stable")
    sure, share = np.asarray(confidence, dtype=float)[order], np.cumsum(np.asarray(right, dtype=float)[order])
    share = share / np.arange(1, len(order) + 1)
    # Answers of one confidence stand or fall together.
    last = np.append(sure[1:] < sure[:-1], True)
    good = np.nonzero((share >= wanted) & last)[0]
    return float(sure[good[-1]]) if len(good) else 1.01
