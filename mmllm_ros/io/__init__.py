# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reads and writes images, point clouds, ROS messages, rosbag2 recordings, nuScenes folders, question files and weights."""
