# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of the installation: interpreter, ROS, build, memory, torch, weights, rig, and the live topics."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from importlib.util import find_spec
from pathlib import Path

import psutil

from ..datatypes import BadInput
from ..resources import shared_folder
from ..rig import CLUSTERS, Rig, load_rig
from .doctor_findings import FAULT, NOTE, OK, Finding
from .doctor_graph import live_findings

NEEDED_MEMORY = 2.0
"""Memory [GiB] that the shipped model needs: 0.7 in one process, 2.3 with a process per node."""


def examine(rig_name: str, model: str, listen: float, namespace: str = "") -> Iterator[Finding]:
    """All findings; those about live topics come after listening for at most `listen` seconds."""
    with ExitStack() as resources:
        # Discovery takes seconds on a busy machine, so it begins first.
        probe = resources.enter_context(_probe(namespace)) if _runs_ros() else None
        yield _interpreter()
        yield from _ros()
        yield _bridge()
        yield _memory()
        yield from _torch()
        yield from _weights(model)
        try:
            rig = load_rig(rig_name)
        except BadInput as error:
            yield Finding("rig", FAULT, str(error), "name a shipped rig or a YAML file with --rig")
            return
        topics = dict.fromkeys(mount.topic for mount in (*rig.mounts, *rig.signals))
        yield Finding("rig", OK, f"{rig.name}: {', '.join(topics)}")
        if rig.cameras:
            yield _detector(rig)
        if rig.lidar:
            yield _lidar(rig)
        if rig.signals:
            yield from _signals(rig, model)
        if probe:
            yield from live_findings(probe.look(rig, listen), listen)


def _probe(namespace: str) -> AbstractContextManager:
    from ..nodes.clients.graph_probe import GraphProbe

    return GraphProbe(namespace)


def _detector(rig: Rig) -> Finding:
    """What encodes the camera images: the model's own encoder knows simulated ones only."""
    install = "`pip install -r requirements/detectors.txt` and `mmllm fetch nanodet`"
    if not rig.detector:
        found = "none: the model's own camera encoder has seen simulated images only, on real ones it is close to blind"
        return Finding("object detector", NOTE, found, f"for real cameras: {install}, then `detector: nanodet` in the rig file")
    from ..encoders.nanodet import detector_folder

    try:
        folder = detector_folder(rig.detector)
    except BadInput as error:
        return Finding("object detector", FAULT, str(error), f"{install}, or another `detector:` in the rig file")
    if any(folder.glob("*.onnx")) and find_spec("onnxruntime") is None:
        return Finding("object detector", FAULT, f"{folder} needs onnxruntime", install)
    return Finding("object detector", OK, f"{rig.detector}, {folder}")


def _lidar(rig: Rig) -> Finding:
    """What encodes the sweeps: the model's own encoder knows simulated ones only."""
    if not rig.lidar.encoder:
        found = "the model's own, which has seen simulated sweeps only: on real ones it is no better than blind"
        return Finding("lidar encoder", NOTE, found, f"for a real lidar: `encoder: {CLUSTERS}` under `lidar:` in the rig file")
    return Finding("lidar encoder", OK, rig.lidar.encoder)


def _signals(rig: Rig, model: str) -> Iterator[Finding]:
    """Whether the model reads the signals of the rig."""
    if find_spec("torch") is None:
        return
    from ..encoders.universal.packs import manifests_in
    from ..latent.manifest import Manifest
    from ..resources import PACKS, model_folder

    folder = model_folder(model)
    try:
        packs = manifests_in(folder / PACKS)
        known = {*Manifest.read(folder).connectors, *packs}
    except BadInput:
        return  # the model is a finding of its own
    kinds = {name: pack.layout["kind"] for name, pack in packs.items()}
    for mount in rig.signals:
        what, found = f"signal {mount.name}", f"{mount.kind} on {mount.topic}, modality {mount.modality}"
        if mount.modality not in known:
            cure = f"name a model that has it with --model, or `mmllm modality add` or `train` a pack for {mount.modality}"
            yield Finding(what, FAULT, f"{found}, which the model does not read", cure)
        elif (kind := kinds.get(mount.modality, mount.kind)) != mount.kind:
            cure = f"`kind: {kind}` in the rig file, or a pack for {mount.kind} signals"
            yield Finding(what, FAULT, f"{found}, whose pack reads {kind} signals", cure)
        else:
            yield Finding(what, OK, found)


