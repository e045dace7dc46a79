# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An IMU that is not level: its mounting is estimated while driving, and a level one is left alone bit for bit."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore

from mmllm_ros.cli import main
from mmllm_ros.context.health_check import check_health, reading_note
from mmllm_ros.context.imu_mounting import ImuMountingEstimator
from mmllm_ros.context.sensor_monitor import SensorMonitor
from mmllm_ros.datatypes import GRAVITY, NANOSECONDS, BadInput, ImuMounting, ImuWindow
from mmllm_ros.encoders.imu import ImuEncoder, level, reported
from mmllm_ros.io.frames import imu_sample
from mmllm_ros.rig import ImuMount, load_rig
from mmllm_ros.simulator.sensors.imu import Imu, ImuErrors

START = 1_700_000_000 * NANOSECONDS
TILTED = {"nose_down": math.radians(10), "left_down": math.radians(-4), "yaw": math.radians(5), "rate_bias": (0.0, 0.03, -0.03)}


def windows(errors: ImuErrors, seconds: int = 60) -> list[ImuWindow]:
    """A window each second of a drive: 20 s cycles of accelerate, cruise, turn left, cruise, brake, stand."""
    imu, rng = Imu(np.random.default_rng(5), errors), np.random.default_rng(6)
    speed, made = 0.0, []
    for second in range(seconds):
        along = {0: 2.0, 1: 2.0, 2: 2.0, 3: 2.0, 13: -2.0, 14: -2.0, 15: -2.0, 16: -2.0}.get(second % 20, 0.0)
        turning = 0.3 if 7 <= second % 20 < 10 else 0.0
        log = [(speed + along * step / 100, turning, along, 0.0) for step in range(100)]
        speed += along
        samples = imu.window(log, rng, second)
        stamp = START + (second + 1) * NANOSECONDS
        times = stamp - np.arange(len(samples) - 1, -1, -1, dtype=np.int64) * (NANOSECONDS // errors.rate)
        made.append(ImuWindow(stamp, "imu", times, samples))
    return made


def estimated(frames: list[ImuWindow]) -> list[ImuMounting]:
    estimator = ImuMountingEstimator()
    return [estimator.update(frame) for frame in frames]


@pytest.mark.parametrize("rate", [20, 100, 1000])
def test_tilt_yaw_and_gyro_bias_are_found_within_a_minute_at_any_rate(rate):
    found = estimated(windows(ImuErrors(**TILTED, rate=rate)))
    assert not found[3].known and found[-1].known
    # The forward axis points down by 10 degrees and reads -sin(10); the left axis points up by 4 and reads +sin(4) cos(10).
    assert math.degrees(math.asin(found[-1].up[0])) == pytest.approx(-10.0, abs=1.5)
    assert math.degrees(math.asin(found[-1].up[1])) == pytest.approx(3.9, abs=1.5)
    assert math.degrees(found[-1].yaw) == pytest.approx(5.0, abs=2.0)
    assert found[-1].rates[1:] == pytest.approx((0.03, -0.03), abs=0.01)


def test_a_level_imu_gives_the_same_bits_as_without_an_estimate():
    monitor, encoder = SensorMonitor("imu", "imu"), ImuEncoder(load_rig("front"), width=16, depth=1, heads=2)
    for frame in windows(ImuErrors()):
        window, _ = monitor.add(frame)
        assert window.mounting == ImuMounting(known=window.mounting.known)
        assert torch.equal(encoder.to_tensor(window), encoder.to_tensor(frame))
    assert window.mounting.known


def test_levelling_undoes_how_the_unit_is_turned_and_biased():
    rng = np.random.default_rng(0)
    true = np.concatenate([rng.normal((0, 0, GRAVITY), 1, (50, 3)), rng.normal(0, 0.2, (50, 3))], axis=1)
    errors = ImuErrors(**TILTED)
    up = errors.apply(np.array([[0, 0, 1.0, 0, 0, 0]]), 0.0)[0, :3]
    measured = errors.apply(true, 0.0)
    # The yaw of a unit that is also tilted is that of its levelled axes, here found from its reading of a push forward.
    push = level(errors.apply(np.array([[1.0, 0, 0, 0, 0, 0]]), 0.0), ImuMounting(tuple(up.tolist()), rates=errors.rate_bias))
    mounting = ImuMounting(tuple(up.tolist()), -math.atan2(push[0, 1], push[0, 0]), rates=errors.rate_bias)
    np.testing.assert_allclose(level(measured, mounting), true, atol=1e-4)


def test_the_estimate_does_not_depend_on_how_often_it_is_read_and_a_jump_back_starts_anew():
    frames = windows(ImuErrors(**TILTED), 12)
    times = np.concatenate([frame.times for frame in frames])
    samples = np.concatenate([frame.samples for frame in frames])
    ends = range(100, 1201, 50)
    often = [ImuWindow(int(times[end - 1]), "imu", times[end - 100 : end], samples[end - 100 : end]) for end in ends]
    estimator = ImuMountingEstimator()
    frequent = [estimator.update(frame) for frame in often]
    whole = ImuMountingEstimator().update(ImuWindow(often[-1].stamp, "imu", times, samples))
    assert frequent[-1] == whole != ImuMounting()
    assert estimator.update(frames[0]) == ImuMountingEstimator().update(frames[0])


def test_an_axis_that_is_not_reported_is_left_out_and_named():
    monitor = SensorMonitor("imu", "imu")
    for frame in windows(ImuErrors(nose_down=math.radians(10)), 40):
        frame.samples[:, [1, 3]] = np.nan
        window, _ = monitor.add(frame)
    assert window.mounting.known and window.mounting.up[0] == pytest.approx(-math.sin(math.radians(10)), abs=0.03)
    assert torch.isfinite(ImuEncoder(load_rig("front"), width=16, depth=1, heads=2).to_tensor(window)).all()
    signals = monitor.health(window.stamp, 1.0).signals
    assert check_health(signals, 0.0, 1.0) == (True, "")
    assert reading_note(signals) == (
        f"mounted {signals['nose_down']:.1f} degrees nose down, corrected; 2 of the six axes not reported"
    )


def test_until_the_tilt_is_known_the_evidence_says_so():
    monitor = SensorMonitor("imu", "imu")
    monitor.add(windows(ImuErrors(), 1)[0])
    assert reading_note(monitor.health(START, 1.0).signals) == "mount tilt not known yet"


def test_readings_that_no_vehicle_has_do_not_stop_the_estimate():
    rng = np.random.default_rng(0)
    monitor = SensorMonitor("imu", "imu")
    for frame in windows(ImuErrors(), 6):
        wild = rng.choice([0.0, 9e4, -9e4], size=frame.samples.shape).astype(np.float32)
        frame.samples[:] = np.where(rng.random(frame.samples.shape) < 0.5, wild, frame.samples)
        frame.samples[:, [1, 2, 3, 4]] = np.where(rng.random((100, 4)) < 0.3, np.nan, frame.samples[:, [1, 2, 3, 4]])
        window, _ = monitor.add(frame)
        signals = monitor.health(window.stamp, 1.0).signals
        assert np.isfinite(list(signals.values())).all() and np.isfinite(level(reported(window.samples), window.mounting)).all()


def test_single_missing_samples_take_the_mean_of_their_axis():
    samples = np.tile(np.array([1.0, 2.0, 9.0, 0, 0, 0], np.float32), (4, 1))
    samples[1, 1] = np.nan
    assert reported(samples)[1, 1] == 2.0


def message(force=(0.0, 0.0, 9.8), rates=(0.0, 0.0, 0.1), variances=(0.0, 0.0, 0.0)):
    covariance = np.diag(variances).ravel()
    vector = [SimpleNamespace(x=v[0], y=v[1], z=v[2]) for v in (force, rates)]
    return SimpleNamespace(
        header=SimpleNamespace(frame_id="imu_link"),
        linear_acceleration=vector[0],
        angular_velocity=vector[1],
        linear_acceleration_covariance=covariance,
        angular_velocity_covariance=np.zeros(9),
    )


def test_a_missing_axis_of_a_message_is_nan_in_its_axis_of_the_rig_and_a_needed_one_is_refused():
    mount = ImuMount(axes=("+y", "-x", "+z"))
    # The unit's x axis points to the right.
    for item in (message(force=(math.nan, 1.0, 9.8)), message(force=(5.0, 1.0, 9.8), variances=(-1.0, 0, 0))):
        if item.linear_acceleration_covariance[0] == -1.0:
            with pytest.raises(BadInput, match="does not report its specific force"):
                imu_sample(item, mount)
            continue
        np.testing.assert_allclose(imu_sample(item, mount), [1.0, math.nan, 9.8, 0, 0, 0.1], rtol=1e-6)
    np.testing.assert_allclose(imu_sample(message(variances=(0, 0, -1.0)), mount), [0, 0, math.nan, 0, 0, 0.1], rtol=1e-6)
    with pytest.raises(BadInput, match="forward specific force"):
        imu_sample(message(force=(0.0, math.nan, 9.8)), mount)
    with pytest.raises(BadInput, match="yaw rate"):
        imu_sample(message(rates=(0.0, 0.0, math.nan)), mount)


def test_evaluate_imu_asks_a_recording_against_its_speed_topic(tmp_path, capsys):
    store = get_typestore(Stores.ROS2_JAZZY)
    types = store.types
    vector, time = types["geometry_msgs/msg/Vector3"], types["builtin_interfaces/msg/Time"]
    with Writer(tmp_path / "bag", version=9) as writer:
        imu = writer.add_connection("/imu/data", "sensor_msgs/msg/Imu", typestore=store)
        speed = writer.add_connection("/vehicle/speed", "std_msgs/msg/Float64", typestore=store)
        for second, frame in enumerate(windows(ImuErrors(rate=20), 8)):
            for index, (stamp, row) in enumerate(zip(frame.times.tolist(), frame.samples.astype(float).tolist(), strict=True)):
                header = types["std_msgs/msg/Header"](time(*divmod(stamp, NANOSECONDS)), "imu")
                unknown = np.zeros(9)
                content = types["sensor_msgs/msg/Imu"](
                    header, types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0), unknown,
                    vector(*row[3:]), unknown, vector(*row[:3]), unknown,
                )  # fmt: skip
                writer.write(imu, stamp, store.serialize_cdr(content, imu.msgtype))
                value = types["std_msgs/msg/Float64"](2.0 * min(second + index / 20, 4.0))
                writer.write(speed, stamp, store.serialize_cdr(value, speed.msgtype))
    command = ["evaluate-imu", str(tmp_path / "bag"), "--model", "drive_tiny", "--json", str(tmp_path / "report.json")]
    assert main(command) == 0
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    # A speed without a yaw rate: turning is not judged. Acceleration for 4 s, then none.
    assert "not corrected" in rows and set(rows["as estimated"]) == {"Am I moving?", "Am I accelerating?", "Am I braking?"}
    assert set(rows["as estimated"]["Am I accelerating?"]["n"]) == {"yes", "no"}
    assert rows["as estimated"]["Am I accelerating?"]["right"] > 0.8 > rows["blind LLM"]["Am I accelerating?"]["right"] + 0.2
    capsys.readouterr()
    assert main([*command, "--speed", "/imu/data"]) == 2
    assert "'/imu/data' is a sensor_msgs/msg/Imu" in capsys.readouterr().err


def test_evaluate_imu_drives_a_tilted_unit(tmp_path):
    report = tmp_path / "report.json"
    assert main([
        "evaluate-imu", "--drives", "2", "--duration", "4", "--tilt", "10", "--rate", "50", "--model", "drive_tiny",
        "--json", str(report),
    ]) == 0  # fmt: skip
    content = json.loads(report.read_text())
    assert content["moments"] == 8 and content["scenes"] == 2 and content["known"] == 0.0
    assert set(content["rows"]) == {"as estimated", "tilt known", "not corrected", "blind LLM"}
