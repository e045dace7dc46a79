# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a question and an answer are written for the LLM: the only place where text becomes token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..datatypes import BadInput

SLOT = "{question}"


@dataclass(frozen=True)
class Prompt:
    """The template around a question. Training and answering both write through here.

    `tokenizer` is any Hugging Face tokenizer; `template` holds `{question}` once; `answer_prefix` goes before an answer (the
    blank that most byte-pair tokenizers join to a word).
    """

    tokenizer: Any
    template: str = "question: {question} answer:"
    answer_prefix: str = " "

    def __post_init__(self) -> None:
        if self.template.count(SLOT) != 1:
            raise BadInput(f"prompt template {self.template!r} does not hold {SLOT} once")
        if self.tokenizer.eos_token_id is None:
            raise BadInput("the tokenizer has no end token, so the LLM cannot say where an answer ends")

    def question_ids(self, question: str) -> list[int]:
        """Token ids of the prompt, up to where the answer begins."""
        return self.tokenizer(self.template.replace(SLOT, question.strip()))["input_ids"]

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids of an answer with the end token. Raises BadInput for a word that the tokenizer does not know."""
        ids = self.tokenizer(self.answer_prefix + answer, add_special_tokens=False)["input_ids"]
        if not ids or self.tokenizer.unk_token_id in ids:
            raise BadInput(f"the LLM's tokenizer cannot write the answer {answer!r}")
        return [*ids, self.tokenizer.eos_token_id]

    def unknown_words(self, question: str) -> list[str]:
        """The words of `question` that the tokenizer has no token for; always empty for tokenizers that can spell anything."""
        unknown = self.tokenizer.unk_token_id
        if unknown is None or not self.tokenizer.is_fast:
            return []
        encoded = self.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)
        pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return [question[start:end] for token, (start, end) in pairs if token == unknown]
