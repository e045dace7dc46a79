# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The tree in docs/change_it.md: a line for each module, by its own docstring. `python -m docs.tree` writes it anew."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "change_it.md"
BEGIN, END = "<!-- tree: python -m docs.tree -->", "<!-- end of tree -->"
LONGEST = 100
BESIDE = """
msg/ srv/ action/      the interfaces
launch/ config/        launch file, parameters, rigs, training configuration, rviz layout, the page of a report
models/                the shipped weights
benchmark/             measurements
test/                  unit tests, tests of the nodes over DDS, examples to copy
docs/                  these pages, pictures, the scripts that write the tables of the README and this tree
requirements/          what is installed, and the tested versions
cmake/ .ci/            pieces of the build, of the set-up and of the checks
"""


def tree() -> str:
    """The fenced block."""
    package = ROOT / "mmllm_ros"
    modules = [path for path in package.iterdir() if path.suffix == ".py" and path.stem != "__init__"]
    folders = [path for path in package.iterdir() if (path / "__init__.py").is_file()]
    lines = [f"  {path.name + '/':<21}{_says(path / '__init__.py')}" for path in sorted(folders)]
    lines += [f"  {path.name:<21}{_says(path)}" for path in sorted(modules)]
    return "```\nmmllm_ros/             the library\n" + "\n".join(lines) + BESIDE + "```\n"


def replaced(text: str) -> str:
    """`text` of the page with the tree written anew."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{tree()}{END}{rest.split(END)[1]}"


def _says(path: Path) -> str:
    """The first sentence of a module's docstring."""
    first = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split())
    first = re.split(r"(?<=[A-Za-z)])\. ", first)[0].rstrip(".")
    # What comes after a colon or a semicolon explains what was already said.
    while len(first) > LONGEST and (shorter := re.sub(r"[:;,][^:;,]*$", "", first)) != first:
        first = shorter
    return first


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text()))
