"""Detections of torchvision, a list of tensors per image, as columns of the whole batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rondel_detection.data.batch import Predictions
from rondel_detection.models.matching import has_area


def columns_of(
    boxes: Sequence[Tensor], scores: Sequence[Tensor], labels: Sequence[Tensor], *, background: int
) -> Predictions:
    """Return the detections of all images, best first within each.

    Args:
        boxes: (n, 4) of each image.
        scores: (n,) of each image, descending.
        labels: (n,) of each image.
        background: Number of labels before the first class: 1 if label 0 is the background.
    """
    sizes = torch.tensor([len(own) for own in scores])
    image = torch.arange(len(sizes)).repeat_interleave(sizes).to(scores[0].device)
    columns = (image, torch.cat(list(boxes)), torch.cat(list(scores)), torch.cat(list(labels)))
    # what lay beside the picture is a line on its border once it is clipped
    real = has_area(columns[1]).nonzero()[:, 0]
    image, box, score, label = (column[real] for column in columns)
    return Predictions(image, box.float(), score.float(), label - background)
