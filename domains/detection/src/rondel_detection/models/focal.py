"""The focal loss of dense detectors (Lin et al., 2017), without targets of the size of the logits.

Letters: B images, N anchors, K classes.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

POSITIVE = 0.25
"""Weight of the right class; that of all others is one minus it."""


def focal_sums(logits: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
    """Return the focal loss of each image, with exponent 2 and weight 0.25.

    Every logit is taken for that of a wrong class first, then the few of the right class are
    corrected: the same sum as torchvision's, at a third of the memory traffic.

    Args:
        logits: (B, N, K).
        labels: (B, N) int64 class index, -1 is background.
        counted: (B, N) bool: not to be ignored.

    Returns:
        (B,) sums over the anchors.
    """
    wrong = wrong_loss(logits).sum(-1)
    own = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    wrong = wrong + (right_loss(own) - wrong_loss(own)).where(labels >= 0, 0)
    return wrong.where(counted, 0).sum(1)


def wrong_loss(logits: Tensor) -> Tensor:
    """Return the focal loss of logits that should be low."""
    return (1 - POSITIVE) * (logits.sigmoid().square() * functional.softplus(logits))


def right_loss(logits: Tensor) -> Tensor:
    """Return the focal loss of logits that should be high."""
    return POSITIVE * ((-logits).sigmoid().square() * functional.softplus(-logits))
