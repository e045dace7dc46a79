# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The adaptation scenario add_pack: the robot gets a planar laser scanner, and a modality pack for it is trained on the robot.

The scanner and its questions are simulated; no training has used these scenes. The reference is the model's own modality
`points`, which reads the whole point cloud and was trained with all others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..datatypes import BadInput, Signal
from ..encoders.universal.packs import Pack, Packs
from ..encoders.universal.signals import Layout
from ..latent.attention_adapter import LatentCache
from ..model import Model
from ..simulator.questions.signal_questions import KINDS, ask_signals
from ..simulator.signal_moment import render_moment
from ..training.continual.answering import Answering, Asked
from ..training.continual.labelled_signals import LabelledSignals
from ..training.continual.pack_training import PackLearner, answered, blind_share, train_pack
from ..training.loop import Schedule
from ..training.warm_start import new_connector
from .cost_meter import peak_mb
from .scenarios import FIRST_SCENE, ScenarioResult
from .training_plan import TrainingBudget

NAME, REFERENCE = "scan", "points"
RAYS = 180
FARTHEST = 30.0
"""What the scanner reads where nothing returns [m]."""
LOWEST, HIGHEST = -1.5, -0.3
"""Heights of the scanned slice below the lidar, which is 1.8 m above the ground [m]."""
SETTINGS = {"offset": 12.0, "scale": 10.0}
STEPS = 120
BATCH = 32
RATE = 2e-3
VALIDATED = 3
"""The curve has so many points."""
ALL_AROUND = (0.0, 2 * math.pi)


def planar_scan(points: np.ndarray) -> np.ndarray:
    """Points [N, 3 or 4] of the lidar [m] -> ranges [1, RAYS] of a planar scanner, from behind on the right around to behind."""
    level = points[(points[:, 2] > LOWEST) & (points[:, 2] < HIGHEST)]
    ray = ((np.arctan2(level[:, 1], level[:, 0]) / (2 * math.pi) + 0.5) * RAYS).astype(int) % RAYS
    ranges = np.full(RAYS, FARTHEST, np.float32)
    np.minimum.at(ranges, ray, np.hypot(level[:, 0], level[:, 1]))
    return ranges[None]


def labelled_scans(split: str, first: int, most: int, scenes: int, layouts: dict[str, Layout]) -> dict[str, LabelledSignals]:
    """Simulated moments as signals of each of `layouts`, with `most` questions at most about `scenes` scenes at most."""
    asked: list[Asked] = []
    tensors: dict[str, list[torch.Tensor]] = {name: [] for name in layouts}
    for sample in range(scenes):
        if len(asked) >= most:
            break
        moment = render_moment(split, first + sample)
        data = {NAME: planar_scan(moment.signals["points"]), REFERENCE: moment.signals["points"]}
        for name, layout in layouts.items():
            tensors[name].append(layout.to_tensor(Signal(name, 0, "laser", data[name], *ALL_AROUND)))
        questions = ask_signals(moment.truth, np.random.default_rng([first + sample, 1]), split)
        about = [one for one in questions if REFERENCE in KINDS[one.program].needs]
        asked += [Asked(sample, one.question, one.answer, one.program) for one in about]
    asked = asked[:most]
    samples = len(tensors[NAME])
    views, tokens = torch.tensor([ALL_AROUND]).expand(samples, 2).contiguous(), tuple(map(str, range(samples)))
    return {name: LabelledSignals(torch.stack(parts), views, tokens, tuple(asked)) for name, parts in tensors.items()}


def measure_pack(
    folder: Path, packs: Packs, questions: int, scenes: int, seed: int, budget: TrainingBudget, margin: float, work: Path
) -> ScenarioResult:
    """Train a pack for the scanner with `questions` labelled samples, and test it on `scenes` scenes. Raises BadInput."""
    if budget.flops or budget.memory:
        raise BadInput("scenario add_pack takes a limit of seconds only, not of flops or memory")
    if REFERENCE not in packs.encoder.modalities or NAME in packs.encoder.modalities:
        raise BadInput(f"scenario add_pack needs a model that knows {REFERENCE} and does not know {NAME}: models/universal")
    model = Model.load(folder, "cpu")
    layout = Layout("array", (1, RAYS), **SETTINGS)
    layouts = {NAME: layout, REFERENCE: packs.encoder.layout(REFERENCE)}
    # Each moment has about three questions that a laser answers.
    train = labelled_scans("train", FIRST_SCENE + seed * questions, questions, questions, {NAME: layout})[NAME]
    test = labelled_scans("test", seed, scenes * len(KINDS), scenes, layouts)
    torch.manual_seed(seed)
    pack, connector = Pack(packs.encoder, NAME, layout), new_connector(model, NAME, packs.encoder.token_width)
    answering = Answering(model, test[NAME].asked, len(connector.heads))
    everything = range(len(test[NAME].asked))
    learner = PackLearner(packs, pack, connector)

    def right(latents: Callable[..., LatentCache], name: str) -> float:
        return float(answered(latents, answering, test[name], everything).float().mean())

    def own_latents(tensors: torch.Tensor, views: torch.Tensor) -> LatentCache:
        encoder = packs.encoder
        return model.connectors[REFERENCE](*encoder.project(REFERENCE, encoder.features(REFERENCE, tensors), views))

    curve: list[dict[str, float]] = []
    started = time.process_time()

    def watch(step: int, numbers: dict[str, float]) -> None:
        nonlocal started
        if step % (STEPS // VALIDATED) == 0:
            seconds = time.process_time() - started
            curve.append({"step": step, "seconds": seconds, "accuracy": right(learner.latents, NAME), "loss": numbers["loss"]})
            started += time.process_time() - started - seconds  # the test is not training
        if budget.seconds and time.process_time() - started > budget.seconds:
            raise BadInput(f"{STEPS} steps take more than {budget.seconds:g} s of CPU: only {step} were done")

    schedule = Schedule(STEPS, RATE, warmup=10)
    figures = train_pack(model, packs, pack, connector, train, schedule, BATCH, work, seed, watch)
    asked = [*train.asked, *test[NAME].asked]
    held = range(len(train.asked), len(asked))
    by_kind = [Asked(one.sample, one.kind, one.answer) for one in asked]
    blind = blind_share(by_kind, range(len(train.asked)), held)
    full, after = right(own_latents, REFERENCE), curve[-1]["accuracy"]
    return ScenarioResult(
        {
            "scenario": "add_pack",
            "gain_fraction": (after - blind) / (full - blind) if full > blind else 0.0,
            "seconds": curve[-1]["seconds"],
            "peak_memory_mb": peak_mb(),
            "accuracy_before": blind,
            "accuracy_after": after,
            "accuracy_full": full,
            "blind": blind,
            "samples": len(train.asked),
            "test_questions": len(test[NAME].asked),
            "parameters": figures.parameters,
            "swapped_in": figures.right > figures.blind + margin,
            "message": f"{figures.right:.1%} of {figures.held_questions} held-out answers right, {figures.blind:.1%} without",
        },
        curve,
    )
