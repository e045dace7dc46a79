# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The llm node over DDS: three interfaces for questions, evidence with stamps and ages, and one line for every rejection."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import rclpy
import torch
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from harness import PATIENCE
from mmllm_ros.action import AskQuestion
from mmllm_ros.msg import Answer, ModalityPlan, SensorTokens
from mmllm_ros.srv import Ask
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_msgs.msg import String

from mmllm_ros.datatypes import NANOSECONDS, BadInput, Plan, Tokens
from mmllm_ros.encoders import load_encoder
from mmllm_ros.model import Model
from mmllm_ros.nodes.llm import Llm
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.nodes.ros_support.messages import plan_to_message, tokens_to_message
from mmllm_ros.rig import load_rig

QUESTION = "Are there any cars?"


def start(ros, model, namespace="", **parameters) -> Llm:
    """With limits so long that nothing is too old or takes too long, unless a test sets others."""
    values = {"model": str(model), "device": "cpu", "max_age": 60.0, "timeout": 600.0, **parameters}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    return ros.add(Llm(namespace=namespace, parameter_overrides=overrides))


def ready(ros, model, namespace="", **parameters) -> Llm:
    node = start(ros, model, namespace, **parameters)
    ros.until(lambda: node.worker.assistant)
    return node


def ask(ros, question=QUESTION, timeout=0.0, name="mmllm/ask"):
    return ros.call(Ask, name, Ask.Request(question=question, timeout=timeout))


class Sensors:
    """Publishes a plan and tokens of the shape that the model's encoders give."""

    def __init__(self, ros, model, namespace="") -> None:
        self._ros = ros
        self._model = Model.load(model, "cpu")
        encoders = {m: load_encoder(model / "encoders" / m, load_rig("front"), "cpu") for m in self._model.modalities}
        self.widths = {m: self._model.connectors[m].shape["token_width"] for m in encoders}
        self._tokens = ros.publisher(SensorTokens, f"{namespace}mmllm/tokens")
        self._plans = ros.publisher(ModalityPlan, f"{namespace}mmllm/plan", qos.LATCHED)

    def now(self) -> int:
        return self._ros.tester.get_clock().now().nanoseconds

    def plug(self, *modalities: str, reason: str = "no health report of lidar yet") -> None:
        plugged = {modality: modality in modalities for modality in self.widths}
        reasons = {modality: "healthy" if on else reason for modality, on in plugged.items()}
        self._plans.publish(plan_to_message(Plan(self.now(), plugged, reasons, "day", 0)))

    def see(self, modality: str, source: str, age: float = 0.0, revision: str | None = None) -> int:
        stamp = self.now() - int(age * NANOSECONDS)
        values = np.random.default_rng(0).normal(size=(5, self.widths[modality])).astype(np.float32)
        revision = self._model.encoder_revisions[modality] if revision is None else revision
        tokens = Tokens(modality, source, stamp, values, np.zeros((5, 3), np.float32), revision)
        self._tokens.publish(tokens_to_message(tokens))
        return stamp


def test_the_service_answers_with_stamps_and_ages_of_what_it_rests_on(ros, tiny_model):
    ready(ros, tiny_model)
    answers = ros.collect(Answer, "mmllm/answers")
    sensors = Sensors(ros, tiny_model)
    sensors.plug("camera", "imu")
    stamp = sensors.see("camera", "front", age=0.3)
    sensors.see("lidar", "lidar", age=0.1)
    response = ros.until(lambda: (r := ask(ros)).success and r.answer.evidence and r)
    assert response.message == ""
    (evidence,) = response.answer.evidence
    assert (evidence.modality, evidence.source) == ("camera", "front")
    assert evidence.header.stamp.sec * NANOSECONDS + evidence.header.stamp.nanosec == stamp
    assert 0.3 <= evidence.age <= (sensors.now() - stamp) / NANOSECONDS
    assert response.answer.header.stamp == evidence.header.stamp
    out = dict(zip(response.answer.unplugged, response.answer.reasons, strict=True))
    assert "no health report of lidar yet" in out["lidar"]
    assert out["imu"] == "no data received yet"
    assert response.answer.question == QUESTION and response.answer.revision and response.answer.latency > 0.0
    ros.until(lambda: any(a.question_id == response.answer.question_id for a in answers))


