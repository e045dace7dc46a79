# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Warm-starts the connector of a new modality from the modality-agnostic connector (training/modality_agnostic.py).

Tokens of encoders that detect objects end in the same predicted attributes (encoders/proposals.py), and every token has a
position. The weights for both are copied. The weights for the encoder's own features start at zero, until training changes them.
"""

from __future__ import annotations

import torch
from torch import nn

from ..datatypes import BadInput
from ..latent.connector import PLACE_WIDTH, Connector
from ..model import Model


def new_connector(model: Model, modality: str, token_width: int) -> Connector:
    """An untrained connector for tokens of `token_width`, with the shape of the model's other connectors. Raises BadInput."""
    if not model.connectors:
        raise BadInput(f"model {model.name} has no connector to take the shape of a new one from")
    shapes = [connector.shape for connector in model.connectors.values()]
    shape = max(shapes, key=lambda shape: shape["linked_blocks"])
    return Connector(modality, llm=model.llm, **{**shape, "token_width": token_width, "predicted_attributes": 0}).to(
        model.llm.device
    )


def copy_connector(model: Model, connector: Connector) -> Connector:
    """A copy of `connector` for the same LLM, which is shared."""
    copy = Connector(connector.modality, llm=model.llm, **connector.shape).to(model.llm.device)
    copy.load_state_dict(connector.state_dict())
    return copy


def can_warm_start(source: Connector | None, token_width: int) -> bool:
    """Whether there is a `source`, and tokens of `token_width` are wider than the predicted attributes that it reads."""
    return source is not None and 0 < source.predicted_attributes < token_width


@torch.no_grad()
def warm_started(model: Model, source: Connector, modality: str, token_width: int) -> Connector:
    """A connector for tokens of `token_width` that reads positions and predicted attributes as `source` does."""
    connector = Connector(modality, llm=model.llm, **{**source.shape, "token_width": token_width}).to(model.llm.device)
    own = connector.state_dict()
    same = {key: value for key, value in source.state_dict().items() if own[key].shape == value.shape}
    connector.load_state_dict({**own, **same})
    nn.init.ones_(connector.normalise.weight)
    nn.init.zeros_(connector.normalise.bias)
    private, read = source.shape["token_width"] - source.predicted_attributes, source.trunk[0].weight
    connector.trunk[0].weight.zero_()
    connector.trunk[0].weight[:, -(source.predicted_attributes + PLACE_WIDTH) :] = read[:, private:]
    connector.trunk[0].bias.copy_(source.trunk[0].bias + read[:, :private] @ source.normalise.bias)
    return connector
