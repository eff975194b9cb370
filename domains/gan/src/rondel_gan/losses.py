"""What the players pursue: sums over samples, so that pieces of a batch add up to the whole.

Nothing here draws random numbers; noise is an input. Shapes: N samples, images (N, C, H, W) in
[-1, 1], scores (N,).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rondel import Loss


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Loss:
    """Return the cross-entropy of telling real images from generated ones.

    Goodfellow et al., 2014: ``-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z))))`` per sample.
    """
    total = F.softplus(-real_scores).sum() + F.softplus(fake_scores).sum()
    return Loss(total, len(real_scores), parts={"adversarial": total})


def generator_loss(fake_scores: Tensor) -> Loss:
    """Return the non-saturating loss of the generator: ``-log sigmoid(D(G(z)))`` per sample."""
    total = F.softplus(-fake_scores).sum()
    return Loss(total, len(fake_scores), parts={"adversarial": total})


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, *, weight: float) -> Loss:
    """Return ``weight / 2 * |grad_x D(x)|^2`` at real images, summed over samples.

    Mescheder, Geiger and Nowozin, 2018, equation 9. The norm is that of each sample, never of the
    batch: the gradient of the summed scores holds every sample's own gradient in its row.
    """
    # squared gradients underflow in half precision
    with torch.autocast(real.device.type, enabled=False):
        real = real.detach().requires_grad_()
        scores = discriminator(real)
        (gradient,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
        total = 0.5 * weight * gradient.square().sum()
    return Loss(total, len(real), parts={"penalty": total})
