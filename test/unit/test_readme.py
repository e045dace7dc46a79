# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The documents match the sources: tables, commands, options, launch arguments, files, links and examples.

test/ros/test_documents.py and test_documents_beside_robot.py run their commands.
"""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from typer.main import get_command

from docs import node_tables, security_policy, tree
from mmllm_ros.cli import app
from mmllm_ros.launch_setup import ENCLAVES, node_names
from mmllm_ros.rig import load_rig, rig_overrides

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
    "camera_encoder", "lidar_encoder", "imu_encoder", "universal_encoder", "context_monitor", "llm", "simulator", "replay",
    "visualizer", "drive"
)  # fmt: skip


def test_the_readme_has_at_most_1000_words() -> None:
    assert len(TEXTS[ROOT / "README.md"].split()) <= 1000


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_page_says_at_its_top_who_it_is_for(page: Path) -> None:
    assert TEXTS[page].split("\n\n")[1].startswith("For ")


def test_the_node_tables_are_what_the_script_writes() -> None:
    assert TEXTS[node_tables.PAGE] == node_tables.page(), "run `python -m docs.node_tables`"


def test_the_security_policy_is_what_the_script_writes() -> None:
    written = (ROOT / "config" / "sros2" / "front.xml").read_text()
    assert written == security_policy.policy(load_rig("front")), "run `python -m docs.security_policy front`"


@pytest.mark.parametrize("name", ["front", "nuscenes", "radiate"])
def test_the_security_policy_has_an_enclave_for_each_process_and_the_sensors_of_the_rig(name: str) -> None:
    rig = load_rig(name)
    root = ElementTree.fromstring(security_policy.policy(rig))
    assert {enclave.get("path") for enclave in root.iter("enclave")} >= {
        f"{ENCLAVES}/{executable}" for executable in (*node_names(rig), "simulator", "replay", "drive")
    }
    heard = {topic.text for topics in root.iter("topics") if topics.get("subscribe") for topic in topics}
    assert {*(mount.topic for mount in rig.cameras), rig.lidar.topic, rig.imu.topic} <= heard


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
"""Call that creates an interface -> its role, and the positions of its type and its name in the arguments."""


@cache
def parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def imports(module: Path) -> dict[str, tuple[Path | None, str]]:
    """Each imported name -> the module below nodes/ that it comes from (None for any other), and its name there."""
    found: dict[str, tuple[Path | None, str]] = {}
    for item in parsed(module).body:
        for alias in getattr(item, "names", ()) if isinstance(item, ast.Import | ast.ImportFrom) else ():
            level = item.level if isinstance(item, ast.ImportFrom) else 0
            home = None
            if level:
                path = module.parents[level - 1].joinpath(*(item.module or "").split(".")).with_suffix(".py")
                home = path if path.is_file() and path.is_relative_to(NODES) else None
            found[alias.asname or alias.name] = home, alias.name
    return found


def interfaces(node: str) -> set[tuple[str, str, str]]:
    """(role, name, type) of every interface with a literal name that a node creates, itself or in what it calls."""
    # The drive starts all other nodes; the interfaces of its own are those of the drive client.
    start = (NODES / "clients" / "drive_client.py", "DriveClient") if node == "drive" else (NODES / f"{node}.py", "main")
    waiting, seen, found = [start], set(), set()
    while waiting:
        module, definition = waiting.pop()
        if (module, definition) in seen:
            continue
        seen.add((module, definition))
        imported = imports(module)
        body = parsed(module).body
        defined = {item.name: item for item in body if isinstance(item, ast.ClassDef | ast.FunctionDef)}
        constants = {ast.unparse(item.targets[0]): item.value for item in body if isinstance(item, ast.Assign)}
        for item in ast.walk(defined.get(definition, ast.Module([], []))):
            if isinstance(item, ast.Name):
                home, name = imported.get(item.id, (None, ""))
                used = (home, name) if home else (module, item.id) if item.id in defined else None
                waiting += [used] if used else []
            elif isinstance(item, ast.Call) and (make := MAKES.get(ast.unparse(item.func).split(".")[-1])):
                role, kind, name = make[0], ast.unparse(item.args[make[1]]), item.args[make[2]]
                name = constants.get(ast.unparse(name), name)
                if isinstance(name, ast.Constant):
                    found.add((role, name.value, imported[kind][1]))
    return found


@pytest.mark.parametrize("node", EXECUTABLES)
def test_the_tables_name_every_interface_of_a_node_and_no_other(node: str) -> None:
    rows = [("subscribed", *row) for row in node_tables.SUBSCRIBED] + [("published", *row) for row in node_tables.PUBLISHED]
    rows += [(row[3], *row) for row in (*node_tables.SERVICES, *node_tables.ACTIONS)]
    listed = {(role, name, kind.split("/")[-1]) for role, nodes, name, kind, *_ in rows if node in nodes}
    assert {row for row in listed if not row[1].startswith("(")} == interfaces(node)


@pytest.mark.parametrize("node", EXECUTABLES)
def test_the_parameters_in_the_tables_are_those_that_the_node_declares(node: str) -> None:
    (kind,) = (kind for nodes, kind in node_tables.PARAMETERS if node in nodes)
    source = {"drive": "clients/drive_client"}.get(node, "encoding/encoder_node" if node in node_tables.ENCODERS else node)
    called = re.search(r"declare\(self, (\w+)(, self\._on_config)?\)", (NODES / f"{source}.py").read_text())
    assert called.group(1) == kind.__name__
    assert (called.group(2) is None) == (kind in node_tables.FIXED_IN)


def test_every_mmllm_command_exists_with_the_options_shown() -> None:
    known = get_command(app).commands
    shown = [shlex.split(line) for line in COMMANDS if line.startswith("mmllm ")]
    assert {words[1] for words in shown} >= {
        "drive",
        "ask",
        "replay",
        "doctor",
        "adapt-scenario",
        "compare-plans",
        "evaluate-recording",
    }
    for words in shown:
        options = {word for word in words if word.startswith("--")}
        if words[1] == "--help":
            continue
        command = known[words[1]]
        command = getattr(command, "commands", {}).get(words[2] if len(words) > 2 else "", command)
        accepted = {name for parameter in command.params for name in parameter.opts}
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
    """The anchors of the headings of `page`."""
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
    over, rig, parameters = (block for kind, block in BLOCKS if kind == "yaml" and ("cameras" in block or "qos" in block))
    file = tmp_path / "my_robot.yaml"
    file.write_text(over)
    assert set(rig_overrides(file)) == {"cameras", "lidar"}
    file.write_text(rig)
    loaded = load_rig(file)
    assert [mount.name for mount in loaded.cameras] == ["front", "rear"] and loaded.lidar and loaded.imu
    overrides = yaml.safe_load(parameters)["/**/camera_encoder"]["ros__parameters"]["qos_overrides"]
    assert set(overrides) <= {mount.topic for mount in loaded.cameras}
