# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Commands with sensors: drive, ask, replay. ROS is imported when a command needs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..config import DriveConfig, LlmConfig, ReplayConfig
from ..datatypes import NANOSECONDS, BadInput
from ..rig import load_rig
from ..visualization.answer_text import answer_text, record, write_records
from ..visualization.drawing import Moment
from ..visualization.run_log import RunLog
from .options import Context, Device, Json, ModelName, Namespace, Rerun, RigName, out


def drive(
    source: Annotated[Literal["simulator", "bag", "robot"], typer.Option(help="where the sensors come from")] = "simulator",
    duration: Annotated[
        float | None, typer.Option(help="length of the drive [s], 0 = until Ctrl-C; without it 60, of a scenario 180")
    ] = None,
    bag: Annotated[str, typer.Option(help="rosbag2 folder or mcap file, with --source bag")] = "",
    interval: Annotated[float, typer.Option(help="ask so often [s]")] = 2.0,
    folder: Annotated[Path, typer.Option("--out", help="folder for drive.jsonl and drive.png")] = Path("out"),
    seed: Annotated[int, typer.Option(help="seed of the simulated world")] = DriveConfig().seed,
    context: Context = "mixed",
    rig: RigName = "front",
    model: ModelName = "",
    device: Device = "auto",
    namespace: Namespace = "",
    rerun: Rerun = None,
    scenario: Annotated[
        Literal["", "day_to_night_fog", "broken_sensors"], typer.Option(help="compare plans on such a drive, without ROS")
    ] = "",
    drives: Annotated[int, typer.Option(help="how many drives, with --scenario", min=1)] = 1,
    epsilon: Annotated[float, typer.Option(help="accuracy given up for less compute, with --scenario", min=0.0)] = 0.005,
    budget: Annotated[float, typer.Option(help="time of an answer [s], with --scenario; 0 = encode ahead", min=0.0)] = 0.5,
    json_file: Json = None,
) -> None:
    """All nodes in one process: a car drives, is asked, answers with its evidence."""
    if scenario:
        from .planning import scenario as compare

        length = 180.0 if duration is None else duration
        compare(scenario, length, drives, seed - DriveConfig().seed, rig, model, device, epsilon, budget, folder, json_file)
        return
    if json_file:
        raise BadInput("--json is for --scenario: a drive writes drive.jsonl")
    config = DriveConfig(
        rig=rig,
        model=model,
        device=device,
        source=source,
        bag=bag,
        seed=seed,
        context=context,
        duration=DriveConfig().duration if duration is None else duration,
        interval=interval,
        out=str(folder),
        rerun=str(rerun or ""),
    )
    from ..nodes.drive import run

    raise typer.Exit(run(config, namespace or None))


def ask(
    question: Annotated[str, typer.Argument(help="without one: a conversation, until an empty line")] = "",
    timeout: Annotated[float, typer.Option(help="longest wait [s], 0 = as the llm node is set", min=0.0)] = 0.0,
    namespace: Namespace = "",
    json_file: Json = None,
) -> None:
    """Ask a running llm node."""
    from ..nodes.clients.ask_client import AskClient
    from .ask_interactively import ask_aloud, converse

    with AskClient(namespace) as robot:
        answers = [ask_aloud(out, robot, question, timeout)] if question else list(converse(out, robot, timeout))
    if json_file:
        write_records(json_file, map(record, answers))


def replay(
    bag: Annotated[str, typer.Argument(help="rosbag2 folder (mcap or sqlite3), or one mcap file")],
    ask: Annotated[list[str] | None, typer.Option("--ask", help="a question for the robot; may be given several times")] = None,
    json_file: Json = None,
    folder: Annotated[Path | None, typer.Option("--out", help="folder for `mmllm report`: answers and pictures")] = None,
    rerun: Rerun = None,
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
        if offline or json_file or folder:
            raise BadInput("--offline, --json and --out are for answers: give at least one --ask")
        raise typer.Exit(_play(settings, rig, rerun))
    recording, rig = _recording_and_rig(bag, rig)
    records: list[dict[str, Any]] = []
    logbook = RunLog(folder, out) if folder else None

    def tell(moment: Moment) -> None:
        records.append(record(moment.answer))
        if logbook:
            logbook.add(moment, max(moment.answer.stamp - recording.start, 0) / NANOSECONDS)
        else:
            out.print(answer_text(moment.answer), soft_wrap=True)

    status = _interview(settings, LlmConfig(rig=rig, model=model, device=device), questions, offline, tell, rerun)
    if logbook:
        logbook.close()
    if json_file:
        write_records(json_file, records)
    raise typer.Exit(status)


def _recording_and_rig(bag: str, rig: str) -> tuple[Any, str]:
    from ..io.rosbag import Recording

    recording = Recording(bag)
    if not rig:
        rig = recording.fitting_rig()
        out.print(f"[dim]rig {rig}, by the topics of the recording; name another with --rig[/dim]")
    return recording, rig


def _play(settings: ReplayConfig, rig: str, rerun: Path | None) -> int:
    if rerun:
        from ..nodes.visualization.rerun_recorder import play_into

        return play_into(str(rerun), settings, _recording_and_rig(settings.bag, rig)[1])
    from ..nodes.replay import play

    return play(settings)


def _interview(
    settings: ReplayConfig,
    llm: LlmConfig,
    questions: list[str],
    offline: bool,
    tell: Callable[[Moment], None],
    rerun: Path | None,
) -> int:
    from ..assistant import check_question

    for question in questions:
        check_question(question)
    if not offline:
        from ..nodes.clients.bag_session import run

        return run(settings, llm, questions, tell, str(rerun or ""))
    from ..io.rosbag import Recording
    from ..offline_replay import answer_recording
    from ..visualization.rerun_file import RerunFile

    file = RerunFile(rerun, load_rig(llm.rig)) if rerun else None

    def tell_and_write(moment: Moment) -> None:
        tell(moment)
        if file:
            file.moment(moment)

    answer_recording(Recording(settings.bag), questions, llm, tell_and_write)
    if file:
        file.close()
    return 0
