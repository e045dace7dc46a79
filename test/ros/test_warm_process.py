# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that is killed is started again by the process that has its libraries, which lives and ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from harness import PATIENCE, process
from mmllm_ros.msg import Answer
from std_msgs.msg import String

PROGRAM = """
import os, sys, time
from mmllm_ros.nodes.ros_support.warm_process import start_again_when_killed

def run():
    try:
        print(os.getpid(), flush=True)
        status = sys.stdin.readline()
    except KeyboardInterrupt:
        return 0
    return int(status)

sys.exit(start_again_when_killed(run))
"""


@pytest.fixture
def warm() -> Iterator[subprocess.Popen]:
    """A warm process whose node prints its process id, and ends with the status that it reads."""
    started = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield started
    started.kill()
    started.communicate()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_node_starts_again_in_a_new_process_with_the_same_parent(warm):
    first = int(warm.stdout.readline())
    os.kill(first, signal.SIGKILL)
    second = int(warm.stdout.readline())
    assert second != first and psutil.Process(second).ppid() == warm.pid
    assert warm.stderr.readline() == "killed by SIGKILL, starts again\n"
    os.kill(second, signal.SIGSEGV)
    assert int(warm.stdout.readline()) not in (first, second)


def test_a_node_whose_parent_is_killed_ends(warm):
    node = int(warm.stdout.readline())
    warm.kill()
    until(lambda: not psutil.pid_exists(node) or psutil.Process(node).status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("status", [0, 2])
def test_with_the_node_its_parent_ends_and_has_its_status(warm, status):
    out, error = warm.communicate(f"{status}\n", timeout=PATIENCE)
    assert warm.returncode == status and len(out.splitlines()) == 1 and not error


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_signal_to_the_parent_ends_the_node_and_it_is_not_started_again(warm, number, status):
    node = int(warm.stdout.readline())
    until(lambda: psutil.Process(node).status() == psutil.STATUS_SLEEPING)
    warm.send_signal(number)
    warm.wait(PATIENCE)  # before its standard input closes, which ends the node too
    out, error = warm.communicate()
    assert warm.returncode == status and not out and not error


def test_a_stopped_node_is_waited_for(warm):
    node = psutil.Process(int(warm.stdout.readline()))
    node.suspend()
    until(lambda: node.status() == psutil.STATUS_STOPPED)
    node.resume()
    out, _ = warm.communicate("0\n", timeout=PATIENCE)
    assert warm.returncode == 0 and not out


def test_the_llm_node_answers_again_after_it_was_killed(ros, tiny_model):
    answers, questions = ros.collect(Answer, "mmllm/answers"), ros.tester.create_publisher(String, "mmllm/questions", 10)

    def answered() -> bool:
        questions.publish(String(data="are there any cars ?"))
        time.sleep(0.5)
        return bool(answers)

    with process("mmllm_ros.nodes.llm", "--ros-args", "-p", f"model:={tiny_model}", "-p", "device:=cpu") as started:
        ros.until(answered)
        (node,) = psutil.Process(started.pid).children()
        node.kill()
        ros.until(lambda: not node.is_running())
        answers.clear()
        ros.until(answered)
        assert node.pid not in [child.pid for child in psutil.Process(started.pid).children()]
        started.send_signal(signal.SIGINT)
        assert started.wait(PATIENCE) == 0
