# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the stages of a training. A finished stage is skipped; an interrupted one resumes from its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..datasets.simulated import simulated_examples
from ..device import resolve_device
from ..encoders import load_encoder
from ..encoders.pretrained import PretrainedCamera
from ..io.weights import load_weights
from ..latent.checkpoint import load_llm, load_modality_agnostic
from ..latent.connector import Connector
from ..latent.manifest import LLM_FOLDER, Manifest
from ..latent.prompt import Prompt
from ..model import Model
from ..rig import Rig, load_rig
from ..simulator.questions.question_maker import ANSWERS
from . import processes
from .calibration import calibrate
from .connectors import encode_all, train_connectors
from .distillation import train_distillation
from .encoders import train_encoder
from .loop import Schedule
from .modality_agnostic import train_modality_agnostic
from .parallel_stages import side_by_side
from .processes import first_alone, joined, once
from .render import FRAMES_PER_SHARD, render
from .settings import TrainSettings
from .shards import Shards
from .text import make_llm, make_tokenizer, save_llm, train_text

ENCODERS = ("lidar", "camera", "imu")
JOINT_STAGES = ("distillation", "connectors", "modality_agnostic")
"""The stages that need both the encoders and the LLM."""
CPU = torch.device("cpu")
NO_TRAINING = Schedule(0, 0.0)
"""Schedule of an encoder without a stage: it is used as it is."""


@joined()
def train(settings: TrainSettings, work: Path, out: Path, device: str = "auto") -> Model:
    """Render, train the encoders, the LLM and the connectors, calibrate, and write the model folder `out`.

    `work` holds the rendered frames, the checkpoints and the curves (a CSV and a PNG per stage).
    """
    rig, place = load_rig(settings.rig), resolve_device(device)
    with first_alone():
        frames = _frames(settings, work, rig).for_connectors
    # The LLM takes longest and starts first.
    parts = {name: partial(_train_part, name, settings, work, out, place) for name in ("llm", *ENCODERS)}
    if processes.count() > 1:
        for part in parts.values():
            part()
    else:
        steps = {stage: schedule.steps for stage, schedule in settings.schedules.items() if stage not in JOINT_STAGES}
        side_by_side(parts, steps, work)
    model = connected(settings, rig, out, place)
    encoders = {modality: load_encoder(out / "encoders" / modality, rig, str(place)) for modality in ENCODERS}
    data = encode_all(frames, encoders, work), frames.truths, rig
    start = {name: value.clone() for name, value in model.connectors.state_dict().items()}
    if "distillation" in settings.schedules:
        train_distillation(
            model, *data, settings.schedules["distillation"], settings.batches["distillation"][0], work, settings.seed
        )
    train_connectors(model, *data, settings.schedules["connectors"], settings.batches["connectors"], work, settings.seed)
    interpolate_weights(model.connectors, start, settings.weight_interpolation)
    if "modality_agnostic" in settings.schedules:
        train_modality_agnostic(
            model, *data, settings.schedules["modality_agnostic"], settings.batches["modality_agnostic"], work, settings.seed
        )
    calibrate(model, simulated_examples(encoders, rig, "val", settings.calibration_scenes, settings.seed))
    once(lambda: model.save(out))
    return model


@torch.no_grad()
def interpolate_weights(module: nn.Module, start: Mapping[str, Tensor], share: float) -> None:
    """Interpolate each weight by `share` towards its value in `start` (WiSE-FT, arXiv 2109.01903)."""
    for name, value in module.state_dict().items():
        # Equal values are kept: a closed gate is minus infinity in both, and lerp would give NaN.
        value.copy_(torch.where(value == start[name], value, value.lerp(start[name], share)))


class _Frames(NamedTuple):
    """The frames for encoders and LLM, those for the connectors, and those that no encoder is trained on."""

    for_encoders: Shards
    for_connectors: Shards
    held_out: Shards | None


def _frames(settings: TrainSettings, work: Path, rig: Rig) -> _Frames:
    folders = render(work / "frames", settings.frames, settings.rig, first_scene=settings.first_scene)
    encoder_shards, connector_shards = (
        -(-count // FRAMES_PER_SHARD) for count in (settings.encoder_frames, settings.connector_frames)
    )
    rest = folders[encoder_shards:] if encoder_shards else []
    first, last = Shards(folders[: encoder_shards or None], rig), Shards(folders[-connector_shards:], rig)
    return _Frames(first, last, Shards(rest, rig) if rest else None)


def _train_part(name: str, settings: TrainSettings, work: Path, out: Path, device: torch.device) -> None:
    """Train one encoder or the LLM, unless model folder `out` has it already."""
    rig, place = load_rig(settings.rig), out / (LLM_FOLDER if name == "llm" else f"encoders/{name}")
    if (place / "model.safetensors").is_file() or (name == "llm" and isinstance(settings.llm, str)):
        return
    frames, shape = _frames(settings, work, rig), settings.encoders.get(name, {})
    if name == "llm":
        _train_llm(settings, frames.for_encoders, work, place, device)
    elif "name" in shape:
        once(partial(PretrainedCamera(rig, **shape).save, place))
    else:
        stage = settings.schedules.get(name, NO_TRAINING), settings.batches.get(name, (1,))[0]
        train_encoder(name, frames.for_encoders, frames.held_out, shape, *stage, work, settings.seed, place, device)


def _train_llm(settings: TrainSettings, frames: Shards, work: Path, out: Path, device: torch.device) -> None:
    torch.manual_seed(settings.seed)
    if start := settings.llm.get("start"):
        llm, tokenizer, _ = load_llm(start, CPU)
        llm.requires_grad_(True)
    else:
        tokenizer = make_tokenizer(settings.prompt)
        llm = make_llm(tokenizer, settings.llm)
    llm, prompt = llm.to(device), Prompt(tokenizer, settings.prompt)
    for stage, truths in (("words", []), ("world", frames.truths)):
        if stage in settings.schedules:
            learn = partial(train_text, stage, llm, truths, frames.rig, prompt)
            learn(settings.schedules[stage], settings.batches[stage], work, settings.seed)
    once(lambda: save_llm(llm, prompt, out))


def connected(settings: TrainSettings, rig: Rig, out: Path, device: torch.device = CPU) -> Model:
    """The frozen LLM, of `out` or the pretrained one, with connectors for the encoders in `out`, new or those of `start`."""
    name = settings.llm if isinstance(settings.llm, str) else LLM_FOLDER
    llm, tokenizer, revision = load_llm(out / name if name == LLM_FOLDER else name, CPU, download=True)
    torch.manual_seed(settings.seed)
    encoders = {modality: load_encoder(out / "encoders" / modality, rig, "cpu") for modality in ENCODERS}
    manifest = Manifest(
        name=settings.name,
        llm=name,
        llm_revision=revision,
        encoder_revisions={modality: encoder.revision for modality, encoder in encoders.items()},
        answers=list(ANSWERS),
        prompt=settings.prompt,
    )
    shape = dict(settings.connector)
    start = shape.pop("start", None)
    connectors = {
        modality: Connector(modality, encoder.token_width, llm, predicted_attributes=encoder.predicted_attributes, **shape)
        for modality, encoder in encoders.items()
    }
    model = Model(llm.to(device), tokenizer, manifest, connectors)
    if start:
        load_weights(model.connectors, Path(start) / "connectors.safetensors", "connector")
        model.modality_agnostic = load_modality_agnostic(Path(start), model.llm, None)
    return model
