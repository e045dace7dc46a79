# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draws text on pictures. Pictures are uint8 [h, w, 3] RGB and are modified in place."""

from __future__ import annotations

import bisect
import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]


def write(canvas: np.ndarray, text: str, x: int, y: int, size: int, colour: Colour) -> int:
    """Draw one line of text of `size` pixels with its baseline at y, clipped to the canvas. Returns the x where it ends."""
    ink, left, top = _ink(text, size)
    x, y = x + left, y + top
    rows, columns = slice(max(y, 0), max(y + ink.shape[0], 0)), slice(max(x, 0), max(x + ink.shape[1], 0))
    under = canvas[rows, columns]
    share = ink[max(-y, 0) :, max(-x, 0) :][: under.shape[0], : under.shape[1], None]
    under[:] = (under * (1.0 - share) + np.float32(colour) * share).astype(np.uint8)
    return x - left + text_width(text, size)


def write_block(canvas: np.ndarray, text: str, x: int, y: int, size: int, colour: Colour, width: int, lines: int = 1) -> int:
    """Draw text of at most `lines` lines of `width` pixels, the last one shortened with dots. Returns the next baseline."""
    for row in wrapped(text, width, size, lines):
        write(canvas, row, x, y, size, colour)
        y += round(1.5 * size)
    return y


def wrapped(text: str, width: int, size: int, lines: int) -> list[str]:
    """`text` wrapped between words into at most `lines` rows of `width` pixels, the last one shortened with dots."""
    words, rows = text.split(), []
    while words and len(rows) < lines - 1:
        more = (text_width(" ".join(words[: n + 1]), size) > width for n in range(1, len(words)))
        fits = next((n for n, too_wide in enumerate(more, 1) if too_wide), len(words))
        rows.append(fitted(" ".join(words[:fits]), width, size))
        words = words[fits:]
    return [*rows, fitted(" ".join(words), width, size)] if words else rows


def fitted(text: str, width: int, size: int) -> str:
    """`text`, or as much of its beginning as fits into `width` pixels, followed by dots."""
    if text_width(text, size) <= width:
        return text
    longest = bisect.bisect_left(range(1, len(text)), True, key=lambda n: text_width(text[:n] + "...", size) > width)
    return text[:longest] + "..."


@lru_cache(maxsize=1024)
def text_width(text: str, size: int) -> int:
    """Width of `text` [pixels]."""
    return math.ceil(_font(size).getlength(text))


@lru_cache(maxsize=1024)
def _ink(text: str, size: int) -> tuple[np.ndarray, int, int]:
    """Coverage float32 [h, w] in [0, 1] of a line, and the offset of its upper left corner from the start of the baseline."""
    left, top, right, bottom = map(math.floor, _font(size).getbbox(text, anchor="ls"))
    picture = Image.new("L", (max(right - left, 0) + 1, max(bottom - top, 0) + 1))
    ImageDraw.Draw(picture).text((-left, -top), text, fill=255, font=_font(size), anchor="ls")
    return np.asarray(picture, np.float32) / 255.0, left, top


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
