# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The link between the two machines of benchmark/two_machines.py: delay, rate, loss and cut, over sockets in place of devices."""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmark"))

from network_link import BASE, ROBOT, Link

FRAME = bytes(range(250)) * 4


@pytest.fixture
def ends() -> Iterator[tuple[Link, socket.socket, socket.socket]]:
    """A link, and what the robot and the base have of it."""
    pairs = {name: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for name in (ROBOT, BASE)}
    link = Link({name: device.fileno() for name, (device, _) in pairs.items()})
    yield link, pairs[ROBOT][1], pairs[BASE][1]
    link.stop()
    for pair in pairs.values():
        for end in pair:
            end.close()


def arrivals(end: socket.socket, seconds: float) -> list[bytes]:
    """What arrives until nothing has for so long [s]."""
    found = []
    while select.select([end], [], [], seconds)[0]:
        found.append(end.recv(2000))
    return found


def test_a_frame_arrives_at_the_other_end_unchanged_and_not_before_the_delay(ends):
    link, robot, base = ends
    link.delay = 0.1
    started = time.monotonic()
    robot.send(FRAME)
    assert base.recv(2000) == FRAME and time.monotonic() - started >= 0.1
    base.send(FRAME[:100])
    assert robot.recv(2000) == FRAME[:100]
    assert link.sent == {ROBOT: 1000, BASE: 100} and link.dropped == {ROBOT: 0, BASE: 0}


def test_frames_take_their_turn_at_the_rate_and_those_that_would_wait_too_long_are_dropped(ends):
    link, robot, base = ends
    link.rate = 8 * len(FRAME) / 0.08  # a frame takes 0.08 s
    started = time.monotonic()
    for _ in range(8):
        robot.send(FRAME)
    arrived = arrivals(base, 0.5)
    # The buffer is 0.2 s: of frames sent at once the first three wait 0, 0.08 and 0.16 s, the fourth would wait 0.24 s.
    assert 3 <= len(arrived) < 8 and time.monotonic() - started >= 3 * 0.08
    assert link.dropped[ROBOT] == (8 - len(arrived)) * len(FRAME)


@pytest.mark.parametrize("state", [{"cut": True}, {"loss": 1.0}])
def test_nothing_crosses_a_cut_link_or_one_that_loses_all_and_it_is_counted(ends, state):
    link, robot, base = ends
    for name, value in state.items():
        setattr(link, name, value)
    robot.send(FRAME)
    assert arrivals(base, 0.3) == []
    assert link.sent[ROBOT] == link.dropped[ROBOT] == len(FRAME)
