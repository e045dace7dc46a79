# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command `mmllm`. Each command imports its modules when it runs, so that offline commands work without ROS."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from .commands.adapt import adapt, adapt_scenario
from .commands.ask import ask
from .commands.compare_plans import compare_plans
from .commands.context import context
from .commands.depths import depths
from .commands.doctor import doctor
from .commands.drive import drive
from .commands.evaluate import evaluate, evaluate_recording
from .commands.evaluate_descriptions import evaluate_descriptions
from .commands.evaluate_frames import evaluate_frames
from .commands.evaluate_imu import evaluate_imu
from .commands.fetch import fetch
from .commands.mcp import mcp
from .commands.modality import modality
from .commands.plan import plan
from .commands.replay import replay
from .commands.report import report
from .commands.rig import rig
from .commands.simulate import simulate
from .commands.train import train
from .datatypes import BadInput

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", help="Robots that answer questions about what they sense.")
COMMANDS = (
    drive, ask, mcp, replay, report, doctor, rig, fetch, simulate, evaluate, evaluate_recording, evaluate_frames, evaluate_imu,
    evaluate_descriptions, train, adapt, adapt_scenario, plan, compare_plans, context, depths,
)  # fmt: skip
for command in COMMANDS:
    app.command(command.__name__.replace("_", "-"))(command)
app.add_typer(modality, name="modality")


@app.callback(invoke_without_command=True)
def _commands(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. Bad input gives one line on stderr and status 2."""
    try:
        for argument in sys.argv[1:] if args is None else args:
            _check_encoding(argument)
        return get_command(app).main(args=args, prog_name="mmllm", standalone_mode=False) or 0
    except BadInput as error:
        line = str(error)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer raises it for a bad option or argument
            raise
        line = error.format_message()
    print(f"mmllm: {' '.join(line.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())


def _check_encoding(argument: str) -> None:
    """Raise BadInput for bytes that are not UTF-8; Python hands them on as lone surrogates, which nothing can print or send."""
    try:
        argument.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"argument {argument.encode('ascii', 'replace').decode()!r} is not valid UTF-8 at {error.start}"
        ) from error
