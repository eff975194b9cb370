"""One class of several for each text. Letters: B texts, C classes."""

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
from rondel_text.data.columns import Columns, cells, name_of
from rondel_text.data.faults import Fault
from rondel_text.data.labels import Labels
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.metrics.calibration import CalibrationError
from rondel_text.metrics.classification import ClassScores, RocAuc
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import sequence
from rondel_text.tasks.labelled import Labelled
from rondel_text.tokenizers import Tokenizer


class ClassificationScores:
    """Loss, accuracy, F1, MCC, ROC-AUC and calibration of C classes."""

    def __init__(self, classes: int) -> None:
        self._loss, self._scores = MeanMetric(), ClassScores(classes)
        self._roc_auc, self._calibration = RocAuc(classes), CalibrationError(classes)
        self.by_name: Mapping[str, Metric] = {
            "loss": self._loss,
            "": self._scores,
            "roc_auc": self._roc_auc,
            "calibration_error": self._calibration,
        }

    def update(self, model: TextModel, texts: Texts, *targets: Tensor) -> None:
        """Measure a model on a batch; the target is (B,) int64."""
        self.add(model(texts), targets[0])

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Measure logits (B, C) by labels (B,)."""
        self._loss.update(F.cross_entropy(logits.float(), labels, reduction="none"))
        for metric in (self._scores, self._roc_auc, self._calibration):
            metric.update(logits, labels)


class Classification(Labelled):
    """One class of several.

    Args:
        labels: The classes.
        columns: Where text and class stand.
        smoothing: Share of a target that is given to all classes (Szegedy et al., 2016).
    """

    kind: ClassVar[str] = "classification"
    head: ClassVar[str] = "sequence"
    watch = Watch("accuracy", "max")

    def __init__(self, labels: Labels, columns: Columns, *, smoothing: float = 0.0) -> None:
        super().__init__(labels, columns)
        self.smoothing = smoothing

    @classmethod
    def learnt(cls, rows: Rows, columns: Columns) -> Classification:
        """Find the classes.

        Raises:
            DataError: There are fewer than two.
        """
        names = [name_of(cell) for cell in cells(rows, columns.label, "label")]
        labels = Labels.found(name for name in names if name is not None)
        if len(labels) < 2:
            raise DataError(
                f"column {columns.label!r} holds one class only: {labels.names[0]!r}"
                if len(labels)
                else f"column {columns.label!r} holds no class at all",
                where=rows.files[0],
                hint="A classifier needs two or more; is this the column that you meant?",
            )
        return cls(labels, columns)

    @classmethod
    def faults(cls, rows: Rows, columns: Columns) -> Iterator[Fault]:
        """Yield the rows without a text or a class."""
        yield from sequence.text_faults(rows, columns)
        for row, cell in enumerate(cells(rows, columns.label, "label")):
            if isinstance(cell, list | tuple):
                yield Fault(row, columns.label, f"{cell!r} is no class; see task=multilabel")
            elif name_of(cell) is None:
                yield Fault(row, columns.label, "there is no label")

    def strangers(self, rows: Rows) -> Iterator[Fault]:
        """Yield the rows with a label that was never learnt."""
        names = map(name_of, cells(rows, self.columns.label, "label"))
        yield from self.labels.strangers(
            self.columns.label, ([] if name is None else [name] for name in names)
        )

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode texts with their classes."""
        return TextSet(sequence.encoded(rows, self.columns, tokenizer), rows, (self.numbers(rows),))

    def encode_inputs(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode texts alone."""
        return sequence.inputs(rows, self.columns, tokenizer)

    def numbers(self, rows: Rows) -> Tensor:
        """Return the class of each row, (N,) int64.

        Raises:
            DataError: A class is unknown.
        """
        found = cells(rows, self.columns.label, "label")
        return torch.tensor(
            [
                self.labels.number(
                    str(name_of(cell)), f"{rows.where(row)}, column {self.columns.label!r}"
                )
                for row, cell in enumerate(found)
            ]
        )

    def loss(self, model: TextModel, texts: Texts, *targets: Tensor) -> Loss:
        """Return the cross-entropy."""
        (labels,) = targets
        smoothing = self.smoothing
        losses = F.cross_entropy(model(texts), labels, reduction="sum", label_smoothing=smoothing)
        return Loss(losses, len(labels))

    def scores(self) -> ClassificationScores:
        """Return empty metrics."""
        return ClassificationScores(len(self.labels))

    def predictions(self, model: TextModel, texts: Texts) -> list[dict[str, Any]]:
        """Return the class of each text and the probability of every class."""
        probabilities = model(texts).double().softmax(1)
        return [
            {
                "label": self.labels.names[max(range(len(row)), key=row.__getitem__)],
                "probabilities": dict(zip(self.labels.names, row, strict=True)),
            }
            for row in probabilities.tolist()
        ]

    def baselines(self, train: Rows, valid: Rows) -> Sequence[Baseline]:
        """Measure a linear model of words, and the majority class."""
        labels, targets = self.numbers(train), self.numbers(valid)
        texts = [sequence.joined(rows, self.columns) for rows in (train, valid)]
        linear = linear_logits(*texts, labels=labels, classes=len(self.labels))
        counts = torch.bincount(labels, minlength=len(self.labels)).double()
        majority = (counts / counts.sum()).log().expand(len(targets), -1)
        return [
            self._measured("TF-IDF + logistic regression", linear, targets),
            self._measured("majority class", majority, targets),
        ]

    def _measured(self, name: str, logits: Tensor, targets: Tensor) -> Baseline:
        scores = self.scores()
        scores.add(logits, targets)
        return Baseline(name, merged(scores.by_name, []))
