# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mmllm report`: what a run left in its folder, as one page that opens anywhere."""
