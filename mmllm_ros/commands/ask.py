# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command ask."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Json, Namespace, out


def ask(
    question: Annotated[str, typer.Argument(help="without one: questions from the prompt, until an empty line")] = "",
    timeout: Annotated[float, typer.Option(help="longest wait [s], 0 = the llm node's timeout", min=0.0)] = 0.0,
    namespace: Namespace = "",
    json_file: Json = None,
) -> None:
    """Ask a running robot: one question, or several at a prompt."""
    from ..nodes.clients.ask_client import BlockingAskClient
    from ..visualization.answer_text import record, write_records
    from .ask_interactively import ask_and_show, ask_at_prompt

    with BlockingAskClient(namespace) as robot:
        answers = [ask_and_show(out, robot, question, timeout)] if question else list(ask_at_prompt(out, robot, timeout))
    if json_file:
        write_records(json_file, map(record, answers))
