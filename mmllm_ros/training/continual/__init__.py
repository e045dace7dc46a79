# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Adds modalities one after the other to a universal encoder and an LLM that stay frozen (PathWeave, arXiv 2410.20178)."""
