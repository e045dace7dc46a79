# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training process of a robot: `python -m mmllm_ros.adaptation.trainer`, started by the llm node.

It reads one job (JSON) from its first line of input, writes one line for each progress and one for the result, and ends when
its input does: a trainer never outlives its node. It takes half of the cores; whoever starts it sets its priority.
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
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    # Only now: they take seconds, in which the node may end.
    import torch

    from .job import Job, run

    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    out = sys.stdout

    def say(kind: str, content: object) -> None:
        print(json.dumps({kind: content}), file=out, flush=True)

    try:
        # Progress bars are for people.
        with contextlib.redirect_stdout(sys.stderr):
            result = run(Job(**content), lambda progress: say("progress", asdict(progress)))
    except BadInput as error:
        say("error", str(error))
        return 2
    say("result", asdict(result))
    return 0


def _end_with_the_input() -> None:
    while sys.stdin.read(1):
        pass
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
