# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A world with true answers: roads and traffic, light and weather, ray-cast sensors, and questions executed over the scene."""
