# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reads and writes question files in NuScenes-QA's JSON, for simulated drives, nuScenes and recordings.

    {"split": "val", "questions": [
        {"sample_token": "..", "question": "..", "answer": "..", "template_type": "exist", "num_hop": 0}]}

Our own files add "source", "program", "seed", "needs" and "details" to each question; other keys are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..datatypes import BadInput, Question, one_line

MAX_BYTES = 1 << 30
"""The largest file that is read; NuScenes-QA's training questions are about 80 MB."""
_REQUIRED = ("sample_token", "question", "answer", "template_type", "num_hop")


def write_questions(path: str | Path, questions: Sequence[Question], split: str) -> None:
    """Write a question file and create its folder where missing."""
    content = {"split": split, "questions": [_record(question) for question in questions]}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content, indent=1) + "\n")


def read_questions(path: str | Path) -> list[Question]:
    """The questions of a file, answers as text. Raises BadInput naming the file, and the index and field of the error."""
    path = Path(path)
    content = read_json(path)
    records = content.get("questions") if isinstance(content, dict) else content
    if not isinstance(records, list):
        raise BadInput(f'{path}: no list of questions under "questions"')
    return [_question(record, f"{path}: question {index}") for index, record in enumerate(records)]


def read_json(path: Path, max_bytes: int = MAX_BYTES):
    """The content of a JSON file of bounded size. Raises BadInput."""
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise BadInput(f"{path} has {size} bytes, more than {max_bytes}")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path} is not JSON: {one_line(error)}") from error


def _record(question: Question) -> dict:
    record = {name: getattr(question, name) for name in (*_REQUIRED, "source", "program", "seed", "details")}
    return {**record, "needs": [list(kept) for kept in question.needs]}


def _question(record: object, where: str) -> Question:
    if not isinstance(record, dict):
        raise BadInput(f"{where} is {type(record).__name__}, not an object")
    for name in _REQUIRED:
        if name not in record:
            raise BadInput(f"{where} has no field {name!r}")
    needs = record.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(kept, list) and all(isinstance(m, str) for m in kept) for kept in needs):
        raise BadInput(f"{where}: field 'needs' is not a list of lists of modalities")
    details = record.get("details", {})
    if not isinstance(details, dict):
        raise BadInput(f"{where}: field 'details' is {type(details).__name__}, not an object")
    return Question(
        question=_text(record, "question", where),
        answer=str(_scalar(record, "answer", where)),
        template_type=_text(record, "template_type", where),
        num_hop=_whole(record, "num_hop", where),
        sample_token=str(_scalar(record, "sample_token", where)),
        program=_text({"program": "", **record}, "program", where),
        needs=tuple(tuple(kept) for kept in needs),
        source=_text({"source": "file", **record}, "source", where),
        seed=_whole({"seed": 0, **record}, "seed", where),
        details={str(key): str(value) for key, value in details.items()},
    )


def _text(record: dict, name: str, where: str) -> str:
    if not isinstance(record[name], str):
        raise BadInput(f"{where}: field {name!r} is {type(record[name]).__name__}, not text")
    return record[name]


def _scalar(record: dict, name: str, where: str) -> str | int:
    if not isinstance(record[name], str | int):
        raise BadInput(f"{where}: field {name!r} is {type(record[name]).__name__}, neither text nor a number")
    return record[name]


def _whole(record: dict, name: str, where: str) -> int:
    try:
        return int(record[name])
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInput(f"{where}: field {name!r} is not a whole number") from error
