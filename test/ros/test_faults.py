# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Faulty sensors and nodes, over DDS with real encoders, monitor and llm: answers go on and name what is missing."""

from __future__ import annotations

import functools
import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from harness import process
from hostile_messages import HostileMessages
from mmllm_ros.msg import Answer, ModalityPlan
from mmllm_ros.srv import Ask, SetModality
from rclpy.parameter import Parameter
from rosbags.typesys import Stores, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu, PointCloud2, PointField
from visualization_msgs.msg import MarkerArray

from mmllm_ros.datatypes import NANOSECONDS
from mmllm_ros.io.rosbag import Recording
from mmllm_ros.nodes.camera_encoder import CameraEncoderNode
from mmllm_ros.nodes.context_monitor import ContextMonitor
from mmllm_ros.nodes.imu_encoder import ImuEncoderNode
from mmllm_ros.nodes.lidar_encoder import LidarEncoderNode
from mmllm_ros.nodes.llm import Llm
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.nodes.visualizer import Visualizer

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ENCODERS = {"camera": CameraEncoderNode, "lidar": LidarEncoderNode, "imu": ImuEncoderNode}
rng = np.random.default_rng(0)


def image() -> Image:
    pixels = rng.integers(0, 256, (40, 80, 3), dtype=np.uint8)
    return Image(height=40, width=80, encoding="rgb8", step=240, data=pixels.tobytes())


def black() -> Image:
    return Image(height=40, width=80, encoding="rgb8", step=240, data=bytes(40 * 240))


def covered() -> Image:
    message = image()
    pixels = np.frombuffer(bytes(message.data), np.uint8).reshape(40, 80, 3).copy()
    pixels[:, :50] = 0
    message.data = pixels.tobytes()
    return message


FROZEN = image()


def cloud() -> PointCloud2:
    bearing, distance = rng.uniform(-np.pi, np.pi, 2000), rng.uniform(5, 40, 2000)
    points = np.stack([distance * np.cos(bearing), distance * np.sin(bearing), 0 * bearing, 0 * bearing + 0.5], 1)
    fields = [PointField(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate(["x", "y", "z", "intensity"])]
    data = points.astype(np.float32).tobytes()
    return PointCloud2(height=1, width=2000, point_step=16, row_step=32000, fields=fields, data=data)


def imu() -> Imu:
    message = Imu()
    force, rate = rng.normal([0, 0, 9.81], 0.1), rng.normal(0, 0.01, 3)
    message.linear_acceleration.x, message.linear_acceleration.y, message.linear_acceleration.z = force
    message.angular_velocity.x, message.angular_velocity.y, message.angular_velocity.z = rate
    return message


SENSORS = {
    "camera": ("camera/front/image_raw", image, 0.1),
    "lidar": ("lidar/points", cloud, 0.1),
    "imu": ("imu/data", imu, 0.02),
}


class Robot:
    """Real nodes with a tiny model, and sensors whose messages `make` gives; None = the sensor is gone."""

    def __init__(self, ros, model: Path, outside: str = "", **parameters) -> None:
        self._ros = ros
        self.make: dict[str, Callable | None] = {modality: make for modality, (_, make, _) in SENSORS.items()}
        self.shift = dict.fromkeys(SENSORS, 0.0)
        self.plans = ros.collect(ModalityPlan, "mmllm/plan", qos.LATCHED)
        self.answers = ros.collect(Answer, "mmllm/answers")
        self._diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
        common = {"model": str(model), "device": "cpu", **parameters}
        self.nodes = {
            modality: self._start(kind, rate=4.0, health_rate=4.0, stale_after=4.0, **common)
            for modality, kind in ENCODERS.items()
            if modality != outside
        }
        self._start(ContextMonitor, model=str(model), service_timeout=5.0, lost_after=5.0, **parameters)
        self._start(Llm, max_age=6.0, **common)
        for modality, (topic, make, period) in SENSORS.items():
            publisher = ros.tester.create_publisher(type(make()), topic, 5)
            ros.tester.create_timer(period, lambda modality=modality, publisher=publisher: self._publish(modality, publisher))

    def _start(self, kind, **parameters):
        return self._ros.add(kind(parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()]))

    def now(self) -> int:
        return time.time_ns()

    def _publish(self, modality: str, publisher) -> None:
        if (make := self.make[modality]) is None:
            return
        message, stamp = make(), self.now() + round(self.shift[modality] * NANOSECONDS)
        message.header.stamp = Time(sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS)
        publisher.publish(message)

    def ask(self) -> Answer | None:
        response = self._ros.call(Ask, "mmllm/ask", Ask.Request(question="are there any cars ?", timeout=20.0))
        assert response.success or "ask again" in response.message, response.message
        return response.answer if response.success else None

    def rests_on(self, *modalities: str) -> Answer | None:
        """An answer that rests on exactly these, if the next one does; there must always be an answer."""
        answer = self.ask()
        return answer if answer and {item.modality for item in answer.evidence} == set(modalities) else None

    def reason(self, answer: Answer, modality: str) -> str:
        return dict(zip(answer.unplugged, answer.reasons, strict=True))[modality]

    def level(self, name: str) -> int | None:
        found = [status.level for array in self._diagnostics[-12:] for status in array.status if status.name == name]
        return found[-1] if found else None

    def values(self, name: str) -> dict[str, str]:
        found = [status for array in self._diagnostics[-12:] for status in array.status if status.name == name]
        return {item.key: item.value for item in found[-1].values} if found else {}

    def until(self, condition: Callable):
        return self._ros.until(condition)


