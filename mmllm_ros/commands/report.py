# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..datatypes import BadInput
from .options import out


def report(
    folder: Annotated[Path, typer.Argument(help="folder with results that other commands wrote with --out or --json")],
    file: Annotated[Path | None, typer.Option("--out", help="the page, FOLDER/report.html without it", dir_okay=False)] = None,
) -> None:
    """Write one HTML page about a run: pictures, accuracy, mistakes, context, cost. It needs no network."""
    from ..visualization.report_page.build import build_page

    page, target = build_page(folder), file or folder / "report.html"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from error
    out.print(f"{target}: {len(page) / 1e6:.1f} MB, open it in any browser", soft_wrap=True)
