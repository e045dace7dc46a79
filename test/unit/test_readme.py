# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The documents tell the truth: tables, commands, options, launch arguments, files, links and examples are those of the sources.

What their commands do is tried by test/ros/test_documents.py.
"""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from docs import node_tables, tree
from mmllm_ros.cli import app
from mmllm_ros.rig import load_rig

ROOT = Path(__file__).resolve().parents[2]
NODES = ROOT / "mmllm_ros" / "nodes"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "QUALITY_DECLARATION.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
TEXTS = {page: page.read_text() for page in PAGES}
TEXT = "\n".join(TEXTS.values())
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SHELL = [line.split(" #")[0].strip() for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [*SHELL, *(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", PROSE))]
EXECUTABLES = (
    "camera_encoder", "lidar_encoder", "imu_encoder", "context_monitor", "llm", "simulator", "replay", "visualizer", "drive"
)  # fmt: skip


def test_the_tables_are_what_the_script_writes() -> None:
    assert node_tables.replaced(TEXTS[node_tables.README]) == TEXTS[node_tables.README], "run `python -m docs.node_tables`"


def test_the_tree_is_what_the_script_writes() -> None:
    assert tree.replaced(TEXTS[tree.PAGE]) == TEXTS[tree.PAGE], "run `python -m docs.tree`"


MAKES = {
    "create_subscription": ("subscribed", 0, 1),
    "create_publisher": ("published", 0, 1),
    "create_service": ("server", 0, 1),
    "create_client": ("client", 0, 1),
    "ActionServer": ("server", 1, 2),
    "ActionClient": ("client", 1, 2),
}
"""How an interface is made, and which arguments of the call are its type and its name."""


@cache
def parsed(module: str) -> list[ast.stmt]:
    return ast.parse((NODES / f"{module}.py").read_text()).body


def interfaces(node: str) -> set[tuple[str, str, str]]:
    """(role, name, type) of every interface with a literal name that a node makes, by itself or by what it calls."""
    # The drive holds all the others; what is its own is the passenger's.
    waiting, seen, found = [("passenger", "DriveClient") if node == "drive" else (node, "main")], set(), set()
    while waiting:
        module, definition = waiting.pop()
        if (module, definition) in seen:
            continue
        seen.add((module, definition))
        body = parsed(module)
        imported = {alias.asname or alias.name: (item, alias) for item in body for alias in getattr(item, "names", ())}
        defined = {item.name: item for item in body if isinstance(item, ast.ClassDef | ast.FunctionDef)}
        for item in ast.walk(defined.get(definition, ast.Module([], []))):
            if isinstance(item, ast.Name):
                source, alias = imported.get(item.id, (None, None))
                home = source.module if isinstance(source, ast.ImportFrom) and source.level == 1 and source.module else None
                used = (home, alias.name) if home else (module, item.id) if item.id in defined else None
                waiting += [used] if used else []
            elif isinstance(item, ast.Call) and (make := MAKES.get(ast.unparse(item.func).split(".")[-1])):
                role, kind, name = make[0], ast.unparse(item.args[make[1]]), item.args[make[2]]
                if isinstance(name, ast.Constant):
                    found.add((role, name.value, imported[kind][1].name))
    return found


@pytest.mark.parametrize("node", EXECUTABLES)
def test_the_tables_name_every_interface_of_a_node_and_no_other(node: str) -> None:
    rows = [("subscribed", *row) for row in node_tables.SUBSCRIBED] + [("published", *row) for row in node_tables.PUBLISHED]
    rows += [(row[3], *row) for row in (*node_tables.SERVICES, *node_tables.ACTIONS)]
    told = {(role, name, kind.split("/")[-1]) for role, nodes, name, kind, *_ in rows if node in nodes}
    assert {row for row in told if not row[1].startswith("(")} == interfaces(node)


@pytest.mark.parametrize("node", EXECUTABLES)
def test_the_parameters_in_the_tables_are_those_that_the_node_declares(node: str) -> None:
    (kind,) = (kind for nodes, kind in node_tables.PARAMETERS if node in nodes)
    source = {"drive": "passenger"}.get(node, "encoder_node" if node in node_tables.ENCODERS else node)
    called = re.search(r"declare\(self, (\w+)(, self\._on_config)?\)", (NODES / f"{source}.py").read_text())
    assert called.group(1) == kind.__name__
    assert (called.group(2) is None) == (kind in node_tables.FIXED_IN)


def test_every_mmllm_command_exists_with_the_options_shown() -> None:
    known = get_command(app).commands
    shown = [shlex.split(line) for line in COMMANDS if line.startswith("mmllm ")]
    assert {words[1] for words in shown} >= {"drive", "ask", "replay", "doctor"}
    for words in shown:
        options = {word for word in words if word.startswith("--")}
        if words[1] == "--help":
            continue
        accepted = {name for parameter in known[words[1]].params for name in parameter.opts}
        assert options <= accepted, f"{' '.join(words)}: {options - accepted}"


def test_every_launch_argument_exists() -> None:
    tree = ast.parse((ROOT / "launch" / "drive.launch.py").read_text())
    (table,) = (item.value for item in tree.body if isinstance(item, ast.Assign) and item.targets[0].id == "ARGUMENTS")
    known = {row.elts[0].value for row in table.elts}
    assert set(re.findall(r"(\w+):=", TEXT)) <= known


def test_every_node_and_every_make_target_named_exists() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {name for line in COMMANDS for name in re.findall(r"^make (\w+)", line)} <= set(targets)
    assert set(re.findall(r"ros2 run mmllm_ros ([a-z_]+)", TEXT)) <= set(EXECUTABLES)
    assert set(re.findall(r"mmllm_ros\.nodes\.(\w+)", TEXT)) <= set(EXECUTABLES)


def anchors(page: Path) -> set[str]:
    """What `#...` may follow a link to `page`."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[page]):
        path, _, anchor = target.partition("#")
        if not path.startswith("https://"):
            file = page.parent / path if path else page
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target


def test_every_file_named_exists() -> None:
    folders = "docs|config|launch|requirements|models|test|benchmark|mmllm_ros|msg|srv|action"
    # mmllm_ros/Answer, mmllm_ros/srv/Ask and mmllm_ros/action/Adapt are types.
    text = TEXT.replace("src/mmllm_ros/", "").replace("mmllm_ros/srv/", "").replace("mmllm_ros/action/", "")
    named = re.findall(rf"(?<![\w/.])(?:{folders})/(?:[a-z_.]+/)*(?:[\w-]+\.\w+)?", text)
    missing = [path for path in named if not (ROOT / path).exists()]
    assert len(named) > 30 and not missing


def test_the_rig_file_shown_loads_and_the_parameters_shown_parse(tmp_path) -> None:
    rig, parameters = (block for kind, block in BLOCKS if kind == "yaml" and ("cameras" in block or "qos" in block))
    file = tmp_path / "my_robot.yaml"
    file.write_text(rig)
    loaded = load_rig(file)
    assert [mount.name for mount in loaded.cameras] == ["front", "rear"] and loaded.lidar and loaded.imu
    overrides = yaml.safe_load(parameters)["/**/camera_encoder"]["ros__parameters"]["qos_overrides"]
    assert set(overrides) <= {mount.topic for mount in loaded.cameras}
