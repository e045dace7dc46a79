# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Robots that answer questions about what they sense, with language models that fit on the robot."""

# A source checkout holds the modules, the build holds the generated messages: both halves are one package.
__path__ = __import__("pkgutil").extend_path(__path__, __name__)

__version__ = "0.1.0"
