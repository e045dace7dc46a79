# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training process always ends with one outcome, whatever becomes of the child process and of its reports."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest
from harness import PATIENCE

from mmllm_ros.adaptation.job import AdaptationJob
from mmllm_ros.nodes.answering import training_process
from mmllm_ros.nodes.answering.training_process import STOPPED, TrainingProcess

PROGRESS = '{"progress": {"step": 1}}'
RESULT = '{"result": {"success": true}}'


@pytest.fixture
def outcome_of(tmp_path, monkeypatch):
    """The outcome of a child process that runs a shell script in place of the trainer."""

    def run(script: str, job: AdaptationJob, on_progress=print) -> dict | str:
        path = Path(tmp_path, "trainer")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(training_process.sys, "executable", str(path))
        outcomes = queue.SimpleQueue()
        training = TrainingProcess(job, on_progress, outcomes.put)
        try:
            outcome = outcomes.get(timeout=PATIENCE)
        finally:
            training.close()
        assert outcomes.empty()
        return outcome

    return run


def test_the_error_of_the_real_trainer_is_in_the_outcome():
    outcomes = queue.SimpleQueue()
    training = TrainingProcess(AdaptationJob(model=5, modalities=["lidar"]), print, outcomes.put)
    outcome = outcomes.get(timeout=PATIENCE)
    training.close()
    assert outcome.startswith(f"{STOPPED}: its process ended with status 1: TypeError: ") and "int" in outcome


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("printf 'Traceback:\\nRuntimeError: out of memory\\n\\n' >&2; exit 1", "status 1: RuntimeError: out of memory"),
        ("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", "status 1: " + "x" * 300),
        ("printf '\\377\\n' >&2; exit 1", "status 1: \ufffd"),
        ("exit 3", "status 3"),
        ("echo 'loading 50 %' >&2; kill -9 $$", "status -9"),  # killed from outside: the line is not the cause
        (f"echo '{PROGRESS}'; printf '{{\"progr'; kill -9 $$", "status -9"),
    ],
    ids=["error", "long line", "no text", "silent", "killed", "half a report"],
)
def test_a_process_that_ends_without_a_result_says_with_which_status_and_its_last_line(outcome_of, script, end):
    assert outcome_of(f"read job; {script}", AdaptationJob(model="")) == f"{STOPPED}: its process ended with {end}"


def test_a_process_that_ends_before_it_has_read_its_job_is_told_as_well(outcome_of):
    job = AdaptationJob(model="", recording="x" * 1_000_000)  # more than a pipe holds
    assert outcome_of("echo 'no module' >&2; exit 1", job) == f"{STOPPED}: its process ended with status 1: no module"


def test_an_error_in_reading_or_in_passing_on_a_report_ends_the_training(outcome_of):
    def refuse(progress: dict) -> None:
        raise RuntimeError("the publisher is gone")

    unusable = f"{STOPPED}: a report of its process cannot be used: "
    job = AdaptationJob(model="")
    assert outcome_of("read job; echo noise; exec sleep 600", job).startswith(unusable)
    assert outcome_of(f"read job; echo '{PROGRESS}'; exec sleep 600", job, refuse) == unusable + "the publisher is gone"


def test_a_result_holds_whatever_comes_after_it(outcome_of):
    assert outcome_of(f"read job; echo '{RESULT}'; echo noise", AdaptationJob(model="")) == {"success": True}
