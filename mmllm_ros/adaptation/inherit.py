# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A newcomer's connector does not begin from noise: it inherits from the sibling with which it answers the lessons best.

Tokens of the grid encoders end in the same read-outs (encoders/proposals.py: objectness, class, status, colour), and every token
has its place. What a trained connector makes of those it hands on; what it makes of its own encoder's features it cannot, so
their mean effect goes into the bias, and the newcomer's features are not read until training reads them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..datatypes import BadInput
from ..encoders.proposals import ATTRIBUTES
from ..latent.connector import PLACE_WIDTH, Connector
from ..model import Model


def fresh(model: Model, modality: str, token_width: int) -> Connector:
    """An untrained connector for tokens of `token_width`, in the shape of the model's others. Raises BadInput."""
    if not model.connectors:
        raise BadInput(f"model {model.name} has no connector to take the shape of a new one from")
    shapes = [connector.shape for connector in model.connectors.values()]
    shape = max(shapes, key=lambda shape: shape["linked_blocks"])
    return Connector(modality, llm=model.llm, **{**shape, "token_width": token_width}).to(model.llm.device)


def twin(model: Model, connector: Connector) -> Connector:
    """A copy of `connector` for the same LLM, which is shared and not copied."""
    copy = Connector(connector.modality, llm=model.llm, **connector.shape).to(model.llm.device)
    copy.load_state_dict(connector.state_dict())
    return copy


@torch.no_grad()
def heir(model: Model, donor: Connector, newcomer: Connector, donor_values: Tensor) -> Connector:
    """A copy of `newcomer` that reads places and read-outs as `donor` does.

    `donor_values` [n, D] are tokens of the donor's encoder, to average over. Both widths must exceed the read-outs.
    """
    child = twin(model, newcomer)
    own = child.state_dict()
    same = {key: value for key, value in donor.state_dict().items() if own[key].shape == value.shape}
    child.load_state_dict({**own, **same})
    private, width = donor.shape["token_width"] - ATTRIBUTES, newcomer.shape["token_width"]
    features = donor.normalise(donor_values)[:, :private].mean(0)
    first, read = child.trunk[0], donor.trunk[0].weight
    first.weight.zero_()
    first.weight[:, -(ATTRIBUTES + PLACE_WIDTH) :] = read[:, -(ATTRIBUTES + PLACE_WIDTH) :]
    first.bias.copy_(donor.trunk[0].bias + read[:, :private] @ features)
    nn.init.ones_(child.normalise.weight)
    nn.init.zeros_(child.normalise.bias)
    child.normalise.weight[width - ATTRIBUTES :] = donor.normalise.weight[private:]
    child.normalise.bias[width - ATTRIBUTES :] = donor.normalise.bias[private:]
    return child


def can_inherit(donor: Connector, newcomer: Connector) -> bool:
    """Whether both read tokens that are long enough to end in read-outs, in the same shape of connector."""
    shapes = [{**connector.shape, "token_width": connector.shape["token_width"] > ATTRIBUTES} for connector in (donor, newcomer)]
    return shapes[0] == shapes[1] and shapes[0]["token_width"]
