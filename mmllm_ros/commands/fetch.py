# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command fetch."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import out


def fetch(
    name: Annotated[str, typer.Argument(help="base LLM")] = "smollm2-135m-instruct",
) -> None:
    """Download a pretrained base LLM once, convert it, and verify it: the models that name it then load without a network."""
    from ..latent.base_models import fetch as fetch_base

    fetch_base(name, lambda line: out.print(line, soft_wrap=True))
