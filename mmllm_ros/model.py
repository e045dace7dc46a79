# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The model: a frozen LLM with one connector per modality, which answers questions from the tokens of the encoders."""

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

from .datatypes import BadInput, Tokens, one_line
from .device import resolve_device
from .io.weights import load_weights, save_weights
from .latent import checkpoint
from .latent.answer_trie import AnswerTrie
from .latent.attention_adapter import LatentCache, attending_at, attending_from, with_gates_of
from .latent.base_models import resolve_base
from .latent.connector import Connector, merge
from .latent.decoder_blocks import decoder_blocks
from .latent.generation import Cancelled, continue_text
from .latent.manifest import LLM_FOLDER, Manifest, read_json
from .latent.open_slots import PromptStates, encode_prompt, score_answers
from .latent.pack_connectors import load_pack_connectors
from .latent.packed_questions import Text, pack_questions
from .latent.prompt import Prompt
from .latent.question_router import QuestionRouter, load_router, question_features, save_router
from .latent.shared_lora import SharedLora
from .latent.split_forward import can_split, full_pass, lower_states, upper
from .resources import HUB_NAME, PACKS

KEPT_TEXTS = 256
"""Number of texts whose lower-block states are cached; the least recently used is removed first."""

KEPT_PROMPTS = 32
"""Number of texts whose keys and values are cached too, 0.7 MB each with SmolLM2."""

PACKED_QUESTIONS = 16
"""Number of questions in one pass of `Model.score_all`; attention costs the square of their length."""

LONGEST_ANSWER = 64
"""Largest number of tokens of an answer in free text."""


@dataclass(frozen=True, slots=True)
class Scored:
    """An answer, its probability, and the whole distribution where the answer set is fixed."""

    answer: str
    confidence: float
    distribution: dict[str, float] = field(default_factory=dict)


