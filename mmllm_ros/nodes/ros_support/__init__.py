# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Shared by all nodes: parameters, diagnostics, QoS, message conversion, lifecycle."""
