# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training process: `python -m mmllm_ros.adaptation.trainer`, started by the llm node.

It reads one job (JSON) from the first line of its input, writes one line per progress report and one for the result, and exits
when its input is closed, so it never outlives the node. It uses half of the cores; the caller sets its priority.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from dataclasses import asdict

from ..datatypes import BadInput


def main() -> int:
    """Run the job. Exit status 0 with a result, 2 with an error line."""
    content = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    # Imported after the thread has started: the imports take seconds, during which the node may exit.
    import torch

    from .job import AdaptationJob, run

    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    out = sys.stdout

    def emit(kind: str, content: object) -> None:
        print(json.dumps({kind: content}), file=out, flush=True)

    try:
        # Progress bars must not mix with the lines of this protocol.
        with contextlib.redirect_stdout(sys.stderr):
            result = run(AdaptationJob(**content), lambda progress: emit("progress", asdict(progress)))
    except BadInput as error:
        emit("error", str(error))
        return 2
    emit("result", asdict(result))
    return 0


def _exit_at_end_of_input() -> None:
    while sys.stdin.read(1):
        pass
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
