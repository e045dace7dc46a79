# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The checks of ament's linters on a package, without the network that ament_xmllint needs for its schema."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from catkin_pkg.changelog import get_changelog_from_path
from catkin_pkg.package import InvalidPackage, parse_package

ROOT = Path(__file__).resolve().parents[1]
MODEL = '<?xml-model href="http://download.ros.org/schema/package_format3.xsd" schematypens="http://www.w3.org/2001/XMLSchema"?>'
# Imported names whose rosdep key differs.
KEYS = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "yaml": "python3-yaml",
    "matplotlib": "python3-matplotlib",
    "PIL": "python3-pil",
    "tf2_ros": "tf2_ros_py",
}
KEYS |= {name: f"python3-{name}" for name in ("jinja2", "psutil", "rich", "sklearn", "typer")}
# Not in apt on Ubuntu 24.04, so not in package.xml: requirements/*.txt have them.
FROM_PIP = {
    "torch", "transformers", "safetensors", "open3d", "rosbags", "tokenizers", "huggingface_hub", "rerun", "pynvml", "onnx",
    "onnxruntime", "mcp", "mcp_types", "pydantic",
}  # fmt: skip


def problems_of_manifest() -> list[str]:
    """The rules of REP-149 that catkin_pkg checks, and some that it does not."""
    text = (ROOT / "package.xml").read_text()
    try:
        package = parse_package(ROOT / "package.xml")
        package.validate()
    except InvalidPackage as error:
        return [f"package.xml: {error}"]
    found = [] if MODEL in text else ["package.xml: the xml-model line is missing"]
    found += [] if package.package_format == 3 else ["package.xml: not format 3"]
    found += [f"package.xml: placeholder address {name}" for name in re.findall(r"[\w.@/:-]*\bexample\.\w+", text)]
    found += [] if package.authors and package.maintainers else ["package.xml: an author and a maintainer"]
    found += [] if package.get_build_type() == "ament_cmake" else ["package.xml: build type ament_cmake"]
    version = re.search(r'^__version__ = "(.+)"$', (ROOT / "mmllm_ros/__init__.py").read_text(), re.MULTILINE).group(1)
    newest = max(get_changelog_from_path(ROOT / "CHANGELOG.rst").foreach_version(), key=lambda entry: entry[0])[0]
    found += [] if version == package.version == newest else [f"versions differ: {version}, {package.version}, {newest}"]
    declared = {dependency.name for dependency in (*package.exec_depends, *package.buildtool_depends)}
    return found + [f"package.xml: no dependency for {name}" for name in sorted(imported() - declared)]


def imported() -> set[str]:
    """rosdep keys of the modules that the package and its launch files import, without the standard library."""
    names = set()
    for path in (*ROOT.glob("mmllm_ros/**/*.py"), *ROOT.glob("launch/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.split(".")[0])
    return {KEYS.get(name, name) for name in names - FROM_PIP - sys.stdlib_module_names - {"mmllm_ros"}}


def problems_of_headers() -> list[str]:
    """ament_copyright: every source file has a license header."""
    written = [*ROOT.glob("*.sh"), ROOT / "Makefile", ROOT / "CMakeLists.txt", *ROOT.glob("cmake/*"), *ROOT.glob(".ci/*")]
    written += [path for folder in ("mmllm_ros", "launch", "test", "benchmark") for path in ROOT.glob(f"{folder}/**/*.py")]
    lacking = (path for path in written if path.is_file() and "SPDX-License-Identifier: Apache-2.0" not in path.read_text())
    return [f"{path.relative_to(ROOT)}: no SPDX line" for path in lacking]


if __name__ == "__main__":
    problems = problems_of_manifest() + problems_of_headers()
    print("\n".join(problems) or "package.xml, versions and license headers are in order")
    sys.exit(bool(problems))
