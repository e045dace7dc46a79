# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tokens -> keys and values -> the attention of a frozen LLM: connectors, the port, and the model folder."""
