# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulates roads, traffic, weather, cameras, lidar and IMU, and generates questions with true answers."""
