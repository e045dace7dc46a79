# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Visibility in each weather: the share of the visible objects that camera and lidar clearly see.

python benchmark/visibility.py --drives 14 --json benchmark/results/visibility.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from results_file import write_results
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmllm_ros.rig import load_rig
from mmllm_ros.simulator.drive import Drive
from mmllm_ros.simulator.questions.scene_graph import SceneGraph
from mmllm_ros.simulator.splits import scene_seed
from mmllm_ros.simulator.world.weather import CONTEXTS

SETTLE = 3.0


def main() -> None:
    """The same drives in every weather, three seconds after their start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drives", type=int, default=14)
    parser.add_argument("--rig", default="nuscenes")
    parser.add_argument("--json", type=Path, default=Path("benchmark/results/visibility.json"))
    arguments = parser.parse_args()
    rig = load_rig(arguments.rig)
    view = Table(title=f"Share of the visible objects that a sensor clearly sees, rig {arguments.rig}, {arguments.drives} drives")
    for heading in ("weather", "objects", "camera", "lidar", "returns a sweep"):
        view.add_column(heading, justify="left" if heading == "weather" else "right")
    report: dict[str, dict[str, float]] = {}
    for context in track([name for name in CONTEXTS if name != "mixed"], "drive"):
        objects, seen, points = 0, {"camera": 0, "lidar": 0}, 0
        for number in range(arguments.drives):
            drive = Drive(scene_seed("val", number), rig, context)
            drive.advance(SETTLE)
            snapshot = drive.capture()
            graph = SceneGraph(snapshot.truth, rig)
            objects += len(graph.objects)
            points += len(snapshot.lidar.points) if snapshot.lidar else 0
            for modality, mask in graph.seen.items():
                seen[modality] += mask.bit_count()
        shares = {modality: count / max(1, objects) for modality, count in seen.items()}
        report[context] = {"objects": objects, **shares, "returns a sweep": points // arguments.drives}
        percent = (f"{100 * shares[modality]:.0f} %" for modality in ("camera", "lidar"))
        view.add_row(context, str(objects), *percent, str(points // arguments.drives))
    Console().print(view)
    write_results(arguments.json, report)


if __name__ == "__main__":
    main()
