# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The plan table: how often answers are right, and what they cost, by context, kind of question, modalities and linked blocks.

`mmllm plan` measures it and writes it beside the model's weights; people can read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from ..datatypes import BadInput, one_line

FILE = "plan_table.json"
FORMAT = "mmllm_ros plan table 1"
LARGEST = 4_000_000
"""Bytes of a table that is still read."""

STRENGTH = 60.0
"""A row of so many questions counts as much as what is known of its kind of question in every context."""

Counts = Mapping[str, Mapping[str, tuple[float, float]]]
"""Kind of question -> context -> right answers, questions."""


@dataclass(frozen=True, slots=True)
class EncoderCost:
    """One frame of one sensor: floating point operations, CPU time [s] where the table was made, memory of weights [bytes]."""

    flops: float
    seconds: float
    memory: float


@dataclass(frozen=True, eq=False)
class Option:
    """One way to answer: which modalities are plugged into how many of the last blocks, what the LLM's part costs, how it did."""

    modalities: tuple[str, ...]
    linked_blocks: int
    flops: float
    seconds: float
    counts: Counts

    def accuracy(self, kind: str, context: str) -> float:
        """Share of right answers, 0 to 1. A row of few questions leans on its kind in every context, that one on all."""
        row = self.counts.get(kind, {}).get(context, (0.0, 0.0))
        return _share([row], self._of_kind.get(kind, self._overall), STRENGTH)

    @cached_property
    def _of_kind(self) -> dict[str, float]:
        return {kind: _share(rows.values(), self._overall, STRENGTH) for kind, rows in self.counts.items()}

    @cached_property
    def _overall(self) -> float:
        return _share([row for rows in self.counts.values() for row in rows.values()], 0.0, 0.0)


@dataclass(frozen=True)
class PlanTable:
    """All options of one model with one rig, and what encoding costs."""

    model: str
    revision: str
    rig: str
    encoders: Mapping[str, EncoderCost]
    options: tuple[Option, ...]

    @cached_property
    def usual(self) -> dict[str, float]:
        """How often each kind of question was asked: what to expect of a robot that has not been asked yet."""
        return {kind: sum(asked for _, asked in rows.values()) for kind, rows in self.options[0].counts.items()}

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """The numbers of linked blocks that were measured, ascending."""
        return tuple(sorted({option.linked_blocks for option in self.options if option.modalities}))

    def write(self, path: Path) -> None:
        """Write `path`, JSON."""
        content = {"format": FORMAT, **asdict(self)}
        path.write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> PlanTable:
        """Read what `write` wrote. Raises BadInput naming the file."""
        try:
            if path.stat().st_size > LARGEST:
                raise ValueError(f"larger than {LARGEST} bytes")
            content = json.loads(path.read_text())
            if content.pop("format") != FORMAT:
                raise ValueError(f"not of format {FORMAT!r}")
            encoders = {name: EncoderCost(**cost) for name, cost in content.pop("encoders").items()}
            options = tuple(
                Option(**{**option, "modalities": tuple(option["modalities"]), "counts": _counts(option["counts"])})
                for option in content.pop("options")
            )
            if not options:
                raise ValueError("no options")
            return cls(encoders=encoders, options=options, **content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"plan table {path} cannot be used: {one_line(error)}") from error


def listed(names: Sequence[str]) -> str:
    """As people say it: "camera, imu and lidar", or "nothing"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "nothing"


def _counts(content: Mapping) -> dict[str, dict[str, tuple[float, float]]]:
    return {
        kind: {context: (float(right), float(asked)) for context, (right, asked) in rows.items()}
        for kind, rows in content.items()
    }


def _share(rows: Iterable[tuple[float, float]], prior: float, strength: float) -> float:
    right, asked = (sum(column) for column in zip((0.0, 0.0), *rows, strict=True))
    return (right + strength * prior) / (asked + strength) if asked + strength else 0.0
