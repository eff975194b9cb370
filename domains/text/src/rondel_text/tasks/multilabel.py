"""Any number of labels for each text. Letters: B texts, C labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from rondel import Baseline, Loss, Metric, Watch
from rondel.errors import DataError
from rondel.metric import MeanMetric, merged
from rondel_text.baselines import linear_logits
from rondel_text.data.batch import Texts
from rondel_text.data.columns import Columns, cells, names_in
from rondel_text.data.faults import Fault
from rondel_text.data.labels import Labels
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.metrics.classification import LabelScores
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import sequence
from rondel_text.tasks.labelled import Labelled
from rondel_text.tokenizers import Tokenizer


class MultiLabelScores:
    """Loss, micro and macro F1, and the share of texts with exactly the right labels."""

    def __init__(self, labels: int) -> None:
        self._loss, self._scores = MeanMetric(), LabelScores(labels)
        self.by_name: Mapping[str, Metric] = {"loss": self._loss, "": self._scores}

    def update(self, model: TextModel, texts: Texts, *targets: Tensor) -> None:
        """Measure a model on a batch; the target is (B, C) of 0 and 1."""
        self.add(model(texts), targets[0])

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Measure logits (B, C) by targets (B, C)."""
        losses = F.binary_cross_entropy_with_logits(
            logits.float(), targets.float(), reduction="none"
        )
        self._loss.update(losses.mean(1))
        self._scores.update(logits, targets)


class MultiLabel(Labelled):
    """Any number of labels.

    Args:
        labels: All labels.
        columns: Where text and labels stand. A cell of labels is a list, or a text in which ``|``,
            ``;`` or ``,`` stands between them; an empty one says that none holds.
    """

    kind: ClassVar[str] = "multilabel"
    head: ClassVar[str] = "sequence"
    watch = Watch("micro_f1", "max")

    @classmethod
    def learnt(cls, rows: Rows, columns: Columns) -> MultiLabel:
        """Find the labels.

        Raises:
            DataError: There is none.
        """
        found = cells(rows, columns.label, "label")
        labels = Labels.found(name for cell in found for name in names_in(cell))
        if not len(labels):
            raise DataError(
                f"column {columns.label!r} holds no label at all",
                where=rows.files[0],
                hint="Is this the column that you meant?",
            )
        return cls(labels, columns)

    @classmethod
    def faults(cls, rows: Rows, columns: Columns) -> Iterator[Fault]:
        """Yield the rows without a text, or that nobody has labelled."""
        yield from sequence.text_faults(rows, columns)
        for row, cell in enumerate(cells(rows, columns.label, "label")):
            if cell is None:
                yield Fault(row, columns.label, "nobody has labelled it")

    def strangers(self, rows: Rows) -> Iterator[Fault]:
        """Yield the rows with a label that was never learnt."""
        found = cells(rows, self.columns.label, "label")
        yield from self.labels.strangers(self.columns.label, map(names_in, found))

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode texts with their labels, (N, C) of 0 and 1."""
        return TextSet(sequence.encoded(rows, self.columns, tokenizer), rows, (self.targets(rows),))

    def encode_inputs(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode texts alone."""
        return sequence.inputs(rows, self.columns, tokenizer)

    def targets(self, rows: Rows) -> Tensor:
        """Return (N, C) float32 of 0 and 1.

        Raises:
            DataError: A label is unknown.
        """
        found = cells(rows, self.columns.label, "label")
        made = torch.zeros(len(rows), len(self.labels))
        for row, cell in enumerate(found):
            for name in names_in(cell):
                where = f"{rows.where(row)}, column {self.columns.label!r}"
                made[row, self.labels.number(name, where)] = 1.0
        return made

    def loss(self, model: TextModel, texts: Texts, *targets: Tensor) -> Loss:
        """Return the binary cross-entropy, the mean over labels."""
        losses = F.binary_cross_entropy_with_logits(model(texts), targets[0], reduction="none")
        return Loss(losses.mean(1).sum(), len(losses))

    def scores(self) -> MultiLabelScores:
        """Return empty metrics."""
        return MultiLabelScores(len(self.labels))

    def predictions(self, model: TextModel, texts: Texts) -> list[dict[str, Any]]:
        """Return the labels of each text, and the probability of every one."""
        probabilities = model(texts).double().sigmoid()
        return [
            {
                "labels": [n for n, p in zip(self.labels.names, row, strict=True) if p > 0.5],
                "probabilities": dict(zip(self.labels.names, row, strict=True)),
            }
            for row in probabilities.tolist()
        ]

    def baselines(self, train: Rows, valid: Rows) -> Sequence[Baseline]:
        """Measure a linear model for each label, and the share of each label."""
        known, targets = self.targets(train), self.targets(valid)
        texts = [sequence.joined(rows, self.columns) for rows in (train, valid)]
        linear = torch.stack(
            [self._linear(*texts, has=known[:, label].long()) for label in range(self.outputs)], 1
        )
        share = known.double().mean(0).clamp(1e-6, 1 - 1e-6).logit().expand(len(targets), -1)
        return [
            self._measured("TF-IDF + logistic regression", linear, targets),
            self._measured("majority of each label", share, targets),
        ]

    def _linear(self, train: Sequence[str], valid: Sequence[str], *, has: Tensor) -> Tensor:
        if has.all() or not has.any():
            return torch.full((len(valid),), 50.0 if has.any() else -50.0, dtype=torch.float64)
        logits = linear_logits(train, valid, labels=has, classes=2)
        return logits[:, 1] - logits[:, 0]

    def _measured(self, name: str, logits: Tensor, targets: Tensor) -> Baseline:
        scores = self.scores()
        scores.add(logits, targets)
        return Baseline(name, merged(scores.by_name, []))
