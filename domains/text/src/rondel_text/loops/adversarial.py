"""Fitting labels against an adversary: of the texts, of the weights, or dropout.

Letters: B texts, L tokens of the longest, C classes or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rondel import Loss, Run, keyed
from rondel.errors import ConfigError
from rondel_text.config import TextConfig
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.loop_config import AdversaryConfig
from rondel_text.loops.material import Material
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.perturbation import embedded, is_reachable, perturbed
from rondel_text.models.text_model import TextModel
from rondel_text.tasks.task import answering

SIZES: Mapping[str, float | None] = {"fgm": 1.0, "awp": 0.01, "r_drop": None}
"""Default of ``adversary.size``; None where there is none."""
WEIGHTS: Mapping[str, float | None] = {"fgm": 1.0, "awp": None, "r_drop": 1.0}
"""Default of ``adversary.weight``."""


class Adversarial(TextLoop):
    """Fit labels while something works against it.

    ``fgm``: each text is moved where its loss rises most (Miyato et al., 2017). ``awp``: the
    weights are (Wu et al., 2020). ``r_drop``: two draws of dropout have to agree (Liang et al.,
    2021).

    Raises:
        ConfigError: The adversary can do nothing to the task or the model.
    """

    def __init__(self, config: TextConfig, model: TextModel, material: Material) -> None:
        super().__init__(config, model, material)
        adversary = config.adversary
        self.size = setting_of("size", adversary.size, SIZES, adversary)
        self.weight = setting_of("weight", adversary.weight, WEIGHTS, adversary)
        check_fit(config, model, material)

    def train(self, run: Run) -> None:
        """Train, and evaluate after every epoch."""
        config, stream = self.config, self.material.training
        kind, first = config.adversary.kind, config.adversary.start_epoch
        self.begin(run)
        update = run.update("model", self.model, config.update, total=stream.planned(config.epochs))
        for epoch in run.epochs(config.epochs):
            for texts, *targets in run.batches(stream):
                if epoch < first:
                    update(self.loss, texts, *targets)
                elif kind == "fgm":
                    update(self.loss_beside, texts, *targets)
                elif kind == "awp":
                    gradients = update.gradient(self.loss, texts, *targets)
                    worse = self.uphill(update.owned, gradients)
                    update(partial(self.loss_at, worse), texts, *targets)
                else:
                    update(self.loss_twice, texts, *targets)
            if self.is_due(run, epoch, config.epochs):
                run.evaluate(self)

    def loss_beside(self, texts: Texts, *targets: Tensor) -> Loss:
        """Add the loss of the texts, each moved by ``size`` along the gradient of its own loss.

        r = size * g / ||g||_2 over the embedded sequence of a text (Miyato et al., 2017, eq. 4 and
        5), whatever else is in its batch; many implementations move the embedding matrix along the
        gradient of a whole batch instead, which is another method and depends on micro-batches.
        """
        with embedded(self.model) as found:
            clean = self.loss(texts, *targets)
        (gradient,) = torch.autograd.grad(clean.sum, found[0].vectors, retain_graph=True)
        with perturbed(self.model, found[0].along(gradient, self.size)):
            moved = self.loss(texts, *targets)
        parts = {"clean": clean.sum, "adversarial": moved.sum}
        return Loss(clean.sum + self.weight * moved.sum, clean.count, parts=parts)

    def uphill(
        self, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Return by name the matrices of the model, each moved along its gradient.

        w + v with v = size * ||w||_2 * g / ||g||_2 (Wu et al., 2020, eq. 8 to 10), where g is the
        gradient of the whole batch. The gradient by w + v is that by w.
        """
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        return {
            names[id(w)]: w + self.size * w.detach().norm() * direction(g)
            for w, g in zip(parameters, gradients, strict=True)
            if w.ndim >= 2
        }

    def loss_at(self, weights: Mapping[str, Tensor], texts: Texts, *targets: Tensor) -> Loss:
        """Return the loss with other weights; those of the model stay where they are."""

        def model(texts: Texts) -> Tensor:
            answer: Tensor = functional_call(self.model, dict(weights), (texts,))
            return answer

        return self.task.loss(cast(TextModel, model), texts, *targets)

    def loss_twice(self, texts: Texts, *targets: Tensor) -> Loss:
        """Return the mean loss of two draws of dropout, and how far apart their answers are.

        The divergence is the symmetric one of Kullback and Leibler, (KL(p, q) + KL(q, p)) / 2, for
        each text or counted token (Liang et al., 2021, eq. 2 to 4, with the mean of both losses
        where they have the sum); of numbers, the squared difference.
        """
        one, other = self.model(texts), self.model(texts)
        losses = [self.task.loss(answering(each), texts, *targets) for each in (one, other)]
        clean = (losses[0].sum + losses[1].sum) / 2
        apart = DIVERGENCES[self.task.kind](one.float(), other.float(), *targets)
        parts = {"clean": clean, "divergence": apart}
        return Loss(clean + self.weight * apart, losses[0].count, parts=parts)


