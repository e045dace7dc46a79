# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Input and output: images and clouds, messages and frames, rosbag2, nuScenes, question files, weights, atomic writes."""
