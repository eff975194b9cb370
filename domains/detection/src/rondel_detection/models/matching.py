"""Which anchor, cell or proposal learns which object: one computation for a whole batch.

Letters: B images, M boxes of the image with the most (at least 1), N candidates. Candidates are
anchors, (N, 4) and the same for all images, or proposals, (B, N, 4). The rules are those of
torchvision's ``Matcher`` and ``SSDMatcher``, with two differences: candidates that lie mostly
inside a crowd are ignored, whatever else they overlap (neither an object that is told apart nor
background), and an object that overlaps no candidate at all claims none.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from rondel_detection.data.batch import Targets

BACKGROUND = -1
"""Match of a candidate that is no object."""
IGNORED = -2
"""Match of a candidate that is left out of the loss."""
CROWDED = 0.5
"""Share of a candidate inside a crowd above which it is ignored."""


class Objects(NamedTuple):
    """The targets as matchers need them."""

    boxes: Tensor  # (B, M, 4) real; zeros where there is no object and no crowd
    labels: Tensor  # (B, M) int64, 0 where there is no object
    present: Tensor  # (B, M) bool: an object with an area
    crowd: Tensor  # (B, M) bool

    @classmethod
    def of(cls, targets: Targets, dtype: torch.dtype) -> Objects:
        """Return the objects of a batch, with at least one row, so that maxima exist."""
        boxes = targets.boxes.to(dtype)
        missing = max(0, 1 - boxes.shape[1])
        boxes = functional.pad(boxes, (0, 0, 0, missing))
        labels = functional.pad(targets.labels, (0, missing), value=-1)
        crowd = functional.pad(targets.crowd, (0, missing), value=False)
        present = (labels >= 0) & ~crowd & has_area(boxes)
        known = (present | crowd)[..., None]
        return cls(boxes.where(known, 0), labels.where(present, 0), present, crowd)

    def boxes_of(self, match: Tensor, otherwise: Tensor) -> Tensor:
        """Return (B, N, 4) the matched boxes; ``otherwise`` where nothing is matched."""
        rows = match.clamp(min=0)[..., None].expand(-1, -1, 4)
        return torch.where((match >= 0)[..., None], self.boxes.gather(1, rows), otherwise)

    def labels_of(self, match: Tensor) -> Tensor:
        """Return (B, N) the matched class index, -1 where nothing is matched."""
        return self.labels.gather(1, match.clamp(min=0)).where(match >= 0, -1)


def has_area(boxes: Tensor) -> Tensor:
    """Return (...) bool: the boxes (..., 4) that are wider and higher than nothing."""
    return (boxes[..., 2:] > boxes[..., :2]).all(-1)


def areas(boxes: Tensor) -> Tensor:
    """Return (...) areas of boxes (..., 4)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


class Overlaps(NamedTuple):
    """How objects and candidates lie to each other."""

    quality: Tensor  # (B, M, N) intersection over union; -1 where there is no object
    crowded: Tensor  # (B, N) bool: mostly inside a crowd

    @classmethod
    def of(cls, objects: Objects, candidates: Tensor) -> Overlaps:
        """Compare every object of an image with every candidate."""
        inner = intersections(objects.boxes, candidates)
        area = areas(candidates)
        covered = inner.masked_fill(~objects.crowd[..., None], 0).amax(1)
        union = areas(objects.boxes)[..., None] + area.unsqueeze(-2) - inner
        quality = (inner / union).masked_fill(~objects.present[..., None], -1)
        return cls(quality, covered > CROWDED * area)


def intersections(boxes: Tensor, candidates: Tensor) -> Tensor:
    """Return (B, M, N) areas that boxes (B, M, 4) share with candidates (N, 4) or (B, N, 4)."""
    x1, y1, x2, y2 = boxes[..., None].unbind(-2)
    left, top, right, bottom = candidates.unsqueeze(-3).unbind(-1)
    width = torch.minimum(x2, right).sub_(torch.maximum(x1, left)).clamp_(min=0)
    height = torch.minimum(y2, bottom).sub_(torch.maximum(y1, top)).clamp_(min=0)
    return width.mul_(height)


