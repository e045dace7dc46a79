# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which live topic carries a sensor of the rig, and with which message type: read from the graph, not from the name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, Protocol, TypeVar

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, Imu, PointCloud2

from ...io.object_messages import OBJECT_TYPES
from ..sources.recorded_topics import message_class
from .diagnostics import SubscriptionEvents

KINDS: dict[str, tuple[type, ...]] = {
    "camera": (Image, CompressedImage),
    "lidar": (PointCloud2,),
    "imu": (Imu,),
    "objects": tuple(kind for name in OBJECT_TYPES if (kind := message_class(name))),
}
"""Message types that carry a modality, as far as they are installed."""

FOLLOW_PERIOD = 0.25
"""The graph is looked at so often [s]."""

_COMPRESSED = "/compressed"


class Subscribed(Protocol):
    """A subscription that `SensorTopic` can hold."""

    events: SubscriptionEvents

    @property
    def publishers(self) -> int: ...

    def destroy(self) -> None: ...


Kept = TypeVar("Kept", bound=Subscribed)


def type_name(kind: type) -> str:
    """For example `sensor_msgs/msg/Imu`."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def encoder_name(modality: str) -> str:
    """The name of the node that encodes a modality."""
    return "object_encoder" if modality == "objects" else f"{modality}_encoder"


def names_of(topic: str) -> tuple[str, str]:
    """The names under which a sensor may be published: as in the rig, then with or without /compressed."""
    plain = topic.removesuffix(_COMPRESSED)
    return topic, plain if topic != plain else plain + _COMPRESSED


class SensorTopic(Generic[Kept]):
    """The subscription to one sensor, None until a publisher of a fitting type has been in the graph.

    Args:
        node: resolves the name and sees the graph.
        kinds: the fitting message types.
        topic: name in the rig.
        subscribe: makes the subscription from a type and a resolved name.
    """

    def __init__(self, node: Node, kinds: Sequence[type], topic: str, subscribe: Callable[[type, str], Kept]) -> None:
        self.name = node.resolve_topic_name(topic)
        self.subscription: Kept | None = None
        self.lock = Lock()
        """Held while the subscription changes; hold it to use the subscription in another thread."""
        self._node = node
        self._kinds = {type_name(kind): kind for kind in kinds}
        self._subscribe = subscribe
        self._used: tuple[str, str] | None = None
        self._other_types: list[str] = []

    def follow(self) -> None:
        """Subscribe to what the graph offers now, in place of another topic or type.

        Call it in a callback of the executor, or before it spins: destroying a subscription breaks an executor that waits.
        """
        if self._used and self._used[0] == self.name and self.publishers:
            return  # the topic of the rig sends: the graph is not searched
        found = self._offered()
        if found is None or found == self._used:
            return
        name, kind = found
        with self.lock:
            if self.subscription is not None:
                self.subscription.destroy()
            self.subscription, self._used = self._subscribe(self._kinds[kind], name), found

    def destroy(self) -> None:
        """Unsubscribe. Call it where `follow` may be called."""
        with self.lock:
            if self.subscription is not None:
                self.subscription.destroy()
            self.subscription = self._used = None

    @property
    def subscribed_name(self) -> str:
        """The topic that is subscribed to, before that the one in the rig."""
        return self._used[0] if self._used else self.name

    @property
    def publishers(self) -> int:
        """Number of matched publishers."""
        return self.subscription.publishers if self.subscription is not None else 0

    @property
    def problem(self) -> str:
        """Why no message can arrive, with the cure; empty where one can."""
        if self.subscription is not None and self.subscription.events.incompatible:
            return self.subscription.events.incompatible
        if self.publishers:
            return ""
        wanted = " or ".join(self._kinds)
        if missing := [name for name in self._other_types if message_class(name) is None]:
            package = missing[0].split("/")[0]
            cure = f"`apt install ros-$ROS_DISTRO-{package.replace('_', '-')}`, or publish {wanted}"
            return f"{self.name} is {missing[0]}, but {package} is not installed: {cure}"
        if self._other_types:
            return f"{self.name} is {', '.join(self._other_types)}, not {wanted}: name the topic of the sensor in the rig file"
        return f"nobody publishes {self.subscribed_name}: start the driver, or name another topic in the rig file"

    def _offered(self) -> tuple[str, str] | None:
        """Name and type that the graph offers; of several types of one name the one in use."""
        for name in names_of(self.name):
            types = {info.topic_type for info in self._node.get_publishers_info_by_topic(name)}
            if name == self.name:
                self._other_types = sorted(types - set(self._kinds))
            fitting = [(name, kind) for kind in self._kinds if kind in types]
            if fitting:
                return self._used if self._used in fitting else fitting[0]
        return None
