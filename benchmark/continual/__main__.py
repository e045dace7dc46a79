# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Modalities learned one after the other (PathWeave's benchmark): plasticity, forgetting, forward transfer, and rivals.

    python benchmark/continual --work work --json out/continual.json

Renders moments of simulated drives, trains a tokenizer for each modality alone, trains a projection on images, and then teaches
it the modalities of each order with each method, from data of the new modality alone. Answers come from the frozen LLM through
a connector. What is in the work folder already stays, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import time
from pathlib import Path

import torch
from continual_report import plot, show, summary
from joint_questions import answer_jointly
from learning_methods import BASE, METHODS, Learned, learn, learn_base
from rich.console import Console
from signals import MODALITIES, Modality, pretrained_backbone, read_modality

from mmllm_ros.context.question_scope import QuestionScopes
from mmllm_ros.encoders.universal.backbone import Backbone
from mmllm_ros.encoders.universal.encoder import LAYOUTS, UniversalEncoder
from mmllm_ros.latent.attention_adapter import LatentCache
from mmllm_ros.latent.base_models import resolve_base
from mmllm_ros.latent.checkpoint import load_llm
from mmllm_ros.latent.connector import merge
from mmllm_ros.latent.manifest import Manifest
from mmllm_ros.model import Model
from mmllm_ros.rig import load_rig
from mmllm_ros.training.continual.answering import Answering
from mmllm_ros.training.pretrained_model import ATTEND_LAST, PROMPT
from mmllm_ros.training.pretrained_model import BASE as LLM
from mmllm_ros.training.universal.moments import render_all

ORDERS = {
    "robot": ("points", "imu", "audio", "depth"),
    "paper": ("video", "audio", "depth", "points"),
    "late": ("depth", "points", "audio", "imu"),
}
"""Orders after BASE: our robot's, PathWeave's, and a third."""
PAIRS = 400
"""Moments of the questions for two modalities together."""
PACKS = METHODS[0]
"""What the robot does: one question that needs two modalities is asked of it only."""


def make_model(data: dict[str, Modality]) -> Model:
    """The frozen LLM with the answers of all questions."""
    llm, tokenizer, revision = load_llm(resolve_base(LLM), torch.device("cpu"))
    answers = sorted({one.answer for modality in data.values() for one in modality.asked})
    manifest = Manifest("continual", LLM, revision, answers=answers, prompt=PROMPT, answer_prefix="", attend_last=ATTEND_LAST)
    return Model(llm, tokenizer, manifest)


def hash_of(learned: Learned, modality: str) -> str:
    """The tokens of the test moments of `modality`, as a hash."""
    with torch.no_grad():
        latent_cache: LatentCache = learned.latents(modality, learned.data[modality].test[:64])
    return hashlib.sha256(b"".join(part.key.float().numpy().tobytes() for part in latent_cache.values())).hexdigest()[:12]


@torch.no_grad()
def together(learned: Learned, answerings: dict[str, Answering], other: str) -> dict[str, float]:
    """Two questions about one moment, one for BASE and one for `other`: shares right, and shares of moments with both right.

    "alone": its own modality connected; "both": both; "chosen": what a robot connects for the question (question_scope.py).
    """
    first, second = learned.data[BASE], learned.data[other]
    rows = {first.asked[row].sample: row for row in first.test}
    pairs = [(rows[second.asked[row].sample], row) for row in second.test if second.asked[row].sample in rows]
    pairs = list({second.asked[b].sample: (a, b) for a, b in pairs}.values())[:PAIRS]
    questions = {name: [data.asked[row].question for row in data.train] for name, data in learned.data.items()}
    scopes = QuestionScopes({name: questions[name] for name in learned.connectors if name != BASE}, questions[BASE])
    right: dict[str, list[torch.Tensor]] = {}
    for at, name in enumerate((BASE, other)):
        both, alone = [], []
        for start in range(0, len(pairs), 64):
            part = pairs[start : start + 64]
            caches = {n: learned.latents(n, [pair[k] for pair in part]) for k, n in enumerate((BASE, other))}
            asked = [pair[at] for pair in part]
            both.append(answerings[name].loss(asked, merge(caches))[1])
            alone.append(answerings[name].loss(asked, caches[name])[1])
        found = {"both": torch.cat(both), "alone": torch.cat(alone)}
        connected = [scopes.concerned(learned.data[name].asked[pair[at]].question, (BASE, other)) for pair in pairs]
        has_own = torch.tensor([name in names for names in connected])
        has_both = torch.tensor([len(names) > 1 for names in connected])
        # Without its own modality no question counts as right.
        found["chosen"] = has_own & torch.where(has_both, found["both"], found["alone"])
        right[name] = found
    mean = {f"{name}_{how}": float(value.float().mean()) for name in right for how, value in right[name].items()}
    joint = {f"joint_{how}": float((right[BASE][how] & right[other][how]).float().mean()) for how in right[BASE]}
    return {**mean, **joint, "pairs": len(pairs)}


