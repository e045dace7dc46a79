# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trains a model in stages: renders frames, then trains encoders, the LLM and the connectors."""
