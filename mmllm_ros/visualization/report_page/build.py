# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Builds one HTML page from the files of a run: pictures are embedded, there is no script, and nothing is fetched."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...datatypes import BadInput, one_line
from ...resources import shared_folder
from ..thumbnails import FOLDER
from .adaptations import adaptation_part
from .answers import answers_part
from .comparisons import FIGURES, comparison_part
from .evaluations import evaluation_part
from .parts import Part, percent, spread

MAKERS = {"sets": evaluation_part, "accuracy_before": adaptation_part, "always_on": comparison_part}
"""Section builder by an entry that only this kind of file has."""

LARGEST_FILE = 64_000_000
LARGEST_PICTURE = 2_000_000
TYPES = {".jpg": "jpeg", ".png": "png"}


def build_page(folder: Path) -> str:
    """The page of everything in `folder` that `mmllm drive`, `replay`, `evaluate` or `adapt` wrote. Raises BadInput."""
    if not folder.is_dir():
        raise BadInput(f"folder {folder} does not exist")
    parts = [part for path in sorted(folder.glob("*.json*")) if (part := _part(path)) is not None]
    if not parts:
        raise BadInput(
            f"{folder} holds no results of mmllm drive, replay, evaluate or adapt: write some there with --out or --json"
        )
    loader = FileSystemLoader(shared_folder() / "config" / "report_page")
    drawing = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    drawing.globals |= {"percent": percent, "spread": spread}
    return drawing.get_template("report.html.jinja").render(parts=parts, folder=folder.resolve().name)


def _part(path: Path) -> Part | None:
    """The report section of one file; None for a file of another kind."""
    content = _read(path)
    make = _maker(content)
    if make is None:
        return None
    try:
        return make(content, path.name, lambda name: _pictures(path.parent, name))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise BadInput(f"{path} cannot be shown: {type(error).__name__} {one_line(error)}") from error


def _maker(content: Any) -> Callable[[Any, str, Callable], Part] | None:
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return None
    if content is not first and "evidence" in first:
        return answers_part
    return next((make for entry, make in MAKERS.items() if entry in first), None)


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BadInput(f"{path} is larger than {LARGEST_FILE // 1_000_000} MB")
        text = path.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path} cannot be read: {one_line(error)}") from error


def _pictures(folder: Path, name: str) -> Mapping[str, str]:
    """The thumbnails of an answer, or the figure of a scenario, as data URIs by kind; empty where there are none."""
    if name in FIGURES.values():
        paths = {"figure": folder / name}
    else:
        paths = {kind: folder / FOLDER / f"{int(name)}.{kind}.jpg" for kind in ("camera", "lidar")}
    return {
        kind: f"data:image/{TYPES[path.suffix]};base64," + base64.b64encode(path.read_bytes()).decode()
        for kind, path in paths.items()
        if path.is_file() and path.stat().st_size <= LARGEST_PICTURE
    }
