# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The option `--settings FILE`: rarely used settings of a command in a YAML file, checked against a settings class."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer
import yaml

from ..config import Validated, check, load_yaml
from ..datatypes import BadInput


def settings_option(kind: type[Validated], names: Iterable[str] = ()) -> Any:
    """The option; its help lists each entry with its meaning and default. `names` selects fields of `kind`, empty = all."""
    fields = _fields(kind, names).values()
    entries = "; ".join(f"{field.name}: {field.metadata['description']} ({_text(field.default)})" for field in fields)
    return typer.Option("--settings", help=f"YAML file with any of: {entries}", dir_okay=False)


def read_settings(path: Path | None, kind: type[Validated], names: Iterable[str] = ()) -> dict[str, Any]:
    """The entries of the file, empty without one. Raises BadInput naming the file and the entry."""
    if path is None:
        return {}
    fields = _fields(kind, names)
    try:
        content = load_yaml(path.read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict):
            raise BadInput("is not a mapping of names to values")
        unknown = [str(name) for name in content if name not in fields]
        if unknown:
            raise BadInput(f"unknown entry {unknown[0]!r}, use {', '.join(fields)}")
        for name, value in content.items():
            content[name] = _number(value) if isinstance(fields[name].default, float) else value
            check(fields[name], content[name])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, BadInput) as error:
        raise BadInput(f"settings {path}: {' '.join(str(error).split())[:300]}") from error
    return content


def _fields(kind: type[Validated], names: Iterable[str]) -> dict[str, dataclasses.Field]:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    return {name: fields[name] for name in names} if names else fields


def _text(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default) or "empty"


def _number(value: Any) -> Any:
    """YAML reads 1e12 as text; this reads it as a number."""
    try:
        return float(value) if isinstance(value, str | int) and not isinstance(value, bool) else value
    except ValueError:
        return value