class Model:
    """A frozen LLM with one connector per modality.

        model = Model.load(default_model())
        latent_cache = model.latents([camera_tokens, lidar_tokens])
        model.score("are there any cars ?", latent_cache).answer      # 'yes'
        model.score("are there any cars ?", {})               # the bare LLM

    Answering is thread-safe. `revision` identifies the model; it is "unsaved" before `save`.
    `modality_agnostic` itself is not connected: connectors of new modalities are warm-started from it (training/warm_start.py),
    and copies of it read detections, lidar clusters and objects (training/untrained_modalities.py).
    """

    def __init__(
        self,
        llm: nn.Module,
        tokenizer: Any,
        manifest: Manifest,
        connectors: Mapping[str, Connector] | None = None,
        lora: SharedLora | None = None,
    ) -> None:
        """`llm` has the attention adapter, and `lora` is attached to it; `manifest` gives name, answers, prompt, revisions."""
        self.llm = llm
        self.tokenizer = tokenizer
        self.name = manifest.name
        self.revision = "unsaved"
        self.temperature = manifest.temperature
        self.encoder_revisions = dict(manifest.encoder_revisions)
        self.connectors = nn.ModuleDict(connectors or {}).to(llm.device)
        self.lora = lora
        self.attend_last = manifest.attend_last
        self.modality_agnostic: Connector | None = None
        self.router: QuestionRouter | None = None
        self.prompt = Prompt(tokenizer, manifest.prompt, manifest.answer_prefix)
        self.answers = list(manifest.answers)
        self._trie = AnswerTrie([self.prompt.answer_ids(answer) for answer in self.answers], self.answers)
        self._llm_name, self._llm_revision = manifest.llm, manifest.llm_revision
        self._folder: Path | None = None
        self._lower: OrderedDict[tuple, Tensor] = OrderedDict()
        self._prompts: OrderedDict[tuple, PromptStates] = OrderedDict()
        self._ways: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that have a connector."""
        return tuple(sorted(self.connectors))

    @property
    def llm_revision(self) -> str:
        """The weights of the LLM that the connectors are for."""
        return self._llm_revision

    @property
    def linked_blocks(self) -> int:
        """The largest N of the connectors: how many of the last blocks they link."""
        return max((len(connector.heads) for connector in self.connectors.values()), default=0)

    @classmethod
    def load(cls, source: str | Path, device: str = "auto") -> Model:
        """Load a model folder; a Hugging Face LLM folder or hub name gives that LLM without connectors. Raises BadInput."""
        folder, place = Path(source), resolve_device(device)
        if not folder.is_dir():
            # A name whose first part is an existing folder is a mistyped path and not a hub model.
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
        model.modality_agnostic = checkpoint.load_modality_agnostic(folder, llm, revision)
        model.router = load_router(folder, llm, revision)
        for modality, (connector, pack) in load_pack_connectors(folder / PACKS, llm, revision).items():
            # A connector in connectors.safetensors is that of the pack after an adaptation on the robot.
            if modality not in model.connectors:
                model.connectors[modality], model.encoder_revisions[modality] = connector, pack
        return model

    def variant(self, connectors: Mapping[str, Connector], encoder_revisions: Mapping[str, str]) -> Model:
        """A model with the same LLM, with `connectors` replacing or added to those of this model, which does not change."""
        other = copy.copy(self)
        other.connectors = nn.ModuleDict({**self.connectors, **connectors}).to(self.llm.device)
        other.encoder_revisions = {**self.encoder_revisions, **encoder_revisions}
        other.revision, other._lock = "unsaved", Lock()
        other._lower, other._prompts = OrderedDict(), OrderedDict()
        return other

    def load_variant(self, folder: Path) -> Model:
        """The variant with the connectors in `folder`, which are for this LLM; the LLM is not loaded again. Raises BadInput."""
        manifest = Manifest.read(folder)
        if (manifest.llm, manifest.llm_revision) != (self._llm_name, self._llm_revision):
            raise BadInput(f"{folder} was made for LLM {manifest.llm_revision!r}, not for {self._llm_revision!r}")
        other = self.variant(_connectors(manifest, folder, self.llm), manifest.encoder_revisions)
        other._folder, other.revision = folder, checkpoint.model_revision(folder)
        return other

    def save(self, folder: Path, link: bool = False) -> None:
        """Write the model into `folder`, with the encoders of the folder it was loaded from, and set `revision`.

        With `link`, LLM and encoders become links to the folder it was loaded from: only the connectors are written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if link and self._folder:
            checkpoint.link_parts(self._folder, folder, self.encoder_revisions)
        elif self._llm_name == LLM_FOLDER:
            self._llm_revision = checkpoint.save_llm(self.llm, self.tokenizer, folder / LLM_FOLDER)
        if not link and self._folder and (self._folder / "encoders").is_dir() and self._folder.resolve() != folder.resolve():
            shutil.copytree(self._folder / "encoders", folder / "encoders", dirs_exist_ok=True)
        if self.modality_agnostic and not (link and self._folder):
            checkpoint.save_modality_agnostic(self.modality_agnostic, folder, self._llm_revision)
        if self.router and not (link and self._folder):
            save_router(self.router, folder, self._llm_revision)
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

    def clear_text_cache(self) -> None:
        """Remove the cached lower-block states of all texts."""
        with self._lock:
            self._lower.clear()
            self._prompts.clear()

    def way(self, question: str) -> str:
        """Which way a question goes by the router, cached by the text; empty without a router."""
        if self.router is None:
            return ""
        with self._lock:
            way = self._ways.pop(question, "")
        way = way or self.router.way(question_features(self.llm, self.tokenizer, question))
        with self._lock:
            self._ways[question] = way
            while len(self._ways) > KEPT_TEXTS:
                self._ways.popitem(last=False)
        return way

    def latents(self, tokens: Sequence[Tokens], linked_blocks: int | None = None) -> dict:
        """Tokens of any modalities and sources -> a latent cache for `linked_blocks` of the last blocks (None = all). Raises
        BadInput."""
        return merge(self.latent_caches(tokens, linked_blocks))

    @torch.inference_mode()
    def latent_caches(self, tokens: Sequence[Tokens], linked_blocks: int | None = None) -> dict[str, LatentCache]:
        """The latent cache of each modality, before `latents` merges them. Raises BadInput."""
        for item in tokens:
            if item.modality not in self.connectors:
                raise BadInput(f"modality {item.modality!r} is unknown to model {self.name}, which takes {list(self.modalities)}")
        count = self.linked_blocks if linked_blocks is None else linked_blocks
        if tokens and not 1 <= count <= self.linked_blocks:
            raise BadInput(f"linked_blocks is {count}, not between 1 and {self.linked_blocks}")
        device, latent_caches = self.llm.device, {}
        for modality in sorted({item.modality for item in tokens}):
            values, places, sources = (
                part[None].to(device) for part in joined(item for item in tokens if item.modality == modality)
            )
            connector = self.connectors[modality]
            reach = min(count, len(connector.heads))
            latent_caches[modality] = connector(values, places, linked_blocks=reach, sources=sources)
        return latent_caches

    @torch.inference_mode()
    def score(self, question: str, latent_cache: LatentCache) -> Scored:
        """The most probable answer of `answers`, computed exactly in one pass (answer_trie.py); a large LLM may need two
        (open_slots.py). Raises BadInput.

        The answer to a question with a word that the tokenizer does not know names the word, with confidence 0.
        """
        if not self.answers:
            raise BadInput(f"model {self.name} has no answer set, only free text")
        if refusal := self._unknown_words(question):
            return refusal
        ids = self._question_ids(question)
        if self.attend_last and can_split(self.llm):
            # A large LLM takes long over the slots of all answers, and most questions are settled without them.
            first = min(latent_cache, default=len(decoder_blocks(self.llm)))
            prompt = self._prompt_states(ids, first)
            scores = score_answers(self.llm, self._trie, prompt, latent_cache, first, self.attend_last)
        else:
            scores = self._trie.score(self._logits([*ids, *self._trie.tokens], len(self._trie.tokens), latent_cache))
        return self._scored(scores)

    @torch.inference_mode()
    def score_all(self, questions: Sequence[str], latent_cache: LatentCache) -> list[Scored]:
        """`score` of several questions about the same moment, packed behind each other in one pass where the LLM permits.

        Gates [B, Q, P] in `latent_cache` are those of each of the Q questions, which then attend to different sensors. The
        probabilities equal those of `score` up to rounding. Raises BadInput.
        """
        scored = [self._unknown_words(question) for question in questions]
        known = [number for number, refusal in enumerate(scored) if refusal is None]
        packed = known if len(known) > 1 and can_split(self.llm) else []
        for start in range(0, len(packed), PACKED_QUESTIONS):
            part = packed[start : start + PACKED_QUESTIONS]
            prompts = [tuple(self._question_ids(questions[number])) for number in part]
            scores = self._packed_scores(prompts, with_gates_of(latent_cache, torch.tensor(part)))
            for number, answers in zip(part, scores, strict=True):
                scored[number] = self._scored(answers)
        for number in set(known).difference(packed):
            scored[number] = self.score(questions[number], with_gates_of(latent_cache, number))
        return scored

    def _scored(self, scores: Tensor) -> Scored:
        """From the log-probability of each answer."""
        probability = (scores / self.temperature).softmax(-1).tolist()
        best = max(range(len(probability)), key=probability.__getitem__)
        return Scored(self.answers[best], probability[best], dict(zip(self.answers, probability, strict=True)))

    def answer(
        self,
        question: str,
        latent_cache: LatentCache,
        on_text: Callable[[str], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Scored:
        """An answer of the answer set where there is one, else greedy free text with the mean probability of its tokens.

        `on_text` gets each new piece of the answer; `cancelled` is called between steps, and True raises Cancelled. Raises
        BadInput.
        """
        if not self.answers:
            return self._free_text(question, latent_cache, LONGEST_ANSWER, on_text, cancelled)
        if cancelled and cancelled():
            raise Cancelled
        scored = self.score(question, latent_cache)
        if on_text:
            on_text(scored.answer)
        return scored

    def _free_text(self, question: str, latent_cache: LatentCache, limit: int, *callbacks) -> Scored:
        if refusal := self._unknown_words(question):
            return refusal
        ids = self._question_ids(question, room=limit)
        return Scored(
            *continue_text(self.llm, self.tokenizer, ids, latent_cache, limit, *callbacks, attend_last=self.attend_last)
        )

    def _unknown_words(self, question: str) -> Scored | None:
        words = self.prompt.unknown_words(question)
        if not words:
            return None
        named = ", ".join(repr(word[:40]) for word in dict.fromkeys(words[:5]))
        return Scored(f"this question is outside what I know (unknown word{'s' * (len(words) > 1)}: {named})", 0.0)

    def _question_ids(self, question: str, room: int = 0) -> list[int]:
        ids = self.prompt.question_ids(question)
        limit = getattr(self.llm.config, "max_position_embeddings", None)
        if limit and len(ids) + len(self._trie.tokens) + room > limit:
            raise BadInput(f"the question is {len(ids)} tokens long, model {self.name} takes at most {limit} with the answer")
        return ids

    def _logits(self, ids: list[int], slots: int, latent_cache: LatentCache) -> Tensor:
        """Logits [1 + slots, vocabulary] of a prompt, and of the answer tree packed behind it where there are `slots`.

        Blocks below those that `latent_cache` links are computed once per text.
        """
        prompt = len(ids) - slots
        positions, places, mask = self._layout(prompt, slots)
        if self.attend_last:
            latent_cache = attending_from(latent_cache, prompt - self.attend_last, len(ids))
        if not can_split(self.llm):
            row = torch.tensor([ids], device=self.llm.device)
            return full_pass(self.llm, row, latent_cache, mask, positions=positions, position_ids=places)[0]
        # The cached states depend on the plugged latents: with fewer linked blocks there are more blocks below them.
        first = min(latent_cache, default=len(decoder_blocks(self.llm)))
        hidden = self._lower_states(ids, first, mask, places)
        return upper(self.llm, hidden, latent_cache, mask, first_block=first, positions=positions, position_ids=places)[0]

    def _layout(self, prompt: int, slots: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Of a prompt of that length with the answer tree behind it: positions, position ids and mask, see answer_trie.py."""
        parts = (torch.tensor([prompt - 1]), None, None)
        if slots:
            parts = (self._trie.positions(prompt), self._trie.position_ids(prompt), self._trie.mask(prompt))
        return tuple(None if part is None else part.to(self.llm.device) for part in parts)

    def _packed_scores(self, prompts: Sequence[tuple[int, ...]], latent_cache: LatentCache) -> list[Tensor]:
        """The log-probability of each answer [answers] to each of the questions `prompts`."""
        if not self.attend_last:
            every = tuple(range(1, len(self._trie.tokens) + 1))
            return [self._trie.score(rows) for rows in self._packed_logits([(ids, every) for ids in prompts], latent_cache)]
        # As in `score`: a large LLM takes long over the slots of all answers, and most questions are settled without them.
        begun = [self._trie.begin(rows[0]) for rows in self._packed_logits([(ids, ()) for ids in prompts], latent_cache)]
        scores = [settled for settled, _ in begun]
        if unsettled := [number for number, (_, slots) in enumerate(begun) if slots]:
            texts = [(prompts[number], tuple(begun[number][1])) for number in unsettled]
            logits = self._packed_logits(texts, with_gates_of(latent_cache, torch.tensor(unsettled)))
            for number, rows in zip(unsettled, logits, strict=True):
                scores[number] = self._trie.score(rows[1:], begun[number][1], scores[number])
        return scores

    def _packed_logits(self, texts: Sequence[Text], latent_cache: LatentCache) -> list[Tensor]:
        """Logits [1 + slots, vocabulary] of each of `texts`, at the last token of its prompt and at its slots, from one pass."""
        first = min(latent_cache, default=len(decoder_blocks(self.llm)))
        packed = pack_questions(self._trie, texts, self.attend_last, self.llm.device)
        latent_cache = with_gates_of(latent_cache, packed.owner)
        if self.attend_last:
            latent_cache = attending_at(latent_cache, packed.late)
        logits = upper(
            self.llm,
            self._packed_states(texts, first),
            latent_cache,
            packed.mask,
            first_block=first,
            positions=torch.tensor([place for ends in packed.ends for place in ends], device=self.llm.device),
            position_ids=packed.position_ids,
            tokens=self._trie.choices.to(self.llm.device) if self.attend_last else None,
        )
        return list(logits[0].split([len(ends) for ends in packed.ends]))

    def _packed_states(self, texts: Sequence[Text], first: int) -> Tensor:
        """The states [1, S, d_model] of `texts` that enter block `first`, cached by the text; the new ones take one pass."""
        keys = [("packed", first, *text) for text in texts]
        with self._lock:
            found = {key: self._lower.pop(key) for key in keys if key in self._lower}
        if new := [key for key in dict.fromkeys(keys) if key not in found]:
            packed = pack_questions(self._trie, [key[2:] for key in new], self.attend_last, self.llm.device)
            hidden = lower_states(self.llm, packed.ids, packed.mask, first_block=first, position_ids=packed.position_ids)
            parts = hidden.split(packed.owner.bincount().tolist(), dim=1)
            found |= {key: part.clone() for key, part in zip(new, parts, strict=True)}
        with self._lock:
            self._lower.update(found)
            while len(self._lower) > KEPT_TEXTS:
                self._lower.popitem(last=False)
        return torch.cat([found[key] for key in keys], dim=1)

    def _prompt_states(self, ids: list[int], first: int) -> PromptStates:
        """The states of a prompt with the keys and values of the blocks below block `first`, cached by the text."""
        key = (first, *ids)
        with self._lock:
            states = self._prompts.pop(key, None)
        if states is None:
            states = encode_prompt(self.llm, ids, first)
        with self._lock:
            self._prompts[key] = states
            while len(self._prompts) > KEPT_PROMPTS:
                self._prompts.popitem(last=False)
        return states

    def _lower_states(self, ids: list[int], first: int, mask: Tensor | None = None, places: Tensor | None = None) -> Tensor:
        """The states of a text that enter block `first`, cached by the text."""
        key = (first, *ids)
        with self._lock:
            hidden = self._lower.pop(key, None)
        if hidden is None:
            row = torch.tensor([ids], device=self.llm.device)
            hidden = lower_states(self.llm, row, mask, first_block=first, position_ids=places)
        with self._lock:
            self._lower[key] = hidden
            while len(self._lower) > KEPT_TEXTS:
                self._lower.popitem(last=False)
        return hidden


def joined(tokens: Iterable[Tokens]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of one modality, ordered by source: values [T, D], places [T, 3], number of the source [T]."""
    ordered = sorted(tokens, key=lambda item: item.source)
    values, places = (
        torch.from_numpy(np.concatenate(part)) for part in zip(*((t.values, t.places) for t in ordered), strict=True)
    )
    return values, places, torch.arange(len(ordered)).repeat_interleave(torch.tensor([len(t.values) for t in ordered]))


def _connectors(manifest: Manifest, folder: Path, llm: nn.Module) -> nn.ModuleDict:
    """The connectors of a model folder in evaluation mode. Raises BadInput."""
    shapes = manifest.connectors.items()
    connectors = nn.ModuleDict({name: checkpoint.make_connector(name, shape, llm, folder) for name, shape in shapes})
    load_weights(connectors, folder / "connectors.safetensors", "connector")
    return connectors.eval()
