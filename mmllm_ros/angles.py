# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Angles modulo a full turn."""

from __future__ import annotations

import math
from typing import TypeVar

Angle = TypeVar("Angle")  # a number, an array or a tensor


def wrapped(angle: Angle) -> Angle:
    """`angle` [rad] wrapped to -pi to pi."""
    return (angle + math.pi) % (2 * math.pi) - math.pi
