# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The QoS profiles of the mmllm/ topics; sensor topics have ROS's own sensor data profile."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile

RELIABLE = QoSProfile(depth=10)

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Who joins late still gets the newest message."""

NEWEST = QoSProfile(depth=1)
"""For pictures: whoever is slow gets the newest only."""
