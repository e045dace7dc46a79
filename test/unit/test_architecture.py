# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house, held by a test: who may import whom, who knows ROS, how long a file may grow."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mmllm_ros"
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = ("mmllm_ros", "launch", "test", "benchmark", ".ci")
SOURCES = [ROOT / "setup.py", *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]
INTERFACES = sorted(path for kind in ("msg", "srv", "action") for path in (ROOT / kind).iterdir())

# A new file or folder of the package finds its layer here before it finds its first import.
LAYERS = {
    0: ("__init__", "angles", "datatypes", "config", "resources", "rig", "device", "decoding", "weights"),
    1: (
        "encoders",
        "latent",
        "context",
        "simulator",
        "frames",
        "serialized",
        "questions_file",
        "canvas",
        "colouring",
        "drawing",
        "report",
        "baselines",
        "statistics",
        "flops",
        "snapshots",
        "mentions",
    ),
    2: ("conversation", "self_report", "model", "sensor_state", "logbook", "question_sets", "page", "moments"),
    3: ("overlay", "rerun_file", "assistant", "recording", "nuscenes", "inherit"),
    4: (
        "training",
        "evaluation",
        "offline",
        "recorded_sets",
        "simulate",
        "depths",
        "context_report",
        "plan_measure",
        "scenario",
        "scenario_report",
        "scenario_figure",
        "work",
    ),
    5: ("adaptation",),
    6: ("nodes",),
    7: ("commands",),
    8: ("cli", "__main__"),
}
LAYER = {room: layer for layer, rooms in LAYERS.items() for room in rooms}
ROS_PACKAGES = re.compile(r"rclpy|ament_index_python|cv_bridge|launch|\w+_(msgs|interfaces)|mmllm_ros\.(msg|srv|action)")
LONGEST = {"mmllm_ros": 250, "mmllm_ros/nodes": 120, "launch": 60}


def room_of(path: Path) -> str:
    """`encoders` for mmllm_ros/encoders/camera.py, `model` for mmllm_ros/model.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> list[str]:
    """Every absolute name that a file imports, also inside functions: `mmllm_ros.rig` for `from ..rig import Rig`."""
    package = path.relative_to(ROOT).parent.parts
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join((*package[: len(package) + 1 - node.level], *([node.module] if node.module else [])))
            found += [f"{base}.{alias.name}" for alias in node.names] if node.level else [node.module]
    return found


def called(path: Path) -> set[str]:
    """`torch.load` for a call `torch.load(...)`; imports are listed too."""
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return {ast.unparse(function) for function in calls} | set(imports(path))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_file_imports_only_from_a_lower_layer_or_its_own_folder(path: Path) -> None:
    room = room_of(path)
    assert room in LAYER, f"give {room} a layer in LAYERS"
    for imported in imports(path):
        if not imported.startswith("mmllm_ros."):
            continue
        other = imported.split(".")[1]
        if other in ("msg", "srv", "action", "__version__") or other == room:
            continue
        same_shelf = path.parent == PACKAGE and not (PACKAGE / other).is_dir() and LAYER[other] == LAYER[room]
        assert LAYER[other] < LAYER[room] or same_shelf, f"layer {LAYER[room]} imports {imported} of layer {LAYER[other]}"


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(path) != "nodes"], ids=name)
def test_only_the_nodes_know_ros(path: Path) -> None:
    assert not [imported for imported in imports(path) if ROS_PACKAGES.match(imported)]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_that_could_run_code_from_a_file_or_a_string_is_called(path: Path) -> None:
    forbidden = {"eval", "exec", "os.system", "pickle", "torch.load", "yaml.load", "joblib", "dill", "marshal"}
    assert not called(path) & forbidden
    assert "allow_pickle=True" not in path.read_text()
    assert "shell=True" not in path.read_text()


@pytest.mark.parametrize("path", [path for path in SOURCES if "test" not in path.parts], ids=name)
def test_a_file_stays_within_its_length(path: Path) -> None:
    limit = next((lines for folder, lines in reversed(LONGEST.items()) if name(path).startswith(folder + "/")), 250)
    assert len(path.read_text().splitlines()) <= 1.2 * limit, f"about {limit} lines: find the second idea and give it a file"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_source_file_begins_with_its_copyright_and_its_license(path: Path) -> None:
    assert path.read_text().startswith("# Copyright 2026 The mmllm_ros authors\n# SPDX-License-Identifier: Apache-2.0\n")


@pytest.mark.parametrize("path", INTERFACES, ids=name)
def test_an_interface_says_what_it_is_and_every_field_says_what_it_holds(path: Path) -> None:
    first, *lines = path.read_text().splitlines()
    assert first.startswith("# ")
    constant = re.compile(r"\w+ [A-Z_]+=")
    fields = [line for line in lines if line and not line.startswith(("#", "---")) and not constant.match(line)]
    assert not [line for line in fields if not re.search(r"# \S", line)]
    if path.suffix == ".msg":
        assert fields[0].split()[:2] == ["std_msgs/Header", "header"]


@pytest.mark.parametrize("path", [path for path in INTERFACES if path.suffix != ".msg"], ids=name)
def test_a_response_says_whether_it_went_well_and_why_not(path: Path) -> None:
    response = path.read_text().split("---\n")[1]
    assert re.match(r"bool success\b.*\nstring message\b", response)


def test_no_module_is_a_drawer() -> None:
    assert not [path for path in MODULES if path.stem in ("utils", "util", "helpers", "common", "misc")]
