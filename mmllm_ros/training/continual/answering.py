# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Loss and accuracy of answers through a frozen LLM, from the latents of the signals that the questions are about.

Only the last tokens of a prompt attend to sensors; all else of a text is computed once, before training (prepared_texts.py).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...datatypes import BadInput
from ...latent.attention_adapter import LatentCache
from ...latent.decoder_blocks import decoder_blocks
from ...latent.split_forward import can_split
from ...model import Model
from ..prepared_batches import Answers, lay_out
from ..prepared_questions import Prepared
from ..prepared_texts import encode_shard, read_shard
from ..pretrained import answer_logits, fork_loss


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about sample number `sample`, and its true answer. `kind` groups questions in a report."""

    sample: int
    question: str
    answer: str
    kind: str = ""


class Answering:
    """The frozen LLM of `model` as a loss for `asked`, whose question i is row i of `loss`.

        answering = Answering(model, asked, linked_blocks=4)
        loss, right = answering.loss([3, 4], latent_cache)        # a row of the latent cache for each of the two questions

    Raises BadInput for an LLM whose prompt attends from its first token on, an unknown word, and an answer that the model cannot
    give.
    """

    def __init__(self, model: Model, asked: Sequence[Asked], linked_blocks: int) -> None:
        if not model.attend_last or not can_split(model.llm):
            raise BadInput(
                f"model {model.name} attends to sensors from its first token on: name one with attend_last, as drive_smollm2"
            )
        self.model, self.asked = model, list(asked)
        self.first_block = len(decoder_blocks(model.llm)) - linked_blocks
        self.answers = Answers(model.answers, [model.prompt.answer_ids(answer) for answer in model.answers])
        numbers: dict[str, int] = {}
        for one in self.asked:
            if one.answer not in self.answers.suffix:
                raise BadInput(f"model {model.name} cannot give the answer {one.answer[:40]!r} to {one.question[:80]!r}")
            if words := model.prompt.unknown_words(one.question):
                raise BadInput(f"model {model.name} does not know the word {words[0][:40]!r} of {one.question[:80]!r}")
            numbers.setdefault(one.question, len(numbers))
        self._rows = [Prepared(one.sample, (), numbers[one.question], one.answer, (), one.kind, "") for one in self.asked]
        wanted = sorted({(row.text, self.answers.suffix[row.answer]) for row in self._rows})
        texts = {number: text for text, number in numbers.items()}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "texts.safetensors"
            encode_shard(model.llm, model.prompt, self.first_block, model.attend_last, texts, wanted, path)
            self._texts = read_shard(path)

    def loss(self, rows: Sequence[int], latent_cache: LatentCache) -> tuple[Tensor, Tensor]:
        """The mean cross-entropy of the answers of questions `rows`, and which of them are right, bool [rows].

        Row i of `latent_cache` is what question `rows[i]` attends to. An answer is right where each of its forks in the tree of
        all answers is.
        """
        laid = lay_out([[self._rows[row]] for row in rows], self._texts, self.answers, self.first_block)
        logits = answer_logits(self.model.llm, laid, latent_cache, self.answers, self.first_block)
        return fork_loss(logits, laid, len(rows))
