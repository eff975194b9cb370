"""What simple models reach on the same data: the honest measure of every run.

Letters: N texts to learn from, M to be judged, C classes.
"""

from __future__ import annotations

import lzma
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

WORD = r"\w+"


def linear_logits(
    train: Sequence[str], valid: Sequence[str], *, labels: Tensor, classes: int
) -> Tensor:
    """Fit a logistic regression on TF-IDF of words and pairs of words.

    Args:
        train: N texts.
        valid: M texts.
        labels: (N,) class of each text to learn from.
        classes: C; one that is never seen gets the lowest logit.

    Returns:
        (M, C) log-probabilities.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD)
    model = LogisticRegression(C=10.0, max_iter=300)
    logits = np.full((len(valid), classes), -50.0)
    try:
        features = vectorizer.fit_transform(train)
    except ValueError:  # not a single word in any text
        return torch.from_numpy(logits)
    model.fit(features, labels.numpy())
    logits[:, model.classes_] = model.predict_log_proba(vectorizer.transform(valid))
    return torch.from_numpy(logits)


def linear_values(train: Sequence[str], valid: Sequence[str], *, values: Tensor) -> Tensor:
    """Fit a ridge regression on TF-IDF of words and pairs of words; return (M,) predictions."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD)
    try:
        features = vectorizer.fit_transform(train)
    except ValueError:
        return values.mean().expand(len(valid)).double()
    model = Ridge().fit(features, values.numpy())
    return torch.from_numpy(
        np.asarray(model.predict(vectorizer.transform(valid)), dtype=np.float64)
    )


def usual_tags(
    train: Sequence[tuple[Sequence[str], Sequence[str]]], valid: Sequence[Sequence[str]]
) -> list[list[str]]:
    """Return for each word the tag that it usually has, or the most frequent one of all."""
    seen: dict[str, Counter[str]] = {}
    for words, tags in train:
        for word, tag in zip(words, tags, strict=True):
            seen.setdefault(word, Counter())[tag] += 1
    whole: Counter[str] = Counter()
    for counts in seen.values():
        whole.update(counts)
    usual = {word: best(counts) for word, counts in seen.items()}
    default = best(whole)
    return [[usual.get(word, default) for word in words] for words in valid]


def best(counts: Counter[str]) -> str:
    """Return the most frequent entry; of equal ones the first by name."""
    return min(counts, key=lambda name: (-counts[name], name))


def compressed_bits(train: Sequence[str], valid: Sequence[str]) -> float:
    """Return the bits per byte of texts to a compressor (xz) that has read the others before."""
    before, after = ("\n".join(texts).encode("utf-8", "replace") for texts in (train, valid))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 26}]

    def size(content: bytes) -> int:
        return len(lzma.compress(content, format=lzma.FORMAT_RAW, filters=filters))

    return 8 * (size(before + b"\n" + after) - size(before)) / max(1, len(after))
