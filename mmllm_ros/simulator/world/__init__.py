# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The town, its traffic and weather, and the meshes for ray casting."""
