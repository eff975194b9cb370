"""The first stage: where something could be (Ren et al., 2015, section 3.1).

torchvision's region proposal network, computed for the whole batch at once. Letters: B images,
N anchors of all levels, n of one level, P proposals, S samples, (H, W) the canvas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import batched_nms

from rondel_detection.models.canvas import anchors_on, precise
from rondel_detection.models.deltas import clip, decode, encode
from rondel_detection.models.matching import BACKGROUND, Objects, match_by_overlap
from rondel_detection.models.pyramid import Maps
from rondel_detection.models.sampling import PROPOSAL_STREAM, draw_sample

SMALLEST_SIDE = 1e-3
"""Of a proposal, pixels."""
SMOOTH = 1 / 9
"""Difference from which the box loss is linear."""


class Scored(NamedTuple):
    """What the network says about the anchors of each level."""

    anchors: list[Tensor]  # each (n, 4)
    logits: list[Tensor]  # each (B, n)
    deltas: list[Tensor]  # each (B, n, 4)


@dataclass(frozen=True)
class Limits:
    """How many proposals are kept: ``before`` of each level, ``after`` of each image."""

    before: int
    after: int
    iou: float

    @classmethod
    def of(cls, rpn: Any, kind: str) -> Limits:
        """Return the limits of torchvision's network for 'training' or 'testing'."""
        return cls(rpn._pre_nms_top_n[kind], rpn._post_nms_top_n[kind], rpn.nms_thresh)


def score_anchors(rpn: Any, maps: Maps) -> Scored:
    """Run the head of torchvision's ``RegionProposalNetwork`` on all feature maps."""
    logits, deltas = rpn.head(list(maps.levels.values()))
    grids = [(level.shape[-2], level.shape[-1]) for level in logits]
    flat = [precise(level).permute(0, 2, 3, 1).flatten(1) for level in logits]
    shifts = [
        precise(level).view(len(level), -1, 4, *grid).permute(0, 3, 4, 1, 2).flatten(1, 3)
        for level, grid in zip(deltas, grids, strict=True)
    ]
    return Scored(anchors_on(maps.canvas, grids, rpn.anchor_generator, flat[0]), flat, shifts)


def proposal_losses(rpn: Any, scored: Scored, objects: Objects, seeds: Tensor) -> dict[str, Tensor]:
    """Return the losses of the proposal network, each summed over images.

    Of each image it is the mean over its samples; torchvision takes the mean over all samples of
    the batch, which is the same unless an image has too few.
    """
    anchors, logits, deltas = (
        torch.cat(scored.anchors),
        torch.cat(scored.logits, 1),
        scored.deltas,
    )
    matcher, sampler = rpn.proposal_matcher, rpn.fg_bg_sampler
    match = match_by_overlap(
        objects,
        anchors,
        high=matcher.high_threshold,
        low=matcher.low_threshold,
        reach=matcher.allow_low_quality_matches,
    )
    sample = draw_sample(
        match >= 0,
        match == BACKGROUND,
        seeds,
        stream=PROPOSAL_STREAM,
        count=sampler.batch_size_per_image,
        most=int(sampler.batch_size_per_image * sampler.positive_fraction),
    )
    match = match.gather(1, sample.rows)  # (B, S) from here on
    rows = sample.rows[..., None].expand(-1, -1, 4)
    positive = (match >= 0) & sample.taken
    own = anchors[sample.rows]
    wanted = encode(objects.boxes_of(match, own), own)
    found = torch.cat(deltas, 1).gather(1, rows)
    away = functional.smooth_l1_loss(found, wanted, beta=SMOOTH, reduction="none").sum(-1)
    wrong = functional.binary_cross_entropy_with_logits(
        logits.gather(1, sample.rows), positive.to(logits.dtype), reduction="none"
    )
    return {
        "objectness": (wrong * sample.weight).sum(),
        "proposal_box": (away * sample.weight.where(positive, 0)).sum(),
    }


@torch.no_grad()
def propose(scored: Scored, sizes: Tensor, limits: Limits) -> Tensor:
    """Return (B, P, 4) proposals, best first, without overlaps, padded with zeros.

    Suppression is a loop over images and reads its result on the host: a result of unknown length
    is in the nature of torchvision's operator.

    Args:
        scored: Of the batch.
        sizes: (B, 2) height and width of each picture; proposals are clipped to it.
        limits: P is ``limits.after``.
    """
    boxes, scores, levels = best_of_levels(scored, limits.before)
    boxes = clip(boxes, sizes)
    wide = ((boxes[..., 2:] - boxes[..., :2]) >= SMALLEST_SIDE).all(-1)
    kept = torch.zeros_like(wide)
    for row, (own, score) in enumerate(zip(boxes, scores, strict=True)):
        kept[row, batched_nms(own, score, levels, limits.iou)] = True
    scores = scores.where(kept & wide, -1)
    best = scores.topk(min(limits.after, scores.shape[1]))
    chosen = boxes.gather(1, best.indices[..., None].expand(-1, -1, 4))
    chosen = chosen.where((best.values >= 0)[..., None], 0)
    return functional.pad(chosen, (0, 0, 0, limits.after - chosen.shape[1]))


def best_of_levels(scored: Scored, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes, scores and the level of the ``count`` best anchors of each level."""
    boxes: list[Tensor] = []
    scores: list[Tensor] = []
    levels: list[Tensor] = []
    per_level: Sequence[tuple[Tensor, ...]] = list(zip(*scored, strict=True))
    for level, (anchors, logits, deltas) in enumerate(per_level):
        best = logits.topk(min(count, logits.shape[1]))
        rows = best.indices[..., None].expand(-1, -1, 4)
        boxes.append(decode(deltas.gather(1, rows), anchors[best.indices]))
        scores.append(best.values.sigmoid())
        levels.append(torch.full_like(best.indices[0], level))
    return torch.cat(boxes, 1), torch.cat(scores, 1), torch.cat(levels)
