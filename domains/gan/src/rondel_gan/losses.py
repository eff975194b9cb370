"""What the players pursue: one value for each sample, so that pieces of a batch add up to the whole.

Nothing here draws random numbers. Shapes: N samples, scores (N,), logits (N, K), images (N, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from rondel_gan.config import LossName

Value = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rule:
    """What both players of a game pursue, as functions of the scores of real and made samples.

    Args:
        discriminator: (N,) real scores and (N,) made ones -> (N,).
        generator: The same; most rules look at the made ones alone.
        paired: Scores mean something only beside each other.
        bounded: A score above 0 says 'real'.
    """

    discriminator: Value
    generator: Value
    paired: bool = False
    bounded: bool = True


def non_saturating_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """Return ``-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z))))`` (Goodfellow et al., 2014, eq. 1)."""
    return F.softplus(-real) + F.softplus(made)


def non_saturating_generator(_real: Tensor, made: Tensor) -> Tensor:
    """Return ``-log sigmoid(D(G(z)))`` (Goodfellow et al., 2014, section 3)."""
    return F.softplus(-made)


def least_squares_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """Return ``((D(x) - 1)^2 + D(G(z))^2) / 2`` (Mao et al., 2017, eq. 9)."""
    return 0.5 * ((real - 1).square() + made.square())


def least_squares_generator(_real: Tensor, made: Tensor) -> Tensor:
    """Return ``(D(G(z)) - 1)^2 / 2`` (Mao et al., 2017, eq. 9)."""
    return 0.5 * (made - 1).square()


def hinge_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """Return ``max(0, 1 - D(x)) + max(0, 1 + D(G(z)))`` (Miyato et al., 2018, eq. 16)."""
    return F.relu(1 - real) + F.relu(1 + made)


def wasserstein_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """Return ``D(G(z)) - D(x)`` (Arjovsky, Chintala and Bottou, 2017, algorithm 1)."""
    return made - real


def wasserstein_generator(_real: Tensor, made: Tensor) -> Tensor:
    """Return ``-D(G(z))`` (Arjovsky et al., 2017, algorithm 1; Miyato et al., 2018, eq. 17)."""
    return -made


def relativistic_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """Return ``-log sigmoid(D(x) - D(G(z)))`` of pairs (Jolicoeur-Martineau, 2019; Huang, 2024)."""
    return F.softplus(made - real)


def relativistic_generator(real: Tensor, made: Tensor) -> Tensor:
    """Return ``-log sigmoid(D(G(z)) - D(x))`` of pairs (Huang et al., 2024, eq. 2)."""
    return F.softplus(real - made)


RULES: Mapping[LossName, Rule] = {
    "non_saturating": Rule(non_saturating_discriminator, non_saturating_generator),
    "least_squares": Rule(least_squares_discriminator, least_squares_generator, bounded=False),
    "hinge": Rule(hinge_discriminator, wasserstein_generator),
    "wasserstein": Rule(wasserstein_discriminator, wasserstein_generator, bounded=False),
    "relativistic": Rule(
        relativistic_discriminator, relativistic_generator, paired=True, bounded=False
    ),
}


def classification(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each sample, (N,) (AC-GAN: Odena, Olah and Shlens, 2017)."""
    return F.cross_entropy(logits, labels, reduction="none")


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)), (N,) (Kingma and Welling, 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean absolute difference of each pair of images, (N,)."""
    return (first - second).abs().flatten(1).mean(dim=1)


def gaussian_code(mean: Tensor, code: Tensor) -> Tensor:
    """Return the negative log-density of codes under unit variance, less its constant, (N,)."""
    return 0.5 * (mean - code).square().sum(dim=1)
