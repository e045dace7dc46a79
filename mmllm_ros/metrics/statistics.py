# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals of an accuracy, and the calibration of confidence."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

BINS = 10
RESAMPLES = 1000


def interval(scenes: Sequence[str], right: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of `right`, by bootstrap over scenes, because questions of one scene are not independent."""
    groups: dict[str, list[float]] = defaultdict(list)
    for scene, value in zip(scenes, right, strict=True):
        groups[scene].append(value)
    sums, sizes = np.array([(sum(values), len(values)) for values in groups.values()]).T
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of the share `right` of `count` > 0, for answers of one scene."""
    z, share = 1.96, right / count
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    return max((middle - half) / whole, 0.0), min((middle + half) / whole, 1.0)


def reliability(confidence: Sequence[float], right: Sequence[float]) -> list[dict[str, float]]:
    """For each bin of confidence: the share of answers, mean confidence, and accuracy (arXiv 1706.04599)."""
    sure, hits = np.asarray(confidence, float), np.asarray(right, float)
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        {
            "share": float(np.mean(place == index)),
            "confidence": float(sure[place == index].mean()),
            "right": float(hits[place == index].mean()),
        }
        for index in range(BINS)
        if (place == index).any()
    ]


def calibration_error(bins: Sequence[dict[str, float]]) -> float:
    """The expected calibration error of `reliability`."""
    return float(sum(row["share"] * abs(row["right"] - row["confidence"]) for row in bins))
