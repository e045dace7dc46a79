# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a drive leaves behind: drive.jsonl with every answer, drive.png and moments/ with pictures, a line each for the reader."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
from rich.console import Console

from ..datatypes import BadInput
from .answer_text import answer_text, record
from .drawing import Moment, draw_sheet
from .thumbnails import clear, keep, snap

PICTURED = 6
"""Moments in drive.png. Of these, and of as many mistakes, moments/ has pictures, named by their line in drive.jsonl."""


class RunLog:
    """Writes as it goes, so that no answer is lost when the drive is cut short. Raises BadInput where `folder` cannot be made."""

    def __init__(self, folder: str | Path, console: Console | None = None) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lines = (self.folder / "drive.jsonl").open("w", encoding="utf-8")
            clear(self.folder)
        except OSError as error:
            raise BadInput(f"folder {str(folder)!r} cannot be written: {error.strerror}") from error
        self.asked = self.judged = self.right = 0
        self._console = console or Console()
        self._moments: list[tuple[int, Moment]] = []
        self._mistakes: list[tuple[float, int, dict[str, bytes]]] = []
        self._stride = 1

    def add(self, moment: Moment, seconds: float) -> None:
        """Keep one answer, given `seconds` after the start of the drive."""
        told = {"time": round(seconds, 2), "context": moment.context, **record(moment.answer, moment.truth or None)}
        self._lines.write(json.dumps(told) + "\n")
        self._lines.flush()
        self._console.print(answer_text(moment.answer, moment.truth, f"{seconds:6.1f} s"), soft_wrap=True)
        if moment.truth:
            self.judged += 1
            self.right += moment.answer.answer == moment.truth
            if moment.answer.answer != moment.truth:
                self._keep_mistake(moment)
        # However long the drive, at most twice PICTURED moments are held, evenly spread over it.
        if self.asked % self._stride == 0:
            self._moments.append((self.asked + 1, moment))
        if len(self._moments) > 2 * PICTURED:
            self._moments = self._moments[::2]
            self._stride *= 2
        self.asked += 1

    def _keep_mistake(self, moment: Moment) -> None:
        """Hold the pictures of the wrong answers that were given with the most confidence."""
        entry = (-moment.answer.confidence, self.asked + 1)
        if len(self._mistakes) < PICTURED or entry < self._mistakes[-1][:2]:
            pictures = snap(moment.images, moment.points)
            self._mistakes = sorted([*self._mistakes, (*entry, pictures)], key=lambda mistake: mistake[:2])[:PICTURED]

    def close(self) -> None:
        """Write the pictures, where anything was answered, and say where things lie."""
        if self._lines.closed:
            return
        self._lines.close()
        self._console.print(f"{self.summary()}. Written: {self.folder / 'drive.jsonl'}", highlight=False, soft_wrap=True)
        for _, line, pictures in self._mistakes:
            keep(self.folder, str(line), pictures)
        if self._moments:
            last = len(self._moments) - 1
            shown = [self._moments[index] for index in sorted({round(k * last / (PICTURED - 1)) for k in range(PICTURED)})]
            for line, moment in shown:
                keep(self.folder, str(line), snap(moment.images, moment.points))
            title = f"What the robot saw (lidar from above, forward is up), and what it said: {self.summary()}"
            sheet = draw_sheet([moment for _, moment in shown], title)
            cv2.imwrite(str(self.folder / "drive.png"), sheet[..., ::-1])

    def summary(self) -> str:
        """For example `28 answers, 20 of 28 right`."""
        said = f"{self.asked} answer{'s' * (self.asked != 1)}"
        return f"{said}, {self.right} of {self.judged} right" if self.judged else said
