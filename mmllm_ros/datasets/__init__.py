# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames with questions and true answers, from the simulator, from recordings and from nuScenes."""
