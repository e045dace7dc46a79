# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`mmllm mcp` beside a running llm node, asked by the client of the official SDK over both transports."""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
from pathlib import Path

import anyio
import cv2
import numpy as np
import pytest
from harness import process
from mmllm_ros.msg import ModalityPlan, SensorHealth
from rclpy.parameter import Parameter
from robot_messages import camera_image
from sensor_msgs.msg import Image

from mmllm_ros.datatypes import Health, Plan
from mmllm_ros.nodes.llm import Llm
from mmllm_ros.nodes.ros_support import qos
from mmllm_ros.nodes.ros_support.messages import health_to_message, plan_to_message

mcp = pytest.importorskip("mcp", reason="the MCP SDK is not installed")


def robot(ros, model):
    """An llm node, a plan, the health of a camera and its pictures."""
    node = ros.add(Llm(parameter_overrides=[Parameter("model", value=str(model)), Parameter("device", value="cpu")]))
    plan = Plan(1, {"camera": True, "lidar": False}, {"camera": "healthy", "lidar": "black"}, "night", 0)
    ros.tester.create_publisher(ModalityPlan, "mmllm/plan", qos.LATCHED).publish(plan_to_message(plan))
    health = ros.tester.create_publisher(SensorHealth, "mmllm/health", qos.RELIABLE)
    camera = ros.tester.create_publisher(Image, "camera/front/image_raw", 1)

    def send() -> None:
        camera.publish(camera_image(ros))
        health.publish(health_to_message(Health("camera", "front", 1, 10.0, 0.1, 0.0, 0, {"contrast": 0.2}, True)))

    ros.tester.create_timer(0.2, send)
    ros.until(lambda: node.worker.assistant)


async def talk(client) -> None:
    """Every tool and the resource; a refused question is an error of the tool, not of the connection."""
    tools = (await client.list_tools()).tools
    assert {tool.name for tool in tools} == {"ask", "evidence", "status", "sensors"}
    assert all(tool.annotations.read_only_hint for tool in tools)

    async def call(name: str, **arguments):
        result = await client.call_tool(name, arguments)
        assert not result.is_error, result
        return result.structured_content

    answer = await call("ask", question="are there any cars ?", timeout=60.0)
    assert answer["question"] == "are there any cars ?" and 0.0 <= answer["confidence"] <= 1.0
    assert (await call("evidence"))["result"][0]["answer"] == answer["answer"]
    refused = await client.call_tool("ask", {"question": "  "})
    assert refused.is_error and "question" in json.dumps([item.model_dump() for item in refused.content])
    while len((status := await call("status"))["modalities"]) < 2 or not (sensors := (await call("sensors"))["result"]):
        await anyio.sleep(0.2)
    assert status["context"] == "night" and status["modalities"][1] == {
        "modality": "lidar", "plugged": False, "available": False, "reason": "black"
    }  # fmt: skip
    assert (sensors[0]["modality"], sensors[0]["source"], sensors[0]["healthy"]) == ("camera", "front", True)
    picture = None
    while picture is None:
        try:
            picture = (await client.read_resource("robot://cameras/newest")).contents[0]
        except mcp.MCPError as error:
            assert "no camera image" in str(error)
            await anyio.sleep(0.2)
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(picture.blob), np.uint8), cv2.IMREAD_COLOR)
    assert picture.mime_type == "image/jpeg" and pixels.shape == (540, 960, 3) and pixels.std() > 5


def test_a_client_over_standard_input_reads_and_asks(ros, tiny_model):
    from mcp.client.stdio import StdioServerParameters, get_default_environment, stdio_client

    robot(ros, tiny_model)
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "mmllm_ros", "mcp"], env={**get_default_environment(), **os.environ}
    )

    async def run() -> None:
        async with mcp.Client(stdio_client(parameters)) as client:
            await talk(client)

    anyio.run(run)


def test_a_client_over_http_reads_and_asks_and_only_this_machine_is_served(ros, tiny_model):
    robot(ros, tiny_model)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with process("mmllm_ros", "mcp", "--http", "--port", str(port)) as server:

        def listening() -> bool:
            assert server.poll() is None, server.stderr.read()
            with socket.socket() as trial:
                return trial.connect_ex(("127.0.0.1", port)) == 0

        ros.until(listening)
        addresses = [
            line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[1].endswith(f":{port:04X}")
        ]
        assert set(addresses) == {f"0100007F:{port:04X}"}

        async def run() -> None:
            async with mcp.Client(f"http://127.0.0.1:{port}/mcp") as client:
                await talk(client)

        anyio.run(run)
