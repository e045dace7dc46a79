# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Statistics, baselines without sensors, and counts of floating point operations."""
