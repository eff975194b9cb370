"""Texts as numbers: the words of a cell, hashed into a fixed number of signed features.

Nothing is learnt and nothing is kept, so that a word is the same number in every process and in
every version of Python.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import pandas as pd

from rondel_tabular.data import cells

BUCKETS = 32
WORD = re.compile(r"\w+")


def hashed(column: pd.Series[Any]) -> dict[str, cells.Numbers]:
    """Return the features of each cell, by bucket; all of them are NaN where it is missing.

    The sign of a word says whether it counts up or down, so that words which share a bucket cancel
    out on the average (Weinberger et al., 2009, section 2). The sums are divided by the root of the
    number of words: long texts are no larger than short ones.
    """
    texts = cells.texts(column)
    features = np.zeros((BUCKETS, len(texts)))
    sums = np.zeros(len(texts))
    known: dict[str, tuple[int, int]] = {}
    for row, text in enumerate(texts.fillna("").str.lower()):
        for word in WORD.findall(text):
            if word not in known:
                known[word] = bucket_and_sign(word)
            bucket, sign = known[word]
            features[bucket, row] += sign
            sums[row] += 1
    features /= np.sqrt(np.maximum(sums, 1))
    features[:, texts.isna().to_numpy(dtype=bool)] = np.nan
    return {str(bucket): values for bucket, values in enumerate(features)}


def bucket_and_sign(word: str) -> tuple[int, int]:
    """Return the place of a word, from 0 on, and whether it counts 1 or -1."""
    first, second = hashlib.blake2b(word.encode(), digest_size=2).digest()
    return first % BUCKETS, 1 if second % 2 else -1


def words_per_cell(words: pd.Series[Any]) -> float:
    """Return the mean number of words of the texts that are there, at least one."""
    present = words.dropna()
    return float(present.str.count(WORD.pattern).mean())