def test_tokens_older_than_max_age_do_not_count_and_the_answer_says_why(ros, tiny_model):
    ready(ros, tiny_model)
    sensors = Sensors(ros, tiny_model)
    sensors.plug("camera", "lidar")
    sensors.see("camera", "front", age=100.0)
    sensors.see("lidar", "lidar")
    response = ros.until(lambda: (r := ask(ros)).answer.evidence and r)
    assert [evidence.modality for evidence in response.answer.evidence] == ["lidar"]
    reason = dict(zip(response.answer.unplugged, response.answer.reasons, strict=True))["camera"]
    assert "old" in reason and "60 s" in reason


def test_the_action_streams_its_text_and_succeeds(ros, tiny_model):
    ready(ros, tiny_model)
    client = ros.action_client(AskQuestion, "mmllm/ask_question")
    texts = []
    goal = client.send_goal_async(
        AskQuestion.Goal(question=QUESTION), feedback_callback=lambda message: texts.append(message.feedback.text)
    )
    ros.until(goal.done)
    result = goal.result().get_result_async()
    ros.until(result.done)
    assert result.result().status == GoalStatus.STATUS_SUCCEEDED
    assert result.result().result.success
    ros.until(lambda: texts and texts[-1].strip() == result.result().result.answer.answer)


@pytest.fixture
def slow(monkeypatch):
    """Answering takes until the event is set, or the asker gives up."""
    from mmllm_ros import assistant

    release = threading.Event()
    real = assistant.Assistant.ask_all

    def wait(self, asked):
        while not release.wait(0.02) and not all(item.is_cancelled() for item in asked):
            pass
        yield from real(self, asked)

    monkeypatch.setattr(assistant.Assistant, "ask_all", wait)
    yield release
    release.set()


def test_a_goal_that_is_answered_can_be_cancelled_and_so_can_one_that_waits(ros, tiny_model, slow):
    ready(ros, tiny_model)
    client = ros.action_client(AskQuestion, "mmllm/ask_question")
    goals = [client.send_goal_async(AskQuestion.Goal(question=QUESTION)) for _ in range(2)]
    ros.until(lambda: all(goal.done() for goal in goals))
    for goal in reversed(goals):
        result = goal.result().get_result_async()
        goal.result().cancel_goal_async()
        ros.until(result.done)
        assert result.result().status == GoalStatus.STATUS_CANCELED
        assert result.result().result.message == "cancelled"


def test_a_question_on_the_topic_is_answered_on_the_answers_topic(ros, tiny_model):
    ready(ros, tiny_model)
    answers = ros.collect(Answer, "mmllm/answers")
    ros.publisher(String, "mmllm/questions").publish(String(data=QUESTION))
    ros.until(lambda: answers)
    assert answers[0].question == QUESTION


def test_standing_questions_are_asked_again_and_again_beside_those_of_others(ros, tiny_model):
    node = ready(ros, tiny_model, watch="are there any cars ? | am i moving ?", watch_rate=10.0)
    answers = ros.collect(Answer, "mmllm/answers")
    ros.until(lambda: len(answers) >= 6)
    assert [answer.question for answer in answers[:2]] in (
        ["are there any cars ?", "am i moving ?"], ["am i moving ?", "are there any cars ?"]
    )  # fmt: skip
    assert ask(ros, "are there any trucks ?").success
    assert node.set_parameters([Parameter("watch", value="")])[0].successful
    ros.until(lambda: node.worker.waiting == 0 and not node._standing._busy)
    count = len(answers)
    assert ask(ros).success and ask(ros).success
    ros.until(lambda: len(answers) >= count + 2)
    assert [answer.question for answer in answers[-2:]] == [QUESTION, QUESTION]


