# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What all nodes share: parameters, diagnostics, QoS, message conversion, lifecycle."""
