# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command `mmllm`. Each command imports what it needs when it runs: offline commands work without ROS."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from typer.main import get_command

from .config import DriveConfig, LlmConfig, ReplayConfig
from .datatypes import Answer, BadInput
from .report import answer_text, record, write_records
from .rig import load_rig

app = typer.Typer(add_completion=False, rich_markup_mode="rich", help="Robots that answer questions about what they sense.")
out = Console(highlight=False)

RigName = Annotated[str, typer.Option("--rig", help="sensor layout: a shipped name such as front or nuscenes, or a YAML file")]
ModelName = Annotated[str, typer.Option("--model", help="model folder or hub name, empty = the shipped drive_tiny")]
Device = Annotated[str, typer.Option(help="torch device: auto, cpu, cuda or cuda:N")]
Namespace = Annotated[str, typer.Option(help="namespace of the robot")]
Json = Annotated[Path | None, typer.Option("--json", help="write here what a program would read", dir_okay=False)]
Context = Annotated[Literal["day", "night", "rain", "fog", "glare", "mixed"], typer.Option(help="light and weather")]
Seed = Annotated[int, typer.Option(help="seed of the world", min=0)]
Scenes = Annotated[int, typer.Option(min=1, help="how many scenes")]


@app.callback(invoke_without_command=True)
def _commands(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def drive(
    source: Annotated[Literal["simulator", "bag", "robot"], typer.Option(help="where the sensors come from")] = "simulator",
    duration: Annotated[float, typer.Option(help="length of the drive [s], 0 = until Ctrl-C")] = 60.0,
    bag: Annotated[str, typer.Option(help="rosbag2 folder or mcap file, with --source bag")] = "",
    interval: Annotated[float, typer.Option(help="ask so often [s]")] = 2.0,
    folder: Annotated[Path, typer.Option("--out", help="folder for drive.jsonl and drive.png")] = Path("out"),
    seed: Annotated[int, typer.Option(help="seed of the simulated world")] = DriveConfig().seed,
    context: Context = "mixed",
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    namespace: Namespace = "",
) -> None:
    """All nodes in one process: a car drives, is asked, answers with its evidence."""
    config = DriveConfig(
        rig=rig,
        model=model,
        device=device,
        source=source,
        bag=bag,
        seed=seed,
        context=context,
        duration=duration,
        interval=interval,
        out=str(folder),
    )
    from .nodes.drive import run

    raise typer.Exit(run(config, namespace or None))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="without one: a conversation, until an empty line")] = "",
    timeout: Annotated[float, typer.Option(help="longest wait [s], 0 = as the llm node is set", min=0.0)] = 0.0,
    namespace: Namespace = "",
    json_file: Json = None,
) -> None:
    """Ask a running llm node."""
    from .nodes.asking import Asking

    answers = []
    with Asking(namespace) as robot:
        while line := question or _next_question():
            with out.status("") as line_below:
                answer = robot.ask(line, timeout, lambda text: line_below.update(escape(text)))
            out.print(answer_text(answer), soft_wrap=True)
            answers.append(record(answer))
            if question:
                break
    if json_file:
        write_records(json_file, answers)


def _next_question() -> str:
    try:
        return out.input("[bold]ask:[/bold] ").strip()
    except EOFError:
        return ""


