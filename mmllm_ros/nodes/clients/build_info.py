# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For `mmllm doctor`: the middleware, and whether the built messages match the interface files."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from rclpy.utilities import get_rmw_implementation_identifier

PARTS = {"msg": ("",), "srv": ("Request", "Response"), "action": ("Goal", "Result", "Feedback")}
_FIELD = re.compile(r"^[\w/]+(?:\[[<=\d]*\])?\s+([a-z]\w*)\s*(?:#.*)?$")


def rmw_name() -> str:
    """The middleware in use."""
    return get_rmw_implementation_identifier()


def stale_interfaces(folder: Path) -> list[str]:
    """The interfaces in `folder`/msg, srv and action that are not built, or built with other fields."""
    stale = []
    for kind, parts in PARTS.items():
        built = import_module(f"mmllm_ros.{kind}")
        for path in sorted((folder / kind).glob(f"*.{kind}")):
            interface = getattr(built, path.stem, None)
            for part, text in zip(parts, path.read_text().split("---\n"), strict=True):
                known = getattr(interface, part, None) if part else interface
                wanted = [match.group(1) for line in text.splitlines() if (match := _FIELD.match(line))]
                if known is None or list(known.get_fields_and_field_types()) != (
                    wanted or ["structure_needs_at_least_one_member"]
                ):
                    stale.append(f"{kind}/{path.stem}")
                    break
    return stale
