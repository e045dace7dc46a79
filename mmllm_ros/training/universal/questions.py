# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The last stage: connectors and one LoRA learn to bring the tokens of all kinds of signals into a frozen LLM, on questions.

Every kind of question counts alike, and within it every answer, so that the words of a question tell nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...encoders.universal.encoder import UniversalEncoder
from ...latent.attention_adapter import LatentCache, queries
from ...latent.base_models import resolve_base
from ...latent.checkpoint import load_llm
from ...latent.connector import Connector, merge
from ...latent.manifest import Manifest
from ...latent.shared_lora import SharedLora
from ...model import Model
from ...simulator.questions.signal_questions import wordings
from ..connectors import TokenTable
from ..loop import fast, fit
from ..prepared_batches import Answers, lay_out
from ..prepared_questions import LOOKS, Prepared
from ..prepared_texts import encode_shard, read_shard, text_name
from ..pretrained import ATTENTION_WEIGHT, TEXT_NOISE, Trained, answer_logits, attention_loss, fork_loss, noisy
from ..pretrained_model import ATTEND_LAST, PROMPT
from ..warm_start import new_connector
from .alignment import UNKNOWN, Labels, templates_of
from .mirror import mirrored
from .moments import Moments
from .settings import QuestionStage
from .targets import TEMPLATES

ENCODE_BATCH = 32
TOKEN_NOISE = 0.5
"""Noise on tokens, in units of their mean standard deviation over moments: some modalities have tokens that differ little,
and noise of one size for all drowned the ultrasonic array."""
SUPERVISED = (1, 4)
"""Which of the linked blocks, counted from the first, have heads that are supervised to attend to what answers a question."""


@torch.no_grad()
def tokens_of(encoder: UniversalEncoder, moments: Moments, flip: bool) -> dict[str, TokenTable]:
    """The tokens of all moments by modality, of the mirrored moments with `flip`."""
    tables = {}
    for modality in encoder.modalities:
        values, places = [], []
        for rows in torch.arange(len(moments)).split(ENCODE_BATCH):
            tensors = moments.batch(modality, rows)
            if flip:
                tensors = mirrored(encoder.layout(modality).kind, tensors)
            with fast(torch.device("cpu")):
                value, place = encoder({"now": tensors, "view": moments.view(modality, rows)}, modality)
            values.append(value.half())
            places.append(place.float())
        tables[modality] = TokenTable(torch.cat(values), torch.cat(places), torch.zeros(values[0].shape[1], dtype=torch.long))
    return tables