@app.command()
def replay(
    bag: Annotated[str, typer.Argument(help="rosbag2 folder (mcap or sqlite3), or one mcap file")],
    ask: Annotated[list[str] | None, typer.Option("--ask", help="a question for the robot; may be given several times")] = None,
    json_file: Json = None,
    offline: Annotated[bool, typer.Option("--offline", help="answer without ROS, as fast as the machine can")] = False,
    rate: Annotated[float, typer.Option(help="speed, 1 = as it was recorded")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="start again at the end; while questions wait it does so anyway")] = False,
    start: Annotated[float, typer.Option(help="skip so much of the beginning [s]")] = 0.0,
    topics: Annotated[str, typer.Option(help="only these topics, comma-separated")] = "",
    rig: Annotated[str, typer.Option(help="sensor layout; without it, the shipped rig whose topics the recording has")] = "",
    model: ModelName = "",
    device: Device = "auto",
) -> None:
    """Play a recording over DDS; with --ask, start the nodes of a robot with it and ask while its sensors are live."""
    settings = ReplayConfig(bag=bag, rate=rate, loop=loop, start=start, topics=topics)
    questions = ask or []
    if not questions:
        if offline or json_file:
            raise BadInput("--offline and --json are for answers: give at least one --ask")
        from .nodes.replay import play

        raise typer.Exit(play(settings))
    records: list[dict[str, Any]] = []

    def tell(answer: Answer) -> None:
        out.print(answer_text(answer), soft_wrap=True)
        records.append(record(answer))

    status = _interview(settings, LlmConfig(rig=rig or _fitting_rig(bag), model=model, device=device), questions, offline, tell)
    if json_file:
        write_records(json_file, records)
    raise typer.Exit(status)


def _fitting_rig(bag: str) -> str:
    from .recording import Recording

    rig = Recording(bag).fitting_rig()
    out.print(f"[dim]rig {rig}, by the topics of the recording; name another with --rig[/dim]")
    return rig


def _interview(
    settings: ReplayConfig, llm: LlmConfig, questions: list[str], offline: bool, tell: Callable[[Answer], None]
) -> int:
    from .assistant import check_question

    for question in questions:
        check_question(question)
    if not offline:
        from .nodes.interview import run

        return run(settings, llm, questions, tell)
    from .offline import answer_recording
    from .recording import Recording

    answer_recording(Recording(settings.bag), questions, llm, tell)
    return 0


@app.command()
def simulate(
    frames: Annotated[int, typer.Option(min=1, help="how many moments, half a second apart, ten to a scene")],
    folder: Annotated[Path, typer.Option("--out", help="a new or empty folder", file_okay=False)],
    seed: Seed = 0,
    bag: Annotated[bool, typer.Option("--bag/--no-bag", help="write the recording too, not only questions and truth")] = True,
    rig: RigName = "front",
    context: Context = "mixed",
    json_file: Json = None,
) -> None:
    """Write simulated drives: a recording, questions with true answers, and the truth, split by scene."""
    from .simulate import simulate as write_drives

    layout = load_rig(rig)
    with Progress(console=out) as progress:
        task = progress.add_task("simulate", total=frames)
        counts = write_drives(folder, frames, seed, layout, context, bag, lambda: progress.advance(task))
    out.print(f"{frames} frames in {folder}: " + ", ".join(f"{count} questions in {split}" for split, count in counts.items()))
    _write_json(json_file, {"frames": frames, "seed": seed, "rig": layout.name, "context": context, "questions": counts})


@app.command()
def train(
    config: Annotated[Path, typer.Option(help="training configuration (YAML), see config/train/", dir_okay=False)],
    folder: Annotated[Path, typer.Option("--out", help="model folder to write", file_okay=False)],
    work: Annotated[Path, typer.Option(help="rendered frames, checkpoints and curves; a training cut off goes on from here")],
) -> None:
    """Render, train the encoders, the LLM and the connectors, calibrate, and write a model folder."""
    from .training.settings import read_settings
    from .training.train import train as train_model

    model = train_model(read_settings(config), work, folder)
    out.print(f"{folder}: {model.name} {model.revision}")


@app.command()
def doctor(
    rig: RigName = "front",
    model: ModelName = "",
    listen: Annotated[float, typer.Option(help="look for live topics so long [s]", min=0.5, max=60.0)] = 2.0,
    json_file: Json = None,
) -> None:
    """What could keep the robot from answering, with the cure of each. Status 0 when nothing blocks."""
    from dataclasses import asdict

    from .doctor import FAULT, examine, print_findings

    with out.status("looking"):
        findings = list(examine(rig, model, listen))
    print_findings(out, findings)
    _write_json(json_file, [asdict(finding) for finding in findings])
    raise typer.Exit(int(any(finding.state == FAULT for finding in findings)))


def _write_json(path: Path | None, content: Any) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error


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
