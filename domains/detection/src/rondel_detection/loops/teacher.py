"""Semi-supervised training: an averaged teacher labels pictures that nobody has labelled."""

from __future__ import annotations

import torch
from torch import Tensor

from rondel import Run, Update
from rondel.run import evaluating
from rondel_detection.config import DetectionConfig
from rondel_detection.data.batch import PADDING, Draw, Predictions, Targets
from rondel_detection.loops.detection_loop import DetectionLoop, loss_of
from rondel_detection.loops.material import Material
from rondel_detection.models.detector import Detector


class MeanTeacher(DetectionLoop):
    """Learn from labels, and from what the average of the student is sure of (Liu et al., 2021).

    The teacher is the moving average of the student (Tarvainen and Valpola, 2017): the average that
    every update can keep. It sees a weakly changed picture, the student a strongly changed one of
    the same geometry. For the first ``teacher.burn_in`` epochs labels alone are learnt from.
    """

    def __init__(self, config: DetectionConfig, detector: Detector, material: Material) -> None:
        super().__init__(config, detector, material)
        self.pseudo_loss = loss_of(detector, config.teacher.weight)

    def train(self, run: Run) -> None:
        """Train the student, which its average teaches; evaluate the teacher."""
        config, material = self.config, self.material
        student = run.update(
            "student",
            self.detector,
            config.update.model_copy(update={"ema": config.teacher.decay}),
            total=material.training.planned(config.epochs),
        )
        for epoch in run.epochs(config.epochs):
            teaches = epoch >= config.teacher.burn_in
            for labelled, unlabelled in run.batches(material.training, material.unlabelled):
                with student.gather():
                    student(self.loss, *labelled)
                    if teaches:
                        student(self.pseudo_loss, *self.taught(student, *unlabelled))
            if run.every(config.evaluate_every) or epoch == config.epochs - 1:
                run.evaluate(self)

    def taught(
        self, student: Update, weak: Tensor, strong: Tensor, targets: Targets, draw: Draw
    ) -> tuple[Tensor, Targets, Draw]:
        """Return the strong pictures with what the teacher sees on the weak ones."""
        with torch.no_grad(), student.averaged(), evaluating([self.detector]):
            seen = self.detector.detect(weak, targets.sizes)
        threshold = self.config.teacher.threshold
        return strong, pseudo_targets(seen, targets, threshold=threshold), draw


def pseudo_targets(seen: Predictions, targets: Targets, *, threshold: float) -> Targets:
    """Return detections as targets: sure ones to be found, doubtful ones to be left alone.

    A detection below the threshold may be an object: as a crowd it is neither object nor
    background.
    """
    size = len(targets.sizes)
    place = rank_in_image(seen.image, size)  # (N,)
    most = int(place.max()) + 1 if len(place) else 1
    boxes = seen.boxes.new_zeros(size, most, 4)
    labels = seen.labels.new_full((size, most), PADDING)
    crowd = torch.zeros_like(labels, dtype=torch.bool)
    boxes[seen.image, place] = seen.boxes
    labels[seen.image, place] = seen.labels
    crowd[seen.image, place] = seen.scores < threshold
    return targets._replace(boxes=boxes, labels=labels, crowd=crowd)


def rank_in_image(image: Tensor, size: int) -> Tensor:
    """Return the position of each detection among those of its image, (N,); images ascend."""
    counts = torch.bincount(image, minlength=size)
    starts = counts.cumsum(0) - counts
    return torch.arange(len(image), device=image.device) - starts[image]
