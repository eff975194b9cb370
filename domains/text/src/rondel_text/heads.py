"""A trained model with several heads as a folder: what it says of a text for every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from rondel import DataManifest
from rondel.errors import DataError, UsageError
from rondel_text.bundle import IN_MEMORY, TextBundle
from rondel_text.config import TextConfig
from rondel_text.data.rows import Rows
from rondel_text.data.tagged import TAGS, WORDS
from rondel_text.inputs import is_path
from rondel_text.metrics.together import together
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import Task
from rondel_text.tokenizers import Tokenizer


class MultitaskBundle(TextBundle):
    """Predicts for all tasks of a shared model; ``heads`` has the bundle of each.

    A head takes part where it finds its columns: those of single texts for a text, those of pairs
    for a pair.
    """

    @classmethod
    def of_tasks(
        cls,
        config: TextConfig,
        model: TextModel,
        *,
        tokenizer: Tokenizer,
        tasks: Mapping[str, Task],
        data: DataManifest | None = None,
    ) -> MultitaskBundle:
        """Make the bundle of a model as it is now."""
        model = model.merged()
        facts = {
            "tasks": [[name, task.to_facts()] for name, task in tasks.items()],
            "tokenizer": tokenizer.to_facts(),
            "architecture": model.to_facts(),
        }
        values = config.model_dump(mode="json")
        return cls(config=values, facts=facts, modules={"model": model}, data=data)

    @cached_property
    def heads(self) -> Mapping[str, TextBundle]:
        """The model as it answers for each task alone."""
        from rondel_text.models.shared import OneHead, SharedModel  # which need transformers

        shared = cast(SharedModel, self.model)
        return {
            name: TextBundle(
                config=self.settings.of_task(name).model_dump(mode="json"),
                facts={"task": task, "tokenizer": self.facts["tokenizer"]},
                modules={"model": OneHead(shared, name)},
                data=None if self.data is None else part_of(self.data, name),
            )
            for name, task in self.facts["tasks"]
        }

    @property
    def task(self) -> Task:
        """The first task: its column is where texts stand that come without columns."""
        return next(iter(self.heads.values())).task

    def predict(
        self, inputs: str | Sequence[Any] | Rows, *, batch_size: int = 32
    ) -> list[dict[str, Any]]:
        """Predict for texts, or for pairs of texts.

            bundle.predict("What a film!")[0]["topic"]["label"]

        Returns:
            For each text what every head says that reads such texts, by the name of its task.

        Raises:
            DataError: A text is empty, or no head finds its columns.
            UsageError: There are none, or no head reads such texts.
        """
        rows = inputs if isinstance(inputs, Rows) else self._rows(inputs)
        paired = are_pairs(inputs)
        found = {
            name: head.predict(rows, batch_size=batch_size)
            for name, head in self.heads.items()
            if reads(head.task, rows) and (head.task.columns.pair is not None or not paired)
        }
        if not found:
            raise self._unread(rows, labelled=False)
        return [{name: answers[row] for name, answers in found.items()} for row in range(len(rows))]

    def _rows(self, inputs: str | Sequence[Any]) -> Rows:
        items = [inputs] if isinstance(inputs, str) else list(inputs)
        if not items:
            raise UsageError("there are no texts to predict for", hint="Give one or more.")
        paired = are_pairs(items)
        tasks = [head.task for head in self.heads.values()]
        tasks = [task for task in tasks if (task.columns.pair is not None) == paired]
        if not tasks:
            kind = "pairs of texts" if paired else "single texts"
            raise UsageError(f"no head of the model reads {kind}", hint="Give the other ones.")
        sides = list(zip(*items, strict=True)) if paired else [items]
        columns = {task.columns.text: sides[0] for task in tasks}
        if paired:
            columns |= {str(task.columns.pair): sides[1] for task in tasks}
        return Rows.of(columns, name=IN_MEMORY)

    def _rows_of(self, word: str) -> Rows:
        if word != "-" or is_path(word):
            return super()._rows_of(word)
        rows = super()._rows_of(word)
        lines = rows[self.task.columns.text]
        columns = {head.task.columns.text: lines for head in self.heads.values()}
        return replace(rows, columns=columns)

    def _worded(self, rows: Rows) -> Rows:
        return rows  # each head that needs words makes them

    def evaluate(self, data: Path | None) -> dict[str, float]:
        """Return the metrics of every task: on a file those of the tasks that find their columns.

        Raises:
            DataError: They cannot be read, hold an unknown label, or are not those of the training.
        """
        heads = dict(self.heads)
        if data is not None:
            rows = self._read(data)
            heads = {
                name: head for name, head in heads.items() if reads(head.task, rows, labelled=True)
            }
            if not heads:
                raise self._unread(rows, labelled=True)
        values = {name: head.evaluate(data) for name, head in heads.items()}
        return together(values, {name: head.task.watch for name, head in heads.items()})

    def _unread(self, rows: Rows, *, labelled: bool) -> DataError:
        """Describe rows that have the columns of no task."""
        wanted = [
            f"{name} reads {', '.join(map(repr, columns_of(head.task, labelled=labelled)))}"
            for name, head in self.heads.items()
        ]
        return DataError(
            f"no task finds its columns; there are {', '.join(map(repr, rows.columns))}",
            where=rows.files[0],
            hint=f"{'; '.join(wanted)}.",
        )

    def export(self, out: Path, format: str) -> Path:  # noqa: A002 - the command line's own word
        """Refuse: no other format has several heads.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"a model with {len(self.heads)} heads cannot be exported as {format!r}",
            where=str(out),
            hint="Use the bundle; its weights are in tensors.safetensors.",
        )


def are_pairs(inputs: str | Sequence[Any] | Rows) -> bool:
    """Tell whether inputs in memory are pairs of texts."""
    return not isinstance(inputs, str | Rows) and not isinstance(next(iter(inputs), ""), str)


def columns_of(task: Task, *, labelled: bool) -> list[str]:
    """Return the columns that a task reads; its labels among them, or not."""
    columns = task.columns
    if task.kind == "tokens":
        return [WORDS, TAGS] if labelled else [columns.text]
    texts = [columns.text, *([] if columns.pair is None else [columns.pair])]
    return [*texts, columns.label] if labelled else texts


def reads(task: Task, rows: Rows, *, labelled: bool = False) -> bool:
    """Tell whether rows have the columns of a task; a tagger takes words or a text."""
    there = set(rows.columns)
    if task.kind == "tokens" and WORDS not in there:
        return {task.columns.text, *(["spans"] if labelled else [])} <= there
    if task.kind == "tokens":
        return TAGS in there or not labelled
    return set(columns_of(task, labelled=labelled)) <= there


def part_of(manifest: DataManifest, name: str) -> DataManifest:
    """Return what the data of one task was."""
    start = f"{name}/"
    parts = [
        replace(part, name=part.name.removeprefix(start))
        for part in manifest.files
        if part.name.startswith(start)
    ]
    return DataManifest.of(name, parts, samples=manifest.samples)
