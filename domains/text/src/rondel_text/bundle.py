"""A trained text model as a folder: predict, evaluate, export."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import torch
from torch import nn

from rondel import Bundle, DataManifest
from rondel.batch import to_device
from rondel.errors import DataError, UsageError
from rondel.metric import merged
from rondel_text.config import TextConfig
from rondel_text.data.faults import sound
from rondel_text.data.reading import read_rows, recognise
from rondel_text.data.rows import Rows
from rondel_text.data.source import gather, with_sound_words, with_words
from rondel_text.data.tagged import WORDS
from rondel_text.data.text_set import TextSet
from rondel_text.inputs import check_texts, is_path
from rondel_text.models.catalogue import rebuilt
from rondel_text.models.text_model import TextModel
from rondel_text.predictions import lines_of, table_of
from rondel_text.streaming.material import validation as streamed_validation
from rondel_text.tasks import Answers, Masked, Task, TextToText, task_of
from rondel_text.tokenizers import Tokenizer, tokenizer_of

IN_MEMORY = "the given texts"


class TextBundle(Bundle):
    """Predicts what a model has learnt of texts.

    ``facts`` hold task, tokenizer and architecture as plain values; all are there as attributes.
    """

    domain: ClassVar[str] = "text"

    @classmethod
    def of(
        cls,
        config: TextConfig,
        model: TextModel,
        *,
        tokenizer: Tokenizer,
        task: Task,
        data: DataManifest | None = None,
    ) -> TextBundle:
        """Make the bundle of a model as it is now."""
        model = model.merged()
        facts = {
            "task": task.to_facts(),
            "tokenizer": tokenizer.to_facts(),
            "architecture": model.to_facts(),
        }
        config_values = config.model_dump(mode="json")
        return cls(config=config_values, facts=facts, modules={"model": model}, data=data)

    @classmethod
    def build(cls, config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, nn.Module]:  # noqa: ARG003 - the facts say it all
        """Build the model, with any weights."""
        return {"model": rebuilt(facts["architecture"])}

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a bundle; of several tasks, one that predicts for all of them.

        Raises:
            CheckpointError: A byte is damaged, or it is the bundle of another domain.
        """
        loaded = super().load(path)
        if "tasks" not in loaded.facts or cls is not TextBundle:
            return loaded
        from rondel_text.heads import MultitaskBundle

        return cast(Self, MultitaskBundle.load(path))

    @property
    def settings(self) -> TextConfig:
        """The config that it was trained with."""
        return TextConfig.model_validate(self.config)

    @property
    def task(self) -> Task:
        """What it has learnt."""
        task = task_of(self.facts["task"])
        return task.with_tokenizer(self.tokenizer) if isinstance(task, TextToText) else task

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """What it reads."""
        return tokenizer_of(self.facts["tokenizer"])

    @property
    def model(self) -> TextModel:
        """The model, in evaluation mode."""
        return cast(TextModel, self.modules["model"].eval())

    def predict(
        self, inputs: str | Sequence[Any] | Rows, *, batch_size: int = 32
    ) -> list[dict[str, Any]]:
        """Predict for texts.

            bundle.predict("What a film!")[0]["label"]

        Args:
            inputs: A text, several, or rows. A pair of texts is a tuple, also a context and a
                question; for a tagger a text is split into words, or a list of words is given.
            batch_size: Texts that are computed together.

        Returns:
            What the task predicts for each text: ``label`` and ``probabilities``, ``labels``,
            ``value``, ``tags`` and ``entities``, ``answer`` with ``start`` and ``end``, ``text``,
            ``embedding``, or ``similarity`` of a pair.

        Raises:
            DataError: A text is empty, or no text.
            UsageError: There are none.
        """
        rows = self._worded(inputs if isinstance(inputs, Rows) else self._rows(inputs))
        check_texts(rows, self.task)
        made = self.task.encode_inputs(rows, self.tokenizer)
        found = self._predictions(made, batch_size)
        return self.task.answered(found) if isinstance(self.task, Answers) else list(found)

    def _rows(self, inputs: str | Sequence[Any]) -> Rows:
        items = [inputs] if isinstance(inputs, str) else list(inputs)
        if not items:
            raise UsageError("there are no texts to predict for", hint="Give one or more.")
        columns = self.task.columns
        if self.task.kind == "tokens" and not isinstance(items[0], str):
            return Rows.of({WORDS: items}, name=IN_MEMORY)
        alone = self.task.kind == "pairs" and isinstance(items[0], str)
        if columns.pair is None or alone:
            return Rows.of({columns.text: items}, name=IN_MEMORY)
        if not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
            asked = self.task.kind == "answers"
            raise UsageError(
                "the model answers questions" if asked else "the model compares pairs of texts",
                hint=f"Give tuples of two: {'(context, question)' if asked else '(text, text)'}.",
            )
        first, second = zip(*items, strict=True)
        return Rows.of({columns.text: first, columns.pair: second}, name=IN_MEMORY)

    def _worded(self, rows: Rows) -> Rows:
        """Split the texts of a tagger into words."""
        return with_words(rows, self.task.columns) if self.task.kind == "tokens" else rows

    @torch.no_grad()
    def _predictions(self, made: TextSet, batch_size: int) -> Iterator[dict[str, Any]]:
        model, task = self.model, self.task
        device = next(model.parameters()).device
        for rows in torch.split(torch.arange(len(made)), batch_size):
            texts, *extra = to_device(made.batch_of(rows), device)
            yield from task.predictions(model, texts, *extra)

    def predict_files(self, inputs: Sequence[str], out: Path | None) -> str:
        """Predict for files, for lines of standard input (``-``), or for texts as they stand.

        A word that is no path is a text. The answer is JSON Lines, one row for each text; or CSV,
        if ``out`` ends in .csv.

        Raises:
            DataError: A file cannot be read.
        """
        if not inputs:
            raise UsageError("there is nothing to predict for", hint="Name files, texts, or -.")
        answers: list[dict[str, Any]] = []
        for word in inputs:
            rows = self._worded(self._rows_of(word))
            for row, found in enumerate(self.predict(rows)):
                answers.append({**self._shown(rows, row), **found})
        if out is None:
            return lines_of(answers)
        text = table_of(answers) if out.suffix.lower() == ".csv" else lines_of(answers)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
        return f"{len(answers)} predictions written to {out}"

    def _rows_of(self, word: str) -> Rows:
        """Return what a word of the command line means as rows."""
        if word == "-":
            lines = [line.rstrip("\n") for line in sys.stdin]
            numbers = [n for n, line in enumerate(lines, 1) if line.strip()]
            kept = [lines[n - 1] for n in numbers]
            if not kept:
                raise DataError("standard input holds no text")
            return Rows({self.task.columns.text: kept}, ("stdin",), [0] * len(kept), numbers)
        if is_path(word):
            return self._read(Path(word))
        return self._rows(word)

    def _read(self, path: Path) -> Rows:
        """Read rows; what a document of plain text is, the training has said."""
        plain = recognise(path) == "text"
        return read_rows(path, documents=self.settings.documents if plain else "file")

    def _shown(self, rows: Rows, row: int) -> dict[str, Any]:
        """Return what tells a row in the answer: its place, and its text."""
        columns = self.task.columns
        if self.task.kind == "answers":
            there = [name for name in ("id", columns.pair) if name in rows.columns]
            return {"row": rows.where(row), **{str(name): rows[str(name)][row] for name in there}}
        column = WORDS if WORDS in rows.columns else columns.text
        name = "source" if self.task.kind == "seq2seq" else column  # the answer is a text, too
        return {"row": rows.where(row), name: rows.columns.get(column, [""] * len(rows))[row]}

    def evaluate(self, data: Path | None) -> dict[str, float]:
        """Return the metrics on labelled texts, or on those that validated in training.

        Raises:
            DataError: They cannot be read, hold an unknown label, or are not those of the training.
        """
        config, task = self.settings, self.task
        if data is None and config.streaming:
            manifest, texts = streamed_validation(config, task, self.tokenizer)
            self._check_same(manifest)
            return measured(self.model, task, texts)
        rows = self._validation() if data is None else self._read(data)
        if task.kind == "tokens":
            rows, _ = with_sound_words(rows, task.columns, config.bad_rows)
        # what the training left out is left out again; an unknown label of a new file is an error
        strangers = task.strangers(rows) if data is None else ()
        found = (*task.faults(rows, task.columns), *strangers)
        rows, _ = sound(rows, found, config.bad_rows)
        return measured(self.model, task, task.encode(rows, self.tokenizer))

    def _validation(self) -> Rows:
        """Return the rows that validated in training."""
        parts = gather(self.settings)
        self._check_same(parts.manifest)
        return parts.valid

    def _check_same(self, manifest: DataManifest) -> None:
        """Refuse other data than that of the training."""
        changes = [] if self.data is None else self.data.difference(manifest)
        if changes:
            raise DataError(
                f"the data is no longer what the model was trained on: {'; '.join(changes[:3])}",
                where=manifest.name,
                hint="Restore it, or name other data: rondel text evaluate BUNDLE DATA.",
            )

    def export(self, out: Path, format: str) -> Path:  # noqa: A002 - the command line's own word
        """Write the model as a ``transformers`` folder or as ``onnx``, once it is found equal.

        Raises:
            UsageError: It cannot be exported like that; the reason is given.
            RondelError: The exported model computes something else.
        """
        from rondel_text.exporting import export  # which needs transformers

        return export(self.model, self.tokenizer, self.task, out, format)


@torch.no_grad()
def measured(
    model: TextModel, task: Task, texts: TextSet, batch_size: int = 32
) -> dict[str, float]:
    """Return the metrics of a model on a set."""
    scores = task.scores()
    device = next(model.parameters()).device
    made = task.judged(texts) if isinstance(task, Masked | TextToText | Answers) else texts
    for rows in torch.split(torch.arange(len(made)), batch_size):
        batch, *targets = to_device(made.batch_of(rows), device)
        scores.update(model, batch, *targets)
    return merged(scores.by_name, [])
