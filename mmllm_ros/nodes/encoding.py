# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An encoder at work for a node: loaded for its model, timed once, run over the newest frames for the topic and for who asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from ..config import EncoderConfig
from ..datatypes import BadInput, Tokens
from ..encoders import Encoder, load_encoder
from ..encoders.warm import time_one_pass
from ..latent.manifest import Manifest
from ..resources import model_folder
from ..rig import Rig
from .sensor_source import SensorSource

Handed = Callable[[list[tuple[SensorSource, Tokens]]], None]


def load(config: EncoderConfig, modality: str, rig: Rig) -> Encoder:
    """The encoder that the model of `config` was made for. Raises BadInput."""
    torch.set_num_threads(config.threads)
    folder = model_folder(config.model)
    encoder = load_encoder(folder / "encoders" / modality, rig, config.device)
    expected = Manifest.read(folder).encoder_revisions.get(modality)
    if encoder.revision != expected:
        raise BadInput(f"encoder {modality} has revision {encoder.revision}, the model in {folder} is made for {expected}")
    return encoder


class Encoding:
    """`run` is for one thread, `ask` for any. `cost` is the time of one frame here [s], measured at the start, then followed."""

    def __init__(
        self, encoder: Encoder, sources: Sequence[SensorSource], on_tokens: Callable[[SensorSource, Tokens], None]
    ) -> None:
        self.encoder = encoder
        self.encoded = 0
        self.last_pass = 0.0
        self.cost = time_one_pass(encoder, sources[0].name)
        self._sources = sources
        self._on_tokens = on_tokens
        self._newest: dict[str, Tokens] = {}
        self._asked: list[Handed] = []

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for tokens."""
        return bool(self._asked)

    def ask(self, done: Handed) -> None:
        """`done` gets the newest tokens of every source after the next run, in its thread; none where there is no frame."""
        self._asked.append(done)

    def forget(self) -> None:
        """Time has jumped back."""
        self._newest.clear()
        for source in self._sources:
            source.forget()

    def run(self, publish: bool) -> None:
        """Encode every frame that is new."""
        fresh = [source for source in self._sources if source.pair]
        pairs = [source.pair for source in fresh]
        for source in fresh:
            source.pair = None
        started = time.monotonic()
        try:
            encoded = self.encoder.encode(pairs)
        except BadInput as error:
            encoded = []
            fresh[0].refuse(error)
        for source, tokens in zip(fresh, encoded):
            self._newest[source.name] = tokens
            if publish:
                self._on_tokens(source, tokens)
        if encoded:
            self.encoded += len(encoded)
            self.last_pass = time.monotonic() - started
            self.cost += 0.1 * (self.last_pass / len(encoded) - self.cost)
        self.hand_out()

    def hand_out(self) -> None:
        """Give who asks what there is."""
        asked, self._asked = self._asked, []
        for done in asked:
            done([(source, self._newest[source.name]) for source in self._sources if source.name in self._newest])
