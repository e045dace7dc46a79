# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The question templates of config/wordings.yaml; proposals.py fills their slots, which are in braces."""

from __future__ import annotations

from dataclasses import dataclass

from ...resources import config_table


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of question in several wordings; `held_out` wordings are for the test split only.

    Every word of a held-out wording occurs in a training wording of some template.
    """

    name: str
    type: str
    hop: int
    wordings: tuple[str, ...]
    held_out: tuple[str, ...]


def _templates() -> tuple[Template, ...]:
    table = config_table("wordings.yaml")
    return tuple(
        Template(name, row["type"], row["hop"], tuple(row["wordings"]), tuple(row["held_out"])) for name, row in table.items()
    )


TEMPLATES = _templates()
TYPES = tuple(dict.fromkeys(template.type for template in TEMPLATES))
BY_TYPE = {kind: tuple(template for template in TEMPLATES if template.type == kind) for kind in TYPES}
