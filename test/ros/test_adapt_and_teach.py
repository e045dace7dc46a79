# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adaptation over DDS: teach, train in the background, swap between two questions, and survive every fault."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
import torch
from action_msgs.msg import GoalStatus
from lidar_samples import ASKED, labelled_samples, tokens
from mmllm_ros.action import Adapt
from mmllm_ros.msg import SensorTokens
from mmllm_ros.srv import Ask, Teach
from rclpy.action import ActionClient
from rclpy.parameter import Parameter
from rclpy.time import Time

from mmllm_ros.adaptation.samples import split
from mmllm_ros.adaptation.state import AdaptationState
from mmllm_ros.model import Model
from mmllm_ros.nodes.answering import adaptation_servers, training_process
from mmllm_ros.nodes.llm import Llm
from mmllm_ros.nodes.ros_support.messages import tokens_to_message

LIES = {"yes": "no", "no": "yes"}
KILLS = 10
"""Each takes 15 to 30 s, and `make test` has 40 minutes."""
SHORT_LEASE = """<?xml version="1.0" encoding="UTF-8"?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <participant profile_name="short lease" is_default_profile="true">
    <rtps><builtin><discovery_config>
      <leaseDuration><sec>3</sec></leaseDuration>
      <leaseAnnouncement><sec>1</sec></leaseAnnouncement>
    </discovery_config></builtin></rtps>
  </participant>
</profiles>
"""
"""That a killed node is gone is noticed after 3 s, not after the 20 s that Fast DDS waits by default."""


@pytest.fixture(scope="session")
def without_lidar(tiny_model, tmp_path_factory):
    """The tiny model without a lidar connector and without a modality-agnostic connector."""
    folder = tmp_path_factory.mktemp("model") / "without_lidar"
    model = Model.load(tiny_model, "cpu")
    del model.connectors["lidar"], model.encoder_revisions["lidar"]
    model.modality_agnostic = None
    model.save(folder)
    return folder


class Robot:
    """An llm node with its own state, and a client for each of its services and actions."""

    def __init__(self, ros, model, state) -> None:
        self.ros, self.model = ros, Model.load(model, "cpu")
        self.state = AdaptationState(state, model)
        self.node = start(ros, model, state)
        self._publisher = ros.publisher(SensorTokens, "mmllm/tokens")
        self._client = ros.action_client(Adapt, "mmllm/adapt")
        self.feedback: list = []

    def see(self, *seen) -> int:
        """Publish tokens stamped now; returns their stamp."""
        stamp = self.ros.tester.get_clock().now().nanoseconds
        for item in seen:
            self._publisher.publish(tokens_to_message(dataclasses.replace(item, stamp=stamp)))
        return stamp

    def ask(self, *seen, question=ASKED[0]):
        """The answer that rests on `seen` and on nothing else."""

        def answer():
            stamp = self.see(*seen)
            wanted = {(item.modality, stamp) for item in seen}
            response = self.ros.call(Ask, "mmllm/ask", Ask.Request(question=question))
            rests_on = {(item.modality, Time.from_msg(item.header.stamp).nanoseconds) for item in response.answer.evidence}
            return response.success and rests_on == wanted and response.answer

        return self.ros.until(answer)

    def adapt(self, **goal):
        """The goal handle of an adaptation under way."""
        self.feedback.clear()
        sent = self._client.send_goal_async(
            Adapt.Goal(modalities=["lidar"], **goal), feedback_callback=lambda message: self.feedback.append(message.feedback)
        )
        return self.ros.until(lambda: sent.done() and sent.result())

    def result(self, handle):
        outcome = handle.get_result_async()
        while not outcome.done():
            received = len(self.feedback)
            self.ros.until(lambda received=received: outcome.done() or len(self.feedback) > received)
        return outcome.result()


def start(ros, model, state) -> Llm:
    values = {"model": str(model), "device": "cpu", "state": str(state), "max_age": 1.0}
    node = ros.add(Llm(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]))
    ros.until(lambda: node.worker.assistant)
    return node


@pytest.fixture
def robot(ros, without_lidar, tmp_path, monkeypatch):
    # Beside other tests a training of low priority would stand still.
    monkeypatch.setattr(training_process, "NICENESS", 0)
    return Robot(ros, without_lidar, tmp_path)


