# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs one adaptation in a child process, so that it neither slows down nor crashes the llm node."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict

import psutil

from ...adaptation.job import AdaptationJob

NICENESS = 10
"""Of the child process: answering has priority. At 19 a busy machine would never finish a training."""
STOPPED = "training stopped, the old weights stay in use"


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
        command = [sys.executable, "-m", "mmllm_ros.adaptation.trainer"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process = subprocess.Popen(command, **pipes)
        psutil.Process(self.process.pid).nice(NICENESS)
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
            self.process.stdin.write(json.dumps(asdict(job)) + "\n")
            self.process.stdin.flush()
            for line in self.process.stdout:
                ((kind, content),) = json.loads(line).items()
                if kind == "progress":
                    self._on_progress(content)
                else:
                    outcome = content
        except (OSError, ValueError):
            pass  # a killed process leaves half a line or a closed pipe
        status = self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()
        if self._cancelled and not isinstance(outcome, dict):
            outcome = f"{STOPPED}: cancelled; the same goal resumes from its checkpoint"
        self._on_end(outcome or f"{STOPPED}: its process ended with status {status}")
