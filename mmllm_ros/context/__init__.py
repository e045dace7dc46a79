# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Decides from sensor health, light, weather and questions which sensors are connected to the LLM. Pure functions, no ROS."""
