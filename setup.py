# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Installation with pip. In an environment with the ROS 2 wheels, pip also builds and installs the messages and the nodes.

Elsewhere it installs the library and the offline commands. colcon does not use this file: see package.xml, CMakeLists.txt.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Distribution, setup  # first: it brings distutils
from setuptools.command.build_py import build_py

from distutils.command.install_data import install_data  # isort: skip

SOURCE = Path(__file__).parent.resolve()
# Build outside the checkout, so that files of an earlier build do not get into the wheel.
WORK = Path(tempfile.mkdtemp(prefix="mmllm_ros_"))
atexit.register(shutil.rmtree, WORK, ignore_errors=True)
HAS_ROS = Path(sys.prefix, "share", "rosidl_default_generators").is_dir()


def build_with_cmake() -> Path:
    """Build as colcon does, install into a scratch prefix, return that prefix."""
    missing = [tool for tool in ("cmake", "make", "c++") if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"mmllm_ros: ROS 2 is in this environment, but building its messages needs {', '.join(missing)}")
    # pip's build isolation sets PYTHONPATH, which hides the environment that contains the generators.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"AMENT_PREFIX_PATH": sys.prefix, "CMAKE_PREFIX_PATH": sys.prefix}
    build, prefix = str(WORK / "cmake"), WORK / "prefix"
    options = [f"-DPython3_EXECUTABLE={sys.executable}", f"-DCMAKE_INSTALL_PREFIX={prefix}", "-DBUILD_TESTING=OFF"]
    subprocess.run(["cmake", "-S", str(SOURCE), "-B", build, *options], check=True, env=environment)
    subprocess.run(["cmake", "--build", build, "--target", "install", "--parallel", "2"], check=True, env=environment)
    return prefix


def files_below(folder: Path, destination: str) -> list[tuple[str, list[str]]]:
    """Every file below `folder`, as setuptools `data_files` below `destination`."""
    folders = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
    listed = [(path, sorted(str(file) for file in path.iterdir() if file.is_file())) for path in folders]
    return [(str(Path(destination, path.relative_to(folder))), files) for path, files in listed if files]


class BuildModulesAndMessages(build_py):
    """Installs the Python modules and the generated mmllm_ros.msg, .srv and .action."""

    def run(self) -> None:
        super().run()
        if HAS_ROS and not self.editable_mode:
            (package,) = build_with_cmake().glob("lib/python*/site-packages/mmllm_ros")
            shutil.copytree(package, Path(self.build_lib, "mmllm_ros"), dirs_exist_ok=True)


class InstallDataFiles(install_data):
    """Installs the files outside site-packages: shared files, and with ROS 2 the libraries and the node executables."""

    def run(self) -> None:
        prefix = WORK / "prefix"
        if prefix.is_dir():
            self.data_files += [
                (folder, files) for folder, files in files_below(prefix / "lib", "lib") if "/python" not in folder
            ]
            self.data_files += files_below(prefix / "include", "include") + files_below(prefix / "share", "share")
        else:
            for name in ("config", "launch", "models"):
                self.data_files += files_below(SOURCE / name, f"share/mmllm_ros/{name}")
        super().run()


class PlatformDistribution(Distribution):
    """With generated messages the wheel is specific to the Python version and the platform."""

    def has_ext_modules(self) -> bool:
        return HAS_ROS


setup(
    distclass=PlatformDistribution,
    cmdclass={"build_py": BuildModulesAndMessages, "install_data": InstallDataFiles},
    data_files=[("share/mmllm_ros", ["package.xml"])],
    options={"build": {"build_base": str(WORK / "setuptools")}, "egg_info": {"egg_base": str(WORK)}},
)