def direction(gradient: Tensor) -> Tensor:
    """Return a gradient with norm 1, or zeros of one that is zero or has overflowed in fp16."""
    norm = gradient.norm().clamp(min=torch.finfo(gradient.dtype).tiny)
    return torch.nan_to_num(gradient / norm, nan=0.0, posinf=0.0, neginf=0.0)


# -- how far two answers are apart -----------------------------------------------------------------


def between_classes(one: Tensor, other: Tensor, _: Tensor) -> Tensor:
    """Return the sum over texts, of logits (B, C)."""
    return symmetric(one, other).sum()


def between_labels(one: Tensor, other: Tensor, _: Tensor) -> Tensor:
    """Return the sum over texts of the mean over labels, of logits (B, C)."""
    return ((one.sigmoid() - other.sigmoid()) * (one - other) / 2).mean(1).sum()


def between_numbers(one: Tensor, other: Tensor, _: Tensor) -> Tensor:
    """Return the sum over texts of the squared difference, of answers (B, 1)."""
    return (one - other).square().sum()


def between_tags(one: Tensor, other: Tensor, tags: Tensor) -> Tensor:
    """Return the sum over counted tokens, of logits (B, L, C)."""
    return (symmetric(one, other) * (tags[:, : one.shape[1]] != IGNORED)).sum()


def symmetric(one: Tensor, other: Tensor) -> Tensor:
    """Return (KL(p, q) + KL(q, p)) / 2 of logits (..., C), which is (p - q)(log p - log q) / 2."""
    p, q = one.log_softmax(-1), other.log_softmax(-1)
    return ((p.exp() - q.exp()) * (p - q)).sum(-1) / 2


DIVERGENCES: Mapping[str, Callable[..., Tensor]] = {
    "classification": between_classes,
    "multilabel": between_labels,
    "regression": between_numbers,
    "tokens": between_tags,
}


# -- what does not fit -----------------------------------------------------------------------------


def setting_of(
    name: str, given: float | None, usual: Mapping[str, float | None], adversary: AdversaryConfig
) -> float:
    """Return a setting, or its default for the kind of adversary.

    Raises:
        ConfigError: It was given, and the kind has none.
    """
    default = usual[adversary.kind]
    if default is None and given is not None:
        raise ConfigError(
            f"the adversary {adversary.kind!r} has no {name}",
            where=f"adversary.{name}",
            hint="Leave it out.",
        )
    return given if given is not None else default or 0.0


def check_fit(config: TextConfig, model: TextModel, material: Material) -> None:
    """Refuse tasks and models that the adversary can do nothing to.

    Raises:
        ConfigError: Names the key.
    """
    kind = config.adversary.kind
    if material.task.kind not in DIVERGENCES:
        raise ConfigError(
            f"the loop 'adversarial' does not fit the task {material.task.kind!r}",
            where="loop",
            hint=f"It is for task={', '.join(DIVERGENCES)}.",
        )
    if config.update.compile and kind != "r_drop":
        raise ConfigError(
            f"the adversary {kind!r} takes a gradient within the step, which is not compiled",
            where="update.compile",
            hint="Leave it out, or choose adversary.kind=r_drop.",
        )
    if kind == "r_drop" and not drops(model):
        raise ConfigError(
            "the model leaves nothing out, so that two answers of it are the same",
            where="adversary.kind",
            hint="Set model.dropout above 0, or choose fgm or awp.",
        )
    first, *_ = material.train.batch_of(torch.arange(1))
    with keyed.apart(torch.device("cpu")):  # to run the model draws dropout
        if kind == "fgm" and not is_reachable(model, first):
            raise ConfigError(
                "the model does not look its tokens up in one place, where they could be moved",
                where="adversary.kind",
                hint="Choose awp or r_drop.",
            )


def drops(model: nn.Module) -> bool:
    """Tell whether a part of a model that is in training leaves out some of its values."""
    for part in model.modules():
        shares = [value for name, value in vars(part).items() if "drop" in name]
        if isinstance(part, nn.modules.dropout._DropoutNd):
            shares = [part.p]
        if part.training and any(isinstance(share, float) and share > 0 for share in shares):
            return True
    return False
