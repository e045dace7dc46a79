# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The MCP server of a robot: read-only tools and the newest pictures. Needs the official SDK, `mcp`, and no ROS by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import cv2
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from .. import __version__
from ..datatypes import BadInput
from ..visualization.answer_text import record
from ..visualization.drawing import draw_cameras

if TYPE_CHECKING:
    from ..nodes.clients.robot_view import RobotView

PICTURE = "robot://cameras/newest"
PICTURE_SIZE = (540, 960)
"""Height and width of the picture of all cameras [px]."""

LONGEST_TIMEOUT = 60.0
INSTRUCTIONS = (
    "A robot that answers questions in English about what its camera, lidar and IMU sense now. Each answer has a confidence, the "
    "readings that it rests on with their age in seconds, and the reason for each sensor that was left out. An answer without "
    "evidence is a guess. Nothing here moves or changes the robot."
)


def make_server(robot: RobotView) -> MCPServer:
    """The server, for any transport."""
    server = MCPServer("mmllm_ros", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING")
    reading = ToolAnnotations(read_only_hint=True, open_world_hint=False)

    @server.tool(annotations=reading)
    def ask(
        question: Annotated[str, Field(description="for example: Are there any cars to the left of me?")],
        timeout: Annotated[float, Field(description="longest wait [s]", gt=0.0, le=LONGEST_TIMEOUT)] = 10.0,
    ) -> dict[str, Any]:
        """Ask the robot about what it senses now. Returns the answer with confidence, evidence, and sensors left out."""
        try:
            return record(robot.ask(question, timeout))
        except BadInput as error:
            raise ToolError(str(error)) from error

    @server.tool(annotations=reading)
    def evidence(count: Annotated[int, Field(description="number of answers", ge=1, le=100)] = 1) -> list[dict[str, Any]]:
        """What the latest answers rest on, whoever asked, the newest first."""
        return [record(answer) for answer in list(robot.answers)[:count]]

    @server.tool(annotations=reading)
    def status() -> dict[str, Any]:
        """Which modalities are plugged into the language model and why, the light and weather, and what is not in order."""
        plan = robot.plan
        modalities = [
            {"modality": modality, "plugged": plugged, "available": modality in plan.available, "reason": plan.reasons[modality]}
            for modality, plugged in (plan.plugged.items() if plan else ())
        ]
        return {"context": plan.context if plan else "", "modalities": modalities, "faults": dict(robot.faults)}

    @server.tool(annotations=reading)
    def sensors() -> list[dict[str, Any]]:
        """Rate [Hz], age [s] and health of every sensor, with a reason where it is not healthy."""
        fields = ("modality", "source", "rate", "age", "healthy", "reason", "signals")
        return [{name: getattr(health, name) for name in fields} for health in robot.healths.values()]

    @server.resource(PICTURE, mime_type="image/jpeg", description="the newest picture of every camera, side by side")
    def newest_picture() -> bytes:
        images = robot.images()
        if not images:
            raise ResourceError("no camera image has arrived yet")
        return cv2.imencode(".jpg", draw_cameras(images, PICTURE_SIZE)[..., ::-1])[1].tobytes()

    return server
