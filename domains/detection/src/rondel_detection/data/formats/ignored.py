"""Images that were rejected in the labelling tool: formats without a place for that omit them."""

from __future__ import annotations

import numpy as np

from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations, Status


def without_ignored(annotations: Annotations, losses: LossReport) -> Annotations:
    """Return the table without ignored images; they and their boxes are listed.

    Written as any other image, their boxes would be trained on, or would be missing as if there
    were nothing to see.
    """
    ignored = annotations.images.status == Status.IGNORED
    for row in np.flatnonzero(ignored).tolist():
        losses.add("ignored image was left out", annotations.image_place(row))
    lost = ignored[annotations.boxes.image]
    for row in np.flatnonzero(lost).tolist():
        losses.add("box of an ignored image was left out", annotations.box_place(row))
    return annotations.take_images(np.flatnonzero(~ignored)) if ignored.any() else annotations
