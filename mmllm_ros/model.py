# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model: a frozen LLM, its connectors, and how it answers. What trains are the connectors; tokens come from the encoders."""

from __future__ import annotations

import copy
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .datatypes import BadInput, Tokens
from .device import resolve_device
from .latent import checkpoint
from .latent.base_models import resolve_base
from .latent.checkpoint import HUB_NAME
from .latent.connector import Connector, merge
from .latent.decoder import decoder_blocks
from .latent.greedy import Cancelled, continue_text
from .latent.lower import can_split, full_pass, lower_states, upper
from .latent.manifest import LLM_FOLDER, Manifest, one_line, read_json
from .latent.port import Bank, attending_from
from .latent.prompt import Prompt
from .latent.shared_lora import SharedLora
from .latent.trie import AnswerTrie
from .weights import load_weights, save_weights

KEPT_TEXTS = 256
"""Texts whose lower-block states are kept, the least recently asked goes first."""

LONGEST_ANSWER = 64
"""Tokens of an answer in free text."""


@dataclass(frozen=True, slots=True)
class Scored:
    """An answer, its probability, and the whole distribution where the answer set is fixed."""

    answer: str
    confidence: float
    distribution: dict[str, float] = field(default_factory=dict)


class Model:
    """A frozen LLM with one connector per modality.

        model = Model.load(default_model())
        bank = model.latents([camera_tokens, lidar_tokens])
        model.score("are there any cars ?", bank).answer      # 'yes'
        model.score("are there any cars ?", {})               # the bare LLM

    Answering is safe from several threads. `revision` names exactly what answered; it is "unsaved" before `save`.
    `universal` answers nothing itself: it is what connectors of new sensors inherit from (inherit.py).
    """

    def __init__(
        self,
        llm: nn.Module,
        tokenizer: Any,
        manifest: Manifest,
        connectors: Mapping[str, Connector] | None = None,
        lora: SharedLora | None = None,
    ) -> None:
        """`llm` is attached to the port, and `lora` to it; `manifest` gives name, answers, prompt, encoder revisions."""
        self.llm = llm
        self.tokenizer = tokenizer
        self.name = manifest.name
        self.revision = "unsaved"
        self.temperature = manifest.temperature
        self.encoder_revisions = dict(manifest.encoder_revisions)
        self.connectors = nn.ModuleDict(connectors or {}).to(llm.device)
        self.lora = lora
        self.attend_last = manifest.attend_last
        self.universal: Connector | None = None
        self.prompt = Prompt(tokenizer, manifest.prompt, manifest.answer_prefix)
        self.answers = list(manifest.answers)
        self._trie = AnswerTrie([self.prompt.answer_ids(answer) for answer in self.answers], self.answers)
        self._llm_name, self._llm_revision = manifest.llm, manifest.llm_revision
        self._folder: Path | None = None
        self._lower: OrderedDict[tuple, Tensor] = OrderedDict()
        self._lock = Lock()

    @property
    def modalities(self) -> tuple[str, ...]:
        """What can be plugged."""
        return tuple(sorted(self.connectors))

    @property
    def linked_blocks(self) -> int:
        """The largest N: how many of the last blocks the connectors reach."""
        return max((len(connector.heads) for connector in self.connectors.values()), default=0)

    @classmethod
    def load(cls, source: str | Path, device: str = "auto") -> Model:
        """Load a model folder; a Hugging Face LLM folder or hub name gives that LLM without connectors. Raises BadInput."""
        folder, place = Path(source), resolve_device(device)
        if not folder.is_dir():
            # A name whose first half is a folder here is a path with a slip in it, and no hub model.
            if not HUB_NAME.fullmatch(str(source)) or folder.parent.is_dir():
                raise BadInput(f"model folder {str(source)!r} does not exist")
            llm, tokenizer, revision = checkpoint.load_llm(str(source), place, download=True)
            return cls(llm, tokenizer, Manifest(name=str(source), llm=str(source), llm_revision=revision))
        if "model_type" in read_json(folder / "config.json"):
            llm, tokenizer, revision = checkpoint.load_llm(folder, place)
            return cls(llm, tokenizer, Manifest(name=folder.resolve().name, llm_revision=revision))
        manifest = Manifest.read(folder)
        source = folder / LLM_FOLDER if manifest.llm == LLM_FOLDER else resolve_base(manifest.llm)
        llm, tokenizer, revision = checkpoint.load_llm(source, place)
        checkpoint.check_revisions(manifest, folder, revision)
        connectors, lora = _connectors(manifest, folder, llm), checkpoint.load_lora(manifest, folder, llm)
        try:
            model = cls(llm, tokenizer, manifest, connectors, lora)
        except (TypeError, ValueError, RuntimeError) as error:
            raise BadInput(f"{folder / 'config.json'} cannot be used: {one_line(error)}") from error
        model._folder, model.revision = folder, checkpoint.model_revision(folder)
        model.universal = checkpoint.load_universal(folder, llm, revision)
        return model

    def variant(self, connectors: Mapping[str, Connector], encoder_revisions: Mapping[str, str]) -> Model:
        """The same LLM with `connectors` in the place of, or beside, its own. This model is not touched."""
        other = copy.copy(self)
        other.connectors = nn.ModuleDict({**self.connectors, **connectors}).to(self.llm.device)
        other.encoder_revisions = {**self.encoder_revisions, **encoder_revisions}
        other.revision, other._lower, other._lock = "unsaved", OrderedDict(), Lock()
        return other

    def load_variant(self, folder: Path) -> Model:
        """The variant whose connectors `folder` holds, made for this very LLM; the LLM is not loaded again. Raises BadInput."""
        manifest = Manifest.read(folder)
        if (manifest.llm, manifest.llm_revision) != (self._llm_name, self._llm_revision):
            raise BadInput(f"{folder} was made for LLM {manifest.llm_revision!r}, not for {self._llm_revision!r}")
        other = self.variant(_connectors(manifest, folder, self.llm), manifest.encoder_revisions)
        other._folder, other.revision = folder, checkpoint.model_revision(folder)
        return other

    def save(self, folder: Path, link: bool = False) -> None:
        """Write the model into `folder`, with the encoders of the folder it came from, and take over the new revision.

        With `link`, LLM and encoders become links into the folder it came from: a variant costs its connectors only.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if link and self._folder:
            checkpoint.link_parts(self._folder, folder, self.encoder_revisions)
        elif self._llm_name == LLM_FOLDER:
            self._llm_revision = checkpoint.save_llm(self.llm, self.tokenizer, folder / LLM_FOLDER)
        if not link and self._folder and (self._folder / "encoders").is_dir() and self._folder.resolve() != folder.resolve():
            shutil.copytree(self._folder / "encoders", folder / "encoders", dirs_exist_ok=True)
        if self.universal and not (link and self._folder):
            checkpoint.save_universal(self.universal, folder, self._llm_revision)
        save_weights(self.connectors, folder / "connectors.safetensors")
        if self.lora:
            save_weights(self.lora, folder / checkpoint.LORA_FILE)
        Manifest(
            name=self.name,
            llm=self._llm_name,
            llm_revision=self._llm_revision,
            connectors={modality: dict(connector.shape) for modality, connector in self.connectors.items()},
            encoder_revisions=self.encoder_revisions,
            answers=self.answers,
            temperature=self.temperature,
            prompt=self.prompt.template,
            answer_prefix=self.prompt.answer_prefix,
            lora=dict(self.lora.shape) if self.lora else {},
            attend_last=self.attend_last,
        ).write(folder)
        self._folder, self.revision = folder, checkpoint.model_revision(folder)

    def connect(self, connector: Connector, encoder_revision: str) -> None:
        """Add (or replace) the connector of one modality; the others are not touched. Not while another thread answers."""
        self.connectors[connector.modality] = connector.to(self.llm.device)
        self.encoder_revisions[connector.modality] = encoder_revision
        self.revision = "unsaved"
        self.forget_texts()

    def forget_texts(self) -> None:
        """Let go of the lower blocks' states that are kept for texts asked before."""
        with self._lock:
            self._lower.clear()

    def latents(self, tokens: Sequence[Tokens], linked_blocks: int | None = None) -> dict:
        """Tokens of any modalities and sources -> a bank for `linked_blocks` of the last blocks (None = all). Raises BadInput."""
        return merge(self.banks(tokens, linked_blocks))

    @torch.inference_mode()
    def banks(self, tokens: Sequence[Tokens], linked_blocks: int | None = None) -> dict[str, Bank]:
        """What `latents` merges: a bank for each modality, which can be kept until one of its tokens changes. Raises BadInput."""
        for item in tokens:
            if item.modality not in self.connectors:
                raise BadInput(f"modality {item.modality!r} is unknown to model {self.name}, which takes {list(self.modalities)}")
        count = self.linked_blocks if linked_blocks is None else linked_blocks
        if tokens and not 1 <= count <= self.linked_blocks:
            raise BadInput(f"linked_blocks is {count}, not between 1 and {self.linked_blocks}")
        device, banks = self.llm.device, {}
        for modality in sorted({item.modality for item in tokens}):
            values, places, sources = (
                part[None].to(device) for part in joined(item for item in tokens if item.modality == modality)
            )
            connector = self.connectors[modality]
            reach = min(count, len(connector.heads))
            banks[modality] = connector(values, places, linked_blocks=reach, sources=sources)
        return banks

    @torch.inference_mode()
    def score(self, question: str, bank: Bank) -> Scored:
        """The most probable answer of `answers` in one forward pass, exactly (trie.py). Raises BadInput.

        A question with a word that the tokenizer does not know is answered by saying so, with confidence 0.
        """
        if not self.answers:
            raise BadInput(f"model {self.name} has no answer set, only free text")
        if outside := self._outside(question):
            return outside
        ids = self._question_ids(question)
        scores = None
        if self.attend_last:
            # A large LLM takes long over the slots of all answers, and most questions are settled without them.
            scores = self._trie.settled(self._logits(ids, 0, bank)[0])
        if scores is None:
            scores = self._trie.score(self._logits([*ids, *self._trie.tokens], len(self._trie.tokens), bank))
        probability = (scores / self.temperature).softmax(-1).tolist()
        best = max(range(len(probability)), key=probability.__getitem__)
        return Scored(self.answers[best], probability[best], dict(zip(self.answers, probability, strict=True)))

    def generate(
        self,
        question: str,
        bank: Bank,
        max_new_tokens: int = 16,
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> str:
        """Greedy free text. `on_text` gets each new piece; `cancelled` is asked before each token and raises Cancelled."""
        return self._free_text(question, bank, max_new_tokens, on_text, cancelled).answer

    def answer(
        self,
        question: str,
        bank: Bank,
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Scored:
        """An answer of the answer set where there is one, else free text with the mean probability of its tokens."""
        if not self.answers:
            return self._free_text(question, bank, LONGEST_ANSWER, on_text, cancelled)
        if cancelled and cancelled():
            raise Cancelled
        scored = self.score(question, bank)
        if on_text:
            on_text(scored.answer)
        return scored

    def _free_text(self, question: str, bank: Bank, limit: int, *watchers) -> Scored:
        if outside := self._outside(question):
            return outside
        ids = self._question_ids(question, room=limit)
        return Scored(*continue_text(self.llm, self.tokenizer, ids, bank, limit, *watchers, attend_last=self.attend_last))

    def _outside(self, question: str) -> Scored | None:
        words = self.prompt.unknown_words(question)
        if not words:
            return None
        named = ", ".join(repr(word[:40]) for word in dict.fromkeys(words[:5]))
        return Scored(f"this question is outside what I know (unknown word{'s' * (len(words) > 1)}: {named})", 0.0)

    def _question_ids(self, question: str, room: int = 0) -> list[int]:
        ids = self.prompt.question_ids(question)
        limit = getattr(self.llm.config, "max_position_embeddings", None)
        if limit and len(ids) + len(self._trie.tokens) + room > limit:
            raise BadInput(f"the question is {len(ids)} tokens long, model {self.name} reads at most {limit} with the answer")
        return ids

    def _logits(self, ids: list[int], slots: int, bank: Bank) -> Tensor:
        """Logits [1 + slots, vocabulary] of a prompt, and of the answer tree packed behind it where there are `slots`.

        Blocks below those that `bank` links are computed once per text.
        """
        device, prompt = self.llm.device, len(ids) - slots
        parts = (self._trie.positions(prompt), self._trie.position_ids(prompt), self._trie.mask(prompt))
        if not slots:
            parts = (torch.tensor([prompt - 1]), None, None)
        positions, places, mask = (None if part is None else part.to(device) for part in parts)
        if self.attend_last:
            bank = attending_from(bank, prompt - self.attend_last, len(ids))
        if not can_split(self.llm):
            row = torch.tensor([ids], device=device)
            return full_pass(self.llm, row, bank, mask, positions=positions, position_ids=places)[0]
        # What is plugged decides how much is kept: with fewer linked blocks there are more below them.
        first = min(bank, default=len(decoder_blocks(self.llm)))
        key = (first, *ids)
        with self._lock:
            hidden = self._lower.pop(key, None)
        if hidden is None:
            row = torch.tensor([ids], device=device)
            hidden = lower_states(self.llm, row, mask, first_block=first, position_ids=places)
        with self._lock:
            self._lower[key] = hidden
            while len(self._lower) > KEPT_TEXTS:
                self._lower.popitem(last=False)
        return upper(self.llm, hidden, bank, mask, first_block=first, positions=positions, position_ids=places)[0]


def joined(tokens: Iterable[Tokens]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of one modality, source by source in order: values [T, D], places [T, 3], the number of each one's source [T]."""
    ordered = sorted(tokens, key=lambda item: item.source)
    values, places = (
        torch.from_numpy(np.concatenate(part)) for part in zip(*((t.values, t.places) for t in ordered), strict=True)
    )
    return values, places, torch.arange(len(ordered)).repeat_interleave(torch.tensor([len(t.values) for t in ordered]))


def _connectors(manifest: Manifest, folder: Path, llm: nn.Module) -> nn.ModuleDict:
    """The connectors of a model folder, ready to answer. Raises BadInput."""
    shapes = manifest.connectors.items()
    connectors = nn.ModuleDict({name: checkpoint.make_connector(name, shape, llm, folder) for name, shape in shapes})
    load_weights(connectors, folder / "connectors.safetensors", "connector")
    return connectors.eval()
