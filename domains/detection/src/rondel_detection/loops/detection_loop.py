"""What the loops of this package share: the loss, the evaluation, the report, the bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from rondel import Loop, Loss, Run, Section, Watch, counted
from rondel_detection.bundle import DetectionBundle
from rondel_detection.config import DetectionConfig
from rondel_detection.data.batch import Draw, Targets
from rondel_detection.data.rescale import rescale
from rondel_detection.explanation import explain, of_labels, picture_of
from rondel_detection.loops.material import Material
from rondel_detection.measurement import measure
from rondel_detection.metrics.metric import DetectionMetric
from rondel_detection.models.detector import Counts, Detector


class DetectionLoop(Loop):
    """A loop that trains a detector; subclasses say when what is trained.

    Args:
        config: The config of the domain.
        detector: What is trained.
        material: What it learns from, and is measured on.
    """

    watch = Watch("map", "max")

    def __init__(self, config: DetectionConfig, detector: Detector, material: Material) -> None:
        self.config = config
        self.detector = detector
        self.material = material
        self.data = material.manifest
        self.loss = loss_of(detector)

    def evaluate(self, run: Run) -> Mapping[str, Any]:
        """Measure the detector on the validation pictures, as COCO does."""
        return {"": self.measured(run)}

    def measured(self, run: Run) -> DetectionMetric:
        """Return the metric of this process' share of the validation pictures."""
        metric = DetectionMetric(self.material.labels.names)
        for images, targets in run.batches(self.material.validation):
            found = self.detector.detect(images, targets.sizes)
            measure(metric, self.material.valid, targets.rows, found)
        return metric

    def sections(self, run: Run) -> Sequence[Section]:
        """Look at the best state once more: curves, confusions, errors, pictures."""
        material = self.material
        found = explain(run.merged(self.measured(run)), material.valid)
        return (*found, *of_labels(material.defects, material.losses))

    def picture(self) -> bytes:
        """Draw what is detected on the first validation pictures, a PNG."""
        return picture_of(self.detector, self.material.valid, self.material.labels.names)

    def bundle(self) -> DetectionBundle:
        """Return the detector with its classes and its canvas."""
        return DetectionBundle.of(
            self.config,
            self.detector,
            labels=self.material.labels,
            canvas=self.material.canvas,
            data=self.data,
        )


class loss_of:  # noqa: N801 - a function that is bound to a detector
    """The loss of a detector as a function of a batch, at the scale that was drawn for it.

    Args:
        detector: The detector.
        weight: Factor on its loss.
    """

    def __init__(self, detector: Detector, weight: float = 1.0) -> None:
        self.detector = detector
        self.weight = weight
        if type(detector).counts is not Detector.counts:
            counted(self.count)(self)

    def __call__(self, images: Tensor, targets: Targets, draw: Draw) -> Loss:
        """Return the loss."""
        images, targets = rescale(images, targets, draw.scale, self.detector.stride)
        loss = self.detector.loss(images, targets, draw.seeds)
        return loss if self.weight == 1.0 else loss.scaled(self.weight)

    def count(self, images: Tensor, targets: Targets, draw: Draw) -> Counts:
        """Return what the terms of the loss are divided by, known before it is computed."""
        images, targets = rescale(images, targets, draw.scale, self.detector.stride)
        counts = self.detector.counts(images, targets, draw.seeds)
        assert counts is not None, "a detector that overrides it returns counts"
        return counts
