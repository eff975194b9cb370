"""The text itself: the next token (causal), or hidden ones (masked).

Letters: B texts, L tokens of the longest, K tokens to be told, V tokens that there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from rondel import Baseline, Loss, Metric, Watch
from rondel.keyed import generator, seeds, uniform
from rondel.metric import Accuracy, MeanMetric
from rondel_text.baselines import compressed_bits
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.data.columns import Columns, cells
from rondel_text.data.faults import Fault, empty_texts
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.data.windows import windows
from rondel_text.metrics.language import Perplexity
from rondel_text.models.text_model import TextModel
from rondel_text.tokenizers import Tokenizer

MASKED_SHARE = 0.15


class CausalScores:
    """Loss per token, perplexity and bits per byte."""

    def __init__(self) -> None:
        self._loss, self._perplexity = MeanMetric(), Perplexity()
        self.by_name: Mapping[str, Metric] = {"loss": self._loss, "": self._perplexity}

    def update(self, model: TextModel, texts: Texts, *targets: Tensor) -> None:
        """Measure a model on a batch; the targets are the next tokens (B, L) and bytes (B,)."""
        following, size_bytes = targets
        counted = following != IGNORED
        told = F.cross_entropy(
            model.at(texts, counted).float(), following[counted], reduction="none"
        )
        losses = torch.zeros_like(following, dtype=torch.float64)
        losses[counted] = told.double()
        self._loss.update(told)
        self._perplexity.update(losses, counted, size_bytes=size_bytes)


class Language:
    """What both language tasks share: texts in windows, no labels.

    Args:
        columns: Where the text stands.
        context: Tokens at the start of a window that were told in the one before.
    """

    kind: ClassVar[str]
    head: ClassVar[str]

    def __init__(self, columns: Columns, context: int = 0) -> None:
        self.columns = columns
        self.context = context

    @property
    def outputs(self) -> int:
        """None: the model answers with tokens."""
        return 0

    @classmethod
    def faults(cls, rows: Rows, columns: Columns) -> Iterator[Fault]:
        """Yield the rows without a text."""
        yield from empty_texts(columns.text, cells(rows, columns.text, "text"))

    def strangers(self, rows: Rows) -> Iterator[Fault]:  # noqa: ARG002 - there are no labels
        """Yield nothing."""
        yield from ()

    def encode_inputs(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode the beginnings of texts."""
        return TextSet(tokenizer.encode(cells(rows, self.columns.text, "text")), rows)

    def to_facts(self) -> dict[str, Any]:
        """Return columns and context."""
        return {"kind": self.kind, "columns": self.columns.to_facts(), "context": self.context}


