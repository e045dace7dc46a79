# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The sources that a node has heard of: bounded in number, with plain names, whoever publishes."""

from __future__ import annotations

from ...datatypes import BadInput
from ...latent.manifest import MODALITY

MOST_SOURCES = 64
LONGEST_NAME = 64


class KnownSources:
    """Admits the first MOST_SOURCES sources."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def check(self, modality: str, source: str) -> None:
        """Raise BadInput for one source too many and for a name that no sensor has."""
        if (modality, source) in self._known:
            return
        if not MODALITY.fullmatch(modality) or not (0 < len(source) <= LONGEST_NAME and source.isprintable()):
            raise BadInput(f"modality {modality[:LONGEST_NAME]!r} with source {source[:LONGEST_NAME]!r} is not a plain name")
        if len(self._known) >= MOST_SOURCES:
            raise BadInput(f"{modality} {source!r} is one source too many, {MOST_SOURCES} are known")
        self._known.add((modality, source))
