# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands modality list, add, remove and train: the modality packs of a model (docs/add_a_modality.md)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..config import Validated, parameter
from ..datatypes import BadInput, one_line
from .options import Json, ModelName, out, write_json
from .settings_file import read_settings, settings_option

if TYPE_CHECKING:
    from ..encoders.universal.packs import Packs

modality = typer.Typer(
    help="List, add, remove and train modality packs: sensors that a model did not have.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="name of the modality")]


@dataclass(frozen=True)
class PackSettings(Validated):
    """Entries of the settings file of `modality train`."""

    rank: int = parameter(4, "rank of the adapters", minimum=1, maximum=256)
    batch: int = parameter(64, "questions of a step", minimum=1, maximum=4096)
    learning_rate: float = parameter(2e-3, "highest learning rate", minimum=1e-6, maximum=1.0)
    offset: float = parameter(0.0, "of an array: (x - offset) / scale is read", minimum=-1e6, maximum=1e6)
    scale: float = parameter(1.0, "of an array", minimum=1e-6, maximum=1e6)
    like: str = parameter("", "modality of the encoder whose maps and tokens it starts with, empty = random ones")
    seed: int = parameter(0, "seed of the training", minimum=0, maximum=2**31 - 1)


@modality.command("list")
def list_packs(model: ModelName = "", json_file: Json = None) -> None:
    """List the modalities of a model: those of its universal encoder, and its packs with the older packs that they use."""
    from ..encoders.universal.packs import manifests_in
    from ..io.weights import revision_of
    from ..resources import PACKS, model_folder

    if not model_folder(model).is_dir():
        raise BadInput(f"model folder {str(model_folder(model))!r} does not exist")
    folder = model_folder(model) / PACKS
    rows = []
    for name, manifest in manifests_in(folder).items():
        size = sum(path.stat().st_size for path in (folder / name).rglob("*.safetensors"))
        rows.append({"modality": name, "kind": manifest.layout["kind"], "size": manifest.layout["size"], "rank": manifest.rank})
        rows[-1] |= {"uses": list(manifest.older), "revision": revision_of(folder / name), "bytes": size}
    if not rows:
        out.print(f"no packs in {folder}", soft_wrap=True)
    else:
        table = Table("modality", "kind", "size", "rank", "uses", "revision", "MB")
        for row in rows:
            shown = [str(row[key]) for key in ("modality", "kind", "size", "rank")]
            table.add_row(*shown, ", ".join(row["uses"]) or "-", row["revision"], f"{row['bytes'] / 1e6:.2f}")
        out.print(table)
    write_json(json_file, rows)


@modality.command("add")
def add_pack(pack: Annotated[Path, typer.Argument(help="folder of the pack", file_okay=False)], model: ModelName = "") -> None:
    """Add a pack to a model, after checking that it is for this model's encoder, LLM and packs."""
    from ..encoders.universal.packs import Pack, PackManifest
    from ..io.atomic_write import atomic_folder
    from ..latent.pack_connectors import CONNECTOR, load_pack_connector
    from ..model import Model
    from ..resources import PACKS, model_folder

    folder = model_folder(model)
    name = PackManifest.read(pack).modality
    packs = _packs(folder)
    _require_new(name, packs)
    Pack.load(pack, packs.encoder, packs.loaded)
    loaded = Model.load(folder, "cpu")
    load_pack_connector(pack, loaded.llm, loaded.llm_revision)
    target = folder / PACKS / name
    with _disk_errors(target), atomic_folder(target) as part:
        for path in (*pack.glob("*.safetensors"), pack / "config.json", *pack.glob("README.md")):
            shutil.copy(path, part)
        (part / CONNECTOR).mkdir()
        for path in ("config.json", "model.safetensors"):
            shutil.copy(pack / CONNECTOR / path, part / CONNECTOR)
    out.print(f"added {name} to {folder}", soft_wrap=True)


@modality.command("remove")
def remove_pack(name: Name, model: ModelName = "") -> None:
    """Remove a pack from a model; refused while another pack uses it."""
    from ..encoders.universal.packs import manifests_in, require_removable
    from ..resources import PACKS, model_folder

    folder = model_folder(model)
    require_removable(name, manifests_in(folder / PACKS))
    with _disk_errors(folder / PACKS / name):
        shutil.rmtree(folder / PACKS / name)
    out.print(f"removed {name} from {folder}", soft_wrap=True)


@modality.command("train")
def train_modality(
    name: Name,
    samples: Annotated[Path, typer.Option(help="folder with signals.safetensors and questions.json", file_okay=False)],
    kind: Annotated[str, typer.Option(help="kind of signal: image, video, depth, normals, points, audio, imu or array")],
    size: Annotated[str, typer.Option(help="size that signals are brought to: 1,180 for an array of 1 x 180 values")],
    work: Annotated[Path, typer.Option(help="folder for checkpoints; an interrupted training resumes there", file_okay=False)],
    uses: Annotated[list[str] | None, typer.Option(help="older pack whose adapters it uses; may be given again")] = None,
    steps: Annotated[int, typer.Option(help="training steps", min=1, max=1_000_000)] = 300,
    model: ModelName = "",
    settings: Annotated[Path | None, settings_option(PackSettings)] = None,
    json_file: Json = None,
) -> None:
    """Train the pack of a new modality from questions about its signals, and add it to the model; nothing else of it changes."""
    import torch

    from ..encoders.universal.packs import NAME, Pack
    from ..encoders.universal.signals import Layout
    from ..model import Model
    from ..resources import PACKS, model_folder
    from ..training.continual.labelled_signals import read_labelled_signals
    from ..training.continual.pack_training import train_pack, write_pack
    from ..training.loop import Schedule
    from ..training.warm_start import new_connector

    if not NAME.fullmatch(name):
        raise BadInput(f"modality {name[:80]!r} is not a plain lower-case name")
    options = PackSettings(**read_settings(settings, PackSettings))
    folder = model_folder(model)
    packs, loaded = _packs(folder), Model.load(folder, "cpu")
    _require_new(name, packs)
    scaled = {"offset": options.offset, "scale": options.scale} if kind == "array" else {}
    layout = Layout(kind, _numbers(size), **scaled)
    older = {}
    for used in uses or []:
        if used not in packs.loaded:
            raise BadInput(f"there is no pack {used!r} to use, only {sorted(packs.loaded)}")
        older[used] = packs.loaded[used]
    torch.manual_seed(options.seed)
    pack = Pack(packs.encoder, name, layout, older, options.rank, options.like or None)
    labelled = read_labelled_signals(samples, name, layout)
    connector = new_connector(loaded, name, packs.encoder.token_width)
    schedule = Schedule(steps, options.learning_rate, warmup=min(20, steps // 4))
    figures = train_pack(loaded, packs, pack, connector, labelled, schedule, options.batch, work, options.seed)
    with _disk_errors(folder / PACKS / name):
        write_pack(pack, connector, folder / PACKS / name, loaded.llm_revision, figures)
    right, blind = 100 * figures.right, 100 * figures.blind
    out.print(f"{name}: {right:.1f} % of {figures.held_questions} held-out answers right, {blind:.1f} % without the signals")
    write_json(json_file, asdict(figures))


def _packs(folder: Path) -> Packs:
    from ..encoders.universal.packs import Packs
    from ..rig import load_rig

    # The universal encoder reads no rig: a signal names its own bearing and field of view.
    return Packs.of_model(folder, load_rig("front"), "cpu")


def _require_new(name: str, packs: Packs) -> None:
    if name in packs.loaded:
        raise BadInput(f"the model has a pack {name!r} already: `mmllm modality remove {name}` first")
    if name in packs.encoder.modalities:
        raise BadInput(f"the model's universal encoder knows modality {name!r} already: choose another name")


def _numbers(size: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in size.split(","))
    except ValueError as error:
        raise BadInput(f"size {size[:80]!r} is not whole numbers with commas between") from error


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Turn an error of the file system into BadInput that names `path`."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{path} cannot be changed: {one_line(error)}") from error
