# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One drive through the town: advance time, capture what the sensors of a rig give and what is true at that moment."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..datatypes import NANOSECONDS, BadInput, CameraFrame, ImuWindow, LidarScan
from ..rig import Rig
from . import annotate
from .sensors.camera import Camera, Lens, View
from .sensors.faults import Fault, Faults, Snapshot
from .sensors.imu import Imu, ImuErrors
from .sensors.lidar import Lidar, Sweep
from .sensors.shading import LightingScene
from .truth import SceneTruth, Weather
from .world.clutter import draw_clutter
from .world.crowds import Placed, draw_crowd
from .world.ego_vehicle import MANOEUVRES, STEP, Ego, Route
from .world.ray_scene import RayScene, SceneMesh, Scenery
from .world.town import Town
from .world.traffic import STEP as TRAFFIC_STEP
from .world.traffic import Traffic
from .world.weather import WeatherSchedule, weather_schedule

START = 1_700_000_000 * NANOSECONDS
"""The stamp at which every drive starts [ns]."""

_LENS_SECONDS = 3.0


class Drive:
    """A simulated drive, drawn from `seed`: the same seed, rig and calls give the same bytes.

    `context` is a name of weather.CONTEXTS, a Weather, or a function seconds -> Weather. `camera_size` is (height, width)
    in pixels. `faults` corrupt frames; with `sweep_motion` the lidar moves during its sweep. `manoeuvre` is one of MANOEUVRES,
    None = drawn; `imu_errors` turn and bias the IMU. Raises BadInput.

        drive = Drive(7, load_rig("nuscenes"), "night")
        drive.advance(0.5)
        snapshot = drive.capture()
    """

    def __init__(
        self,
        seed: int,
        rig: Rig,
        context: str | Weather | WeatherSchedule = "mixed",
        camera_size: tuple[int, int] = (80, 160),
        faults: Sequence[Fault] = (),
        sweep_motion: bool = False,
        manoeuvre: str | None = None,
        imu_errors: ImuErrors | None = None,
    ):
        if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
            raise BadInput(f"seed is {seed!r}, not an integer from 0")
        height, width = camera_size
        if not (8 <= height <= 2160 and 8 <= width <= 3840):
            raise BadInput(f"camera_size is {tuple(camera_size)}, not (height 8 to 2160, width 8 to 3840)")
        if manoeuvre not in (None, *MANOEUVRES):
            raise BadInput(f"manoeuvre is {manoeuvre!r}, not one of {list(MANOEUVRES)}")
        self.seed, self.rig, self.name = int(seed), rig, f"sim-{int(seed)}"
        rng = np.random.default_rng([self.seed, 0])
        # A separate generator, so that a seed gives the same drive in every weather.
        self._weather_at = weather_schedule(context, np.random.default_rng([self.seed, 7]))
        self._town = Town.from_seed(self.seed)
        drawn = str(rng.choice(MANOEUVRES))
        self._ego = Ego(self._town, np.random.default_rng([self.seed, 4]), manoeuvre or drawn)
        self._low_sun = (self._ego.yaw + float(rng.normal(0, 0.3)), float(rng.uniform(0.08, 0.2)))
        self._high_sun = float(rng.uniform(-math.pi, math.pi))
        self._traffic = Traffic(self._town, self._ego, np.random.default_rng([self.seed, 5]))
        self._scenery = Scenery(self._town)
        self._props: tuple[SceneMesh, ...] = ()
        self._cameras = [Camera(mount, (int(height), int(width))) for mount in rig.cameras]
        self._lidar = Lidar(rig.lidar) if rig.lidar else None
        self._imu = Imu(np.random.default_rng([self.seed, 6]), imu_errors) if rig.imu else None
        self._sweep_motion = sweep_motion
        sources = [mount.name for mount in rig.cameras] + ["lidar"] * bool(rig.lidar) + ["imu"] * bool(rig.imu)
        self._faults = Faults(faults, sources)
        self._step, self._left_over, self._gap = 0, 0.0, math.inf
        # The IMU window covers the last second, so one second is simulated before the start.
        self._run(100)
        self._origin = self._step

    @property
    def seconds(self) -> float:
        """Time since the start of the drive [s]."""
        return (self._step - self._origin) * STEP

    @property
    def weather(self) -> Weather:
        """Light and weather now."""
        return self._weather_at(self.seconds)

    @property
    def pose(self) -> tuple[float, float, float]:
        """x, y [m] and yaw [rad] of the base of the ego vehicle in the world."""
        return self._ego.x, self._ego.y, self._ego.yaw

    @property
    def speed(self) -> float:
        """Speed of the ego vehicle now [m/s]."""
        return self._ego.speed

    def pose_ahead(self, metres: float) -> tuple[float, float, float]:
        """The pose after so much more of the route."""
        x, y, yaw, _ = self._ego.route.samples[int((self._ego.distance + metres) / Route.SPACING)]
        return x, y, yaw

    def add_props(self, props: Sequence[SceneMesh]) -> None:
        """Add fixed meshes in world coordinates (world/props.py) to what the sensors see from now on."""
        self._props += tuple(props)

    def add_surroundings(self, rng: np.random.Generator) -> list[Placed]:
        """Add clutter (world/clutter.py) and more road users (world/crowds.py), which stand still. The road users are returned,
        for the truth does not know them."""
        taken = np.array([(actor.x, actor.y, max(actor.size[:2]) / 2) for actor in self._traffic.actors]).reshape(-1, 3)
        crowd = draw_crowd(self.pose, taken, rng)
        taken = np.concatenate([taken, np.array([(item.x, item.y, max(item.size[:2]) / 2) for item in crowd]).reshape(-1, 3)])
        self.add_props([item.mesh for item in crowd])
        self.add_props(draw_clutter(self._town, self.pose, taken, rng))
        return crowd

    def advance(self, seconds: float) -> None:
        """Simulate `seconds` more. Whole steps of 10 ms are taken; the remainder is added to the next call. Raises BadInput."""
        if not 0.0 <= seconds <= 3600.0:
            raise BadInput(f"seconds is {seconds}, not between 0 and 3600")
        total = self._left_over + seconds
        steps = int(total / STEP + 1e-6)
        self._left_over = max(total - steps * STEP, 0.0)
        self._run(steps)

    def _run(self, steps: int) -> None:
        every = round(TRAFFIC_STEP / STEP)
        for _ in range(steps):
            if self._step % every == 0:
                self._traffic.advance()
                self._gap = self._traffic.leader_gap()
            self._ego.advance(self._gap)
            self._step += 1

    def ray_scene(self) -> RayScene:
        """The geometry around the ego vehicle now, for ray casting in world coordinates."""
        weather, ego = self.weather, self._ego
        signal = annotate.governing_signal(self._town, ego)
        meshes = annotate.scene_meshes(self._town, ego, self._traffic.actors, weather, signal)
        lamp = annotate.street_lamp(self._town, weather)
        return RayScene(self._scenery.around(ego.x, ego.y), [*meshes, *self._props], lamp)

    def views(self, ray_scene: RayScene) -> list[View]:
        """What the cameras of the rig see now, in the order of the rig. Does not change the state."""
        scene = LightingScene(self._town, self.weather, self._sun(self.weather), self.pose)
        return [self._view(number, scene, ray_scene) for number in range(len(self._cameras))]

    def capture(self, ray_scene: RayScene | None = None) -> Snapshot:
        """The frames of all sensors now. Without a lidar or an IMU in the rig its field is None. Does not change the state.

        `ray_scene` is that of this moment, where the caller has it already.
        """
        weather = self.weather
        stamp = START + round(self.seconds * 100) * (NANOSECONDS // 100)
        ray_scene = ray_scene or self.ray_scene()
        views = self.views(ray_scene)
        sweep = self._sweep(ray_scene, weather)
        truth = self._truth(stamp, weather, views, sweep)
        names = [camera.mount.name for camera in self._cameras]
        frames = tuple(CameraFrame(stamp, name, view.image) for name, view in zip(names, views, strict=True))
        scan = LidarScan(stamp, "lidar", sweep.points) if sweep else None
        return self._faults.apply(Snapshot(frames, scan, self._window(stamp), truth), self.seconds)

    def _rng(self, stream: int, number: int = 0) -> np.random.Generator:
        """A generator for one sensor at this moment."""
        return np.random.default_rng([self.seed, 16 + stream, self._step, number])

    def _sun(self, weather: Weather) -> np.ndarray:
        bearing, height = self._low_sun if weather.glare > 0 else (self._high_sun, 0.15 + 0.85 * weather.light)
        c = math.cos(height)
        return np.array([c * math.cos(bearing), c * math.sin(bearing), math.sin(height)], np.float32)

    def _view(self, number: int, scene: LightingScene, ray_scene: RayScene) -> View:
        epoch = int(self.seconds / _LENS_SECONDS)
        drops = np.random.default_rng([self.seed, 8, number, epoch])
        lens = Lens(drops, np.random.default_rng([self.seed, 9, number]), scene.weather)
        return self._cameras[number].capture(scene, ray_scene, self._ego.yaw_rate, self._rng(0, number), lens)

    def _sweep(self, ray_scene: RayScene, weather: Weather) -> Sweep | None:
        if self._lidar is None:
            return None
        ego = self._ego
        motion = (ego.speed, ego.yaw_rate) if self._sweep_motion else (0.0, 0.0)
        return self._lidar.capture(self._town, ray_scene, weather, (ego.x, ego.y, ego.yaw), self._rng(1), motion)

    def _window(self, stamp: int) -> ImuWindow | None:
        if self._imu is None:
            return None
        samples = self._imu.window(list(self._ego.log), self._rng(2), self.seconds)
        times = stamp - np.arange(len(samples) - 1, -1, -1, dtype=np.int64) * (NANOSECONDS // self._imu.rate)
        return ImuWindow(stamp, "imu", times, samples)

    def _truth(self, stamp: int, weather: Weather, views: Sequence[View], sweep: Sweep | None) -> SceneTruth:
        ego = self._ego
        counts = annotate.count_by_owner([camera.mount.name for camera in self._cameras], views, sweep)
        return SceneTruth(
            stamp=stamp,
            scene=self.name,
            token=f"{self.name}-{self._step - self._origin:06d}",
            weather=weather,
            ego=annotate.ego_motion(ego),
            objects=annotate.scene_objects(ego, self._traffic.actors, counts),
            traffic_light=annotate.traffic_light(self._town, ego, counts),
        )
