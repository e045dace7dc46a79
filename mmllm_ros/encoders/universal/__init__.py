# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The universal encoder: one frozen transformer and one projection for signals of any kind (OneLLM, arXiv 2312.03700)."""
