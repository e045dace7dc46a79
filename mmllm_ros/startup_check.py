# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checks rig, model, device and recording before the nodes start, and before torch is imported, which takes seconds."""

from __future__ import annotations

import ctypes
from pathlib import Path

from .datatypes import BadInput
from .latent.manifest import Manifest, read_json
from .resources import HUB_NAME, model_folder
from .rig import load_rig, rig_overrides


def check_startup(rig: str, model: str, device: str, bag: str = "", source: str = "") -> None:
    """Raise BadInput, one line with the value, where a node could not start with these parameters.

    A rig `auto` fits every source of data but the simulator, which makes the sensors of a rig.
    """
    if source == "simulator" or rig_overrides(rig) is None:
        load_rig(rig)
    _check_model(model)
    _check_device(device)
    if bag and not Path(bag).exists():
        raise BadInput(f"recording {bag} does not exist")


def _check_model(model: str) -> None:
    folder = model_folder(model)
    if not folder.is_dir():
        if not HUB_NAME.fullmatch(model) or folder.parent.is_dir():
            raise BadInput(f"model folder {model!r} does not exist")
    elif "model_type" not in read_json(folder / "config.json"):  # else a Hugging Face folder
        Manifest.read(folder)


def _check_device(device: str) -> None:
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isascii() and index.isdecimal())):
        raise BadInput(f"device {device!r} is not auto, cpu, cuda or cuda:N")
    count = _gpus() if kind == "cuda" else None
    if count is not None and int(index or 0) >= count:
        raise BadInput(f"device {device!r} is not on this machine, which has {count} GPUs: use auto or cpu")


def _gpus() -> int | None:
    """Number of GPUs by the driver; None where only torch can tell (AMD)."""
    for library in ("libcuda.so.1", "libamdhip64.so"):
        try:
            driver = ctypes.CDLL(library)
        except OSError:
            continue
        count = ctypes.c_int()
        if library.startswith("libcuda"):
            return count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0
        return None
    return 0
