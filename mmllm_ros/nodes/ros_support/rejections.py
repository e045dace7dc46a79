# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Counts of rejected messages by reason, of bounded size whatever arrives."""

from __future__ import annotations

import re
from collections import Counter

MOST_REASONS, LONGEST_REASON = 12, 100
OTHER = "other reasons"
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|[-+]?\d[\d.,e+-]*|\bnan\b|\binf\b")


def without_values(reason: str) -> str:
    """A reason without the values that it names, so that messages with the same fault have the same one."""
    return _VALUES.sub("#", reason)[:LONGEST_REASON]


class Rejections:
    """How many messages were rejected, by reason. `last` is the last reason with its values; its owner may clear it."""

    def __init__(self) -> None:
        self.total = 0
        self.last = ""
        self._counts: Counter[str] = Counter()

    def add(self, reason: object) -> None:
        """Count one rejected message."""
        self.total += 1
        self.last = str(reason)
        kind = without_values(self.last)
        self._counts[kind if kind in self._counts or len(self._counts) < MOST_REASONS else OTHER] += 1

    def values(self) -> dict[str, int | str]:
        """Entries for /diagnostics, the most frequent reason first."""
        last = {"last rejection": self.last} if self.last else {}
        return {"rejected": self.total, **last, **{f"rejected: {kind}": count for kind, count in self._counts.most_common()}}
