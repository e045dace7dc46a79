# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The plans that the clients of a drive and of a bag follow: anyone may publish one."""

from __future__ import annotations

from mmllm_ros.msg import ModalityPlan
from rclpy.parameter import Parameter

from mmllm_ros.nodes.clients.bag_client import BagClient
from mmllm_ros.nodes.clients.drive_client import DriveClient
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.rig import load_rig

PLAN = ModalityPlan(modalities=["camera", "lidar"], plugged=[True, False], reasons=["healthy", "no data"], context="night")
MALFORMED = ModalityPlan(modalities=["camera", "lidar"], plugged=[True], context="day")


class Log:
    """What has been printed to stderr so far."""

    def __init__(self, capfd) -> None:
        self._capfd, self._text = capfd, ""

    def __contains__(self, part: str) -> bool:
        self._text += self._capfd.readouterr().err
        return part in self._text


def publish_both(ros, capfd, followed) -> None:
    """Publish PLAN, and MALFORMED once the node has it; return when that is refused."""
    plans, log = ros.publisher(ModalityPlan, "mmllm/plan", qos.LATCHED), Log(capfd)
    plans.publish(PLAN)
    ros.until(followed)
    plans.publish(MALFORMED)
    ros.until(lambda: "plan rejected: plan has lists of 2, 1, 0 entries that belong together" in log)


def test_a_drive_goes_on_with_its_last_plan_where_a_malformed_one_comes(ros, tiny_model, tmp_path, capfd):
    settings = {"model": str(tiny_model), "source": "robot", "out": str(tmp_path), "interval": 0.0, "duration": 0.0}
    client = ros.add(DriveClient(parameter_overrides=[Parameter(name, value=value) for name, value in settings.items()]))
    publish_both(ros, capfd, lambda: client._plan)
    assert client._why_not() == "lidar: no data" and not client._sensors_ready()


def test_a_bag_is_asked_about_by_the_last_plan_where_a_malformed_one_comes(ros, capfd):
    client = ros.add(BagClient(["Am I moving?"], load_rig("front"), {"camera", "lidar"}, on_answer=print))
    publish_both(ros, capfd, lambda: client._plugged)
    assert (client._plugged, client._reasons["lidar"], client._plan_context) == ({"camera"}, "no data", "night")
