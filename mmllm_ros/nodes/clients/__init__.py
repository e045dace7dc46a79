# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Clients of the llm node (command line, drive, bag), and what `mmllm doctor` reads of the ROS graph."""
