# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For two_machines.py: two network namespaces, joined by a link with a rate, a delay and loss.

Each namespace has a TAP device; a thread of this process carries the Ethernet frames from one to the other. In contrast to `tc
netem` it needs no kernel module, only root and /dev/net/tun.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

ROBOT, BASE = "mmllm_robot", "mmllm_base"
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_CLONE_NEWNET = 0x40000000
_BUFFER = 0.2
"""A frame that would wait longer [s] for its turn is dropped, as by a router."""


class Link:
    """The link. `rate` [bit/s], `delay` [s] and `loss` (0 to 1) hold in both directions and may be changed; `cut` drops all.

    `sent` counts the bytes by the namespace that sent them, `dropped` those that did not arrive, for whatever reason.
    """

    def __init__(self, devices: dict[str, int]) -> None:
        self.rate, self.delay, self.loss, self.cut = 1e9, 0.0, 0.0, False
        self.sent, self.dropped = dict.fromkeys(devices, 0), dict.fromkeys(devices, 0)
        self._devices = devices
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="link")
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _carry(self) -> None:
        rng, names = random.Random(0), {device: name for name, device in self._devices.items()}
        other = dict(zip(names, reversed(names), strict=True))
        free_at = dict.fromkeys(names, 0.0)
        under_way: list[tuple[float, int, int, bytes]] = []
        number = 0
        while not self._stopping.is_set():
            now = time.monotonic()
            while under_way and under_way[0][0] <= now:
                _, _, target, frame = heapq.heappop(under_way)
                os.write(target, frame)
            wait = max(0.0, under_way[0][0] - now) if under_way else 0.1
            for device in select.select(list(names), [], [], min(wait, 0.1))[0]:
                frame, now = os.read(device, 65_536), time.monotonic()
                self.sent[names[device]] += len(frame)
                starts = max(now, free_at[device])
                if self.cut or rng.random() < self.loss or starts - now > _BUFFER:
                    self.dropped[names[device]] += len(frame)
                    continue
                free_at[device] = starts + 8 * len(frame) / self.rate
                number += 1
                heapq.heappush(under_way, (free_at[device] + self.delay, number, other[device], frame))


@contextlib.contextmanager
def two_machines() -> Iterator[Link]:
    """The namespaces ROBOT and BASE and their link. The calling thread, and what it starts, is in BASE meanwhile."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        sys.exit("two network namespaces need root and /dev/net/tun: run this benchmark in a container or a VM that has both")
    devices, link = {}, None
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        for number, name in enumerate((ROBOT, BASE), 1):
            if os.path.exists(f"/run/netns/{name}"):
                sys.exit(f"network namespace {name} exists, of another run or one that was killed: `ip netns delete {name}`")
            _ip("netns", "add", name)
            device = devices[name] = os.open("/dev/net/tun", os.O_RDWR)
            tap = f"{name[-5:]}_tap"
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", tap.encode(), _IFF_TAP | _IFF_NO_PI))
            _ip("link", "set", tap, "netns", name)
            _ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", tap)
            for up in (tap, "lo"):
                _ip("-n", name, "link", "set", up, "up")
            _ip("-n", name, "route", "add", "224.0.0.0/4", "dev", tap)
        link = Link(devices)
        with open(f"/run/netns/{BASE}") as namespace:
            _enter(namespace.fileno())
        yield link
    finally:
        _enter(before)
        os.close(before)
        if link:
            link.stop()
        for name, device in devices.items():
            os.close(device)
            _ip("netns", "delete", name)


def in_robot(command: list[str]) -> list[str]:
    """The command, run in the namespace ROBOT."""
    return ["ip", "netns", "exec", ROBOT, *command]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
