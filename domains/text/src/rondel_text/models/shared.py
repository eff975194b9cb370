"""One encoder of transformers with a head for each of several tasks.

Letters: B texts, L tokens of the longest, H width, C outputs of a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from rondel_text.data.batch import Texts
from rondel_text.models.text_model import TextModel
from rondel_text.models.transformer import TransformerModel, transformer_of

DROPOUT = 0.1
"""Of what a head reads (Liu et al., 2019, section 4.2)."""


@dataclass(frozen=True)
class Head:
    """A linear layer on the states.

    Args:
        name: Of its task.
        kind: 'sequence' reads the mean state of a text, 'tokens' the state of each token.
        outputs: C.
    """

    name: str
    kind: str
    outputs: int


class SharedModel(TextModel):
    """An encoder whose states several heads read.

    A head for whole texts reads the mean of the states, which suits encoders that look in one
    direction as well (MT-DNN reads the first state).

    Args:
        encoder: Gives the states.
        heads: One for each task.
        dropout: Share of a state that its head does not see in training.
    """

    def __init__(
        self, encoder: TransformerModel, heads: Sequence[Head], *, dropout: float = DROPOUT
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.adapters = encoder.adapters
        self.places = {head.name: head for head in heads}
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(encoder.width, head.outputs) for head in heads)

    @property
    def reading(self) -> str:  # type: ignore[override]  # follows the encoder
        """How it is computed, for the user."""
        return self.encoder.reading

    def forward(self, texts: Texts, *task: str) -> Tensor:
        """Return the logits of a task, given by its name: (B, C) or (B, L, C)."""
        (name,) = task
        states = self.encoder.hidden(texts).padded()  # (B, L, H), 0 behind the end of a text
        if self.places[name].kind == "sequence":
            states = states.sum(1) / texts.lengths[:, None]
        logits: Tensor = self.heads[list(self.places).index(name)](self.dropout(states))
        return logits

    def is_faster_padded(self, texts: Texts) -> bool:
        """Tell by a measurement on a batch whether padding costs less than doing without it."""
        return self.encoder.is_faster_padded(texts)

    def compute(self, *, padded: bool) -> None:
        """Compute with padding from now on, or without where that is exact."""
        self.encoder.compute(padded=padded)

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """Return all heads, then the layers from the last to the first, then the embeddings."""
        return [[self.heads], *self.encoder.stages()]

    def to_facts(self) -> dict[str, Any]:
        """Return the config of the encoder, and the heads."""
        return {
            "kind": "shared",
            "encoder": self.encoder.to_facts(),
            "heads": [asdict(head) for head in self.places.values()],
            "dropout": self.dropout.p,
        }


class OneHead(TextModel):
    """A shared model as one of its tasks sees it; it has no weights of its own.

    Args:
        shared: The model.
        name: Of the task.
    """

    def __init__(self, shared: SharedModel, name: str) -> None:
        super().__init__()
        self.shared = shared
        self.name = name

    def forward(self, texts: Texts) -> Tensor:
        """Return logits (B, C) or (B, L, C)."""
        logits: Tensor = self.shared(texts, self.name)
        return logits

    @property
    def reading(self) -> str:  # type: ignore[override]  # follows the encoder
        """How it is computed, for the user."""
        return self.shared.reading


def shared_of(facts: Mapping[str, Any]) -> SharedModel:
    """Build a model of its facts, with any weights."""
    heads = [Head(**head) for head in facts["heads"]]
    return SharedModel(transformer_of(facts["encoder"]), heads, dropout=facts["dropout"])