def run(method: str, order: str, base: Learned, answerings: dict[str, Answering], steps: int, work: Path, seed: int) -> dict:
    """Teach the modalities of `order` with `method`; which answers are right after each."""
    learned = copy.copy(base)
    learned.encoder, learned.adapters = copy.deepcopy(base.encoder), {}
    learned.connectors = dict(base.connectors)
    stages, known = [], [BASE]
    hashes, right = {BASE: hash_of(learned, BASE)}, {}
    for number, modality in enumerate(ORDERS[order]):
        counts = learn(method, learned, modality, answerings, steps, work / f"seed{seed}" / modality, seed)
        known.append(modality)
        now = {name: hash_of(learned, name) for name in known}
        changed = [name for name in hashes if now[name] != hashes[name]]
        # After the last modality all questions are answered anew, also where no token has changed.
        last = number + 1 == len(ORDERS[order])
        for name in known if last else [name for name in known if name not in right or name in changed]:
            right[name] = learned.right(name, answerings[name], learned.data[name].test).int().tolist()
        hashes = now
        stages.append({"modality": modality, "trained": counts, "right": dict(right), "changed": changed})
    pairs = {name: together(learned, answerings, name) for name in ORDERS[order]}
    joint = {name: answer_jointly(learned, answerings, name) for name in ORDERS[order]} if method == PACKS else {}
    return {"method": method, "order": order, "seed": seed, "stages": stages, "together": pairs, "joint": joint}


def main() -> None:
    """Render, train, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path, default=Path("out/continual.json"))
    parser.add_argument("--plot", type=Path, default=Path("out/continual.png"))
    parser.add_argument("--moments", type=int, nargs=2, default=(400, 150), help="moments for training and for the test")
    parser.add_argument(
        "--rendered", type=Path, help="folder of rendered moments, such as that of the universal encoder's training"
    )
    parser.add_argument("--backbone", help="folder or hub name; without it one is trained on the images")
    parser.add_argument("--experts", type=int, default=1)
    parser.add_argument("--linked-blocks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="steps of each modality with each method")
    parser.add_argument("--reader-steps", type=int, default=70, help="steps of each tokenizer")
    parser.add_argument("--backbone-steps", type=int, default=200, help="steps of the backbone on images")
    parser.add_argument("--base-steps", type=int, default=100, help="steps of the projection on images")
    parser.add_argument("--orders", nargs="*", choices=ORDERS, default=["robot", "paper"])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    arguments = parser.parse_args()
    work, started = arguments.work, time.process_time()
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    rendered = arguments.rendered or work / "moments"
    splits = zip(("train", "test"), arguments.moments, strict=True)
    shards = [render_all(rendered, split, 0, count, LAYOUTS) for split, count in splits]
    if arguments.backbone:
        backbone = Backbone.load(arguments.backbone)
    else:
        backbone = pretrained_backbone(shards[0], arguments.backbone_steps, work)
    torch.manual_seed(0)
    shape = {"experts": arguments.experts}
    encoder = UniversalEncoder(load_rig("front"), {BASE: LAYOUTS[BASE].to_settings()}, shape)
    encoder.backbone = backbone
    kinds = [kind for kind in MODALITIES if kind == BASE or any(kind in ORDERS[order] for order in arguments.orders)]
    data = {kind: read_modality(kind, encoder, *shards, arguments.reader_steps, work) for kind in kinds}
    model = make_model(data)
    answerings = {kind: Answering(model, modality.asked, arguments.linked_blocks) for kind, modality in data.items()}
    base = Learned(encoder, model.llm, arguments.linked_blocks, data)
    learn_base(base, answerings, arguments.base_steps, work / "base")
    path = work / "runs.json"
    runs = json.loads(path.read_text()) if path.is_file() else []
    for seed in arguments.seeds:
        for order in arguments.orders:
            for method in arguments.methods:
                if any((one["method"], one["order"], one["seed"]) == (method, order, seed) for one in runs):
                    continue
                runs.append(run(method, order, base, answerings, arguments.steps, work, seed))
                path.write_text(json.dumps(runs))
                Console().print(f"{order} {method} seed {seed}: {time.process_time() - started:.0f} s of CPU so far")
    projection = sum(value.numel() for value in base.encoder.projection.experts.parameters())
    base_right = base.right(BASE, answerings[BASE], data[BASE].test).int().tolist()
    report = summary(runs, data, base_right, projection)
    report["settings"] = {key: value for key, value in vars(arguments).items() if not isinstance(value, Path)}
    show(report, Console(width=150))
    for place in (arguments.json, arguments.plot):
        place.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    plot(report, arguments.plot)


if __name__ == "__main__":
    main()