BAD = (DiagnosticStatus.WARN, DiagnosticStatus.ERROR)


@pytest.mark.parametrize(
    ("modality", "make", "reason"),
    [
        ("camera", black, "black image"),
        ("camera", lambda: FROZEN, "frozen"),
        ("camera", covered, "partly covered"),
        ("camera", None, "no data for more than"),
        ("lidar", None, "no data for more than"),
    ],
    ids=["camera black", "camera frozen", "camera covered", "camera gone", "lidar gone"],
)
def test_a_sensor_that_fails_is_left_out_with_its_reason_and_taken_back(ros, tiny_model, modality, make, reason):
    robot = Robot(ros, tiny_model)
    robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
    source = f"{modality}_encoder: {'front' if modality == 'camera' else modality}"
    robot.until(lambda: robot.level(source) == DiagnosticStatus.OK)
    robot.make[modality] = make
    others = {"camera", "lidar", "imu"} - {modality}
    robot.until(lambda: (answer := robot.rests_on(*others)) and reason in robot.reason(answer, modality))
    robot.until(lambda: robot.level(source) in BAD and robot.level("context_monitor: plan") in BAD)
    robot.make[modality] = SENSORS[modality][1]
    robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
    robot.until(lambda: robot.level(source) == robot.level("context_monitor: plan") == DiagnosticStatus.OK)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real recordings are not in ../shared/data")
def test_the_original_stamps_of_a_real_imu_are_refused_and_the_aligned_ones_taken(ros, tiny_model):
    # How far its logger's clock ran ahead, message by message: about 66 s, with a step of 0.41 s.
    store = get_typestore(Stores.ROS2_JAZZY)
    raw = Recording(DATA / "real_drive").raw(["/imu/time_reference"])
    references = [store.deserialize_cdr(data, "sensor_msgs/msg/TimeReference") for *_, data in raw]
    ahead = [_seconds(item.time_ref) - _seconds(item.header.stamp) for item in references]
    assert 65.0 < min(ahead) < max(ahead) < 67.0 and max(ahead) - min(ahead) > 0.35
    robot = Robot(ros, tiny_model)
    robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
    steps = iter(ahead * 100)

    def original() -> Imu:
        robot.shift["imu"] = next(steps)
        return imu()

    robot.make["imu"] = original
    wrong = "in the future, is its clock right?"
    robot.until(lambda: (answer := robot.rests_on("camera", "lidar")) and wrong in robot.reason(answer, "imu"))
    robot.until(lambda: robot.level("context_monitor: clocks") in BAD and robot.level("imu_encoder: imu") in BAD)
    robot.make["imu"], robot.shift["imu"] = imu, 0.0
    robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
    robot.until(lambda: robot.level("context_monitor: clocks") == DiagnosticStatus.OK)


def _seconds(stamp) -> float:
    return stamp.sec + 1e-9 * stamp.nanosec


def lidar_process(model: Path):
    """A lidar encoder in a process of its own."""
    options = [f"model:={model}", "device:=cpu", "health_rate:=4.0", "stale_after:=4.0"]
    return process("mmllm_ros.nodes.lidar_encoder", "--ros-args", *(part for option in options for part in ("-p", option)))


def test_a_node_that_is_killed_is_done_without_and_taken_back_when_it_is_started_again(ros, tiny_model):
    with lidar_process(tiny_model) as first:
        robot = Robot(ros, tiny_model, outside="lidar")
        robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
        first.kill()
        lost = "lost, no report for more than 5 s"
        robot.until(lambda: (answer := robot.rests_on("camera", "imu")) and lost in robot.reason(answer, "lidar"))
        robot.until(lambda: robot.level("context_monitor: plan") in BAD)
    with lidar_process(tiny_model):
        robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))


