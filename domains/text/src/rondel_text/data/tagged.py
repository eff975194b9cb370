"""Texts whose words have tags: the columns that readers make, and what a word is."""

from __future__ import annotations

import re
from typing import Any

from rondel_text.data.faults import BROKEN, is_whole

WORDS, TAGS = "words", "tags"
WORD = re.compile(r"\w+|[^\w\s]")
"""A word of a text that comes without words: letters and digits, or one mark."""


def wrong_words(words: Any) -> str | None:
    """Return what is wrong with the words of a text, or None."""
    if not words:
        return "there are no words"
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        return f"{words!r} is no list of words"
    if not all(word.strip() for word in words):
        return "a word is empty"
    return None if is_whole("".join(words)) else BROKEN