def _interpreter() -> Finding:
    return Finding(
        "interpreter", OK, f"Python {platform.python_version()}, {sys.executable}, mmllm_ros in {Path(__file__).parents[1]}"
    )


def _runs_ros() -> bool:
    return find_spec("rclpy") is not None and find_spec("mmllm_ros.msg") is not None


def _ros() -> Iterator[Finding]:
    if find_spec("rclpy") is None:
        yield Finding(
            "ROS 2", FAULT, "no Python module rclpy", "source the setup file of ROS 2, or `. ./env.sh` after `make build`"
        )
        return
    wheels = [name for name in ("jazzy", "kilted") if _version(f"ros-{name}-rclpy")]
    where = (
        f"{wheels[0]} wheels, rclpy {_version(f'ros-{wheels[0]}-rclpy')}" if wheels else os.environ.get("ROS_DISTRO", "unknown")
    )
    domain, reach = os.environ.get("ROS_DOMAIN_ID", "0"), os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    yield Finding("ROS 2", OK, f"{where}; domain {domain}, discovery range {reach}")
    if find_spec("mmllm_ros.msg") is None:
        yield Finding("messages", FAULT, "the messages of mmllm_ros are not built", "`make build`, then `. ./env.sh`")
        return
    from ..nodes.clients.build_info import rmw_name, stale_interfaces

    if stale := stale_interfaces(shared_folder()):
        found = f"built from older interface files: {', '.join(stale)}"
        yield Finding("messages", FAULT, found, "`make build`, or `colcon build` and source install/setup.bash again")
    else:
        yield Finding("messages", OK, f"match the interface files, in {Path(find_spec('mmllm_ros.msg').origin).parent}")
    yield Finding("middleware", OK, rmw_name())


def _bridge() -> Finding:
    if find_spec("cv_bridge") is None:
        return Finding("cv_bridge", OK, "not installed: mmllm_ros converts images by itself")
    trial = subprocess.run([sys.executable, "-c", "from cv_bridge import CvBridge; CvBridge()"], capture_output=True, text=True)
    if trial.returncode:
        reason = (trial.stderr.strip() or f"exit status {trial.returncode}").splitlines()[-1]
        found = f"does not work with NumPy {_version('numpy')} ({reason}): mmllm_ros converts images by itself"
        return Finding("cv_bridge", NOTE, found, "none needed; other packages may want `pip install 'numpy<2'`")
    return Finding("cv_bridge", OK, f"works with NumPy {_version('numpy')}")


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free"
    if memory.available / 2**30 < NEEDED_MEMORY:
        return Finding("memory", NOTE, found, "run all nodes in one process: `mmllm drive`, or composed:=true")
    return Finding("memory", OK, found)


def _torch() -> Iterator[Finding]:
    if find_spec("torch") is None:
        yield Finding("torch", FAULT, "not installed", "`make build`, or `pip install torch==2.13.0`")
        return
    import torch

    yield Finding("torch", OK, f"{torch.__version__}, {torch.get_num_threads()} threads on {os.cpu_count()} cores")
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        yield Finding("GPU", OK, f"{torch.cuda.get_device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    else:
        yield Finding("GPU", OK, "none available to torch: everything runs on the CPU")


def _weights(model: str) -> Iterator[Finding]:
    if find_spec("torch") is None:
        return
    from ..encoders import load_encoder
    from ..encoders.universal.packs import Packs, manifests_in
    from ..model import Model
    from ..resources import PACKS, model_folder

    folder = model_folder(model)
    try:
        loaded = Model.load(folder, "cpu")
        yield Finding("model", OK, f"{folder}: {loaded.name} {loaded.revision}, modalities {', '.join(loaded.modalities)}")
        packs = Packs.of_model(folder, load_rig("front"), "cpu").loaded if manifests_in(folder / PACKS) else {}
        for modality, pack in packs.items():
            yield Finding(f"{modality} pack", OK, f"revision {pack.revision}, for this encoder and this LLM")
        for modality in (name for name in loaded.modalities if name not in packs):
            encoder = load_encoder(folder / "encoders" / modality, load_rig("front"), "cpu")
            expected = loaded.encoder_revisions[modality]
            if encoder.revision == expected:
                yield Finding(f"{modality} encoder", OK, f"revision {expected}, as the model expects")
            else:
                found = f"revision {encoder.revision}, the model was made for {expected}"
                yield Finding(f"{modality} encoder", FAULT, found, "take encoders and model from the same folder")
    except BadInput as error:
        yield Finding("model", FAULT, str(error), "name a model folder with --model, or restore models/ from the repository")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
