# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A newcomer's connector does not begin from noise: it inherits from the model's universal one (training/universal.py).

Tokens of the encoders that find objects end in the same read-outs (encoders/proposals.py), and every token has its place: that
is what a universal connector knows how to speak from, and hands on. What an encoder's own features mean it cannot hand on: a
newcomer's are not read until training reads them.
"""

from __future__ import annotations

import torch
from torch import nn

from ..datatypes import BadInput
from ..latent.connector import PLACE_WIDTH, Connector
from ..model import Model


def fresh(model: Model, modality: str, token_width: int) -> Connector:
    """An untrained connector for tokens of `token_width`, in the shape of the model's others. Raises BadInput."""
    if not model.connectors:
        raise BadInput(f"model {model.name} has no connector to take the shape of a new one from")
    shapes = [connector.shape for connector in model.connectors.values()]
    shape = max(shapes, key=lambda shape: shape["linked_blocks"])
    return Connector(modality, llm=model.llm, **{**shape, "token_width": token_width, "readouts": 0}).to(model.llm.device)


def twin(model: Model, connector: Connector) -> Connector:
    """A copy of `connector` for the same LLM, which is shared and not copied."""
    copy = Connector(connector.modality, llm=model.llm, **connector.shape).to(model.llm.device)
    copy.load_state_dict(connector.state_dict())
    return copy


def can_warm_start(donor: Connector | None, token_width: int) -> bool:
    """Whether there is a `donor`, and tokens of `token_width` can end in the read-outs that it reads."""
    return donor is not None and 0 < donor.readouts < token_width


@torch.no_grad()
def warm_started(model: Model, donor: Connector, modality: str, token_width: int) -> Connector:
    """A connector for tokens of `token_width` that reads places and read-outs as `donor` does, and nothing else."""
    child = Connector(modality, llm=model.llm, **{**donor.shape, "token_width": token_width}).to(model.llm.device)
    own = child.state_dict()
    same = {key: value for key, value in donor.state_dict().items() if own[key].shape == value.shape}
    child.load_state_dict({**own, **same})
    nn.init.ones_(child.normalise.weight)
    nn.init.zeros_(child.normalise.bias)
    private, read = donor.shape["token_width"] - donor.readouts, donor.trunk[0].weight
    child.trunk[0].weight.zero_()
    child.trunk[0].weight[:, -(donor.readouts + PLACE_WIDTH) :] = read[:, private:]
    child.trunk[0].bias.copy_(donor.trunk[0].bias + read[:, :private] @ donor.normalise.bias)
    return child
