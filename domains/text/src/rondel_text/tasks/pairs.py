"""Texts that belong together: embeddings by which each finds its partner.

Letters: B pairs, N pairs of a set, H width of an embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from rondel import Baseline, Loss, Metric, Watch
from rondel.errors import DataError
from rondel_text.baselines import tfidf_ranks
from rondel_text.contrast import Contrast
from rondel_text.data.batch import Texts
from rondel_text.data.columns import Columns, cells
from rondel_text.data.faults import Fault
from rondel_text.data.pair_set import PairSet, keys_of
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.metrics.retrieval import PairRetrieval, distinct, scored
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import sequence
from rondel_text.tokenizers import Tokenizer

USUAL = Contrast(temperature=0.05, symmetric=False)


class PairScores:
    """Recall, mean reciprocal rank and loss of all pairs of a set."""

    def __init__(self, contrast: Contrast) -> None:
        self._retrieval = PairRetrieval(contrast)
        self.by_name: Mapping[str, Metric] = {"": self._retrieval}

    def update(self, model: TextModel, texts: Texts, *targets: Any) -> None:
        """Measure a model on a batch; what follows the texts are their partners and keys (B, 2)."""
        partners, keys = targets
        self._retrieval.update(embedded(model, texts, partners), keys)


class Pairs:
    """Pairs of texts that belong together, such as a question and its answer; there is no label.

    Args:
        columns: Where the two texts stand.
        contrast: The loss.
    """

    kind: ClassVar[str] = "pairs"
    head: ClassVar[str] = "embedding"
    watch = Watch("mrr", "max")

    def __init__(self, columns: Columns, contrast: Contrast = USUAL) -> None:
        self.columns = columns
        self.contrast = contrast

    @property
    def outputs(self) -> int:
        """None: the width is the model's."""
        return 0

    @classmethod
    def learnt(cls, rows: Rows, columns: Columns) -> Pairs:
        """Look whether there is anything to tell apart.

        Raises:
            DataError: All pairs have the same partner.
        """
        if not keys_of(partners_of(rows, columns)).any():  # all are number 0
            raise DataError(
                f"column {columns.pair!r} holds the same text in all {len(rows)} rows",
                where=rows.files[0],
                hint="There is nothing to tell apart; is this the column that you meant?",
            )
        return cls(columns)

    @classmethod
    def faults(cls, rows: Rows, columns: Columns) -> Iterator[Fault]:
        """Yield the rows that lack one of their texts."""
        yield from sequence.text_faults(rows, columns)

    def strangers(self, rows: Rows) -> Iterator[Fault]:  # noqa: ARG002 - there are no labels
        """Yield nothing."""
        yield from ()

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode both texts of each pair, with keys (N, 2) that are equal for equal texts."""
        keys = torch.stack([keys_of(texts) for texts in self._sides(rows)], 1)
        return PairSet(self._encoded(rows, tokenizer), rows, (keys,))

    def encode_inputs(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode pairs, or texts alone where there are no partners."""
        if self.columns.pair in rows.columns:
            return PairSet(self._encoded(rows, tokenizer), rows)
        return sequence.inputs(rows, Columns(self.columns.text), tokenizer)

    def _encoded(self, rows: Rows, tokenizer: Tokenizer) -> Any:
        first, second = self._sides(rows)
        return tokenizer.encode([*first, *second])

    def _sides(self, rows: Rows) -> tuple[list[str], list[str]]:
        return list(cells(rows, self.columns.text, "text")), partners_of(rows, self.columns)

    def loss(self, model: TextModel, texts: Texts, *targets: Any) -> Loss:
        """Return the loss of pairs against each other; a piece of a batch is a batch of its own.

        What follows the texts are their partners and keys (B, 2).
        """
        partners, keys = targets
        rows = torch.arange(len(keys), device=keys.device)
        losses = self.contrast.losses(embedded(model, texts, partners), keys, rows)
        return Loss(losses.sum(), len(losses))

    def scores(self) -> PairScores:
        """Return empty metrics."""
        return PairScores(self.contrast)

    def predictions(
        self, model: TextModel, texts: Texts, partners: Texts | None = None
    ) -> list[dict[str, Any]]:
        """Return the embedding of each text, of length 1; or the cosine of each pair."""
        if partners is None:
            return [{"embedding": row} for row in embedding(model, texts).tolist()]
        first, second = embedded(model, texts, partners).double().unbind(1)
        return [{"similarity": cosine} for cosine in (first * second).sum(1).tolist()]

    def baselines(self, train: Rows, valid: Rows) -> Sequence[Baseline]:
        """Measure cosines of TF-IDF, of words and of pieces of words, the better one first."""
        known = [text for side in self._sides(train) for text in side]
        first, second = self._sides(valid)
        queries, (places, positives) = keys_of(first), distinct(keys_of(second))
        candidates = [second[place] for place in places.tolist()]
        found = [
            Baseline(
                f"TF-IDF cosine of {unit}s",
                scored(tfidf_ranks(known, first, candidates, positives, unit=unit), queries),
            )
            for unit in ("word", "piece")
        ]
        return sorted(found, key=lambda baseline: -baseline.values["mrr"])

    def to_facts(self) -> dict[str, Any]:
        """Return the columns, and how the loss is measured."""
        return {
            "kind": self.kind,
            "columns": self.columns.to_facts(),
            "temperature": self.contrast.temperature,
            "symmetric": self.contrast.symmetric,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Pairs:
        """Make the task again."""
        contrast = Contrast(facts["temperature"], facts["symmetric"])
        return cls(Columns(**facts["columns"]), contrast)


def partners_of(rows: Rows, columns: Columns) -> list[str]:
    """Return the second texts of pairs.

    Raises:
        DataError: There is no such column.
    """
    return list(cells(rows, columns.pair or "pair", "pair"))


def embedding(model: TextModel, texts: Texts) -> Tensor:
    """Return the embeddings of texts, of length 1: (B, H), of single precision at least."""
    answer = model(texts)
    return F.normalize(answer.to(torch.promote_types(answer.dtype, torch.float32)), dim=1)


def embedded(model: TextModel, texts: Texts, partners: Texts) -> Tensor:
    """Return the embeddings of pairs: (B, 2, H)."""
    return torch.stack((embedding(model, texts), embedding(model, partners)), 1)
