# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures and reports of a run: overlay, thumbnails, rerun recording, run log, HTML report."""
