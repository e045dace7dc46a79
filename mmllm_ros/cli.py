# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command `mmllm`. Each command imports what it needs when it runs: offline commands work without ROS."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from .commands.adapting import adapt
from .commands.depths import depths
from .commands.doctor import doctor
from .commands.learning import evaluate, simulate, train
from .commands.live import ask, drive, replay
from .commands.planning import context, plan
from .commands.real_frames import fetch
from .commands.report import report
from .datatypes import BadInput

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", help="Robots that answer questions about what they sense.")
for command in (drive, ask, replay, simulate, train, adapt, evaluate, plan, context, depths, report, doctor, fetch):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _commands(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. Bad input is one line on stderr and status 2."""
    try:
        return get_command(app).main(args=args, prog_name="mmllm", standalone_mode=False) or 0
    except BadInput as error:
        line = str(error)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer raises for a bad option or argument
            raise
        line = error.format_message()
    print(f"mmllm: {' '.join(line.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
