# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training on the robot: copies of connectors are trained on labelled samples and replace the originals if they are better."""
