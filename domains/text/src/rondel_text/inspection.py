"""What texts look like to the domain: the text of ``rondel text inspect``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rondel_text.config import TextConfig
from rondel_text.data.columns import Columns, cells, name_of, names_in, number_of
from rondel_text.data.excerpt import excerpt
from rondel_text.data.faults import Fault, told
from rondel_text.data.questions import sound_answers
from rondel_text.data.rows import Rows
from rondel_text.data.source import Parts, columns_of, gather, task_of_rows, with_sound_words
from rondel_text.data.tagged import TAGS, WORDS
from rondel_text.language import languages
from rondel_text.tasks import TASKS

SHOWN = 20


def inspect(config: TextConfig) -> str:
    """Describe texts: task, lengths, labels, empty and repeated rows.

    Of large data a sample is described, and the text says so.

    Raises:
        DataError: They cannot be read.
    """
    if config.multitask.tasks:
        names = config.multitask.tasks
        return "\n\n".join(f"{name}\n{inspect(config.of_task(name))}" for name in names)
    parts, *remarks = excerpt(config) or (gather(config),)
    kind = task_of_rows(config, parts.train)
    columns = columns_of(config, kind, parts.train)
    both = [parts.train, parts.valid]
    dropped: list[str] = []
    if kind == "tokens":
        (train, more), (valid, others) = (with_sound_words(rows, columns, "drop") for rows in both)
        both, dropped = [train, valid], [*more, *others]
    train, valid = both
    sizes = f"{len(train):,} rows to learn from, {len(valid):,} to evaluate on"
    lines = [
        f"{parts.name}: {sizes}",
        *remarks,
        f"columns: {', '.join(train.columns)}",
        f"task: {kind}",
        "",
        *lengths(train, valid, columns, kind),
        *languages(texts_of(train, columns, kind)),
        "",
        *labels(train, valid, columns, kind),
        *repeats(train, valid, columns, kind),
        *faults(both, columns, kind),
        *dropped,
        *notes(parts),
    ]
    return "\n".join(map(printable, lines))


def texts_of(rows: Rows, columns: Columns, kind: str) -> list[str]:
    """Return the texts; the words of a tagger with blanks between."""
    if kind == "tokens":
        return [" ".join(map(str, words or ())) for words in rows[WORDS]]
    texts = [str(text or "") for text in cells(rows, columns.text, "text")]
    if columns.pair is None:
        return texts
    others = cells(rows, columns.pair, "pair")
    return [f"{one}\n{other or ''}" for one, other in zip(texts, others, strict=True)]


def lengths(train: Rows, valid: Rows, columns: Columns, kind: str) -> Iterator[str]:
    """Describe how long texts are, in words and characters."""
    yield from sizes("length", [*texts_of(train, columns, kind), *texts_of(valid, columns, kind)])


def sizes(what: str, texts: Sequence[str]) -> Iterator[str]:
    """Describe how long texts are."""
    shares = (50, 90, 99, 100)
    yield f"{what:12}{'median':>9}{'90 %':>9}{'99 %':>9}{'longest':>9}"
    for unit, counts in (
        ("words", [len(text.split()) for text in texts]),
        ("characters", [len(text) for text in texts]),
    ):
        cells_of = "".join(f"{np.percentile(counts, share):9,.0f}" for share in shares)
        yield f"{unit:12}{cells_of}"


def labels(train: Rows, valid: Rows, columns: Columns, kind: str) -> Iterator[str]:
    """Describe the labels: how often each stands on either side."""
    if kind in ("causal", "masked", "pairs"):
        return
    if kind == "answers":
        yield from answers(train, valid, columns)
        return
    if kind == "seq2seq":
        both = [*cells(train, columns.label, "label"), *cells(valid, columns.label, "label")]
        yield from sizes("target", [str(target or "") for target in both])
        yield ""
        return
    if kind == "regression":
        found = map(number_of, cells(train, columns.label, "label"))
        values = np.array([number for number in found if number is not None])
        if not len(values):
            return
        yield f"numbers from {values.min():.4g} to {values.max():.4g}, mean {values.mean():.4g}"
        yield ""
        return
    counts = [Counter(names_of(rows, columns, kind)) for rows in (train, valid)]
    names = sorted(set(counts[0]) | set(counts[1]), key=lambda name: (-counts[0][name], name))
    yield f"{'label':24}{'learn':>9}{'evaluate':>10}"
    for name in names[:SHOWN]:
        hint = "" if counts[0][name] else "   never learnt"
        yield f"{name[:23]:24}{counts[0][name]:9,}{counts[1][name]:10,}{hint}"
    if len(names) > SHOWN:
        yield f"and {len(names) - SHOWN} more"
    yield ""


def answers(train: Rows, valid: Rows, columns: Columns) -> Iterator[str]:
    """Describe how many questions have an answer, and how long the answers are."""
    yield f"{'questions':24}{'learn':>9}{'evaluate':>10}"
    sides = [list(sound_answers(rows, columns)) for rows in (train, valid)]
    for what, has_answer in (("with an answer", True), ("without an answer", False)):
        counts = [sum(bool(found.answers) is has_answer for found in side) for side in sides]
        yield f"{what:24}{counts[0]:9,}{counts[1]:10,}"
    words = [len(text.split()) for side in sides for found in side for text in found.texts[:1]]
    if words:
        yield f"answers have {np.median(words):.0f} words, the longest {max(words)}"
    yield ""


def names_of(rows: Rows, columns: Columns, kind: str) -> Iterator[str]:
    """Yield every label of rows."""
    if kind == "tokens":
        for tags in cells(rows, TAGS, "format"):
            yield from tags or ()
        return
    for cell in cells(rows, columns.label, "label"):
        if kind == "multilabel":
            yield from names_in(cell)
        elif (name := name_of(cell)) is not None:
            yield name


def repeats(train: Rows, valid: Rows, columns: Columns, kind: str) -> Iterator[str]:
    """Tell repeated texts, within a side and across both."""
    sides = [texts_of(rows, columns, kind) for rows in (train, valid)]
    for texts, what in zip(sides, ("learn from", "evaluate on"), strict=True):
        extra = len(texts) - len(set(texts))
        if extra:
            yield f"{extra:,} texts to {what} repeat another one there"
    across = set(sides[0]) & set(sides[1]) - {""}
    if across:
        first = next(text for text in sides[1] if text in across)
        yield f"{len(across):,} texts stand on both sides, such as {first[:60]!r}: scores will flatter"


def faults(both: Sequence[Rows], columns: Columns, kind: str) -> Iterator[str]:
    """Tell rows that nothing can be learnt from."""
    for rows in both:
        task: Any = TASKS[kind]
        found: list[Fault] = list(task.faults(rows, columns))
        if found:
            yield f"{len({fault.row for fault in found}):,} rows cannot be learnt from (bad_rows=drop):"
            yield from told(rows, found)


def notes(parts: Parts) -> Iterator[str]:
    """Tell what of the files is not in the rows."""
    yield from parts.train.notes


def printable(line: str) -> str:
    """Replace what a terminal would obey instead of showing; texts come from files."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
