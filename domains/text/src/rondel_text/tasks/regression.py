"""A number for each text. Letters: B texts, N of a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from rondel import Baseline, Loss, Metric, Watch
from rondel.errors import DataError
from rondel.metric import RegressionErrors, merged
from rondel_text.baselines import linear_values
from rondel_text.data.batch import Texts
from rondel_text.data.columns import Columns, cells, number_of
from rondel_text.data.faults import Fault
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.metrics.correlation import Spearman
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import sequence
from rondel_text.tokenizers import Tokenizer


class RegressionScores:
    """RMSE, MAE, R² and rank correlation, in the unit of the target.

    Args:
        mean: What an answer of 0 stands for.
        spread: What an answer of 1 adds.
    """

    def __init__(self, mean: float, spread: float) -> None:
        self._mean, self._spread = mean, spread
        self._errors, self._spearman = RegressionErrors(), Spearman()
        self.by_name: Mapping[str, Metric] = {"": self._errors, "spearman": self._spearman}

    def update(self, model: TextModel, texts: Texts, *targets: Tensor) -> None:
        """Measure a model on a batch; the target is (B,), standardised."""
        self.add(model(texts)[:, 0], targets[0])

    def add(self, answers: Tensor, targets: Tensor) -> None:
        """Measure answers (B,) by targets (B,), both standardised."""
        pair = [each.detach().double() * self._spread + self._mean for each in (answers, targets)]
        self._errors.update(*pair)
        self._spearman.update(*pair)


class Regression:
    """A number for each text; the model learns it standardised.

    Args:
        mean: Of the training rows.
        spread: Their standard deviation.
        columns: Where text and number stand.
    """

    kind: ClassVar[str] = "regression"
    head: ClassVar[str] = "sequence"
    watch = Watch("rmse", "min")

    def __init__(self, mean: float, spread: float, columns: Columns) -> None:
        self.mean, self.spread, self.columns = mean, spread, columns

    @property
    def outputs(self) -> int:
        """One."""
        return 1

    @classmethod
    def learnt(cls, rows: Rows, columns: Columns) -> Regression:
        """Find mean and spread.

        Raises:
            DataError: All numbers are the same.
        """
        found = [number_of(cell) for cell in cells(rows, columns.label, "label")]
        values = torch.tensor([number for number in found if number is not None])
        return cls.of_values(values, columns, where=rows.files[0])

    @classmethod
    def of_values(cls, values: Tensor, columns: Columns, *, where: str) -> Regression:
        """Find mean and spread of numbers (N,); ``where`` they stand is for the message.

        Raises:
            DataError: All numbers are the same.
        """
        values = values.double()
        spread = values.std().item() if len(values) > 1 else 0.0
        if not spread > 0:
            raise DataError(
                f"the {len(values)} numbers of column {columns.label!r} are all the same",
                where=where,
                hint="There is nothing to learn; is this the column that you meant?",
            )
        return cls(values.mean().item(), spread, columns)

    @classmethod
    def faults(cls, rows: Rows, columns: Columns) -> Iterator[Fault]:
        """Yield the rows without a text or a finite number."""
        yield from sequence.text_faults(rows, columns)
        for row, cell in enumerate(cells(rows, columns.label, "label")):
            if number_of(cell) is None:
                yield Fault(row, columns.label, f"{cell!r} is no number")

    def strangers(self, rows: Rows) -> Iterator[Fault]:  # noqa: ARG002 - numbers are all known
        """Yield nothing."""
        yield from ()

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode texts with their numbers, standardised."""
        return TextSet(sequence.encoded(rows, self.columns, tokenizer), rows, (self.values(rows),))

    def encode_inputs(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode texts alone."""
        return sequence.inputs(rows, self.columns, tokenizer)

    def values(self, rows: Rows) -> Tensor:
        """Return the standardised number of each row, (N,) float32."""
        found = [number_of(cell) for cell in cells(rows, self.columns.label, "label")]
        return ((torch.tensor(found, dtype=torch.float64) - self.mean) / self.spread).float()

    def loss(self, model: TextModel, texts: Texts, *targets: Tensor) -> Loss:
        """Return the squared error of the standardised number."""
        errors = model(texts)[:, 0] - targets[0]
        return Loss(errors.square().sum(), len(errors))

    def scores(self) -> RegressionScores:
        """Return empty metrics."""
        return RegressionScores(self.mean, self.spread)

    def predictions(self, model: TextModel, texts: Texts) -> list[dict[str, Any]]:
        """Return the number of each text."""
        values = model(texts)[:, 0].double() * self.spread + self.mean
        return [{"value": value} for value in values.tolist()]

    def baselines(self, train: Rows, valid: Rows) -> Sequence[Baseline]:
        """Measure a linear model of words, and the mean."""
        known, targets = self.values(train), self.values(valid)
        texts = [sequence.joined(rows, self.columns) for rows in (train, valid)]
        linear = linear_values(*texts, values=known)
        return [
            self._measured("TF-IDF + ridge regression", linear, targets),
            self._measured("mean", torch.zeros(len(targets)), targets),
        ]

    def _measured(self, name: str, answers: Tensor, targets: Tensor) -> Baseline:
        scores = self.scores()
        scores.add(answers, targets)
        return Baseline(name, merged(scores.by_name, []))

    def to_facts(self) -> dict[str, Any]:
        """Return scale and columns."""
        return {
            "kind": self.kind,
            "mean": self.mean,
            "spread": self.spread,
            "columns": self.columns.to_facts(),
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Regression:
        """Make the task again."""
        return cls(facts["mean"], facts["spread"], Columns(**facts["columns"]))
