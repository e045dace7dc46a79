# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The plan table: accuracy and cost of answers by context, kind of question, modalities and linked blocks.

`mmllm plan` measures it and writes it to the model folder as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ..datatypes import BadInput, Health, one_line
from ..rig import Rig

FILE = "plan_table.json"
FORMAT = "mmllm_ros plan table 1"
MAX_BYTES = 4_000_000
"""A larger file is rejected."""

STRENGTH = 60.0
"""Prior weight: with so many questions, a context counts as much as all contexts of its kind of question together."""

ANY = "any"
"""The context of questions that were counted in every light and weather together."""

Counts = Mapping[str, Mapping[str, tuple[float, float]]]
"""Kind of question -> context -> right answers, questions."""


@dataclass(frozen=True, slots=True)
class EncoderCost:
    """Cost of one frame of one sensor: floating point operations, CPU time [s] where measured, memory of the weights [bytes]."""

    flops: float
    seconds: float
    memory: float


@dataclass(frozen=True, eq=False)
class Option:
    """One option: plugged modalities, number of linked blocks, cost of the LLM, and counts of right answers.

    Counts are of the kinds of question that it was measured for.
    """

    modalities: tuple[str, ...]
    linked_blocks: int
    flops: float
    seconds: float
    counts: Counts

    def accuracy(self, kind: str, context: str, alike: tuple[str, ...] = ()) -> float:
        """Share of right answers, 0 to 1, shrunk towards that of its kind in all contexts, which is shrunk to that of the kinds
        `alike`, empty = all."""
        if (kind, alike) not in self._of_kind:
            together = [row for name in alike or self.counts for row in self.counts.get(name, {}).values()]
            rows = self.counts.get(kind, {}).values()
            self._of_kind[kind, alike] = _share(rows, _share(together, 0.0, 0.0), STRENGTH)
        row = self.counts.get(kind, {}).get(context, (0.0, 0.0))
        return _share([row], self._of_kind[kind, alike], STRENGTH)

    @cached_property
    def _of_kind(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """What `accuracy` has computed."""
        return {}


@dataclass(frozen=True)
class PlanTable:
    """All options of one model with one rig, and the cost of its encoders. The first option is that nothing is plugged.

    `needs`: where the kinds of question are those about signals, the modalities that each suffice for a kind.
    """

    model: str
    revision: str
    rig: str
    encoders: Mapping[str, EncoderCost]
    options: tuple[Option, ...]
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def accuracy(self, option: Option, kind: str, context: str) -> float:
        """Share of right answers of `option`, 0 to 1, shrunk towards the kinds of the same needs.

        Where it was not measured for a kind of the table, that of nothing plugged.
        """
        measured = option if kind in option.counts or kind not in self.question_counts else nothing_plugged(self)
        return measured.accuracy(kind, context, self._alike.get(self.needs.get(kind), ()))

    @cached_property
    def _alike(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """The kinds of question by their needs."""
        return {needs: tuple(kind for kind, others in self.needs.items() if others == needs) for needs in self.needs.values()}

    @cached_property
    def question_counts(self) -> dict[str, float]:
        """Number of measured questions of each kind: the prior for a robot that has not been asked yet."""
        return {kind: sum(asked for _, asked in rows.values()) for kind, rows in self.options[0].counts.items()}

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """The measured numbers of linked blocks, ascending."""
        return tuple(sorted({option.linked_blocks for option in self.options if option.modalities}))

    def write(self, path: Path) -> None:
        """Write `path`, JSON."""
        content = {"format": FORMAT, **asdict(self)}
        path.write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> PlanTable:
        """Read what `write` wrote. Raises BadInput naming the file."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES} bytes")
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
            needs = {kind: tuple(modalities) for kind, modalities in content.pop("needs", {}).items()}
            return cls(encoders=encoders, options=options, needs=needs, **content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"plan table {path} cannot be used: {one_line(error)}") from error


def plan_table_of(folder: Path, rig: Rig) -> PlanTable | None:
    """The plan table in model folder `folder`; None where there is none for `rig`: it is of the model's own encoders."""
    path = folder / FILE
    return PlanTable.read(path) if path.is_file() and not rig.names_encoders else None


def slowness(table: PlanTable, healths: Iterable[Health]) -> float:
    """Encoding time on this machine divided by that in the table, median over sensors; 1 where it is not measured."""
    factors = [
        item.cost / table.encoders[item.modality].seconds
        for item in healths
        if item.cost > 0 and item.modality in table.encoders and table.encoders[item.modality].seconds > 0
    ]
    return float(np.median(factors)) if factors else 1.0


def nothing_plugged(table: PlanTable) -> Option:
    """The answers of the LLM alone."""
    return next(option for option in table.options if not option.modalities)


def join_names(names: Sequence[str]) -> str:
    """For a sentence: "camera, imu and lidar", or "nothing"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "nothing"


def _counts(content: Mapping) -> dict[str, dict[str, tuple[float, float]]]:
    return {
        kind: {context: (float(right), float(asked)) for context, (right, asked) in rows.items()}
        for kind, rows in content.items()
    }


def _share(rows: Iterable[tuple[float, float]], prior: float, strength: float) -> float:
    right, asked = (sum(column) for column in zip((0.0, 0.0), *rows, strict=True))
    return (right + strength * prior) / (asked + strength) if asked + strength else 0.0
