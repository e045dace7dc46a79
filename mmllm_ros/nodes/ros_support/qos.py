# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""QoS profiles of the mmllm/ topics and services. Sensor topics have the sensor data profile of ROS."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile

RELIABLE = QoSProfile(depth=10)

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""A late subscriber gets the last message."""

LATEST = QoSProfile(depth=1)
"""For pictures: a slow subscriber gets only the latest."""

SERVICE = QoSProfile(depth=1000)
"""For questions: with the profile of ROS, DDS keeps ten requests that the server has not taken yet and drops others silently."""

ACTION_SERVICES = {f"{name}_service_qos_profile": SERVICE for name in ("goal", "result", "cancel")}
"""The same for the three services of an action; arguments of ActionServer and ActionClient."""
