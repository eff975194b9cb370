"""How far the answers of a student are from those of a teacher, by task.

Each function returns a sum over what the loss of the task counts: texts, or counted tokens.
Letters: B texts, L tokens of the longest, C classes or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from rondel_text.data.batch import IGNORED

# -- softened by a temperature: gradients shrink with its square, so the square stands in front ----


def softened_classes(answer: Tensor, taught: Tensor, temperature: float, *_: Tensor) -> Tensor:
    """Return T^2 KL(teacher, student) of logits (B, C) over T (Hinton et al., 2015, section 2)."""
    return divergence(answer, taught, temperature).sum()


def softened_labels(answer: Tensor, taught: Tensor, temperature: float, *_: Tensor) -> Tensor:
    """Return T^2 times the binary cross-entropy of logits (B, C) over T, the mean over labels."""
    losses = F.binary_cross_entropy_with_logits(
        answer / temperature, (taught / temperature).sigmoid(), reduction="none"
    )
    return temperature**2 * losses.mean(1).sum()


def softened_tags(answer: Tensor, taught: Tensor, temperature: float, tags: Tensor) -> Tensor:
    """Return T^2 KL(teacher, student) of logits (B, L, C) over T, of the counted tokens."""
    taught, counted = fitted(answer, taught, tags)
    return (divergence(answer, taught, temperature) * counted).sum()


def divergence(answer: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(teacher, student) for each row of logits (..., C) over T."""
    student, teacher = ((each / temperature).log_softmax(-1) for each in (answer, taught))
    return temperature**2 * (teacher.exp() * (teacher - student)).sum(-1)


# -- squared distances -----------------------------------------------------------------------------


def distant_classes(answer: Tensor, taught: Tensor, *_: Tensor) -> Tensor:
    """Return ||p - q||^2 of probabilities, of logits (B, C)."""
    return (answer.softmax(-1) - taught.softmax(-1)).square().sum()


def distant_labels(answer: Tensor, taught: Tensor, *_: Tensor) -> Tensor:
    """Return the mean over labels of (p - q)^2, of logits (B, C)."""
    return (answer.sigmoid() - taught.sigmoid()).square().mean(1).sum()


def distant_tags(answer: Tensor, taught: Tensor, tags: Tensor) -> Tensor:
    """Return ||p - q||^2 of the probabilities of counted tokens, of logits (B, L, C)."""
    taught, counted = fitted(answer, taught, tags)
    apart = (answer.softmax(-1) - taught.softmax(-1)).square().sum(-1)
    return (apart * counted).sum()


def distant_numbers(answer: Tensor, taught: Tensor, *_: Tensor | float) -> Tensor:
    """Return the squared difference of answers (B, 1): numbers have no temperature."""
    return (answer - taught).square().sum()


def fitted(answer: Tensor, taught: Tensor, tags: Tensor) -> tuple[Tensor, Tensor]:
    """Cut what was taught, and which tokens count, to the longest text of a piece of a batch."""
    length = answer.shape[1]
    return taught[:, :length], tags[:, :length] != IGNORED


SOFTENED: Mapping[str, Callable[..., Tensor]] = {
    "classification": softened_classes,
    "multilabel": softened_labels,
    "regression": distant_numbers,
    "tokens": softened_tags,
}
"""By task: of student, teacher, temperature and targets."""
DISTANT: Mapping[str, Callable[..., Tensor]] = {
    "classification": distant_classes,
    "multilabel": distant_labels,
    "regression": distant_numbers,
    "tokens": distant_tags,
}
"""By task: of student, teacher and targets; of probabilities, not of logits."""