@pytest.fixture(scope="session")
def samples(tiny_model):
    return labelled_samples(Model.load(tiny_model, "cpu"))


def fill(state: AdaptationState, samples) -> None:
    for sample in samples:
        state.replay_buffer.add(sample)


def test_what_an_operator_teaches_is_kept_with_the_tokens_of_the_moment(robot, samples):
    request = Teach.Request(question=ASKED[0], answer="yes")
    refused = robot.ros.call(Teach, "mmllm/teach", request)
    assert not refused.success and "no tokens arrived within" in refused.message

    def teach():
        robot.see(*samples[0].tokens)
        response = robot.ros.call(Teach, "mmllm/teach", request)
        return response.success and "camera, lidar" in response.message and response

    response = robot.ros.until(teach)
    kept = robot.state.replay_buffer.samples()
    assert response.samples == len(kept) >= 1
    assert (kept[-1].question, kept[-1].answer, kept[-1].teachers) == (ASKED[0], "yes", ())
    by_name = {item.modality: item for item in kept[-1].tokens}
    assert np.array_equal(by_name["lidar"].values, samples[0].tokens[1].values)
    for question, answer, complaint in (
        (ASKED[0], "perhaps", "'perhaps'"),
        ("any zebras ?", "yes", "'zebras'"),
        (" ", "yes", "empty"),
    ):
        refused = robot.ros.call(Teach, "mmllm/teach", Teach.Request(question=question, answer=answer))
        assert not refused.success and complaint in refused.message


def test_an_adaptation_swaps_in_with_a_new_revision_and_leaves_old_answers_as_they_were(robot, samples, without_lidar, ros):
    fill(robot.state, samples)
    camera, _ = samples[1].tokens
    before = robot.ask(camera)
    result = robot.result(robot.adapt())
    assert result.status == GoalStatus.STATUS_SUCCEEDED and result.result.success, result.result.message
    assert result.result.accuracy_after > result.result.accuracy_before
    assert result.result.seconds > 0 and result.result.flops > 0 and result.result.peak_memory > 0
    assert robot.feedback[0].plan.startswith("connector, last ") and robot.feedback[-1].step == robot.feedback[-1].steps
    after = robot.ask(camera)
    assert (after.answer, after.confidence) == (before.answer, before.confidence)
    assert after.revision == result.result.revision != before.revision
    answers = [robot.ask(*sample.tokens).answer for sample in samples[:2]]
    assert answers == ["no", "yes"]
    # After a restart the adapted weights serve.
    assert (
        Model.load(AdaptationState(robot.state.folder.parent, without_lidar).serving(), "cpu").revision == result.result.revision
    )
    again = start(ros, without_lidar, robot.state.folder.parent)
    assert again.worker.assistant.model.revision == result.result.revision


def test_wrong_labels_are_rolled_back_and_the_old_weights_stay_in_use(robot, samples):
    held = {sample.scene for sample in split(samples)[1]}
    fill(robot.state, samples)
    first = robot.result(robot.adapt()).result
    for path in robot.state.replay_buffer.folder.iterdir():
        path.unlink()
    fill(robot.state, [one if one.scene in held else dataclasses.replace(one, answer=LIES[one.answer]) for one in samples])
    second = robot.result(robot.adapt()).result
    assert first.success and not second.success and "rolled back" in second.message
    assert second.revision == first.revision == robot.ask(*samples[0].tokens).revision


def test_an_adaptation_can_be_cancelled_and_goes_on_from_its_checkpoint(robot, samples):
    fill(robot.state, samples)
    handle = robot.adapt()
    robot.ros.until(lambda: robot.feedback and robot.feedback[-1].step >= 15)
    robot.ros.until(handle.cancel_goal_async().done)
    result = robot.result(handle)
    assert result.status == GoalStatus.STATUS_CANCELED and "cancelled" in result.result.message
    assert result.result.revision == robot.model.revision == robot.ask(samples[0].tokens[0]).revision
    result = robot.result(robot.adapt())
    assert result.result.success and robot.feedback[0].step >= 6


def test_a_training_process_that_is_killed_is_one_line_and_the_node_answers_on(robot, samples):
    fill(robot.state, samples)
    handle = robot.adapt()
    robot.ros.until(lambda: robot.feedback)
    robot.node.adaptation.training.process.kill()
    result = robot.result(handle)
    assert result.status == GoalStatus.STATUS_ABORTED
    assert result.result.message == "training stopped, the old weights stay in use: its process ended with status -9"
    assert robot.ask(samples[0].tokens[0]).revision == robot.model.revision
    assert robot.result(robot.adapt()).result.success


