# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of `mmllm`, one function each; its parameters are the options."""