def test_parameters_stay_responsive_while_a_question_is_answered(ros, tiny_model, slow):
    ready(ros, tiny_model)
    client = ros.client(Ask, "mmllm/ask")
    waiting = [client.call_async(Ask.Request(question=QUESTION)) for _ in range(3)]
    response = ros.call(GetParameters, "llm/get_parameters", GetParameters.Request(names=["max_age"]))
    assert response.values[0].type == ParameterType.PARAMETER_DOUBLE
    assert not any(future.done() for future in waiting)
    slow.set()
    ros.until(lambda: all(future.done() for future in waiting))


def test_a_changed_parameter_counts_for_the_next_question_and_a_bad_one_is_refused(ros, tiny_model):
    ready(ros, tiny_model)
    bad, good = (
        SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        for name, value in (("max_age", -1.0), ("require_evidence", True))
    )
    refused = ros.call(SetParameters, "llm/set_parameters", bad).results[0]
    assert not refused.successful and "max_age" in refused.reason
    assert ask(ros).success
    assert ros.call(SetParameters, "llm/set_parameters", good).results[0].successful
    response = ask(ros)
    assert not response.success and "evidence" in response.message


def test_questions_are_answered_in_as_many_threads_as_the_node_was_given(ros, tiny_model, monkeypatch):
    model, found = ready(ros, tiny_model, threads=3).worker.assistant.model, []
    answer = model.answer
    monkeypatch.setattr(model, "answer", lambda *asked: (found.append(torch.get_num_threads()), answer(*asked))[1])
    assert ask(ros).success and found == [3]


def test_a_call_before_the_model_is_ready_says_so_at_once(ros, tiny_model, monkeypatch):
    release = threading.Event()
    load = Model.load
    monkeypatch.setattr(Model, "load", lambda *arguments: (release.wait(), load(*arguments))[1])
    try:
        start(ros, tiny_model)
        response = ask(ros)
    finally:
        release.set()
    assert not response.success and response.message == "the model is still loading, ask again in a moment"
    ros.until(lambda: ask(ros).success)


def spin_until_it_ends(model) -> None:
    """Spin a node in this thread, which raises what the node ends with."""
    rclpy.init(args=[])
    node = Llm(parameter_overrides=[Parameter("model", value=str(model))])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin_until_future_complete(Future(), timeout_sec=PATIENCE)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def test_a_model_that_cannot_be_loaded_ends_the_node_with_its_path(tmp_path):
    with pytest.raises(BadInput, match="nothing"):
        spin_until_it_ends(tmp_path / "nothing")


def test_a_model_that_the_gpu_has_no_memory_for_ends_the_node_with_that_line_and_one_traceback(tiny_model, monkeypatch, capfd):
    def full(*_):
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(Model, "load", full)
    line = "llm: the model cannot be loaded: RuntimeError: CUDA out of memory. Tried to allocate 2 GiB"
    with pytest.raises(BadInput, match=f"^{line}$"):
        spin_until_it_ends(tiny_model)
    assert capfd.readouterr().err.count("Traceback") == 1


def test_a_full_queue_has_no_room_and_says_so(ros, tiny_model, slow):
    worker = ready(ros, tiny_model, queue=1).worker
    client = ros.client(Ask, "mmllm/ask")
    first = client.call_async(Ask.Request(question=QUESTION))
    ros.until(lambda: worker._current)
    second = client.call_async(Ask.Request(question=QUESTION))
    ros.until(lambda: worker.waiting)
    refused = ask(ros)
    assert not refused.success and refused.message == "1 questions are waiting already, ask again later"
    slow.set()
    ros.until(lambda: first.done() and second.done())
    assert first.result().success and second.result().success


