# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Converts the `device` parameter to a torch device."""

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
