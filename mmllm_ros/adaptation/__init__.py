# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trains connectors on the robot while it answers; they replace the old ones only if they are better."""
