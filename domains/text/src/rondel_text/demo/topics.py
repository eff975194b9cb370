"""The reference of the Python language as running text: `pydoc_data.topics`, one row per topic.

Many topics repeat parts of longer ones ("while" is a part of "compound"). A paragraph is kept in
the longest topic that has it, so that nothing held out has been read in training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

from rondel.errors import DataError
from rondel_text.data.rows import Rows
from rondel_text.demo.split import split_rows

HELD_OUT = 0.15
SHORTEST = 400
"""Characters that a topic must have of its own."""
REMARK_WORDS = 5
"""Paragraphs of so few words, such as "For example:", may repeat."""


def load() -> Rows:
    """Return the columns "topic" and "text", sorted by topic; the same for one version of Python.

    Raises:
        DataError: This Python was installed without the topics.
    """
    texts = dict(sorted(kept()))
    return Rows.of({"topic": list(texts), "text": list(texts.values())}, name="pydoc_data.topics")


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Return the topics to train on and those held out, by their titles.

    No text is in both, and a title lasts longer from one version of Python to the next.
    """
    titles = [text.splitlines()[0] for text in rows["text"]]
    return split_rows(rows, titles, share=HELD_OUT)


@cache
def kept() -> tuple[tuple[str, str], ...]:
    """Return the names and texts of the topics that add something to the longer ones."""
    own = without_repeats(reference())
    return tuple((name, text) for name, text in own if len(text) >= SHORTEST)


def reference() -> Mapping[str, str]:
    """Return all topics by name.

    Raises:
        DataError: This Python was installed without them.
    """
    try:
        from pydoc_data.topics import topics  # 0.5 MB which only this set needs
    except ImportError as error:
        raise DataError(
            "the language reference `pydoc_data.topics` of this Python is missing",
            hint="Use a Python with its whole standard library, such as python.org's, a "
            "distribution's full package or `uv python install 3.12`.",
        ) from error
    return topics


def without_repeats(topics: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each topic, longest first, without the paragraphs that were yielded before."""
    told: set[str] = set()
    for name, text in sorted(topics.items(), key=lambda topic: (-len(topic[1]), topic[0])):
        paragraphs = re.split(r"\n\s*\n", text.strip("\n"))
        fresh = [paragraph for paragraph in paragraphs if essence(paragraph) not in told]
        told.update(essence(paragraph) for paragraph in fresh)
        told.discard("")
        yield name, "\n\n".join(fresh) + "\n"


def essence(paragraph: str) -> str:
    """Return a paragraph's words; nothing of a mere remark, which cannot repeat."""
    words = paragraph.split()
    return " ".join(words) if len(words) > REMARK_WORDS else ""
