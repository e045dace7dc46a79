# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs one adaptation in a child process, so that it neither slows down nor crashes the llm node."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

import psutil

from ...adaptation.job import AdaptationJob
from ...datatypes import one_line

NICENESS = 10
"""Of the child process: answering has priority. At 19 a busy machine would never finish a training."""
STOPPED = "training stopped, the old weights stay in use"
LONGEST_LINE = 300
"""The last line of its stderr is cut to so many characters."""


class TrainingProcess:
    """A child process that runs adaptation/trainer.py.

    Args:
        job: what to train.
        on_progress: gets each progress report, a dictionary.
        on_end: called once with the result, a dictionary, or with an error message of one line.

    Both are called in a thread of this object.
    """

    def __init__(self, job: AdaptationJob, on_progress: Callable[[dict], None], on_end: Callable[[dict | str], None]) -> None:
        self._on_progress, self._on_end = on_progress, on_end
        self._cancelled = False
        self._last_line = ""
        command = [sys.executable, "-m", "mmllm_ros.adaptation.trainer"]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(command, **pipes, text=True, errors="replace")
        psutil.Process(self.process.pid).nice(NICENESS)
        self._errors = threading.Thread(target=self._read_errors, name="training errors", daemon=True)
        self._errors.start()
        self._thread = threading.Thread(target=self._read_output, args=(job,), name="training", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Kill the process. Its checkpoint stays, and the same job resumes from it."""
        self._cancelled = True
        self.process.kill()

    def close(self) -> None:
        """Kill the process and wait for its thread."""
        self.cancel()
        self._thread.join(timeout=10.0)

    def _read_output(self, job: AdaptationJob) -> None:
        outcome: dict | str = ""
        try:
            with suppress(BrokenPipeError):  # a process that has ended already; its status says so
                self.process.stdin.write(json.dumps(asdict(job)) + "\n")
                self.process.stdin.flush()
            for line in self.process.stdout:
                if not line.endswith("\n"):
                    break  # a killed process leaves half a line
                ((kind, content),) = json.loads(line).items()
                if kind == "progress":
                    self._on_progress(content)
                else:
                    outcome = content
        except Exception as error:  # whatever happens, there is an outcome
            traceback.print_exc()
            self.process.kill()
            outcome = outcome or f"{STOPPED}: a report of its process cannot be used: {one_line(error)}"
        status = self.process.wait()
        self._errors.join(timeout=1.0)  # a process that the trainer has started may keep the pipe open
        self.process.stdout.close()
        with suppress(BrokenPipeError):  # what the process has not read
            self.process.stdin.close()
        if self._cancelled and not isinstance(outcome, dict):
            outcome = f"{STOPPED}: cancelled; the same goal resumes from its checkpoint"
        # Its last line says nothing about a kill from outside, as where memory is short.
        reason = f": {self._last_line}" if self._last_line and status != -signal.SIGKILL else ""
        self._on_end(outcome or f"{STOPPED}: its process ended with status {status}{reason}")

    def _read_errors(self) -> None:
        with self.process.stderr as lines:
            for line in lines:
                self._last_line = line.strip()[:LONGEST_LINE] or self._last_line
