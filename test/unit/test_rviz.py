# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""config/drive.rviz has only classes and properties that rviz2 of Jazzy has, and shows what the visualizer publishes.

rviz passes over what it does not know without a word, so that a misspelled property would only be missed by a person.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RVIZ = yaml.safe_load((ROOT / "config" / "drive.rviz").read_text())
KNOWN = yaml.safe_load(Path(__file__).with_name("rviz_jazzy.yaml").read_text())
MANAGER = RVIZ["Visualization Manager"]
DISPLAYS = {display["Name"]: display for display in MANAGER["Displays"]}
COLOUR = re.compile(r"(\d{1,3}); (\d{1,3}); (\d{1,3})")
KINDS = {
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "colour": lambda value: isinstance(value, str) and (m := COLOUR.fullmatch(value)) and all(int(c) < 256 for c in m.groups()),
    "vector": lambda value: set(value) == set("XYZ") and all(isinstance(v, int | float) for v in value.values()),
    "names": lambda value: isinstance(value, dict) and all(isinstance(v, bool) for v in value.values()),
    "anything": lambda value: True,
}


def check(where: str, value: Any, kind: Any) -> None:
    """Hold a value of the layout against what rviz takes there."""
    if isinstance(kind, dict):
        for name, child in value.items():
            assert name in kind, f"{where} has no property {name!r}"
            check(f"{where}, {name}", child, kind[name])
    elif isinstance(kind, list):
        assert value in kind, f"{where} is {value!r}, not one of {kind}"
    else:
        assert KINDS[kind](value), f"{where} is {value!r}, not {kind}"


@pytest.mark.parametrize(
    ("shelf", "items"),
    [
        ("displays", MANAGER["Displays"]),
        ("tools", MANAGER["Tools"]),
        ("views", [MANAGER["Views"]["Current"], *MANAGER["Views"]["Saved"]]),
        ("panels", RVIZ["Panels"]),
    ],
)
def test_every_class_is_one_of_jazzy_and_every_property_is_one_of_its_class(shelf, items):
    for item in items:
        assert item["Class"] in KNOWN[shelf], f"{item['Class']} is no class for {shelf} that rviz_jazzy.yaml lists"
        check(item["Class"], item, KNOWN[shelf][item["Class"]])


def test_what_stands_around_the_displays_is_known_too():
    assert set(MANAGER) <= {
        "Class", "Displays", "Enabled", "Global Options", "Name", "Tools", "Transformation", "Value", "Views"
    }  # fmt: skip
    check("Global Options", MANAGER["Global Options"], KNOWN["options"])
    check("Window Geometry", RVIZ["Window Geometry"], KNOWN["geometry"])
    assert MANAGER["Transformation"]["Current"]["Class"] in KNOWN["transformations"]
    assert set(bytes.fromhex(RVIZ["Window Geometry"]["QMainWindow State"])[:4]) == {0, 255}, "how every state of Qt begins"


def test_a_misspelled_property_and_a_wrong_value_would_be_found():
    grid = KNOWN["displays"]["rviz_default_plugins/Grid"]
    for wrong in ({"Cell size": 1}, {"Plane": "XX"}, {"Color": "300; 0; 0"}, {"Alpha": "1"}, {"Line Style": {"Width": 1.0}}):
        with pytest.raises(AssertionError):
            check("Grid", wrong, grid)


def test_the_window_is_laid_out_for_the_panels_and_pictures_there_are():
    state = bytes.fromhex(RVIZ["Window Geometry"]["QMainWindow State"]).decode("utf-16-be", errors="ignore") + bytes.fromhex(
        RVIZ["Window Geometry"]["QMainWindow State"][2:]
    ).decode("utf-16-be", errors="ignore")
    pictures = [name for name, display in DISPLAYS.items() if display["Class"].endswith("/Image")]
    for name in (*pictures, *(panel["Name"] for panel in RVIZ["Panels"])):
        assert name in state, f"{name} has no place in the window"


def test_topics_are_relative_and_what_the_visualizer_publishes_is_shown_reliably():
    topics = {display["Topic"]["Value"]: display["Topic"] for display in DISPLAYS.values() if "Topic" in display}
    assert not [topic for topic in topics if topic.startswith("/")], "an absolute topic shows one robot in every namespace"
    tree = ast.parse((ROOT / "mmllm_ros" / "nodes" / "visualizer.py").read_text())
    made = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and ast.unparse(call.func) == "self.create_publisher"]
    published = {call.args[1].value for call in made}
    assert published == {topic for topic in topics if topic.startswith("mmllm/")}
    for topic, quality in topics.items():
        # A reliable subscription does not match a sensor that publishes best effort; a best-effort one matches everyone.
        assert quality["Reliability Policy"] == ("Reliable" if topic in published else "Best Effort"), topic
        assert quality["Durability Policy"] == "Volatile" and quality["Depth"] == 1


def test_every_namespace_of_markers_has_its_switch():
    tree = ast.parse((ROOT / "mmllm_ros" / "nodes" / "visualization" / "markers.py").read_text())
    calls = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and ast.unparse(call.func) in ("_text", "_shape")]
    names = {call.args[0 if ast.unparse(call.func) == "_text" else 1].value for call in calls}
    assert names == set(DISPLAYS["Answer and sensors"]["Namespaces"])
