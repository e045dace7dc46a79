# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages that no honest driver sends, of every type that the nodes subscribe to: wrong sizes, values, names and stamps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from mmllm_ros.msg import Answer, Evidence, ModalityPlan, SensorHealth, SensorTokens
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2, PointField
from std_msgs.msg import Header, String

SIZES = (0, 1, 2, 40, 80, 65_535, 2**31 - 1, 2**32 - 1)
NUMBERS = (0.0, 1.0, -1.0, 1e308, -1e308, float("nan"), float("inf"), -float("inf"))
TEXTS = ("", " ", "rgb8", "mono16", "32FC1", "h264", "jpeg", "camera", "lidar", "imu", "yes", "\x01\x1b[31m\n", "é" * 40)
SECONDS = (0, 1, 1_700_000_000, 2**31 - 1, -1)


class HostileMessages:
    """Draws messages from a seed. `topics` maps each topic of the front rig and of mmllm to a method that makes one."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.topics: dict[str, tuple[type, Callable[[], Any]]] = {
            "camera/front/image_raw": (Image, self.image),
            "lidar/points": (PointCloud2, self.cloud),
            "imu/data": (Imu, self.imu),
            "mmllm/tokens": (SensorTokens, self.tokens),
            "mmllm/health": (SensorHealth, self.health),
            "mmllm/plan": (ModalityPlan, self.plan),
            "mmllm/answers": (Answer, self.answer),
            "mmllm/questions": (String, self.question),
        }

    def _one(self, values: tuple) -> Any:
        return values[self._rng.integers(len(values))]

    def _number(self) -> float:
        return float(self._one(NUMBERS)) if self._rng.random() < 0.5 else float(self._rng.normal(0.0, 10.0))

    def _text(self) -> str:
        if self._rng.random() < 0.1:
            return "x" * int(self._rng.integers(10_000))
        return self._one(TEXTS) if self._rng.random() < 0.7 else f"name_{self._rng.integers(10**9)}"

    def _bytes(self, most: int = 4000) -> bytes:
        return self._rng.integers(0, 256, self._rng.integers(most), dtype=np.uint8).tobytes()

    def _many(self, make: Callable[[], Any], most: int = 6) -> list:
        return [make() for _ in range(self._rng.integers(most))]

    def header(self, now: float = 0.0) -> Header:
        """A stamp at the start of time, in the future, backwards, or not normalized."""
        nanoseconds = int(self._one((0, 1, 999_999_999, 2**32 - 1)))
        return Header(stamp=Time(sec=int(self._one((*SECONDS, int(now)))), nanosec=nanoseconds), frame_id=self._text())

    def image(self) -> Image:
        """Any size and step over any number of bytes."""
        width, height = int(self._one(SIZES)), int(self._one(SIZES))
        step = width * 3 % 2**32 if self._rng.random() < 0.5 else int(self._one(SIZES))
        encoding, order = self._text(), int(self._rng.integers(256))
        return Image(
            header=self.header(), height=height, width=width, step=step, encoding=encoding, is_bigendian=order, data=self._bytes()
        )

    def compressed(self) -> CompressedImage:
        """A file that is none, or only begins like one."""
        start = self._one((b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"))
        return CompressedImage(header=self.header(), format=self._text(), data=start + self._bytes())

    def cloud(self) -> PointCloud2:
        """Fields that overlap, lie outside of a point, or have no type."""

        def field() -> PointField:
            name = self._one(("x", "y", "z", "intensity", self._text()))
            kind = int(self._rng.integers(12))
            return PointField(name=name, offset=int(self._one(SIZES)), datatype=kind, count=int(self._one(SIZES)))

        proper = [PointField(name=name, offset=4 * i, datatype=7, count=1) for i, name in enumerate("xyz")]
        return PointCloud2(
            header=self.header(),
            height=int(self._one(SIZES)),
            width=int(self._one(SIZES)),
            fields=proper if self._rng.random() < 0.5 else self._many(field),
            is_bigendian=bool(self._rng.integers(2)),
            point_step=int(self._one((12, 16, *SIZES))),
            row_step=int(self._one(SIZES)),
            data=self._bytes(),
        )

    def imu(self) -> Imu:
        """Numbers that are none, and covariances that say so."""
        message = Imu(header=self.header())
        for vector in (message.linear_acceleration, message.angular_velocity):
            vector.x, vector.y, vector.z = (self._number() for _ in "xyz")
        message.angular_velocity_covariance[0] = self._number()
        return message

    def tokens(self) -> SensorTokens:
        """More numbers or fewer than stated."""
        numbers = [float(np.float32(min(max(self._number(), -3e38), 3e38))) for _ in range(self._rng.integers(60))]
        return SensorTokens(
            header=self.header(),
            modality=self._text(),
            source=self._text(),
            encoder=self._text(),
            count=int(self._one(SIZES)),
            width=int(self._one(SIZES)),
            values=numbers,
            places=numbers[:9],
        )

    def health(self) -> SensorHealth:
        """Of sensors that do not exist, with numbers that are none."""
        names = self._many(self._text)
        return SensorHealth(
            header=self.header(),
            modality=self._text(),
            source=self._text(),
            rate=self._number(),
            age=self._number(),
            healthy=bool(self._rng.integers(2)),
            reason=self._text(),
            cost=self._number(),
            signal_names=names,
            signal_values=[self._number() for _ in range(max(0, len(names) - int(self._rng.random() < 0.2)))],
        )

    def plan(self) -> ModalityPlan:
        """Lists of different lengths, shares beyond one."""
        return ModalityPlan(
            header=self.header(),
            context=self._text(),
            modalities=self._many(self._text),
            plugged=self._many(lambda: bool(self._rng.integers(2))),
            reasons=self._many(self._text),
            linked_blocks=int(self._one(SIZES)),
            cost=self._number(),
            available=self._many(self._text),
            encode_rate_share=self._number(),
        )

    def answer(self) -> Answer:
        """An answer that nobody gave."""

        def evidence() -> Evidence:
            return Evidence(header=self.header(), modality=self._text(), source=self._text(), age=self._number())

        confidence = float(np.float32(min(max(self._number(), -3e38), 3e38)))
        return Answer(
            header=self.header(),
            question=self._text(),
            answer=self._text(),
            confidence=confidence,
            evidence=self._many(evidence),
            unplugged=self._many(self._text),
            reasons=self._many(self._text),
            latency=self._number(),
        )

    def question(self) -> String:
        """Too long, empty, markup, control characters."""
        return String(data=self._one(("", "   ", "?" * 5000, "<b>\x1b[2J</b>", "are there any cars ? " * 50, self._text())))
