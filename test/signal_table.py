# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A made-up plan table of a model with four kinds of signals."""

from __future__ import annotations

from mmllm_ros.context.plan_table import ANY, EncoderCost, Option, PlanTable
from mmllm_ros.evaluation.plan_moments import signal_sets

NEEDS = {
    "siren": ("audio",),
    "siren_side": ("audio",),
    "depth_near": ("depth",),
    "ahead_near": ("array",),
    "behind_near": ("array",),
    "slope": ("depth", "normals"),
}
SIGNALS = ("array", "audio", "depth", "normals")


def make_signal_table(**right: float) -> PlanTable:
    """Of 10,000 questions of each kind each set has `right` ("audio_depth") of them right, 0.5 where missing; nothing has 0.1."""
    options = []
    for kept in signal_sets(SIGNALS):
        share = right.get("_".join(kept), 0.5 if kept else 0.1)
        kinds = [kind for kind, needs in NEEDS.items() if not kept or set(kept) & set(needs)]
        counts = {kind: {ANY: (10_000 * share, 10_000.0)} for kind in kinds}
        options.append(Option(kept, 3 if kept else 0, 1e8, 0.01, counts))
    costs = dict.fromkeys(SIGNALS, EncoderCost(5e8, 0.02, 4e6))
    return PlanTable("tiny", "abc", "all signals", costs, tuple(options), NEEDS)