def new_model(encoder: UniversalEncoder, stage: QuestionStage, answers: Sequence[str], name: str, seed: int) -> Model:
    """The frozen LLM with untrained connectors for all modalities of `encoder`, and an untrained LoRA. Raises BadInput."""
    llm, tokenizer, revision = load_llm(resolve_base(stage.llm), torch.device("cpu"), download=True)
    manifest = Manifest(
        name=name,
        llm=stage.llm,
        llm_revision=revision,
        encoder_revisions=dict.fromkeys(encoder.modalities, encoder.revision),
        answers=list(answers),
        prompt=PROMPT,
        answer_prefix="",
        attend_last=ATTEND_LAST,
    )
    torch.manual_seed(seed)
    shape = {"linked_blocks": stage.linked_blocks, "trunk": stage.trunk, "rank": stage.rank}
    connectors = {modality: Connector(modality, encoder.token_width, llm, **shape) for modality in encoder.modalities}
    lora = SharedLora(llm, stage.linked_blocks, stage.lora, stage.lora)
    lora.attach_to(llm)
    return Model(llm, tokenizer, manifest, connectors, lora)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about moment `row`, number `template` of TEMPLATES, in `wording`, and its true answer."""

    row: int
    template: int
    wording: str
    answer: str


class Reading:
    """What the frozen LLM makes of the wordings, computed once and kept in `folder`; scores answers by latents.

    Texts are known or held-out wordings of every kind of question, with every answer that some moment has.
    """

    def __init__(self, model: Model, names: Sequence[Sequence[str]], which: str, folder: Path) -> None:
        """`names`: the answers of each of TEMPLATES; `which` is "known" or "held_out"."""
        self.model, self.first_block = model, model.lora.first_block
        self.answers = Answers(model.answers, [model.prompt.answer_ids(answer) for answer in model.answers])
        texts = [text for template in TEMPLATES for text in wordings()[template][which]]
        self.numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        wanted = {
            (self.numbers[text], self.answers.suffix[answer])
            for template, answers in zip(TEMPLATES, names, strict=True)
            for text in wordings()[template][which]
            for answer in answers
        }
        key = repr((sorted(wanted), list(self.numbers), model.answers, self.first_block, model.prompt.template))
        path = folder / f"texts-{which}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.safetensors"
        if not path.is_file():
            known = {number: text for text, number in self.numbers.items()}
            encode_shard(model.llm, model.prompt, self.first_block, model.attend_last, known, sorted(wanted), path)
        self.texts = read_shard(path)

    def loss(self, asked: Sequence[Asked], latent_cache: LatentCache, noise: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """Mean cross-entropy of the answers, which are right, bool [Q], and where each prompt ends, [Q, 2] row and position.

        Row i of `latent_cache` is for question i.
        """
        rows = [[Prepared(one.row, (), self.numbers[one.wording], one.answer, (), "", "")] for one in asked]
        laid = lay_out(rows, self.texts, self.answers, self.first_block)
        laid.hidden = noisy(laid.hidden, noise)
        logits = answer_logits(self.model.llm, laid, latent_cache, self.answers, self.first_block)
        return *fork_loss(logits, laid, len(asked)), laid.last

    def has(self, one: Asked) -> bool:
        """Whether the text of `one` with its answer was computed."""
        suffix = self.answers.suffix.get(one.answer)
        return suffix is not None and text_name(self.numbers[one.wording], suffix) in self.texts


def connect(
    connectors: Mapping[str, nn.Module],
    tables: Mapping[str, TokenTable],
    rows: Tensor,
    modalities: Sequence[str],
    noise: Mapping[str, float] | None = None,
    connected: Mapping[str, Tensor] | None = None,
) -> LatentCache:
    """The latents of moments `rows` with `modalities` connected; with `connected`, bool [rows] each, only in those rows.

    `noise` is the standard deviation of the noise on the tokens of each modality.
    """
    caches = {}
    for modality in modalities:
        table = tables[modality].at(rows)
        valid = connected[modality][:, None].expand(table.values.shape[:2]) if connected else None
        values = table.values.float()
        if noise:
            values = values + noise[modality] * torch.randn_like(values)
        caches[modality] = connectors[modality](values, table.places, valid=valid, sources=table.sources)
    return merge(caches)


def draw_connected(
    own: Sequence[str], modalities: Sequence[str], stage: QuestionStage, rng: np.random.Generator
) -> dict[str, Tensor]:
    """For each question, that `own` answers, whether each of `modalities` is connected: only `own` in the share `alone` of the
    questions, all in the share `everything`, else a random set with `own`."""
    connected = np.zeros((len(own), len(modalities)), bool)
    for row, name in enumerate(own):
        which = rng.random()
        if which < stage.alone + stage.everything:
            connected[row] = which >= stage.alone
        else:
            connected[row] = rng.random(len(modalities)) < rng.random()
        connected[row, modalities.index(name)] = True
    return {name: torch.from_numpy(connected[:, column]) for column, name in enumerate(modalities)}


def answering_tokens(asked: Sequence[Asked], connected: Mapping[str, Tensor], tokens: Mapping[str, int]) -> Tensor:
    """The tokens that some heads are supervised to attend to, float [Q, 2 * LOOKS, tokens of all modalities by name].

    They are those of the connected modalities that answer the question; none where all that is connected does.
    """
    names = sorted(tokens)
    answers = torch.tensor([[one.template in templates_of(name) for name in names] for one in asked])
    there = torch.stack([connected[name] for name in names], dim=1)
    wanted = (answers & there & (there & ~answers).any(1, keepdim=True)).float()
    wanted = wanted.repeat_interleave(torch.tensor([tokens[name] for name in names]), dim=1)
    return wanted[:, None].expand(-1, 2 * LOOKS, -1)


class QuestionBatches:
    """Draws the questions of a step and computes their loss, each with a random set of modalities connected that answers it."""

    def __init__(
        self, reading: Reading, trained: Trained, tables: Sequence[Mapping[str, TokenTable]], labels: Labels, stage: QuestionStage
    ):
        """`tables`: the tokens of the moments and of the mirrored moments."""
        self.reading, self.trained, self.tables, self.labels, self.stage = reading, trained, tables, labels, stage
        self.modalities = list(tables[0])
        shares = np.array([stage.shares[name] for name in self.modalities])
        self.shares = shares / shares.sum()
        self.noise = {name: TOKEN_NOISE * float(table.values.float().std(0).mean()) for name, table in tables[0].items()}
        self.supervised = [reading.first_block + block for block in SUPERVISED]
        # By whether mirrored, template and answer: the moments.
        self.rows = [
            [[(part[:, t] == a).nonzero()[:, 0].numpy() for a in range(len(names))] for t, names in enumerate(labels.names)]
            for part in (labels.plain, labels.mirrored)
        ]

    def __call__(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        flip = int(rng.random() < 0.5)
        own, asked = [], []
        for _ in range(self.stage.batch):
            own.append(self.modalities[rng.choice(len(self.modalities), p=self.shares)])
            possible = [t for t in templates_of(own[-1]) if any(len(rows) for rows in self.rows[flip][t])]
            asked.append(self._draw(int(rng.choice(possible)), flip, rng))
        connected = draw_connected(own, self.modalities, self.stage, rng)
        rows = torch.tensor([one.row for one in asked])
        latent_cache = connect(self.trained.connectors, self.tables[flip], rows, self.modalities, self.noise, connected)
        with queries() as seen:
            loss, right, last = self.reading.loss(asked, latent_cache, TEXT_NOISE)
        tokens = {name: table.values.shape[1] for name, table in self.tables[flip].items()}
        attention = attention_loss(
            self.reading.model.llm, seen, latent_cache, answering_tokens(asked, connected, tokens), last, self.supervised
        ) / len(asked)
        loss = loss + ATTENTION_WEIGHT * attention
        return loss, {"right": right.float().mean().item(), "attention": attention.item()}

    def _draw(self, template: int, flip: int, rng: np.random.Generator) -> Asked:
        options = [number for number, rows in enumerate(self.rows[flip][template]) if len(rows)]
        answer = int(rng.choice(options))
        wording = str(rng.choice(wordings()[TEMPLATES[template]]["known"]))
        return Asked(int(rng.choice(self.rows[flip][template][answer])), template, wording, self.labels.names[template][answer])


def select_learners(trained: Trained, model: Model, renew: Sequence[str]) -> None:
    """Let everything train; with `renew` only the connectors of these modalities, which begin anew."""
    trained.requires_grad_(not renew)
    for name in renew:
        connector = trained.connectors[name]
        connector.load_state_dict(new_connector(model, name, connector.shape["token_width"]).state_dict())
        connector.requires_grad_(True)


def train_questions(
    model: Model, encoder: UniversalEncoder, moments: Moments, labels: Labels, stage: QuestionStage, work: Path, seed: int
) -> None:
    """Train connectors and LoRA of `model` in place; with `stage.renew` only the connectors of these modalities, anew."""
    reading = Reading(model, labels.names, "known", work)
    tables = [tokens_of(encoder, moments, flip) for flip in (False, True)]
    trained = Trained(dict(model.connectors.items()), model.lora)
    select_learners(trained, model, stage.renew)
    fit("questions", trained, QuestionBatches(reading, trained, tables, labels, stage), stage.schedule, work, seed)
    trained.requires_grad_(False)


def questions_about(moments: Moments, labels: Labels, which: str, seed: int) -> list[Asked]:
    """One question of every kind that has an answer about every moment, in a random wording of `which`."""
    rng = np.random.default_rng(seed)
    asked = []
    for row, answers in enumerate(labels.plain.tolist()):
        for template, answer in enumerate(answers):
            if answer != UNKNOWN:
                wording = str(rng.choice(wordings()[TEMPLATES[template]][which]))
                asked.append(Asked(row, template, wording, labels.names[template][answer]))
    return asked
