# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Clients of a running robot: ask, drive, bag, doctor."""
