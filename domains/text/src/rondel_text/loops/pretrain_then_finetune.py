"""Two phases, two losses, one run: the texts first, then what is said of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from rondel import Loss, Run, Stream
from rondel.errors import ConfigError
from rondel_text.config import TextConfig
from rondel_text.data.batch import Texts
from rondel_text.data.text_set import TextSet
from rondel_text.loops.material import Material
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import Masked

if TYPE_CHECKING:
    from rondel_text.models.transformer import TransformerModel


class PretrainThenFinetune(TextLoop):
    """Learn hidden tokens of the texts, then their labels, with another optimizer.

    The first phase needs no labels (Howard and Ruder, 2018; Gururangan et al., 2020). Its head
    tells tokens by their own embeddings (Press and Wolf, 2017), so that nothing but a bias is
    thrown away between the phases.

    Raises:
        ConfigError: The model has no tokens to hide.
    """

    model: TransformerModel

    def __init__(self, config: TextConfig, model: TextModel, material: Material) -> None:
        super().__init__(config, model, material)
        self.hiding = hiding(material)
        self.bias = nn.Parameter(self.embeddings.new_zeros(len(self.embeddings)))
        self.teller = nn.ParameterList([self.bias])

    def train(self, run: Run) -> None:
        """Train both phases; evaluate the second."""
        run.track("model", self.model)
        self.begin(run)
        for phase in run.phases(("pretrain", "finetune")):
            if phase == "pretrain":
                self.learn_texts(run)
            else:
                self.learn_labels(run)

    def learn_texts(self, run: Run) -> None:
        """The first phase: hidden tokens."""
        pretraining, stream = self.config.pretraining, self.unlabelled
        run.track("teller", self.teller)
        owned = [*self.model.base.parameters(), *self.teller.parameters()]
        total = stream.planned(pretraining.epochs)
        update = run.update("pretrain", owned, pretraining.update, total=total)
        for _ in run.epochs(pretraining.epochs):
            for texts, seeds in run.batches(stream):
                update(self.hidden_loss, texts, seeds)

    def learn_labels(self, run: Run) -> None:
        """The second phase: labels."""
        config, stream = self.config, self.material.training
        total = stream.planned(config.epochs)
        update = run.update("finetune", self.model.parameters(), config.update, total=total)
        for epoch in run.epochs(config.epochs):
            for texts, *targets in run.batches(stream):
                update(self.loss, texts, *targets)
            if self.is_due(run, epoch, config.epochs):
                run.evaluate(self)

    @cached_property
    def unlabelled(self) -> Stream:
        """The training texts without their labels."""
        texts = TextSet(self.material.train.encoded, self.material.train.rows)
        return self.material.stream(texts, self.hiding, name="texts")

    @property
    def embeddings(self) -> Tensor:
        """(V, H) the vectors of the tokens."""
        weight: Tensor = self.model.base.get_input_embeddings().weight
        return weight

    def hidden_loss(self, texts: Texts, seeds: Tensor) -> Loss:
        """Return the cross-entropy of the hidden tokens."""
        hidden, chosen = self.hiding.hide(texts, seeds)
        states = self.model.hidden(hidden)
        there = states.layout.flatten(chosen)
        told = F.linear(states.flat[there], self.embeddings, self.bias)  # (K, V)
        return Loss(F.cross_entropy(told, texts.ids[chosen], reduction="sum"), chosen.sum())


def hiding(material: Material) -> Masked:
    """Return the task of the first phase.

    Raises:
        ConfigError: The tokenizer has no token that hides others.
    """
    tokenizer = material.tokenizer
    if tokenizer.mask is None:
        raise ConfigError(
            "the loop 'pretrain_then_finetune' hides tokens, and this model's tokenizer cannot",
            where="loop",
            hint="Choose model.name=bert, or a model that was trained on hidden tokens.",
        )
    return Masked(
        material.task.columns,
        mask=tokenizer.mask,
        size=tokenizer.size,
        special=tokenizer.special,
    )
