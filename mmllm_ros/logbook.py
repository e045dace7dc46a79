# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a drive leaves behind: drive.jsonl with every answer, drive.png with some moments, and a line each for the reader."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
from rich.console import Console

from .datatypes import BadInput
from .drawing import Moment, draw_sheet
from .report import answer_text, record

PICTURED = 6
"""Moments in drive.png."""


class Logbook:
    """Writes as it goes, so that nothing is lost when the drive is cut short. Raises BadInput where `folder` cannot be made."""

    def __init__(self, folder: str | Path, console: Console | None = None) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lines = (self.folder / "drive.jsonl").open("w", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"folder {str(folder)!r} cannot be written: {error.strerror}") from error
        self.asked = self.judged = self.right = 0
        self._console = console or Console()
        self._moments: list[Moment] = []
        self._stride = 1

    def add(self, moment: Moment, seconds: float) -> None:
        """Keep one answer, given `seconds` after the start of the drive."""
        self._lines.write(json.dumps(record(moment.answer, moment.truth or None)) + "\n")
        self._lines.flush()
        self._console.print(answer_text(moment.answer, moment.truth, f"{seconds:6.1f} s"), soft_wrap=True)
        if moment.truth:
            self.judged += 1
            self.right += moment.answer.answer == moment.truth
        # However long the drive, at most twice PICTURED moments are held, evenly spread over it.
        if self.asked % self._stride == 0:
            self._moments.append(moment)
        if len(self._moments) > 2 * PICTURED:
            self._moments = self._moments[::2]
            self._stride *= 2
        self.asked += 1

    def close(self) -> None:
        """Draw drive.png, where anything was answered, and say where things lie."""
        if self._lines.closed:
            return
        self._lines.close()
        self._console.print(f"{self.summary()}. Written: {self.folder / 'drive.jsonl'}", highlight=False, soft_wrap=True)
        if self._moments:
            last = len(self._moments) - 1
            shown = sorted({round(index * last / (PICTURED - 1)) for index in range(PICTURED)})
            title = f"What the robot saw (lidar from above, forward is up), and what it said: {self.summary()}"
            sheet = draw_sheet([self._moments[index] for index in shown], title)
            cv2.imwrite(str(self.folder / "drive.png"), sheet[..., ::-1])

    def summary(self) -> str:
        """For example `28 answers, 20 of 28 right`."""
        said = f"{self.asked} answer{'s' * (self.asked != 1)}"
        return f"{said}, {self.right} of {self.judged} right" if self.judged else said
