# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of `mmllm`, a function each: its signature is its options."""
