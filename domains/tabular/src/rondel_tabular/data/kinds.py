"""What a column is: a number, true or false, a point in time, a category, text, or of no use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from rondel_tabular.config import Kind
from rondel_tabular.data import cells
from rondel_tabular.data.words import words_per_cell

MOSTLY = 0.95
"""The share of cells that must be numbers, or dates, for a text column to count as such."""
MANY_WORDS = 3.0
"""The mean number of words of a cell from which texts that do not repeat are read."""
DATE = r"\d{4}-\d{1,2}-\d{1,2}(?:[T ].*)?"
ID_NAME = re.compile(r"(?:.*[ _.-])?(?i:id|uuid|guid)|.*[a-z](?:Id|ID)")
ROW_NAME = re.compile(r"(?:.*[ _.-])?(?:index|row|nr|no|number)", re.IGNORECASE)
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
        return _numeric(column, cells.numbers(column))
    if types.is_datetime64_any_dtype(kind):
        return _unless_useless(Guess("datetime"), cells.moment_parts(column)["days"])
    return _textual(column, cells.texts(column))


def looks_like_id(name: str) -> bool:
    """Tell whether a column's name says that it identifies rows, or what they are about."""
    return ID_NAME.fullmatch(name) is not None


def _unless_useless(guess: Guess, values: cells.Numbers) -> Guess:
    """Return the guess, unless the cells say nothing."""
    present = values[~np.isnan(values)]
    if not len(present):
        return Guess("drop", "every cell is empty")
    if len(present) == len(values) and np.all(present == present[0]):
        return Guess("drop", "the same value in every row")
    return guess


def _numeric(column: pd.Series[Any], values: cells.Numbers) -> Guess:
    if len(values) > 10:
        if _numbers_rows(column, values):
            return Guess("drop", "it numbers the rows")
        whole = bool(np.all(values == np.trunc(values)))
        if whole and looks_like_id(str(column.name)) and len(np.unique(values)) == len(values):
            return Guess("drop", "it identifies the rows: every number occurs once")
    return _unless_useless(Guess("number"), values)


def _numbers_rows(column: pd.Series[Any], values: cells.Numbers) -> bool:
    """Tell whether numbers count the rows, in any order, or in that of a table that these are of."""
    name = str(column.name)
    # years and the like may be consecutive too: the name or the first number must say so as well
    named = looks_like_id(name) or ROW_NAME.fullmatch(name) is not None
    if bool(np.all(np.diff(np.sort(values)) == 1)):
        return named or values.min() in {0, 1}
    ahead = values - column.index.to_numpy()
    return bool(np.all(ahead == ahead[0])) and (named or -ahead[0] in {0, 1, 2})


def _textual(column: pd.Series[Any], words: pd.Series[Any]) -> Guess:
    codes, levels = pd.factorize(words)
    useless = _unless_useless(Guess("category"), np.where(codes < 0, np.nan, codes))
    if useless.kind == "drop":
        return useless
    words_used = {str(level).lower() for level in levels}
    if len(words_used) == 2 and words_used <= TRUTH_WORDS:
        return Guess("boolean")
    there = codes >= 0
    contents = pd.Series(levels)
    stray = there & pd.to_numeric(contents, errors="coerce").isna().to_numpy(dtype=bool)[codes]
    numbers = int((there & ~stray).sum())
    if numbers >= MOSTLY * there.sum():
        return Guess("number", _strays(column, stray, "number"))
    dated = there & contents.str.fullmatch(DATE).to_numpy(dtype=bool)[codes]
    if dated.sum() >= MOSTLY * there.sum():
        return Guess("datetime", _strays(column, there & _no_moment(column), "date"))
    mixed = (
        f"mixed types, {numbers} numbers and {int(stray.sum())} texts: {cells.first_of(column, stray)}"
        if numbers >= (1 - MOSTLY) * there.sum()
        else ""
    )
    return _category(words[there], mixed)


def _category(words: pd.Series[Any], mixed: str) -> Guess:
    """Guess what texts are that are neither numbers nor dates."""
    repeated = float(words.duplicated(keep=False).mean())
    if repeated >= 0.5:
        return Guess("category", mixed)
    if mixed:
        return Guess("drop", mixed)
    seldom = f"{1 - repeated:.0%} of its cells occur only once"
    length = words_per_cell(words)
    if length >= MANY_WORDS:
        return Guess("text", f"read as text, {length:.1f} words a cell: {seldom}")
    return Guess("drop", f"names or codes: {seldom}")


def _no_moment(column: pd.Series[Any]) -> cells.Flags:
    return cells.moments(column).isna().to_numpy(dtype=bool)


def _strays(column: pd.Series[Any], stray: cells.Flags, kind: str) -> str:
    """Say which cells of a column are not what the others are."""
    if not stray.any():
        return ""
    count = cells.how_many(
        int(stray.sum()), f"cell that is no {kind} counts", f"cells that are no {kind}s count"
    )
    return f"{count} as missing, {cells.first_of(column, stray)}"
