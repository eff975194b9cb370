"""Makes data, detector and loop from a config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from rondel import Baseline
from rondel.errors import ConfigError
from rondel.notice import warn
from rondel_detection.config import DetectionConfig
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.pictures import Pictures, sizes_of, with_sizes
from rondel_detection.data.source import Part, Parts, gather
from rondel_detection.data.table import Status
from rondel_detection.loops.alternating import Alternating
from rondel_detection.loops.detection_loop import DetectionLoop
from rondel_detection.loops.joint import Joint
from rondel_detection.loops.material import Material
from rondel_detection.loops.staged import Staged
from rondel_detection.loops.teacher import MeanTeacher
from rondel_detection.measurement import truth_of
from rondel_detection.metrics.columns import Detections
from rondel_detection.metrics.metric import DetectionMetric
from rondel_detection.models.catalogue import make_detector
from rondel_detection.models.detector import Detector, TwoStageDetector
from rondel_detection.models.weights import load_weights

LOOPS: Mapping[str, type[DetectionLoop]] = {
    "joint": Joint,
    "staged": Staged,
    "teacher": MeanTeacher,
}


def build(config: DetectionConfig) -> DetectionLoop:
    """Read and split the labels, choose the canvas, and make detector and loop.

    Raises:
        DataError: The data cannot be used.
        ConfigError: A setting does not fit the model or the data.
    """
    parts = gather(config)
    if parts.defects or parts.losses:
        count = len(parts.defects) + sum(loss.count for loss in parts.losses.losses.values())
        warn(f"{count:,} labels were changed or left out; the report says which and why.")
    sizes = sizes_of(with_sizes(parts.train.annotations))
    canvas = Canvas.fit(sizes, stride=Detector.stride, image_size=config.image_size)
    material = make_material(config, parts, canvas)
    detector = make_detector(config.model, len(parts.labels), (canvas.height, canvas.width))
    if config.model.weights is not None and not is_folder_of_transformers(config):
        warn(str(load_weights(detector, config.model.weights)))
    loop = make_loop(config, detector, material)
    loop.baseline = average_boxes(material)
    return loop


def is_folder_of_transformers(config: DetectionConfig) -> bool:
    """Tell whether the detector was made of such a folder, weights and all."""
    return (Path(str(config.model.weights)) / "config.json").is_file()


def make_material(config: DetectionConfig, parts: Parts, canvas: Canvas) -> Material:
    """Put the parts of a set on one canvas."""
    train, unlabelled = parts.train, parts.unlabelled
    if config.loop == "teacher" and config.teacher.labelled is not None:
        train, hidden = divided(train, config.teacher.labelled, seed=config.run.seed)
        unlabelled = unlabelled if len(unlabelled) else hidden
    return Material(
        config=config,
        train=pictures_of(train, canvas, config),
        valid=pictures_of(parts.valid, canvas, config),
        unlooked=pictures_of(unlabelled, canvas, config) if len(unlabelled) else None,
        labels=parts.labels,
        canvas=canvas,
        manifest=parts.manifest,
        defects=parts.defects,
        losses=parts.losses,
    )


def pictures_of(part: Part, canvas: Canvas, config: DetectionConfig) -> Pictures:
    """Return the images of a part as a data set on the canvas."""
    return Pictures(
        part.annotations,
        canvas,
        pixels=part.pictures,
        statuses=tuple(Status),
        cache=config.cache,
        masks=config.model.name == "maskrcnn",
        max_pixels=config.max_pixels,
    )


def divided(part: Part, share: float, *, seed: int) -> tuple[Part, Part]:
    """Divide a part into two at random: some keep their labels, of the others they are hidden."""
    order = np.random.default_rng(seed).permutation(len(part))
    count = max(1, round(share * len(part)))
    return part.take(np.sort(order[:count])), part.take(np.sort(order[count:]))


def make_loop(config: DetectionConfig, detector: Detector, material: Material) -> DetectionLoop:
    """Return the loop of the config.

    Raises:
        ConfigError: Model or data are not what the loop needs.
    """
    if config.loop == "alternating":
        if not isinstance(detector, TwoStageDetector):
            raise ConfigError(
                f"the loop 'alternating' needs a two-stage detector, {config.model.name!r} is none",
                where="loop",
                hint="Choose model.name=fasterrcnn_slim or fasterrcnn.",
            )
        return Alternating(config, detector, material)
    if config.loop == "teacher" and material.unlooked is None:
        raise ConfigError(
            "the loop 'teacher' needs pictures without labels, and the data has none",
            where="loop",
            hint="Name their folder by teacher.unlabelled=..., or hide labels by teacher.labelled=0.1.",
        )
    return LOOPS[config.loop](config, detector, material)


def average_boxes(material: Material) -> Baseline:
    """Measure a guess that has seen no picture: the average box of each class, everywhere."""
    boxes = material.train.annotations.boxes
    full = material.train.full[boxes.image][:, [1, 0, 1, 0]]
    relative = boxes.xyxy / np.maximum(full, 1)
    counts = np.bincount(boxes.label, minlength=len(material.labels))
    present = np.flatnonzero(counts)
    mean = np.stack([relative[boxes.label == label].mean(axis=0) for label in present])
    rows = np.arange(len(material.valid))
    guessed = np.tile(mean, (len(rows), 1)) * np.repeat(
        material.valid.full[:, [1, 0, 1, 0]], len(present), axis=0
    )
    guessed[:, 2:] -= guessed[:, :2]
    metric = DetectionMetric(material.labels.names)
    found = Detections.of(
        np.repeat(rows, len(present)),
        guessed,
        np.tile(present, len(rows)),
        np.tile(counts[present] / counts.sum(), len(rows)),
    )
    metric.update(rows, truth_of(material.valid, rows), found)
    return Baseline("average box of each class", cast(Mapping[str, float], metric.compute()))
