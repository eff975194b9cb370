"""SQuAD's JSON, versions 1.1 and 2.0: articles of paragraphs, each a context with its questions.

Source: https://rajpurkar.github.io/SQuAD-explorer/ (Rajpurkar et al., 2016; Rajpurkar, Jia and
Liang, 2018). Plausible answers of questions without an answer are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_text.data.formats.json_text import JsonObject, object_of_file, text_in
from rondel_text.data.formats.source import Source
from rondel_text.data.questions import ANSWER, CONTEXT, QUESTION, START
from rondel_text.data.rows import Rows

_HEAD = re.compile(r'\s*\{.*?"paragraphs"\s*:\s*\[', re.DOTALL)
_DATA = re.compile(r'"data"\s*:\s*\[')
_FORM = "SQuAD has data: a list of articles with paragraphs, each with a context and its qas."


def recognise(path: Path, head: str) -> bool:
    """Tell whether a file is SQuAD's JSON."""
    found = _HEAD.match(head)
    return path.suffix.lower() == ".json" and bool(found and _DATA.search(found[0]))


def read(source: Source) -> Rows:
    """Read a row for each question; its number is its place in the file, counted from 1.

    ``answer`` and ``answer_start`` are lists: empty for a question that its context does not
    answer, None for one that nobody has answered.

    Raises:
        DataError: Something is missing or malformed; the question is named.
    """
    return Rows.of_records(_questions(source.path), file=str(source.path))


def _questions(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for place, article in enumerate(_list(object_of_file(path), "data", str(path)), 1):
        where = f"{path}, article {place}"
        for paragraph in _list(article, "paragraphs", where):
            context = text_in(paragraph, where, CONTEXT)
            for asked in _list(paragraph, "qas", where):
                number += 1
                yield number, _cells(asked, context, article, f"{path}:{number}")


def _cells(asked: JsonObject, context: str, article: JsonObject, where: str) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "id": asked.get("id"),
        "title": article.get("title"),
        CONTEXT: context,
        QUESTION: text_in(asked, where, QUESTION),
        ANSWER: None,
        START: None,
    }
    if asked.get("is_impossible") is True:
        return {**cells, ANSWER: [], START: []}
    if "answers" in asked:
        answers = _list(asked, "answers", where)
        cells[ANSWER] = [text_in(answer, where) for answer in answers]
        starts = [answer.get(START) for answer in answers]
        cells[START] = None if set(starts) == {None} else starts
    return cells


def _list(parent: JsonObject, key: str, where: str) -> list[JsonObject]:
    found = parent.get(key)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        what = "is no list of objects" if key in parent else "is missing"
        raise DataError(f"{key!r} {what}", where=where, hint=_FORM)
    return found
