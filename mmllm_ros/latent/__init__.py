# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Connectors (tokens -> keys and values), the attention adapter of the frozen LLM, answering, and the model folder."""
