# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command doctor."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from .doctor_checks import examine
from .doctor_findings import FAULT, print_findings
from .options import Json, ModelName, Namespace, RigName, out, write_json


def doctor(
    rig: RigName = "front",
    model: ModelName = "",
    listen: Annotated[
        float, typer.Option(help="longest wait for live topics, and for their messages [s]", min=0.5, max=60.0)
    ] = 5.0,
    namespace: Namespace = "",
    json_file: Json = None,
) -> None:
    """Check what could keep the robot from answering, and print a cure for each fault. Status 0 without faults."""
    with out.status("checking"):
        findings = list(examine(rig, model, listen, namespace))
    print_findings(out, findings)
    write_json(json_file, [asdict(finding) for finding in findings])
    raise typer.Exit(int(any(finding.state == FAULT for finding in findings)))
