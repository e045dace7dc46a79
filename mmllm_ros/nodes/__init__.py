# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes, one module per executable, with shared code in folders. Only this folder imports ROS.

Without ROS or the built messages its import exits with one line and status 2.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec


def _require_ros() -> None:
    if find_spec("rclpy") is None:
        problem = "no Python module rclpy: source the setup file of ROS 2, or `. ./env.sh` after `make build`"
    elif find_spec("mmllm_ros.msg") is None:
        problem = "the messages of mmllm_ros are not built: run `make build`, then `. ./env.sh`"
    else:
        return
    # A node's module cannot be imported without its base class, so `main` could not report this.
    print(f"mmllm_ros nodes cannot run: {problem}", file=sys.stderr)
    raise SystemExit(2)


_require_ros()
