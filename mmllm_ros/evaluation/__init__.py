# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measures accuracy by question type and sensor set, by number of linked blocks, and of the context monitor's plans."""
