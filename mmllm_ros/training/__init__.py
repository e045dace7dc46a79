# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Render, pretrain the encoders, pretrain the LLM on text, train the connectors: stage after stage, each resumable."""
