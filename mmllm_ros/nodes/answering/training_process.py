# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training process, seen from its node: started with a job, heard line by line, ended by closing its input."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict

import psutil

from ...adaptation.job import Job

NICENESS = 10
"""Answers come first; at 19 a busy machine would never finish a training."""
STOPPED = "training stopped, the old weights serve on"


class Training:
    """One adaptation in a process of its own (adaptation/trainer.py), so that neither its work nor its end can hurt an answer.

    Args:
        job: what to train.
        on_progress: gets each progress, as a dictionary.
        on_end: called once with the result, a dictionary, or with the line that says why there is none.

    Both are called in a thread of the training's own.
    """

    def __init__(self, job: Job, on_progress: Callable[[dict], None], on_end: Callable[[dict | str], None]) -> None:
        self._on_progress, self._on_end = on_progress, on_end
        self._cancelled = False
        command = [sys.executable, "-m", "mmllm_ros.adaptation.trainer"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process = subprocess.Popen(command, **pipes)
        psutil.Process(self.process.pid).nice(NICENESS)
        self._thread = threading.Thread(target=self._listen, args=(job,), name="training", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """End the process; its checkpoint stays, and the same job goes on from there."""
        self._cancelled = True
        self.process.kill()

    def close(self) -> None:
        """End the process and wait until nothing of it is left."""
        self.cancel()
        self._thread.join(timeout=10.0)

    def _listen(self, job: Job) -> None:
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
            pass  # a process that is killed leaves half a line or a closed pipe
        status = self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()
        if self._cancelled and not isinstance(outcome, dict):
            outcome = f"{STOPPED}: cancelled; the same goal goes on from its checkpoint"
        self._on_end(outcome or f"{STOPPED}: its process ended with status {status}")
