# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m mmllm_ros` is `mmllm`."""

import sys

from .cli import main

sys.exit(main())
