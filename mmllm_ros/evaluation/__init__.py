# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Accuracy, depth sweep, plan table, plan comparison, context accuracy."""
