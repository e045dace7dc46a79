# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reads rosbag2 recordings as frames or serialized messages, and writes frames as a recording. Needs no ROS."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from rosbags.interfaces import (
    Connection,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.rosbag2.errors import WriterError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from ..datatypes import NANOSECONDS, BadInput, Frame, one_line
from ..rig import CameraMount, ImuMount, LidarMount, Mount, ObjectsMount, Rig, SignalMount, load_rig, shipped_rigs
from .frames import ImuBuffer, camera_frame, imu_sample, lidar_scan, same_topic, stamp_of
from .object_messages import OBJECT_TYPES
from .serialization import Serialized, Serializer
from .signals import MESSAGE_TYPES, STREAMS, SignalStream, signal_from_message

SIGNAL_PERIOD = NANOSECONDS // 2
"""Period [ns] at which a recording yields signals of a stream, such as sound; they overlap."""
IMU_PERIOD = NANOSECONDS // 10
"""Period [ns] at which a recording yields ImuWindows; they overlap, as live ones do."""

_FOREVER = QosTime(9223372036, 854775807)
_READS = {
    CameraMount: ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"),
    LidarMount: ("sensor_msgs/msg/PointCloud2",),
    ImuMount: ("sensor_msgs/msg/Imu",),
    ObjectsMount: OBJECT_TYPES,
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of a recording: its type, how many messages, and the QoS profiles that its publishers offered."""

    type: str
    count: int
    qos: tuple[Qos, ...]


class Recording:
    """A rosbag2 folder, or a single .mcap or .db3 file.

    `topics` maps names to Topic, `start` and `end` are the receive times [ns] of the first and the last message. `store` knows
    ROS's message types and those that the recording defines.
    Raises BadInput for a missing, truncated or malformed file and for an unknown storage.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise BadInput(f"recording {self.path} does not exist")
        with self._open() as reader:
            self.topics = _topics(reader.connections)
            self.store = _store(reader.connections)
            self.start: int = reader.start_time
            self.end: int = reader.end_time - 1
            empty = reader.message_count == 0
        if empty:
            raise BadInput(f"recording {self.path} holds no messages")

    @property
    def duration(self) -> float:
        """Seconds from the first to the last message."""
        return (self.end - self.start) / NANOSECONDS

    def sensors(self, rig: Rig) -> dict[str, Mount]:
        """The recorded topics of the rig's sensors, with their mounts; those of `signals` are not among them.

        Raises BadInput when there is neither.
        """
        found = {topic: mount for mount in rig.mounts if (topic := self._topic_of(mount)) is not None}
        if not found and not self.signals(rig):
            wanted = ", ".join(mount.topic for mount in (*rig.mounts, *rig.signals)) or "nothing"
            there = ", ".join(f"{name} ({topic.type})" for name, topic in sorted(self.topics.items())) or "nothing"
            raise BadInput(f"recording {self.path} has no sensor topics: rig {rig.name} expects {wanted}; recorded are {there}")
        return found

    def signals(self, rig: Rig) -> list[tuple[str, SignalMount]]:
        """The recorded topics of the rig's signals for the universal encoder, with their mounts."""
        return [(topic, mount) for mount in rig.signals if (topic := self._topic_of(mount)) is not None]

    def fitting_rig(self) -> str:
        """The shipped rig with the most topics, as written, in this recording; `front` where none has any."""

        def difference(name: str) -> tuple[bool, int, bool]:
            rig = load_rig(name)
            exact = [_absolute(mount) in self._names_of(mount) for mount in (*rig.mounts, *rig.signals)]
            fewer = exact.count(False) - exact.count(True) if any(exact) else 0
            return not any(exact), fewer, name != "front"

        return min(shipped_rigs(), key=difference)

    def frames(self, rig: Rig, objects: Callable[[Any, int], Frame] | None = None) -> Iterator[Frame]:
        """The frames of the rig's sensors in the order of arrival; an invalid message is skipped with a warning.

        `objects` makes a frame of a message of the rig's objects and its receive time [ns]; without it they are left out.
        """
        convert: dict[str, list[Callable[[Any, int], Frame | None]]] = defaultdict(list)
        for topic, mount in self.sensors(rig).items():
            if not isinstance(mount, ObjectsMount):
                convert[topic].append(_Imu(mount) if isinstance(mount, ImuMount) else _single(mount))
            elif objects:
                convert[topic].append(objects)
        for topic, mount in self.signals(rig):
            convert[topic].append(_Signals(mount))
        for topic, kind, time, data in self.raw(convert):
            for to_frame in convert[topic]:
                try:
                    frame = to_frame(self.message(data, kind), time)
                except BadInput as error:
                    logging.getLogger(__name__).warning("%s at %d ns skipped: %s", topic, time, error)
                    continue
                if frame is not None:
                    yield frame

    def message(self, data: bytes, kind: str) -> Any:
        """The message of serialized bytes. Raises BadInput, also for a type that the recording does not define."""
        if kind not in self.store.types:
            raise BadInput(f"the recording does not define {kind}: record it as mcap")
        try:
            return self.store.deserialize_cdr(data, kind)
        except Exception as error:  # as in _open, the parser raises many types
            raise BadInput(f"no valid {kind}: {one_line(error)}") from error

    def chosen(self, topics: str) -> list[str]:
        """The names in a comma-separated list, with or without their leading slash; all where it is empty. Raises BadInput."""
        names = ["/" + name.strip("/") for name in topics.replace(",", " ").split()] or sorted(self.topics)
        if unknown := sorted(set(names) - set(self.topics)):
            raise BadInput(f"recording {self.path} has no topic {unknown[0]!r}, only {sorted(self.topics)}")
        return names

    def raw(self, topics: Collection[str] | None = None, start: float = 0.0) -> Iterator[tuple[str, str, int, bytes]]:
        """Topic, type, receive time [ns] and serialized bytes (CDR) of each message from `start` [s] on, in order.

        Only `topics` are read, all where None. Raises BadInput where `start` is after the end.
        """
        if start > self.duration:
            raise BadInput(f"start {start} s is after the end of recording {self.path}, which lasts {self.duration:.2f} s")
        since = self.start + round(start * NANOSECONDS) if start > 0 else None
        with self._open() as reader:
            wanted = [c for c in reader.connections if topics is None or c.topic in topics]
            if wanted:  # rosbags reads all topics where no connections are given
                for connection, time, data in reader.messages(wanted, start=since):
                    yield connection.topic, connection.msgtype, time, bytes(data)

    def _topic_of(self, mount: Mount | SignalMount) -> str | None:
        names = self._names_of(mount)
        return _absolute(mount) if _absolute(mount) in names else min(names, key=len, default=None)

    def _names_of(self, mount: Mount | SignalMount) -> list[str]:
        """Recorded topics that carry this sensor, raw or compressed."""
        return [
            name
            for name, topic in self.topics.items()
            if same_topic(name, mount.topic) and topic.type in _types_of(mount) and topic.count
        ]

    @contextmanager
    def _open(self) -> Iterator[Reader]:
        if self.path.suffix == ".bag":
            raise BadInput(f"recording {self.path} is a ROS 1 bag: convert it with `rosbags-convert --src FILE --dst FOLDER`")
        files = self.path.iterdir() if self.path.is_dir() else [self.path.with_name(self.path.name + "-wal")]
        for file in files:
            if file.suffix == ".db3-wal" and file.is_file() and file.stat().st_size:
                database = file.with_name(file.name.removesuffix("-wal"))
                cure = f"merge it with `sqlite3 {database} 'PRAGMA wal_checkpoint(TRUNCATE)'`"
                raise BadInput(f"recording {self.path} has messages in {file.name} that are not in {database.name} yet: {cure}")
        try:
            with _plain_path(self.path) as path, Reader(path) as reader:
                _use_stated_qos(reader)
                yield reader
        except BadInput:
            raise
        except Exception as error:  # for a damaged file the parser raises many types, from ReaderError to TypeError
            cure = "if it is incomplete, `ros2 bag reindex` (sqlite3) or `mcap recover` may repair it"
            raise BadInput(f"recording {self.path} cannot be read ({one_line(error)}); {cure}") from error


class Recorder:
    """A new rosbag2 folder at `path`, with the topics and axes that `rig` states.

    A camera whose topic ends in /compressed is stored as PNG, any other as rgb8. Use as a context manager: a recording
    that is not closed has no index. Raises BadInput where `path` cannot be created.
    """

    def __init__(self, path: str | Path, rig: Rig) -> None:
        self._serializer = Serializer(rig)
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._connections: dict[str, Connection] = {}
        try:
            self._writer = Writer(Path(path), version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
        except (WriterError, OSError) as error:
            raise BadInput(f"recording {path} cannot be written: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write the index and the metadata."""
        self._writer.close()

    def write(self, frames: Iterable[Frame]) -> None:
        """Append frames. Of overlapping ImuWindows every sample is written once."""
        for frame in frames:
            if not self._connections:
                self._put(self._serializer.transforms(frame.stamp))
            for message in self._serializer.messages(frame):
                self._put(message)

    def _put(self, message: Serialized) -> None:
        topic = "/" + message.topic.strip("/")
        if topic not in self._connections:
            offered = [_offered(latched=topic == "/tf_static")]
            self._connections[topic] = self._writer.add_connection(
                topic, message.type, typestore=self._store, offered_qos_profiles=offered
            )
        self._writer.write(self._connections[topic], message.stamp, message.data)


@contextmanager
def _plain_path(path: Path) -> Iterator[Path]:
    """`path`, or a link to it where its name has characters that SQLite would take for parts of a URI."""
    if not set("#?%") & set(str(path)):
        yield path
        return
    with TemporaryDirectory() as folder:
        link = Path(folder, "recording").with_suffix(path.suffix if path.is_file() else "")
        link.symlink_to(path.resolve())
        yield link


def _use_stated_qos(reader: Reader) -> None:
    """Let the storage file state the QoS of metadata.yaml: rosbags reads no message of a topic where the two differ."""
    for storage in getattr(reader.storage, "storages", ()):
        for index, stored in enumerate(storage.connections):
            stated = [c for c in reader.connections if (c.topic, c.msgtype) == (stored.topic, stored.msgtype)]
            if stated and all(c.ext != stored.ext for c in stated):
                storage.connections[index] = stored._replace(ext=stated[0].ext, digest=stated[0].digest)


def _absolute(mount: Mount) -> str:
    return "/" + mount.topic.strip("/")


def _topics(connections: Collection[Connection]) -> dict[str, Topic]:
    """One Topic per name: several publishers of one topic are several connections."""
    merged: dict[str, Topic] = {}
    for connection in connections:
        known = merged.get(connection.topic, Topic(connection.msgtype, 0, ()))
        offered = tuple(connection.ext.offered_qos_profiles)
        merged[connection.topic] = Topic(connection.msgtype, known.count + connection.msgcount, known.qos + offered)
    return merged


def _store(connections: Collection[Connection]) -> Typestore:
    """ROS's message types, and those that the recording defines."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for connection in connections:
        if connection.msgtype not in store.types and connection.msgdef.format is MessageDefinitionFormat.MSG:
            defined = get_types_from_msg(connection.msgdef.data, connection.msgtype)
            store.register({name: fields for name, fields in defined.items() if name not in store.types})
    return store


def _types_of(mount: Mount | SignalMount) -> tuple[str, ...]:
    """The message types that carry a sensor."""
    return MESSAGE_TYPES[mount.kind] if isinstance(mount, SignalMount) else _READS[type(mount)]


def _single(mount: CameraMount | LidarMount) -> Callable[[Any, int], Frame]:
    """Message -> frame, for sensors with one frame per message."""
    if isinstance(mount, CameraMount):
        return lambda message, _: camera_frame(message, mount.name)
    return lambda message, _: lidar_scan(message, "lidar", mount)


class _Signals:
    """Message -> signal of the universal encoder; of a stream one every SIGNAL_PERIOD, None otherwise."""

    def __init__(self, mount: SignalMount) -> None:
        self._mount = mount
        self._stream = SignalStream(mount) if mount.kind in STREAMS else None
        self._slot = -1

    def __call__(self, message: Any, time: int) -> Frame | None:
        if self._stream is None:
            return signal_from_message(message, self._mount, time)
        stamp = self._stream.push(message, time)
        if stamp is None or stamp // SIGNAL_PERIOD == self._slot:
            return None
        self._slot = stamp // SIGNAL_PERIOD
        return self._stream.signal()


class _Imu:
    """Message -> ImuWindow once per IMU_PERIOD, None otherwise."""

    def __init__(self, mount: ImuMount) -> None:
        self._mount = mount
        self._buffer = ImuBuffer("imu")
        self._slot = -1

    def __call__(self, message: Any, _: int) -> Frame | None:
        stamp = stamp_of(message)
        if not self._buffer.push(stamp, imu_sample(message, self._mount)):
            return None
        if stamp // IMU_PERIOD == self._slot:
            return None
        self._slot = stamp // IMU_PERIOD
        return self._buffer.window()


def _offered(latched: bool) -> Qos:
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    history = (QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, durability)
    return Qos(*history, _FOREVER, _FOREVER, QosLiveliness.AUTOMATIC, _FOREVER, False)
