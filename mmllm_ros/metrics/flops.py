# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Floating point operations, counted by torch while the work is done."""

from __future__ import annotations

from collections.abc import Callable

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def counted(work: Callable[[], object]) -> int:
    """FLOPs of the matrix products in `work`, two for each multiplication with its addition, backward passes included.

    Attention is made of plain products while counting: torch does not count what a CPU's fused kernel does.
    """
    with sdpa_kernel([SDPBackend.MATH]), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
