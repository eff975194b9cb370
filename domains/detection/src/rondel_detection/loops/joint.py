"""The usual end-to-end training: every part of the detector at every batch."""

from __future__ import annotations

from rondel import Run
from rondel_detection.loops.detection_loop import DetectionLoop


class Joint(DetectionLoop):
    """Train all parts of a detector together, one pass over the pictures after another.

    In the last ``augment.close_epochs`` passes pictures are no longer put together by mosaic and
    mixup, so that the detector ends on pictures as they are (Ge et al., 2021: YOLOX).
    """

    def train(self, run: Run) -> None:
        """Train, and evaluate after every epoch."""
        config, material = self.config, self.material
        planned = material.training.planned(config.epochs)
        detector = run.update("detector", self.detector, config.update, total=planned)
        for epoch in run.epochs(config.epochs):
            closing = epoch >= config.epochs - config.augment.close_epochs
            stream = material.closing if closing else material.training
            for images, targets, draw in run.batches(stream):
                detector(self.loss, images, targets, draw)
            if run.every(config.evaluate_every) or epoch == config.epochs - 1:
                run.evaluate(self)
