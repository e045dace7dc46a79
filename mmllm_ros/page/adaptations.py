# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `mmllm adapt` wrote -> what a page shows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .parts import Bar, Bars, Part, percent


def adaptation_part(report: Mapping[str, Any], source: str, pictures: Callable[[str], Mapping[str, str]]) -> Part:
    """`report` has the names of Adapt.action's result. Raises as a bad report does."""
    before, after = float(report["accuracy_before"]), float(report["accuracy_after"])
    facts = [("new weights serve", "yes" if report["success"] else "no"), ("time", f"{report['seconds']:.0f} s")]
    facts += [("operations", f"{report['flops']:.2g}")] if report.get("flops") else []
    return Part(
        title="What was learned on the robot",
        summary=f"{report['message']} ({percent(before)} right before, {percent(after)} after, on the validation split).",
        source=source,
        facts=[*facts, ("revision", str(report["revision"]))],
        bars=[Bars("Right answers on the validation split", "", [Bar("before", before), Bar("after", after)])],
    )
