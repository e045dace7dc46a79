# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The `signals` of a rig on a simulated drive: what a robot's drivers would publish of depth, sound and ultrasonic echoes."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..datatypes import BadInput, Signal
from ..io.signals import signal_of
from ..io.sound import RATE
from ..rig import CameraMount, ImuMount, LidarMount, Rig, SignalMount
from .drive import Drive
from .sensors.depth import DepthCamera
from .sensors.faults import Snapshot
from .sensors.microphones import SECONDS, microphones, record
from .sensors.ultrasonic import TRANSDUCERS, UltrasonicArray
from .world.ray_scene import RayScene
from .world.sounds import sound_sources

DEPTH_SIZE = (96, 160)
SOUND_PERIOD = 0.4
_STREAM = 70


def with_cameras(rig: Rig) -> Rig:
    """The rig with the camera, lidar and IMU whose topics its signals of kind image, video, points and imu read."""
    known = {mount.topic for mount in rig.mounts}
    cameras, lidar, imu = list(rig.cameras), rig.lidar, rig.imu
    for mount in rig.signals:
        if mount.topic in known:
            continue
        if mount.kind in ("image", "video"):
            cameras.append(CameraMount(mount.name, mount.topic, mount.bearing, mount.fov))
        elif mount.kind == "points":
            lidar = lidar or LidarMount(mount.topic, mount.axes)
        elif mount.kind == "imu":
            imu = imu or ImuMount(mount.topic, mount.axes)
        known.add(mount.topic)
    return dataclasses.replace(rig, cameras=tuple(cameras), lidar=lidar, imu=imu)


class SignalSensors:
    """Depth cameras, microphones and the ultrasonic array among the `signals` of `rig`, one for each topic.

    Raises BadInput for a number of microphones or channels that the simulator does not have.
    """

    def __init__(self, rig: Rig) -> None:
        mounts = {mount.topic: mount for mount in rig.signals}
        self.mounts = [mount for mount in mounts.values() if mount.kind in ("depth", "normals", "audio", "array")]
        self._depth = {m.name: _depth_camera(m) for m in self.mounts if m.kind in ("depth", "normals")}
        self._array = UltrasonicArray()
        self._heard = 0.0
        for mount in self.mounts:
            if mount.kind == "audio" and (mount.channels not in (2, 3, 4) or (mount.rate, mount.encoding) != (RATE, "S16LE")):
                raise BadInput(f"signals.{mount.name}: the simulator has 2 to 4 microphones at {RATE} Hz, S16LE")
            if mount.kind == "array" and mount.channels != len(TRANSDUCERS):
                raise BadInput(f"signals.{mount.name}: the simulated array has {len(TRANSDUCERS)} channels, not {mount.channels}")

    def capture(self, drive: Drive, snapshot: Snapshot, ray_scene: RayScene) -> list[Signal]:
        """What the sensors give now. Sound comes in pieces of SOUND_PERIOD or more, at most SECONDS, since the piece before."""
        rng = np.random.default_rng([drive.seed, _STREAM, round(drive.seconds * 100)])
        heard = drive.seconds - self._heard
        due = heard > SOUND_PERIOD - 1e-6
        if due:
            self._heard = drive.seconds
        mounts = [mount for mount in self.mounts if due or mount.kind != "audio"]
        return [self._signal(mount, drive, snapshot, ray_scene, heard, rng) for mount in mounts]

    def _signal(
        self,
        mount: SignalMount,
        drive: Drive,
        snapshot: Snapshot,
        ray_scene: RayScene,
        heard: float,
        rng: np.random.Generator,
    ) -> Signal:
        truth = snapshot.truth
        if mount.kind == "array":
            data = self._array.capture(ray_scene, drive.pose, drive.weather, drive.speed, rng).traces
        elif mount.kind == "audio":
            sources = sound_sources(drive.seed, truth)
            layout = microphones(mount.channels)
            data = record(sources, layout, drive.weather, drive.speed, rng, clock=drive.seconds).wave
            data = data[:, -round(min(heard, SECONDS) * RATE) :]
        else:
            data = self._depth[mount.name].capture(ray_scene, drive.pose, drive.weather, rng).depth[None]
        return signal_of(mount, truth.stamp, data)


def _depth_camera(mount: SignalMount) -> DepthCamera:
    return DepthCamera(CameraMount(mount.name, mount.topic, mount.bearing, mount.fov), DEPTH_SIZE)
