# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Content of a report page. config/report_page/report.html.jinja renders each part that is present."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

UNBROKEN = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Bar:
    """A share from 0 to 1 with its 95 % interval; `mark` is a share to compare with, `blind` marks a baseline without sensors."""

    name: str
    share: float
    low: float | None = None
    high: float | None = None
    count: int | None = None
    mark: float | None = None
    blind: bool = False


@dataclass(frozen=True, slots=True)
class Bars:
    """Shares of right answers side by side."""

    title: str
    note: str
    rows: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Card:
    """A question and its answer. `pictures` maps "camera" and "lidar" to data URIs; `right` is None for an unknown truth."""

    question: str
    answer: str
    truth: str | None
    confidence: float
    where: str
    notes: Sequence[str] = ()
    pictures: Mapping[str, str] = field(default_factory=dict)

    @property
    def right(self) -> bool | None:
        return None if self.truth is None else self.truth == self.answer


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a lane, in percent of the timeline. `kind` is its style: context, on, off, right, wrong or ungraded."""

    start: float
    width: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Lanes over time; `ticks` are (percent, label)."""

    lanes: Mapping[str, Sequence[Span]]
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of texts."""

    title: str
    note: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Bins as returned by statistics.reliability."""

    bins: Sequence[Mapping[str, float]]
    error: float
    count: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Shares (x, y) over time, both between 0 and 1; `levels` are (name, share), `ends` the labels of the time axis.

    `ticks` are those of the vertical axis [%], including both ends.
    """

    title: str
    note: str
    points: Sequence[tuple[float, float]]
    levels: Sequence[tuple[str, float]]
    ends: tuple[str, str]
    ticks: Sequence[int]


@dataclass(frozen=True, slots=True)
class Part:
    """One run: a drive, a replay, an evaluation, an adaptation or a scenario. `figure` is a picture as data URI."""

    title: str
    summary: str
    source: str
    facts: Sequence[tuple[str, str]] = ()
    moments: Sequence[Card] = ()
    mistakes: Sequence[Card] = ()
    bars: Sequence[Bars] = ()
    reliability: Reliability | None = None
    timeline: Timeline | None = None
    figure: str | None = None
    curve: Curve | None = None
    grids: Sequence[Grid] = ()


def percent(share: float) -> str:
    """0.714 as `71 %`, with a no-break space."""
    return f"{100 * share:.0f}{UNBROKEN}%"


def spread(low: float, high: float) -> str:
    """An interval as `53 to 85 %`."""
    return f"{100 * low:.0f} to {100 * high:.0f}{UNBROKEN}%"


def gigaflops(flops: float) -> str:
    """67.7e9 as `68`, 2e12 as `2,000`, 2.7e9 as `2.7`."""
    return f"{flops / 1e9:,.{1 if flops < 1e10 else 0}f}"
