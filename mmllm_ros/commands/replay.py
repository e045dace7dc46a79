# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..config import LlmConfig, ReplayConfig
from ..datatypes import NANOSECONDS, BadInput
from .options import Device, Json, ModelName, Rerun, out
from .settings_file import read_settings, settings_option

if TYPE_CHECKING:
    from ..io.rosbag import Recording
    from ..io.wav_recording import WavRecording
    from ..visualization.drawing import AnswerSnapshot

SETTINGS = ("rate", "loop", "start", "topics")
"""Entries of the settings file, fields of ReplayConfig."""


def replay(
    bag: Annotated[str, typer.Argument(help="rosbag2 folder (mcap or sqlite3), one mcap file, or with --offline a WAV file")],
    ask: Annotated[list[str] | None, typer.Option("--ask", help="a question; may be given several times")] = None,
    json_file: Json = None,
    folder: Annotated[Path | None, typer.Option("--out", help="folder for `mmllm report`: answers and pictures")] = None,
    rerun: Rerun = None,
    offline: Annotated[bool, typer.Option("--offline", help="answer without ROS, as fast as the machine can")] = False,
    rig: Annotated[
        str, typer.Option(help="sensor layout, auto = as recorded; without it the shipped rig that fits the recorded topics")
    ] = "",
    model: ModelName = "",
    device: Device = "auto",
    settings: Annotated[Path | None, settings_option(ReplayConfig, SETTINGS)] = None,
) -> None:
    """Play a recording on its topics; with --ask, answer questions about it, over DDS or offline."""
    from ..visualization.answer_text import answer_text, record, write_records
    from ..visualization.run_log import RunLog

    playback = ReplayConfig(bag=bag, **read_settings(settings, ReplayConfig, SETTINGS))
    questions = ask or []
    if not questions:
        if offline or json_file or folder:
            raise BadInput("--offline, --json and --out need questions: give at least one --ask")
        _require_bag(bag)
        raise typer.Exit(_play(playback, rig, rerun))
    recording, rig = _recording_and_rig(bag, rig)
    records: list[dict[str, Any]] = []
    run_log = RunLog(folder, out) if folder else None

    def on_answer(snapshot: AnswerSnapshot) -> None:
        records.append(record(snapshot.answer))
        if run_log:
            run_log.add(snapshot, max(snapshot.answer.stamp - recording.start, 0) / NANOSECONDS)
        else:
            out.print(answer_text(snapshot.answer), soft_wrap=True)

    status = _answer(playback, LlmConfig(rig=rig, model=model, device=device), questions, offline, on_answer, rerun)
    if run_log:
        run_log.close()
    if json_file:
        write_records(json_file, records)
    raise typer.Exit(status)


def _recording(bag: str) -> Recording | WavRecording:
    from ..io.rosbag import Recording
    from ..io.wav_recording import WavRecording

    return WavRecording(bag) if bag.lower().endswith(".wav") else Recording(bag)


def _recording_and_rig(bag: str, rig: str) -> tuple[Recording | WavRecording, str]:
    from ..io.robot_rig import rig_of_recording

    recording = _recording(bag)
    if rig:
        rig = rig_of_recording(rig, bag)
    else:
        rig = recording.fitting_rig()
        out.print(f"[dim]rig {rig}, chosen by the recorded topics; --rig selects another[/dim]")
    return recording, rig


def _require_bag(bag: str) -> None:
    if bag.lower().endswith(".wav"):
        raise BadInput(f"{bag} is a WAV file, which has no topics to play: ask about it with --offline and --ask")


def _play(playback: ReplayConfig, rig: str, rerun: Path | None) -> int:
    if rerun:
        from ..nodes.visualization.rerun_recorder import record_replay

        return record_replay(str(rerun), playback, _recording_and_rig(playback.bag, rig)[1])
    from ..nodes.replay import play

    return play(playback)


def _answer(
    playback: ReplayConfig,
    llm: LlmConfig,
    questions: Sequence[str],
    offline: bool,
    on_answer: Callable[[AnswerSnapshot], None],
    rerun: Path | None,
) -> int:
    """Answer `questions` about the recording, over DDS or offline. Returns the exit status."""
    from ..assistant import check_question

    for question in questions:
        check_question(question)
    if not offline:
        _require_bag(playback.bag)
        from ..nodes.clients.bag_session import run

        return run(playback, llm, questions, on_answer, str(rerun or ""))
    from ..offline_replay import answer_recording
    from ..rig import load_rig
    from ..visualization.rerun_file import RerunFile

    file = RerunFile(rerun, load_rig(llm.rig)) if rerun else None

    def on_answer_with_rerun(snapshot: AnswerSnapshot) -> None:
        on_answer(snapshot)
        if file:
            file.add_snapshot(snapshot)

    answer_recording(_recording(playback.bag), questions, llm, on_answer_with_rerun)
    if file:
        file.close()
    return 0
