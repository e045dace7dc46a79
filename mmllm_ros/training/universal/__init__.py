# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trains the universal encoder in stages: images, then more and more kinds of signals, then questions to a frozen LLM."""
