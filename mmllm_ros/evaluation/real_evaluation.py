# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How often answers about labelled real frames are right: tables as for simulated scenes, and one for each source of frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from rich.progress import track
from rich.table import Table

from ..datasets.examples import Example, encode_pairs
from ..datasets.real_frames import RealFrame
from ..datasets.real_questions import ask_frame
from ..datatypes import BadInput, CameraFrame, Detection, LidarScan, Question, Tokens
from ..encoders import Encoder
from ..encoders.objects import CATEGORIES, distribution, located, object_tokens
from ..encoders.proposals import STATUSES
from ..metrics.baselines import majority, ngram
from ..model import Model
from ..visualization.thumbnails import frame_thumbnails
from .accuracy import evaluate, table

EACH = 16
"""Questions for each frame, where its labels permit so many."""
FOLDS = 5
SEEN_RETURNS, SEEN_PIXELS = 4, 8
"""A labelled object becomes a detection where so many points or pixels show it."""
LABEL_SCORE, LABEL_DOUBT = 0.98, 0.01


def labelled_detections(frame: RealFrame) -> list[Detection]:
    """The labelled boxes of a frame as detections of a perfect detector."""
    found = []
    for item in frame.truth.objects:
        if item.returns < SEEN_RETURNS and max(item.pixels.values(), default=0) < SEEN_PIXELS:
            continue
        classes = distribution(CATEGORIES, {item.category: 1.0}, LABEL_DOUBT)
        statuses = distribution(STATUSES, {item.status: 1.0}, LABEL_DOUBT) if item.status else None
        found.append(Detection(LABEL_SCORE, classes, *located(item.position), 0.0, statuses))
    return found


def frame_tokens(frame: RealFrame, encoders: Mapping[str, Encoder], labels: bool) -> tuple[Tokens, ...]:
    """The tokens of one frame; a camera encoder that is a detector gets the lidar's points. With `labels` its boxes as
    `objects`."""
    points = next((item.points.copy() for item in frame.frames if isinstance(item, LidarScan)), None)
    if points is not None and frame.rig.lidar:
        points[:, :3] += np.array(frame.rig.lidar.position, dtype=np.float32)
    made: list[Tokens] = []
    for modality, encoder in encoders.items():
        encoder.rig = frame.rig
        frames = [item for item in frame.frames if item.modality == modality]
        if hasattr(encoder, "cameras"):
            encoder.cameras = dict(frame.cameras)
            made += encoder.encode([(item, None) for item in frames], points)
        else:
            before = [item for item in frame.previous if item.modality == modality]
            made += encode_pairs({modality: encoder}, frames, before)
    if labels:
        made.append(object_tokens(labelled_detections(frame), frame.truth.stamp, view=(frame.region.middle, frame.region.half)))
    return tuple(made)


def asked_frames(frames: Iterable[RealFrame], each: int = EACH, seed: int = 0) -> Iterator[tuple[RealFrame, list[Question]]]:
    """Frames with questions about them, without those whose labels answer none. Raises BadInput where no frame is left."""
    found = False
    for frame in track(frames, "read real frames"):
        if questions := ask_frame(frame, each, seed):
            found = True
            yield frame, questions
    if not found:
        raise BadInput("no frame has labels that answer a question")


def encoded_frames(
    asked: Iterable[tuple[RealFrame, Sequence[Question]]], encoders: Mapping[str, Encoder], labels: bool = False
) -> list[Example]:
    """Frames and their questions with tokens; the source of a frame is its context. Raises BadInput."""
    return [
        Example(
            frame.truth.token,
            frame.source,
            frame_tokens(frame, encoders, labels),
            tuple(questions),
            frame_thumbnails([_small(item) for item in frame.frames]),
        )
        for frame, questions in asked
    ]


def _small(frame: CameraFrame | LidarScan) -> CameraFrame | LidarScan:
    if not isinstance(frame, CameraFrame):
        return frame
    step = max(1, frame.image.shape[1] // 640)
    return CameraFrame(frame.stamp, frame.source, np.ascontiguousarray(frame.image[::step, ::step]))


def blind_guesses(asked: Sequence[Example]) -> dict[str, list[str]]:
    """What blind baselines answer that have learned from the questions about other frames, in FOLDS folds of frames."""
    known = {name: [""] * sum(len(moment.questions) for moment in asked) for name in ("majority", "blind_ngram")}
    numbers, start = [], 0
    for moment in asked:
        numbers.append(range(start, start + len(moment.questions)))
        start += len(moment.questions)
    for fold in range(FOLDS):
        held = [index for index in range(len(asked)) if index % FOLDS == fold]
        train = [question for index, moment in enumerate(asked) if index % FOLDS != fold for question in moment.questions]
        test: list[Question] = [question for index in held for question in asked[index].questions]
        places = [place for index in held for place in numbers[index]]
        for name, baseline in (("majority", majority), ("blind_ngram", ngram)):
            for place, answer in zip(places, baseline(train, test) if train and test else [""] * len(test), strict=True):
                known[name][place] = answer
    return known


def evaluate_frames(model: Model, asked: Sequence[Example]) -> dict:
    """The report of `accuracy.evaluate`, with blind baselines that know real questions."""
    report = evaluate(model, asked, (), blind_guesses(asked))
    report["frames"] = True
    return report


def frame_tables(report: dict) -> list[Table]:
    """The accuracies of all frames, and of each source and modality set."""
    whole = table(report)
    whole.title = f"{report['model']} {report['revision']}: {report['n']} questions about {report['scenes']} real frames"
    sources = Table(title="real frames by source")
    sources.add_column("source")
    names = list(report["sets"])
    for name in names:
        sources.add_column(name, justify="right")
    for source in report["sets"][names[0]]["contexts"]:
        cells = [f"{100 * report['sets'][name]['contexts'][source]:.1f}" for name in names]
        sources.add_row(source, *cells)
    return [whole, sources]
