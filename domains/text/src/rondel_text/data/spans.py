"""Spans of a text: checked against it, made into IOB2 tags of tokens, and made of them.

A span is ``[start, end, label]``, in characters (code points), the end exclusive.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from rondel.errors import DataError

Offsets = Sequence[tuple[int, int]]
"""Start and end of each token in the text, in characters; a token without text has start = end."""
_SHOWN = 60


class Span(NamedTuple):
    """A labelled stretch of a text."""

    start: int
    end: int
    label: str

    def __str__(self) -> str:
        """Return the span as it is written in a file."""
        return f"[{self.start}, {self.end}, {self.label!r}]"


def span_of(value: object, where: str) -> Span:
    """Return a value as a span.

    Raises:
        DataError: It is no list of start, end and label.
    """
    parts = tuple(value) if isinstance(value, list | tuple) else ()
    if len(parts) != 3 or type(parts[0]) is not int or type(parts[1]) is not int:
        right = False
    else:
        right = isinstance(parts[2], str) and parts[2] != ""
    if not right:
        raise DataError(
            f"{_short(repr(value))} is no span",
            where=where,
            hint='A span is [start, end, "LABEL"], counted in characters, the end exclusive.',
        )
    return Span(*parts)


def check_spans(text: str, spans: Iterable[Sequence[Any]], where: str) -> list[Span]:
    """Return the spans of a text in order, after checking that each one covers some of it alone.

    Raises:
        DataError: A span is malformed, empty, outside of the text, or overlaps another one.
    """
    found = sorted(span_of(span, where) for span in spans)
    for span in found:
        if span.start < 0 or span.end > len(text):
            raise DataError(
                f"the span {span} is outside of the text of {len(text)} characters "
                f"{_short(text)!r}",
                where=where,
                hint="Were offsets counted in bytes or UTF-16 units? They count characters here.",
            )
        if span.start >= span.end:
            raise DataError(
                f"the span {span} is empty in the text {_short(text)!r}",
                where=where,
                hint="Remove it, or give it an end behind its start: the end is exclusive.",
            )
    for left, right in pairwise(found):
        if right.start < left.end:
            raise DataError(
                f"the spans {left} {_short(text[left.start : left.end])!r} and {right} "
                f"{_short(text[right.start : right.end])!r} overlap",
                where=where,
                hint="A token has one tag: keep one of the two, or label them in columns apart.",
            )
    return found


def tags_of_spans(offsets: Offsets, spans: Iterable[Sequence[Any]]) -> list[str]:
    """Return the IOB2 tag of each token.

    A token belongs to the first span that it overlaps by at least a character. Tokens without text
    (``start == end``, as tokenizers give them for special tokens) are O. A span that no token
    overlaps, say behind a cut, leaves no tag.

    Args:
        offsets: Start and end of each token.
        spans: Spans that do not overlap, as ``check_spans`` returns them.
    """
    ordered = sorted(Span(*span) for span in spans)
    ends = [span.end for span in ordered]
    tags: list[str] = []
    last = -1
    for start, end in offsets:
        index = bisect_right(ends, start)  # the first span that ends behind the token's start
        if start >= end or index == len(ordered) or ordered[index].start >= end:
            tags.append("O")
            continue
        tags.append(f"{'I' if index == last else 'B'}-{ordered[index].label}")
        last = index
    return tags


def spans_of_tags(offsets: Offsets, tags: Sequence[str], where: str = "") -> list[Span]:
    """Return the spans that tags of tokens mean; the reverse of ``tags_of_spans``.

    IOB1 is understood too: an ``I-`` that continues nothing begins a span. The tags of tokens
    without text are O, whatever they say.

    Raises:
        DataError: There are more or fewer tags than tokens, or one is not O, B- or I-.
    """
    if len(offsets) != len(tags):
        raise DataError(
            f"there are {len(tags)} tags for {len(offsets)} tokens",
            where=where,
            hint="Give each token one tag.",
        )
    found: list[Span] = []
    last = ""
    for (start, end), tag in zip(offsets, tags, strict=True):
        kind, _, label = tag.partition("-")
        if tag != "O" and (kind not in ("B", "I") or not label):
            raise DataError(
                f"{tag!r} is no IOB tag", where=where, hint="Tags are O, B-LABEL and I-LABEL."
            )
        if start >= end:
            label = ""  # a token without text has none to mark
        elif kind == "I" and last == label:
            found[-1] = found[-1]._replace(end=end)
        elif label:
            found.append(Span(start, end, label))
        last = label
    return found


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
