"""What a task offers. Letters: B texts, L tokens of the longest, N texts of a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, cast

from torch import Tensor

from rondel import Baseline, Loss, Metric, Watch
from rondel_text.data.batch import Texts
from rondel_text.data.columns import Columns
from rondel_text.data.faults import Fault
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.models.text_model import TextModel
from rondel_text.tokenizers import Tokenizer


class Scores(Protocol):
    """The metrics of a task, filled batch by batch."""

    @property
    def by_name(self) -> Mapping[str, Metric]:
        """The metrics; one under an empty name gives its values under their own names."""

    def update(self, model: TextModel, texts: Texts, *targets: Tensor) -> None:
        """Measure a model on a batch."""


class Task(Protocol):
    """What is learnt of a text."""

    kind: ClassVar[str]
    head: ClassVar[str]
    """What a model answers: 'sequence' (B, C), 'tokens' (B, L, C), 'answers' (B, L, 2), 'causal' or 'masked' (K, V),
    'embedding' (B, H)."""
    watch: Watch
    columns: Columns

    @property
    def outputs(self) -> int:
        """C; 0 where the model answers with tokens or embeddings."""

    @classmethod
    def learnt(cls, rows: Rows, columns: Columns) -> Task:
        """Make the task of the training rows: they know the classes.

        Raises:
            DataError: A column is missing, or there is nothing to learn.
        """

    @classmethod
    def faults(cls, rows: Rows, columns: Columns) -> Iterator[Fault]:
        """Yield what is wrong with rows."""

    def strangers(self, rows: Rows) -> Iterator[Fault]:
        """Yield the rows with a label that was never learnt."""

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode rows with their targets.

        Raises:
            DataError: A label is unknown.
        """

    def encode_inputs(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode rows without targets, to predict for."""

    def loss(self, model: TextModel, texts: Texts, *targets: Tensor) -> Loss:
        """Return the loss of a model on a batch."""

    def scores(self) -> Scores:
        """Return empty metrics."""

    def predictions(self, model: TextModel, texts: Texts) -> list[dict[str, Any]]:
        """Return what a model predicts for each text, as plain values."""

    def baselines(self, train: Rows, valid: Rows) -> Sequence[Baseline]:
        """Measure guesses on the rows to evaluate on, the best one first."""

    def to_facts(self) -> dict[str, Any]:
        """Return plain values of which `task_of` makes the task again."""

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Task:
        """Make the task again."""


def answering(logits: Tensor) -> TextModel:
    """Return what a task takes for a model that gives these logits."""
    return cast(TextModel, lambda _: logits)
