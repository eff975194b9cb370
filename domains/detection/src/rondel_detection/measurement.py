"""From detections on a canvas to columns in original pixels, and into the metric."""

from __future__ import annotations

from torch import Tensor

from rondel_detection.data.batch import Predictions
from rondel_detection.data.pictures import Pictures
from rondel_detection.data.table import Integers
from rondel_detection.metrics.columns import Detections, GroundTruth, rows_of_images, xywh_of
from rondel_detection.metrics.metric import DetectionMetric


def measure(metric: DetectionMetric, pictures: Pictures, rows: Tensor, found: Predictions) -> None:
    """Add a batch to a metric.

    Args:
        metric: What counts.
        pictures: The data set of the batch.
        rows: (B,) positions of its pictures in the data set.
        found: What was detected on the canvas.
    """
    chosen = rows.cpu().numpy()
    metric.update(chosen, truth_of(pictures, chosen), original(pictures, rows, found))


def truth_of(pictures: Pictures, rows: Integers) -> GroundTruth:
    """Return what is on some pictures, in the pixels of the files.

    Args:
        pictures: The data set.
        rows: (B,) positions in it; ``image`` of the result is 0..B-1.
    """
    boxes = pictures.annotations.boxes
    mine, image = rows_of_images(boxes.image, rows, images=len(pictures))
    return GroundTruth.of(
        image,
        xywh_of(boxes.xyxy[mine]),
        boxes.label[mine],
        crowd=boxes.crowd[mine],
        area=boxes.area[mine],
    )


def original(pictures: Pictures, rows: Tensor, found: Predictions) -> Detections:
    """Return detections of a batch in the pixels of the files; ``image`` is 0..B-1."""
    image = found.image.cpu()
    boxes = pictures.original(rows.cpu()[image], found.boxes)
    return Detections.of(
        image.numpy(),
        xywh_of(boxes.numpy()),
        found.labels.cpu().numpy(),
        found.scores.double().cpu().numpy(),
    )