class Causal(Language):
    """The next token, given all before it."""

    kind: ClassVar[str] = "causal"
    head: ClassVar[str] = "causal"
    watch = Watch("bits_per_byte", "min")

    @classmethod
    def learnt(cls, rows: Rows, columns: Columns) -> Causal:  # noqa: ARG003 - there are no classes
        """Make the task."""
        return cls(columns)

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Cut texts into windows, each with the token that follows each of its tokens."""
        return windows(
            rows, cells(rows, self.columns.text, "text"), tokenizer, context=self.context
        )

    def loss(self, model: TextModel, texts: Texts, *targets: Tensor) -> Loss:
        """Return the cross-entropy of the tokens that follow."""
        following = targets[0]
        counted = following != IGNORED
        told = model.at(texts, counted)
        return Loss(F.cross_entropy(told, following[counted], reduction="sum"), counted.sum())

    def scores(self) -> CausalScores:
        """Return empty metrics."""
        return CausalScores()

    def predictions(self, model: TextModel, texts: Texts) -> list[dict[str, Any]]:
        """Return how well each text is told: nats per token, and the number of tokens."""
        following = texts.ids.roll(-1, 1)
        counted = torch.arange(texts.ids.shape[1], device=texts.ids.device) < (
            texts.lengths[:, None] - 1
        )
        losses = torch.zeros(texts.ids.shape, dtype=torch.float64, device=texts.ids.device)
        told = model.at(texts, counted).double()
        losses[counted] = F.cross_entropy(told, following[counted], reduction="none")
        counts = counted.sum(1)
        means = losses.sum(1) / counts.clamp(min=1)
        return [
            {"loss": loss, "tokens": count}
            for loss, count in zip(means.tolist(), counts.tolist(), strict=True)
        ]

    def baselines(self, train: Rows, valid: Rows) -> Sequence[Baseline]:
        """Measure a compressor that has read the training texts."""
        texts = [
            [str(text) for text in cells(rows, self.columns.text, "text")]
            for rows in (train, valid)
        ]
        return [Baseline("xz after the training texts", {"bits_per_byte": compressed_bits(*texts)})]

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Causal:
        """Make the task again."""
        return cls(Columns(**facts["columns"]), facts["context"])


class MaskedScores:
    """Loss and accuracy of the hidden tokens.

    Args:
        task: Hides them.
    """

    def __init__(self, task: Masked) -> None:
        self._task = task
        self._loss, self._accuracy = MeanMetric(), Accuracy()
        self.by_name: Mapping[str, Metric] = {"loss": self._loss, "accuracy": self._accuracy}

    def update(self, model: TextModel, texts: Texts, *targets: Tensor) -> None:
        """Measure a model on a batch; the last target is (B,) int64 seeds."""
        hidden, chosen = self._task.hide(texts, targets[-1])
        told, true = model.at(hidden, chosen).float(), texts.ids[chosen]
        self._loss.update(F.cross_entropy(told, true, reduction="none"))
        self._accuracy.update(told, true)


class Masked(Language):
    """Tokens that are hidden (Devlin et al., 2019): 15 %, of which 80 % become the mask, 10 % any.

    Which ones is a function of each text's own seed.

    Args:
        columns: Where the text stands.
        context: Of windows.
        mask: The token that hides another.
        size: V.
        special: Tokens that are never hidden.
    """

    kind: ClassVar[str] = "masked"
    head: ClassVar[str] = "masked"
    watch = Watch("loss", "min")

    def __init__(
        self,
        columns: Columns,
        context: int = 0,
        *,
        mask: int = 0,
        size: int = 1,
        special: Sequence[int] = (),
    ) -> None:
        super().__init__(columns, context)
        self.mask, self.size, self.special = mask, size, tuple(special)

    @classmethod
    def learnt(cls, rows: Rows, columns: Columns) -> Masked:  # noqa: ARG003 - there are no classes
        """Make the task; the tokenizer is told by `with_tokens`."""
        return cls(columns)

    def with_tokens(self, *, mask: int, size: int, special: Sequence[int]) -> Masked:
        """Return the task for the tokens of a tokenizer."""
        return Masked(self.columns, self.context, mask=mask, size=size, special=special)

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Cut texts into windows."""
        made = windows(rows, cells(rows, self.columns.text, "text"), tokenizer, context=0)
        return TextSet(made.encoded, made.rows)

    def judged(self, texts: TextSet) -> TextSet:
        """Return texts with seeds as their target, the same at every evaluation."""
        fixed = seeds(len(texts), generator(0, "valid", "noise"))
        return TextSet(texts.encoded, texts.rows, (fixed,))

    def hide(self, texts: Texts, seeds: Tensor) -> tuple[Texts, Tensor]:
        """Return texts with hidden tokens, and (B, L) which are to be told."""
        ids, length = texts.ids, texts.ids.shape[1]
        draw, kind, other = (uniform(seeds, length, stream) for stream in range(3))
        place = torch.arange(length, device=ids.device)
        allowed = place < texts.lengths[:, None]
        for token in self.special:
            allowed = allowed & (ids != token)
        chosen = allowed & (draw < MASKED_SHARE)
        any_token = (other * self.size).long().clamp(max=self.size - 1)
        hidden = torch.where(chosen & (kind < 0.8), self.mask, ids)
        hidden = torch.where(chosen & (kind >= 0.9), any_token, hidden)
        return texts._replace(ids=hidden), chosen

    def loss(self, model: TextModel, texts: Texts, *targets: Tensor) -> Loss:
        """Return the cross-entropy of the hidden tokens."""
        hidden, chosen = self.hide(texts, targets[-1])
        told = model.at(hidden, chosen)
        return Loss(F.cross_entropy(told, texts.ids[chosen], reduction="sum"), chosen.sum())

    def scores(self) -> MaskedScores:
        """Return empty metrics."""
        return MaskedScores(self)

    def predictions(self, model: TextModel, texts: Texts) -> list[dict[str, Any]]:
        """Return the likeliest token at each mask."""
        chosen = texts.ids == self.mask
        best = model.at(texts, chosen).argmax(1).tolist()
        counts = chosen.sum(1).tolist()
        return [{"tokens": [best.pop(0) for _ in range(count)]} for count in counts]

    def baselines(self, train: Rows, valid: Rows) -> Sequence[Baseline]:  # noqa: ARG002
        """Nothing comparable tells hidden tokens."""
        return []

    def to_facts(self) -> dict[str, Any]:
        """Return columns and tokens."""
        tokens = {"mask": self.mask, "size": self.size, "special": list(self.special)}
        return {**super().to_facts(), **tokens}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Masked:
        """Make the task again."""
        return cls(
            Columns(**facts["columns"]),
            facts["context"],
            mask=facts["mask"],
            size=facts["size"],
            special=facts["special"],
        )
