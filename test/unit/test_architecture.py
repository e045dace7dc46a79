# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Import rules: layers of modules, and ROS in nodes/ only."""

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
    0: ("__init__", "angles", "datatypes", "config", "resources", "rig", "device"),
    1: ("io", "metrics"),
    2: ("encoders", "latent", "context", "simulator"),
    3: ("model", "dialogue", "startup_check", "launch_setup"),
    4: ("visualization", "question_policy", "assistant"),
    5: ("datasets",),
    6: ("training",),
    7: ("evaluation", "adaptation", "offline_replay"),
    8: ("nodes",),
    9: ("commands",),
    10: ("cli", "__main__"),
}
LAYER = {room: layer for layer, rooms in LAYERS.items() for room in rooms}
ROS_PACKAGES = re.compile(r"rclpy|ament_index_python|cv_bridge|launch|\w+_(msgs|interfaces)|mmllm_ros\.(msg|srv|action)")


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
    """`torch.load` for a call `torch.load(...)`; imports are join_names too."""
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
def test_only_nodes_import_ros(path: Path) -> None:
    assert not [imported for imported in imports(path) if ROS_PACKAGES.match(imported)]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_function_that_runs_code_from_a_file_or_a_string_is_called(path: Path) -> None:
    forbidden = {"eval", "exec", "os.system", "pickle", "torch.load", "yaml.load", "joblib", "dill", "marshal"}
    assert not called(path) & forbidden
    assert "allow_pickle=True" not in path.read_text()
    assert "shell=True" not in path.read_text()


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_source_file_starts_with_copyright_and_license(path: Path) -> None:
    assert path.read_text().startswith("# Copyright 2026 The mmllm_ros authors\n# SPDX-License-Identifier: Apache-2.0\n")


@pytest.mark.parametrize("path", INTERFACES, ids=name)
def test_an_interface_and_its_fields_have_comments(path: Path) -> None:
    first, *lines = path.read_text().splitlines()
    assert first.startswith("# ")
    constant = re.compile(r"\w+ [A-Z_]+=")
    fields = [line for line in lines if line and not line.startswith(("#", "---")) and not constant.match(line)]
    assert not [line for line in fields if not re.search(r"# \S", line)]
    if path.suffix == ".msg":
        assert fields[0].split()[:2] == ["std_msgs/Header", "header"]


@pytest.mark.parametrize("path", [path for path in INTERFACES if path.suffix != ".msg"], ids=name)
def test_a_response_has_success_and_message(path: Path) -> None:
    response = path.read_text().split("---\n")[1]
    assert re.match(r"bool success\b.*\nstring message\b", response)


def test_no_module_has_a_generic_name() -> None:
    assert not [path for path in MODULES if path.stem in ("utils", "util", "helpers", "common", "misc")]
