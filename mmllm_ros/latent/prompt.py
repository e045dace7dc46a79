# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Converts questions and answers to token ids of the LLM; nothing else does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..datatypes import BadInput

SLOT = "{question}"


@dataclass(frozen=True)
class Prompt:
    """The template around a question, the same for training and answering.

    `tokenizer` is any Hugging Face tokenizer; `template` holds `{question}` once; `answer_prefix` precedes an answer (the
    space that most byte-pair tokenizers merge into a word).
    """

    tokenizer: Any
    template: str = "question: {question} answer:"
    answer_prefix: str = " "

    def __post_init__(self) -> None:
        if self.template.count(SLOT) != 1:
            raise BadInput(f"prompt template {self.template!r} does not hold {SLOT} once")
        if self.tokenizer.eos_token_id is None:
            raise BadInput("the tokenizer has no end token, so the end of an answer cannot be marked")

    def question_ids(self, question: str) -> list[int]:
        """Token ids of the prompt, up to the start of the answer."""
        return self.tokenizer(self.template.replace(SLOT, question.strip()))["input_ids"]

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids of an answer with the end token. Raises BadInput for a word that the tokenizer does not know."""
        ids = self.tokenizer(self.answer_prefix + answer, add_special_tokens=False)["input_ids"]
        if not ids or self.tokenizer.unk_token_id in ids:
            raise BadInput(f"the LLM's tokenizer cannot encode the answer {answer!r}")
        return [*ids, self.tokenizer.eos_token_id]

    def unknown_words(self, question: str) -> list[str]:
        """The words of `question` without a token; always empty for tokenizers that encode any text."""
        unknown = self.tokenizer.unk_token_id
        if unknown is None or not self.tokenizer.is_fast:
            return []
        encoded = self.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)
        pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return [question[start:end] for token, (start, end) in pairs if token == unknown]
