"""Predicted texts and the texts they are compared with: one list of references each.

A text is a sequence of texts to Python, so a forgotten pair of brackets would be scored letter by
letter; it is refused here instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from rondel.errors import UsageError


def check_references(
    predictions: Sequence[str], references: Sequence[Sequence[str]], *, least: int = 1
) -> None:
    """Raise unless each prediction is a text with a list of at least ``least`` references.

    Raises:
        UsageError: The counts differ, a list is too short, or a text stands where a list belongs.
    """
    if isinstance(predictions, str):
        raise UsageError(
            f"predictions is the text {predictions!r}",
            hint="Give a list of texts: ['a text', ...].",
        )
    if len(predictions) != len(references):
        raise UsageError(
            f"a metric got {len(predictions)} predictions and {len(references)} lists of references",
            hint="Each prediction needs its own list of references.",
        )
    for row, texts in enumerate(references):
        _check_list(texts, row, least)


def _check_list(texts: Sequence[str], row: int, least: int) -> None:
    if isinstance(texts, str):
        raise UsageError(
            f"references[{row}] is the text {texts!r}",
            hint="Give a list of references for each prediction: [['a reference'], ...].",
        )
    if len(texts) < least:
        raise UsageError(
            f"references[{row}] is empty", hint="Each prediction needs at least one reference."
        )
