"""The small models of this package, as the loops see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from rondel_text.data.batch import Texts
from rondel_text.models.bag import BagClassifier, BagEncoder
from rondel_text.models.recurrent import ByteModel
from rondel_text.models.tagger import Tagger
from rondel_text.models.text_model import TextModel


class SmallModel(TextModel):
    """One of the small models.

    Args:
        settings: What it is built from, plain values.
    """

    kind: str

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def to_facts(self) -> dict[str, Any]:
        """Return the settings."""
        return {"kind": self.kind, **self.settings}


class Bag(SmallModel):
    """`BagClassifier`, for whole texts."""

    kind = "bag"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.network = BagClassifier(**settings)

    def forward(self, texts: Texts) -> Tensor:
        """Return logits (B, C)."""
        logits: Tensor = self.network(texts.ids, texts.lengths)
        return logits

    @property
    def embedding(self) -> nn.Module:
        """The vectors of pieces."""
        return self.network.vectors

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """Return the output, then the vectors."""
        return [[self.network.output], [self.network.vectors]]


class BagOfPieces(SmallModel):
    """`BagEncoder`, for the embeddings of whole texts."""

    kind = "bag_encoder"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.network = BagEncoder(**settings)

    @property
    def width(self) -> int:
        """H."""
        return self.network.vectors.embedding_dim

    def forward(self, texts: Texts) -> Tensor:
        """Return embeddings (B, H)."""
        embeddings: Tensor = self.network(texts.ids, texts.lengths)
        return embeddings

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """Return all of it."""
        return [[self.network]]


class WordTagger(SmallModel):
    """`Tagger`, for words."""

    kind = "tagger"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.network = Tagger(**settings)

    def forward(self, texts: Texts) -> Tensor:
        """Return logits (B, L, C)."""
        assert texts.letters is not None, "the tokenizer of words spells"
        logits: Tensor = self.network(texts.ids, texts.letters, texts.lengths)
        return logits

    @property
    def embedding(self) -> nn.Module:
        """The vectors of words; what their letters say is not among them."""
        return self.network.words

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """Return the output, the recurrent layers, then words and letters."""
        network = self.network
        return [[network.output], [network.context], [network.words, network.spelling]]


class ByteLanguage(SmallModel):
    """`ByteModel`, which tells the next byte."""

    kind = "bytes"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.network = ByteModel(**settings)

    def at(self, texts: Texts, chosen: Tensor) -> Tensor:
        """Return logits (K, 256) of the byte behind each chosen one."""
        logits, _ = self.network(texts.ids)
        found: Tensor = logits[chosen]
        return found

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """Return the output, the recurrent layers, then the vectors of bytes."""
        network = self.network
        layers = [[layer] for layer in reversed(network.layers)]
        return [[network.output, network.norm], *layers, [network.history, network.recall]]


SMALL: Mapping[str, type[SmallModel]] = {
    model.kind: model for model in (Bag, BagOfPieces, WordTagger, ByteLanguage)
}


def small_model(facts: Mapping[str, Any]) -> SmallModel:
    """Build a small model of its facts."""
    settings = {name: value for name, value in facts.items() if name != "kind"}
    return SMALL[facts["kind"]](**settings)
