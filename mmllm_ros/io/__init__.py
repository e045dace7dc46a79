# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Images and clouds decoded, messages and frames, rosbag2, nuScenes, question files, weights."""
