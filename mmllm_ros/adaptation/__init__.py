# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning on the road: connectors are trained from lessons while the robot answers, and serve if they are better."""
