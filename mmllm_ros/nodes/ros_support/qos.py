# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""QoS profiles of the mmllm/ topics. Sensor topics have the sensor data profile of ROS."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile

RELIABLE = QoSProfile(depth=10)

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""A late subscriber gets the last message."""

LATEST = QoSProfile(depth=1)
"""For pictures: a slow subscriber gets only the latest."""
