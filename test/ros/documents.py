# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands and code blocks of the documents, and a folder with what they name."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from mmllm_ros.resources import default_model

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").glob("*.md"))
BLOCKS = [
    (page, *block) for page in PAGES for block in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
]
LINES = [
    re.split(r"\s+#", line)[0].strip()
    for _, kind, block in BLOCKS
    if kind == "sh"
    for line in block.replace("\\\n", " ").splitlines()
]
COMMANDS = list(dict.fromkeys(filter(None, LINES)))
NEEDS_A_ROBOT = re.compile(r"mmllm ask|ros2 (service|topic|action)")
MMLLM = (sys.executable, "-m", "mmllm_ros")


def run(folder: Path, command: list[str], typed: str = "") -> str:
    done = subprocess.run(command, cwd=folder, input=typed, capture_output=True, text=True, timeout=900, env=os.environ)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def fill(folder: Path) -> Path:
    """Puts into `folder` what the documents name: BAG, questions.json, my_robot.yaml, LLM, and what a replay left in out/."""
    (rig,) = (block for _, kind, block in BLOCKS if kind == "yaml" and "cameras" in block and "auto: true" not in block)
    (folder / "my_robot.yaml").write_text(rig)
    (training,) = (block for _, kind, block in BLOCKS if kind == "yaml" and "stages" in block)
    (folder / "my_llm.yaml").write_text(re.sub(r"(frames|calibration_scenes|steps): \d+", r"\1: 2", training))
    rig_options = ["--rig", "my_robot.yaml"]
    run(folder, [*MMLLM, "simulate", "--frames", "24", "--out", "sim", "--context", "day", *rig_options])
    (folder / "BAG").symlink_to(folder / "sim" / "train" / "recording")
    shutil.copy(folder / "sim" / "train" / "questions.json", folder / "questions.json")
    run(folder, [*MMLLM, "replay", "BAG", *rig_options, "--offline", "--ask", "Am I moving?", "--out", "out"])
    (folder / "LLM").symlink_to(default_model() / "llm")  # its words are those of the answers
    return folder