class Trained:
    """A training that succeeds at once."""

    def __init__(self, job, on_progress, on_end) -> None:
        threading.Thread(target=on_end, args=[{"success": True, "serving": "revision"}]).start()

    def close(self) -> None: ...


def test_new_weights_that_cannot_be_loaded_are_one_line_and_the_next_goal_is_accepted(robot, monkeypatch, capfd):
    def full(folder):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(adaptation_servers, "TrainingProcess", Trained)
    monkeypatch.setattr(robot.node.adaptation.model, "load_variant", full)
    line = "the new weights cannot be loaded: CUDA out of memory; the old ones stay in use until the llm node is started again"
    for _ in range(2):
        result = robot.result(robot.adapt())
        assert (result.status, result.result.message) == (GoalStatus.STATUS_ABORTED, line)
        assert result.result.revision == robot.model.revision
    assert capfd.readouterr().err.count("Traceback") == 2


def test_a_goal_that_cannot_be_met_is_refused_in_one_line(robot, samples):
    assert "0 usable samples" in robot.result(robot.adapt()).result.message
    assert "margin is 2.0" in robot.result(robot.adapt(margin=2.0)).result.message
    assert "/nowhere/questions.json cannot be read" in robot.result(robot.adapt(recording="/nowhere")).result.message
    fill(robot.state, samples)
    assert "before the first step" in robot.result(robot.adapt(flops=1.0)).result.message
    handle = robot.adapt()
    assert "another adaptation is running" in robot.result(robot.adapt()).result.message
    assert robot.result(handle).result.success


@pytest.mark.slow
def test_a_node_killed_again_and_again_in_training_loses_nothing(ros, without_lidar, samples, tmp_path):
    state = AdaptationState(tmp_path, without_lidar)
    fill(state, samples)
    shipped, rng = Model.load(without_lidar, "cpu"), np.random.default_rng(0)
    client = ActionClient(ros.tester, Adapt, "mmllm/adapt")  # its server comes and goes
    parameters = {"model": without_lidar, "device": "cpu", "state": tmp_path}
    overrides = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", "mmllm_ros.nodes.llm", "--ros-args", *overrides]
    profile = tmp_path / "fastdds.xml"
    profile.write_text(SHORT_LEASE)
    environment = {**os.environ, "FASTRTPS_DEFAULT_PROFILES_FILE": str(profile)}
    steps = []
    for _ in range(KILLS):
        node = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
        reached: list = []
        try:
            ros.until(client.server_is_ready)

            def under_way(reached=reached):
                on_feedback = lambda message: reached.append(message.feedback.step)  # noqa: E731
                sent = client.send_goal_async(Adapt.Goal(modalities=["lidar"]), feedback_callback=on_feedback)
                ros.until(sent.done)
                outcome = sent.result().get_result_async()
                ros.until(lambda: reached or outcome.done())
                return reached

            ros.until(under_way)
            time.sleep(rng.uniform(0.0, 3.0))
            trainers = psutil.Process(node.pid).children(recursive=True)
        finally:
            node.send_signal(signal.SIGKILL)
            node.wait()
        steps.append(reached[0])
        ros.until(lambda trainers=trainers: not any(one.is_running() and one.status() != "zombie" for one in trainers))
        ros.until(lambda: not client.server_is_ready())
        # Whatever serves is whole, answers, and has not forgotten what it knew; no sample is lost.
        serving = Model.load(state.serving(), "cpu")
        seen = [tokens(serving, "camera")]
        assert serving.score(ASKED[0], serving.latents(seen)) == shipped.score(ASKED[0], shipped.latents(seen))
        assert len(state.replay_buffer.samples()) == len(samples)
        if serving.revision != shipped.revision:
            latent_cache = serving.latents(samples[1].tokens)
            assert all(torch.isfinite(latent.key).all() for latent in latent_cache.values())
    client.destroy()
    assert max(steps) > 0, "no training went on from its checkpoint"
    assert not os.path.exists(state.folder / "revisions" / "part" / "connectors.safetensors") or state.serving().is_dir()
