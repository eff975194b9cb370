"""Questions about contexts: the columns of their rows, and where in its context an answer stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rondel.errors import DataError
from rondel_text.data.columns import Columns, cells, number_of
from rondel_text.data.faults import Fault
from rondel_text.data.rows import Rows

CONTEXT, QUESTION, ANSWER, START = "context", "question", "answer", "answer_start"
ANSWERS = (ANSWER, "answers")
"""What the column of the answers may be called."""
SHOWN = 60


class Answer(NamedTuple):
    """A stretch of a context, in characters; the end is exclusive."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Found:
    """The accepted answers of a question; none if its context does not answer it.

    Args:
        answers: In the order of the data; the first one is learnt.
        moved: One did not stand where the data says, but at one other place.
        guessed: The data does not say where one stands, and it stands at several places.
    """

    answers: tuple[Answer, ...]
    moved: bool = False
    guessed: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """The accepted answers."""
        return tuple(answer.text for answer in self.answers)


def answers_of(rows: Rows, columns: Columns) -> list[Found]:
    """Return the answers of each row.

    Raises:
        DataError: An answer does not stand in its context; the row is named.
    """
    where = f"column {columns.label!r}"
    return [
        located(str(context), cell, start, f"{rows.where(row)}, {where}")
        for row, (context, cell, start) in enumerate(answer_cells(rows, columns))
    ]


def answer_faults(rows: Rows, columns: Columns) -> Iterator[Fault]:
    """Yield the rows whose answers are none, or do not stand in their context."""
    for row, (context, cell, start) in enumerate(answer_cells(rows, columns)):
        try:
            located(str(context), cell, start)
        except DataError as error:
            yield Fault(row, columns.label, str(error))


def sound_answers(rows: Rows, columns: Columns) -> Iterator[Found]:
    """Yield the answers of the rows that have no fault."""
    faulty = {fault.row for fault in answer_faults(rows, columns)}
    for row, (context, cell, start) in enumerate(answer_cells(rows, columns)):
        if row not in faulty:
            yield located(str(context), cell, start)


def answer_cells(rows: Rows, columns: Columns) -> Iterator[tuple[Any, Any, Any]]:
    """Yield context, answers and starts of each row."""
    starts = rows.columns.get(START, [None] * len(rows))
    contexts, found = cells(rows, columns.text, "text"), cells(rows, columns.label, "label")
    yield from zip(contexts, found, starts, strict=True)


def located(context: str, cell: Any, starts: Any = None, where: str = "") -> Found:
    """Find the answers of a cell in their context.

    Args:
        context: The text that is asked about.
        cell: An answer, or several; none is an empty text or list. A table with ``text`` and
            ``answer_start``, or a list of such, is taken as well.
        starts: Where each begins, in characters, if the data says so.
        where: The row, for the message.

    Raises:
        DataError: There is no cell; an answer is no text, does not stand in the context, or stands
            at several places and not where the data says.
    """
    texts, places = answers_in(cell, starts, where)
    found = [
        placed(context, text, place, where)
        for text, place in zip(texts, places, strict=True)
        if text.strip()
    ]
    return Found(
        tuple(answer for answer, _, _ in found),
        moved=any(moved for _, moved, _ in found),
        guessed=any(guessed for _, _, guessed in found),
    )


def answers_in(cell: Any, starts: Any, where: str) -> tuple[list[str], list[int | None]]:
    """Return the answers of a cell, and where each begins.

    Raises:
        DataError: It holds something else.
    """
    if isinstance(cell, Mapping):
        cell, starts = cell.get("text"), cell.get(START)
    elif isinstance(cell, list | tuple) and cell and all(isinstance(c, Mapping) for c in cell):
        found = [c.get(START) for c in cell]
        cell, starts = [c.get("text") for c in cell], None if set(found) == {None} else found
    if cell is None:
        raise DataError(
            "there is no answer",
            where=where,
            hint="A question that its context does not answer has an empty text or list.",
        )
    texts = list(cell) if isinstance(cell, list | tuple) else [cell]
    for text in texts:
        if not isinstance(text, str):
            raise DataError(f"the answer {text!r} is no text", where=where)
    return texts, starts_in(starts, len(texts), where)


def starts_in(starts: Any, count: int, where: str) -> list[int | None]:
    """Return where answers begin; None where the data does not say so.

    Raises:
        DataError: There are more or fewer, or one is no whole number.
    """
    if starts is None or starts in ("", [], ()):
        return [None] * count
    given: Sequence[Any] = starts if isinstance(starts, list | tuple) else [starts]
    if len(given) != count:
        raise DataError(f"there are {len(given)} starts for {count} answers", where=where)
    numbers = [number_of(each) for each in given]
    for number, each in zip(numbers, given, strict=True):
        if number is None or not number.is_integer() or number < 0:
            raise DataError(f"the start {each!r} is no place in a context", where=where)
    return [None if number is None else int(number) for number in numbers]


def placed(context: str, text: str, start: int | None, where: str) -> tuple[Answer, bool, bool]:
    """Return an answer without blanks around it, and whether it was moved or guessed.

    Raises:
        DataError: It does not stand in the context, or only at several other places.
    """
    answer = text.strip()
    if start is not None:
        start += len(text) - len(text.lstrip())
        if context.startswith(answer, start):
            return Answer(start, start + len(answer), answer), False, False
    first = context.find(answer)
    if first < 0:
        raise DataError(
            f"the answer {shortened(answer)!r} does not stand in its context", where=where
        )
    several = context.find(answer, first + 1) >= 0
    if start is not None and several:
        raise DataError(
            f"the answer {shortened(answer)!r} does not stand at {start}, but at several other "
            "places of its context",
            where=where,
        )
    return Answer(first, first + len(answer), answer), start is not None, several


def shortened(text: str) -> str:
    """Return the beginning of a text, for a message."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