def test_a_node_that_hangs_is_done_without_and_reported_until_it_goes_on(ros, tiny_model):
    with lidar_process(tiny_model) as hanging:
        robot = Robot(ros, tiny_model, outside="lidar")
        robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
        hanging.send_signal(signal.SIGSTOP)
        try:
            robot.until(lambda: robot.rests_on("camera", "imu"))
            robot.until(lambda: robot.level("context_monitor: lidar encoder") in BAD)
        finally:
            hanging.send_signal(signal.SIGCONT)
        robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
        robot.until(lambda: robot.level("context_monitor: lidar encoder") == DiagnosticStatus.OK)


class SimulatedTime(Robot):
    """The same by /clock, which may jump."""

    def __init__(self, ros, model: Path) -> None:
        self._start_time, self._began = 1_000 * NANOSECONDS, time.monotonic()
        self._clock = ros.tester.create_publisher(Clock, "/clock", 10)
        super().__init__(ros, model, use_sim_time=True)
        ros.tester.create_timer(0.02, self._tick)

    def now(self) -> int:
        return self._start_time + round((time.monotonic() - self._began) * NANOSECONDS)

    def _tick(self) -> None:
        now = self.now()
        self._clock.publish(Clock(clock=Time(sec=now // NANOSECONDS, nanosec=now % NANOSECONDS)))

    def jump(self, seconds: float) -> None:
        self._start_time += round(seconds * NANOSECONDS)


def test_after_a_clock_jumps_back_answers_rest_on_readings_of_the_new_time(ros, tiny_model):
    robot = SimulatedTime(ros, tiny_model)
    robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
    before = robot.now()
    robot.jump(-500.0)
    answer = robot.until(lambda: (a := robot.rests_on("camera", "lidar", "imu")) and a.header.stamp.sec < 700 and a)
    assert all(abs(item.age) <= 6.0 for item in answer.evidence)
    assert answer.header.stamp.sec * NANOSECONDS < before


def test_hostile_messages_of_every_type_are_rejected_by_reason_and_good_ones_are_answered(ros, tiny_model):
    robot = Robot(ros, tiny_model)
    ros.add(Visualizer(parameter_overrides=[Parameter("rate", value=10.0)]))
    drawn = ros.collect(Image, "mmllm/overlay"), ros.collect(MarkerArray, "mmllm/markers")
    robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
    hostile = HostileMessages(seed=0)
    publishers = {
        topic: ros.tester.create_publisher(kind, topic, qos.LATCHED if kind is ModalityPlan else 10)
        for topic, (kind, _) in hostile.topics.items()
    }
    numbers = itertools.count()

    def publish_next():
        topic = sorted(publishers)[next(numbers) % len(publishers)]
        publishers[topic].publish(hostile.topics[topic][1]())
        time.sleep(0.005)

    def rejected(status):
        publish_next()  # an encoder takes the newest message only: on a busy machine it misses many
        return any(key.startswith("rejected: ") for key in robot.values(status))

    for _ in range(400):
        publish_next()
    for status in ("camera_encoder: front", "lidar_encoder: lidar", "imu_encoder: imu", "llm: model", "context_monitor: plan"):
        robot.until(functools.partial(rejected, status))
    # Anyone may publish a plan, and the last one holds: the monitor repeats its own and reports the other publisher.
    unplugged = ModalityPlan(modalities=["camera"], plugged=[False], reasons=["hostile"])
    publishers["mmllm/plan"].publish(unplugged)
    robot.until(lambda: robot.level("context_monitor: publishers of the plan") == DiagnosticStatus.WARN)
    robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
    counts = [len(messages) for messages in drawn]
    robot.until(lambda: all(len(messages) > count for messages, count in zip(drawn, counts, strict=True)))


def test_no_answer_is_lost_while_modalities_are_switched_at_random(ros, tiny_model):
    robot = Robot(ros, tiny_model)
    robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
    client = ros.client(SetModality, "mmllm/set_modality")
    asker = ros.client(Ask, "mmllm/ask")
    waiting = []
    for _ in range(100):
        mode = SetModality.Request(modality=str(rng.choice(list(SENSORS))), mode=int(rng.integers(1, 3)))
        assert ros.ask(client, mode).success
        # Eight may wait.
        robot.until(lambda: sum(not future.done() for future in waiting) < 6)
        waiting.append(asker.call_async(Ask.Request(question="are there any cars ?", timeout=30.0)))
    robot.until(lambda: all(future.done() for future in waiting))
    assert not [future.result().message for future in waiting if not future.result().success]
    for modality in SENSORS:
        assert ros.ask(client, SetModality.Request(modality=modality, mode=0)).success
    robot.until(lambda: robot.rests_on("camera", "lidar", "imu"))
