# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Log of a run: drive.jsonl with every answer, drive.png and moments/ with pictures, and one line per answer on the console."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
from rich.console import Console

from ..datatypes import BadInput
from .answer_text import answer_text, record
from .drawing import AnswerSnapshot, draw_sheet
from .thumbnails import draw_thumbnails, remove_thumbnails, save_thumbnails

PICTURED = 6
"""Answers shown in drive.png. moments/ has thumbnails of these and of as many mistakes, named by their line in drive.jsonl."""


class RunLog:
    """Writes each answer at once, so that an aborted run keeps them. Raises BadInput where `folder` cannot be created."""

    def __init__(self, folder: str | Path, console: Console | None = None) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lines = (self.folder / "drive.jsonl").open("w", encoding="utf-8")
            remove_thumbnails(self.folder)
        except OSError as error:
            raise BadInput(f"folder {str(folder)!r} cannot be written: {error.strerror}") from error
        self.asked = self.graded = self.right = 0
        self.guessed = 0.0
        self._console = console or Console()
        self._snapshots: list[tuple[int, AnswerSnapshot]] = []
        self._mistakes: list[tuple[float, int, dict[str, bytes]]] = []
        self._stride = 1

    def add(self, snapshot: AnswerSnapshot, seconds: float, guess: float = 0.0) -> None:
        """Log one answer, given `seconds` after the start of the run. `guess` is how probably a guess is right, 0 to 1."""
        entry = {"time": round(seconds, 2), "context": snapshot.context, **record(snapshot.answer, snapshot.truth or None)}
        self._lines.write(json.dumps(entry) + "\n")
        self._lines.flush()
        self._console.print(answer_text(snapshot.answer, snapshot.truth, f"{seconds:6.1f} s"), soft_wrap=True)
        if snapshot.truth:
            self.graded += 1
            self.right += snapshot.answer.answer == snapshot.truth
            self.guessed += guess
            if snapshot.answer.answer != snapshot.truth:
                self._keep_mistake(snapshot)
        # At most twice PICTURED snapshots are held, evenly spread over the run, whatever its length.
        if self.asked % self._stride == 0:
            self._snapshots.append((self.asked + 1, snapshot))
        if len(self._snapshots) > 2 * PICTURED:
            self._snapshots = self._snapshots[::2]
            self._stride *= 2
        self.asked += 1

    def _keep_mistake(self, snapshot: AnswerSnapshot) -> None:
        """Hold the thumbnails of the wrong answers with the highest confidence."""
        entry = (-snapshot.answer.confidence, self.asked + 1)
        if len(self._mistakes) < PICTURED or entry < self._mistakes[-1][:2]:
            pictures = draw_thumbnails(snapshot.images, snapshot.points)
            self._mistakes = sorted([*self._mistakes, (*entry, pictures)], key=lambda mistake: mistake[:2])[:PICTURED]

    def close(self) -> None:
        """Write the pictures and print the summary and the path of drive.jsonl."""
        if self._lines.closed:
            return
        self._lines.close()
        self._console.print(f"{self.summary()}. Written: {self.folder / 'drive.jsonl'}", highlight=False, soft_wrap=True)
        for _, line, pictures in self._mistakes:
            save_thumbnails(self.folder, str(line), pictures)
        if self._snapshots:
            last = len(self._snapshots) - 1
            shown = [self._snapshots[index] for index in sorted({round(k * last / (PICTURED - 1)) for k in range(PICTURED)})]
            for line, snapshot in shown:
                save_thumbnails(self.folder, str(line), draw_thumbnails(snapshot.images, snapshot.points))
            title = f"Sensor data (lidar from above, forward is up) and answers: {self.summary()}"
            sheet = draw_sheet([snapshot for _, snapshot in shown], title)
            cv2.imwrite(str(self.folder / "drive.png"), sheet[..., ::-1])

    def summary(self) -> str:
        """For example `28 answers, 20 of 28 right (about 12 by guessing without sensors)`."""
        text = f"{self.asked} answer{'s' * (self.asked != 1)}"
        guessing = f" (about {self.guessed:.0f} by guessing without sensors)" if self.guessed else ""
        return f"{text}, {self.right} of {self.graded} right{guessing}" if self.graded else text
