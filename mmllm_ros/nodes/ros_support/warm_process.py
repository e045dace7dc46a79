# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps a process in which the libraries are loaded, so that a node that was killed starts again without loading them."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Callable

PASSED_ON = {signal.SIGINT, signal.SIGTERM}
"""Signals to this process that are for the node."""

SHORTEST_PERIOD = 1.0
"""Between two starts [s]: a node that is killed as soon as it starts does not keep a core busy."""

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when its parent ends."""


def start_again_when_killed(run: Callable[[], int]) -> int:
    """Call `run` in a child process, and in another one whenever a signal has ended it that this process has not passed on.

    Call it after the imports, before a thread or ROS is started. The child ends when this process does.

    Returns:
        In the child what `run` returns; in this process the child's status, 128 + the signal where one has ended it.
    """
    gc.freeze()  # the child's collector would write to the objects, and so copy the pages that both processes share
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON | {signal.SIGCHLD})
    parent, ending = os.getpid(), False
    while True:
        started = time.monotonic()
        child = os.fork()
        if not child:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it has ended before
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            return run()
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if (number := signal.sigwait(PASSED_ON | {signal.SIGCHLD})) in PASSED_ON:
                ending = True
                os.kill(child, number)
        status = os.waitstatus_to_exitcode(ended[1])
        if ending or status >= 0:
            return status if status >= 0 else 128 - status
        print(f"killed by {signal.Signals(-status).name}, starts again", file=sys.stderr, flush=True)
        time.sleep(max(0.0, SHORTEST_PERIOD - (time.monotonic() - started)))
