# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command mcp."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from ..datatypes import BadInput
from .options import Namespace, RigName

ADDRESS = "127.0.0.1"


def mcp(
    rig: RigName = "front",
    namespace: Namespace = "",
    http: Annotated[bool, typer.Option("--http", help="streamable HTTP on this machine; without it stdio")] = False,
    port: Annotated[int, typer.Option(help="with --http: http://127.0.0.1:PORT/mcp", min=1, max=65535)] = 8765,
) -> None:
    """Serve a running robot to MCP clients, read-only: tools ask, evidence, status and sensors, and the newest picture."""
    if find_spec("mcp") is None:
        raise BadInput("the MCP SDK is not installed: `pip install -r requirements/mcp.txt`")
    from ..nodes.clients.robot_view import RobotView
    from ..rig import load_rig
    from .mcp_server import make_server

    with RobotView(load_rig(rig), namespace) as robot:
        server = make_server(robot)
        if http:
            server.run("streamable-http", host=ADDRESS, port=port)
        else:
            server.run("stdio")
