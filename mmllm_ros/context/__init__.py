# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Health signals -> context -> plan: pure functions, no ROS."""
