"""What a trained model is asked: whether a word is a path, and whether rows can be predicted for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_text.data.faults import Fault, empty_texts
from rondel_text.data.rows import Rows
from rondel_text.data.tagged import WORDS, wrong_words
from rondel_text.tasks import Task


def is_path(word: str) -> bool:
    """Tell whether a word names a file or folder; an empty or a very long one does not."""
    try:
        return bool(word.strip()) and Path(word).exists()
    except OSError:  # longer than any name
        return False


def check_texts(rows: Rows, task: Task) -> None:
    """Refuse rows without a text, or without the second one of a pair.

    Raises:
        DataError: Names the first of them.
    """
    columns = task.columns
    alone = task.kind == "pairs" and columns.pair not in rows.columns  # each is embedded by itself
    texts = (columns.text, None if alone else columns.pair)
    for column in (WORDS,) if task.kind == "tokens" else texts:
        if column is None:
            continue
        found = rows.columns.get(column)
        if found is None:
            raise DataError(
                f"there is no column {column!r}; there are {', '.join(map(repr, rows.columns))}",
                where=rows.files[0],
                hint=f"The model was trained on a column {column!r}.",
            )
        faults = word_faults(found) if column == WORDS else empty_texts(column, found)
        for fault in faults:
            where = f"{rows.where(fault.row)}, column {column!r}"
            raise DataError(fault.what, where=where, hint="Leave it out.")


def word_faults(found: Sequence[Any]) -> Iterator[Fault]:
    """Yield the rows of a tagger whose words are none."""
    for row, words in enumerate(found):
        wrong = wrong_words(words)
        if wrong is not None:
            yield Fault(row, WORDS, wrong)