def test_after_a_storm_of_goals_and_cancels_the_queue_has_room_and_questions_are_answered(ros, tiny_model, slow):
    node = ready(ros, tiny_model, queue=4)
    client = ros.action_client(AskQuestion, "mmllm/ask_question", **qos.ACTION_SERVICES)
    outcomes = set()
    for _ in range(3):
        goals = [client.send_goal_async(AskQuestion.Goal(question=QUESTION)) for _ in range(40)]
        ros.until(lambda: all(goal.done() for goal in goals))  # noqa: B023
        for goal in goals:
            goal.result().cancel_goal_async()
        results = [goal.result().get_result_async() for goal in goals]
        ros.until(lambda: all(result.done() for result in results))  # noqa: B023
        outcomes |= {result.result().result.message for result in results}
    assert outcomes <= {"cancelled", "4 questions are waiting already, ask again later"} and "cancelled" in outcomes
    waiting = ros.client(Ask, "mmllm/ask").call_async(Ask.Request(question=QUESTION))
    slow.set()
    ros.until(waiting.done)
    assert waiting.result().success, waiting.result().message
    assert not node._questions._goals


def test_questions_that_wait_are_answered_together_and_the_many_without_room_are_refused(ros, tiny_model, slow, monkeypatch):
    node = ready(ros, tiny_model, queue=4)
    together = []
    answer = node.worker._answer
    monkeypatch.setattr(node.worker, "_answer", lambda questions: together.append(len(questions)) or answer(questions))
    client = ros.tester.create_client(Ask, "mmllm/ask", qos_profile=qos.SERVICE)
    ros.until(client.service_is_ready)
    first = client.call_async(Ask.Request(question=QUESTION))
    ros.until(lambda: node.worker._current)
    futures = [client.call_async(Ask.Request(question=QUESTION)) for _ in range(300)]
    ros.until(lambda: sum(future.done() for future in futures) == 296)
    refusals = {future.result().message for future in futures if future.done()}
    assert refusals == {"4 questions are waiting already, ask again later"}
    slow.set()
    ros.until(lambda: first.done() and all(future.done() for future in futures))
    assert first.result().success and sum(future.result().success for future in futures) == 4
    assert together == [1, 4]


def test_a_question_without_an_answer_in_its_time_is_given_up_and_the_next_is_answered(ros, tiny_model, slow):
    ready(ros, tiny_model)
    response = ask(ros, timeout=0.5)
    assert not response.success and response.message == "no answer within 0.5 s"
    slow.set()
    assert ask(ros).success


@pytest.mark.parametrize(
    ("question", "timeout", "part"),
    [
        ("", 0.0, "empty"),
        ("  \n", 0.0, "empty"),
        ("x" * 100_000, 0.0, "100000"),
        (QUESTION, -1.0, "timeout"),
        (QUESTION, float("nan"), "timeout"),
    ],
)
def test_a_bad_question_is_refused_in_one_line_and_the_next_is_answered(ros, tiny_model, question, timeout, part):
    ready(ros, tiny_model)
    response = ask(ros, question, timeout)
    assert not response.success
    assert part in response.message and "\n" not in response.message and len(response.message) < 300
    assert ask(ros).success


def test_tokens_of_another_revision_are_refused_and_diagnostics_say_so(ros, tiny_model):
    ready(ros, tiny_model)
    arrays = ros.collect(DiagnosticArray, "/diagnostics")
    sensors = Sensors(ros, tiny_model)
    sensors.plug("camera")
    sensors.see("camera", "front", revision="fedcba987654")
    statuses = ros.until(lambda: [s for array in arrays for s in array.status if "fedcba987654" in s.message])
    assert statuses[0].name == "llm: model"
    assert not ask(ros).answer.evidence
    values = {pair.key: pair.value for pair in statuses[0].values}
    assert values["model"] and values["revision"] and float(values["resident memory [MiB]"]) > 0


def test_two_robots_in_two_namespaces_do_not_hear_each_other(ros, tiny_model):
    ready(ros, tiny_model, "one")
    ready(ros, tiny_model, "two")
    sensors = Sensors(ros, tiny_model, "one/")
    sensors.plug("camera")
    sensors.see("camera", "front")
    answers = ros.collect(Answer, "two/mmllm/answers")
    assert ros.until(lambda: (r := ask(ros, name="one/mmllm/ask")).answer.evidence and r).success
    other = ask(ros, "Am I moving?", name="two/mmllm/ask")
    assert other.success and not other.answer.evidence
    ros.until(lambda: answers)
    assert {answer.question for answer in answers} == {"Am I moving?"}
