# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Connects tokens to the frozen LLM: connectors, attention adapter, scoring of answers, and the model folder."""
