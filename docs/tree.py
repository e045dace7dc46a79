# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Generates the tree in docs/change_it.md: `python -m docs.tree`. Each line is the first sentence of a docstring."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "change_it.md"
BEGIN, END = "<!-- tree: python -m docs.tree -->", "<!-- end of tree -->"
LONGEST = 120
OTHER_FOLDERS = """
msg/ srv/ action/      the interfaces
launch/ config/        launch file, parameters, rigs, training configurations, question wordings, rviz layout, report page
models/                the shipped weights
benchmark/             measurements of speed, memory, and other methods
test/                  unit tests, tests of the nodes over DDS, examples to copy
docs/                  these pages, pictures, the scripts that generate docs/nodes.md and this tree
requirements/          packages to install, and the tested versions
cmake/ .ci/            parts of the build, of the set-up and of the checks
"""


def tree() -> str:
    """The tree as a fenced block: folders, then modules at the top level."""
    package = ROOT / "mmllm_ros"
    modules = [path for path in package.iterdir() if path.suffix == ".py" and path.stem != "__init__"]
    folders = [path for path in package.iterdir() if (path / "__init__.py").is_file()]
    lines = [f"  {path.name + '/':<21}{_first_sentence(path / '__init__.py')}" for path in sorted(folders)]
    lines += [f"  {path.name:<21}{_first_sentence(path)}" for path in sorted(modules)]
    return "```\nmmllm_ros/             the Python package\n" + "\n".join(lines) + OTHER_FOLDERS + "```\n"


def replaced(text: str) -> str:
    """`text` of the page with the generated tree."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{tree()}{END}{rest.split(END)[1]}"


def _first_sentence(path: Path) -> str:
    """The first sentence of a module's docstring, at most LONGEST characters where it can be shortened."""
    first = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split())
    first = re.split(r"(?<=[A-Za-z)])\. ", first)[0].rstrip(".")
    # A long sentence is shortened at its last colon, semicolon or comma.
    while len(first) > LONGEST and (shorter := re.sub(r"[:;,][^:;,]*$", "", first)) != first:
        first = shorter
    return first


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text()))
