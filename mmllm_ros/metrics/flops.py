# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Counts floating point operations with torch's counter."""

from __future__ import annotations

from collections.abc import Callable

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_flops(function: Callable[[], object]) -> int:
    """FLOPs of the matrix products in `function`, two for each multiply-add, backward passes included.

    Attention is computed by plain products while counting: torch does not count the fused kernel of a CPU.
    """
    with sdpa_kernel([SDPBackend.MATH]), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()
