"""What a column is: a number, true or false, a point in time, a category, or of no use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from rondel_tabular.config import Kind
from rondel_tabular.data import cells

MOSTLY = 0.95
"""The share of cells that must be numbers, or dates, for a text column to count as such."""
DATE = r"\d{4}-\d{1,2}-\d{1,2}(?:[T ].*)?"
ROW_NAME = re.compile(r"(.*[ _.-])?(id|index|row|nr|no|number)", re.IGNORECASE)
TRUTH_WORDS = cells.TRUE | cells.FALSE


@dataclass(frozen=True)
class Guess:
    """The kind of a column, and why it was chosen where that must be said."""

    kind: Kind
    reason: str = ""


def guess_kind(column: pd.Series[Any]) -> Guess:
    """Guess what a column is from all of its cells."""
    kind = column.dtype
    if types.is_bool_dtype(kind):
        return _unless_useless(Guess("boolean"), cells.numbers(column))
    if cells.is_numeric(column) or types.is_timedelta64_dtype(kind):
        return _numeric(str(column.name), cells.numbers(column))
    if types.is_datetime64_any_dtype(kind):
        return _unless_useless(Guess("datetime"), cells.moment_parts(column)["days"])
    return _textual(cells.texts(column))


def _unless_useless(guess: Guess, values: cells.Numbers) -> Guess:
    """Return the guess, unless the cells say nothing."""
    present = values[~np.isnan(values)]
    if not len(present):
        return Guess("drop", "every cell is empty")
    if len(present) == len(values) and np.all(present == present[0]):
        return Guess("drop", "the same value in every row")
    return guess


def _numeric(name: str, values: cells.Numbers) -> Guess:
    numbered = len(values) > 10 and bool(np.all(np.diff(np.sort(values)) == 1))
    # years and the like may be consecutive too: the name or the first number must say so as well
    if numbered and (values.min() in {0, 1} or ROW_NAME.fullmatch(name)):
        return Guess("drop", "it numbers the rows")
    return _unless_useless(Guess("number"), values)


def _textual(words: pd.Series[Any]) -> Guess:
    present = words.dropna()
    codes, levels = pd.factorize(words)
    useless = _unless_useless(Guess("category"), np.where(codes < 0, np.nan, codes))
    if useless.kind == "drop":
        return useless
    words_used = {str(level).lower() for level in levels}
    if len(words_used) == 2 and words_used <= TRUTH_WORDS:
        return Guess("boolean")
    not_numbers = int(pd.to_numeric(present, errors="coerce").isna().sum())
    if not_numbers <= (1 - MOSTLY) * len(present):
        reason = f"{not_numbers} cells that are no numbers count as missing" if not_numbers else ""
        return Guess("number", reason)
    if present.str.fullmatch(DATE).mean() >= MOSTLY:
        return Guess("datetime")
    repeated = present.duplicated(keep=False).mean()
    if repeated < 0.5:
        return Guess("drop", f"text: {1 - repeated:.0%} of its cells occur only once")
    return Guess("category")