@torch.no_grad()
def match_by_overlap(
    objects: Objects, candidates: Tensor, *, high: float, low: float, reach: bool = False
) -> Tensor:
    """Match candidates with the object that they overlap most.

    Args:
        objects: Of the batch.
        candidates: (N, 4) or (B, N, 4).
        high: Overlap from which a candidate is matched.
        low: Overlap below which it is background; in between it is ignored.
        reach: Match the candidates that overlap an object most, however little that is.

    Returns:
        (B, N) int64: a row of the objects, `BACKGROUND` or `IGNORED`.
    """
    overlaps = Overlaps.of(objects, candidates)
    best, nearest = overlaps.quality.max(1)
    match = nearest.where(best >= high, IGNORED).where(best >= low, BACKGROUND)
    if reach:
        highest = overlaps.quality.amax(2, keepdim=True)
        reached = ((overlaps.quality == highest) & (highest > 0)).any(1)
        match = nearest.where(reached, match)
    return match.where(~overlaps.crowded, IGNORED)


@torch.no_grad()
def match_every_object(objects: Objects, anchors: Tensor, *, high: float) -> Tensor:
    """Match as SSD does: by overlap, and every object with its best anchor whatever the overlap.

    Of several objects with one best anchor the last one gets it.

    Returns:
        (B, N) int64 as of `match_by_overlap`.
    """
    overlaps = Overlaps.of(objects, anchors)
    best, nearest = overlaps.quality.max(1)
    match = nearest.where(best >= high, BACKGROUND)
    highest, home = overlaps.quality.max(2)  # (B, M)
    count = anchors.shape[0]
    home = home.where(highest > 0, count)  # a column of their own for those without a home
    owner = torch.arange(home.shape[1], device=home.device).expand_as(home)
    claimed = match.new_full((len(match), count + 1), BACKGROUND)
    claimed = claimed.scatter_reduce(1, home, owner, "amax")[:, :count]
    match = claimed.where(claimed >= 0, match)
    return match.where(~overlaps.crowded, IGNORED)


@torch.no_grad()
def match_by_centre(
    objects: Objects, cells: Tensor, levels: tuple[int, ...], *, radius: float
) -> Tensor:
    """Match as FCOS does (Tian et al., 2019): cells near the centre, on the level of the size.

    Of several objects that could have a cell the smallest gets it.

    Args:
        objects: Of the batch.
        cells: (N, 4) squares with the stride of their level as side.
        levels: Number of cells of each level, finest first; they add up to N.
        radius: Of the centre of an object, in strides.

    Returns:
        (B, N) int64 as of `match_by_overlap`.
    """
    x, y = ((cells[:, :2] + cells[:, 2:]) / 2).unbind(-1)  # (N,)
    stride = cells[:, 2] - cells[:, 0]
    x1, y1, x2, y2 = objects.boxes[..., None].unbind(-2)  # (B, M, 1)
    away = torch.maximum((x - (x1 + x2) / 2).abs(), (y - (y1 + y2) / 2).abs())
    nearest = torch.minimum(torch.minimum(x - x1, y - y1), torch.minimum(x2 - x, y2 - y))
    farthest = torch.maximum(torch.maximum(x - x1, y - y1), torch.maximum(x2 - x, y2 - y))
    lowest, highest = stride * 4, stride * 8
    lowest[: levels[0]] = 0
    highest[-levels[-1] :] = float("inf")
    fits = (away < radius * stride) & (nearest > 0) & (farthest > lowest) & (farthest < highest)
    fits &= objects.present[..., None]
    size = areas(objects.boxes)[..., None].expand_as(fits).where(fits, float("inf"))
    smallest, match = size.min(1)
    crowded = Overlaps.of(objects, cells).crowded
    return match.where(smallest < float("inf"), BACKGROUND).where(~crowded, IGNORED)
