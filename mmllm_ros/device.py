# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Converts the `device` parameter to a torch device; what the CPU computes fast."""

from __future__ import annotations

import torch

from .datatypes import BadInput


def resolve_device(name: str) -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU. Raises BadInput for a device that is not available."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"device {name!r} is not a torch device") from error
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise BadInput(f"device {name!r} is not on this machine")
    return device


def half_products() -> bool:
    """Whether this CPU has bfloat16 products; emulated ones take twenty times as long as float32."""
    able = torch.cpu.get_capabilities()
    return able.get("avx512_bf16", False) or able.get("amx_bf16", False)
