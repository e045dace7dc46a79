# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Conversations, and answers about the robot itself from its own state."""
