"""What simple models reach on the same data: the honest measure of every run.

Letters: N texts to learn from, M to be judged, C classes.
"""

from __future__ import annotations

import lzma
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

WORD = r"\w+"
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")
ROUNDING = 1e-12
"""Cosines that differ by no more are equal."""


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


def nearest(train: Sequence[str], valid: Sequence[str], *, rows: int = 256) -> list[int]:
    """Return for each text the known one that is nearest by TF-IDF of the letters of its words.

    Letters, in runs of one to four, find parts of words too: of names in source code, of compounds.

    Args:
        train: N texts.
        valid: M texts.
        rows: Texts that are compared at once.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    known = vectorizer.fit_transform(train).T.tocsc()
    found: list[int] = []
    for start in range(0, len(valid), rows):
        likeness = vectorizer.transform(valid[start : start + rows]) @ known
        found += np.asarray(likeness.toarray().argmax(1)).tolist()
    return found


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


def tfidf_ranks(
    known: Sequence[str],
    queries: Sequence[str],
    candidates: Sequence[str],
    positives: Tensor,
    *,
    unit: str,
    chunk: int = 1024,
) -> Tensor:
    """Return the rank of each query's positive by the cosine of TF-IDF; of equal ones the last.

    Args:
        known: Texts that tell how frequent a word is.
        queries: M texts.
        candidates: Texts to be found.
        positives: (M,) which candidate belongs to each query.
        unit: 'word', or 'piece' for 2 to 5 characters of a word.
        chunk: Queries that are compared at a time.

    Returns:
        (M,) float64 ranks from 1.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    settings: dict[str, dict[str, Any]] = {
        "word": {"token_pattern": WORD},
        "piece": {"analyzer": "char_wb", "ngram_range": (2, 5)},
    }
    vectorizer = TfidfVectorizer(sublinear_tf=True, **settings[unit])
    try:
        vectorizer.fit(known)
    except ValueError:  # not a single word in any text
        return torch.full((len(queries),), float(len(candidates)), dtype=torch.float64)
    asking, asked = vectorizer.transform(queries), vectorizer.transform(candidates).T.tocsc()
    ranks = []
    for rows in torch.split(torch.arange(len(queries)), chunk):
        cosines = torch.from_numpy((asking[rows.numpy()] @ asked).toarray())
        own = cosines.gather(1, positives[rows][:, None])
        ranks.append((cosines >= own - ROUNDING).sum(1).double())
    return torch.cat(ranks)


def first_words(text: str, count: int) -> str:
    """Return the beginning of a text, up to the end of a word."""
    words = list(re.finditer(r"\S+", text))[:count]
    return text[words[0].start() : words[-1].end()] if words else ""


def nearest_sentences(
    train: Sequence[str], contexts: Sequence[str], questions: Sequence[str]
) -> list[str]:
    """Return the sentence of each context that is nearest to its question, by cosine of TF-IDF.

    Args:
        train: N texts, which say how rare a word is.
        contexts: M texts.
        questions: M of them.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=WORD)
    divided = [list(filter(str.strip, SENTENCE_END.split(text))) or [text] for text in contexts]
    try:
        vectorizer.fit(dict.fromkeys(train))
    except ValueError:  # not a single word in any text
        return [some[0] for some in divided]
    places = [place for place, sentences in enumerate(divided) for _ in sentences]
    sentences = [sentence for some in divided for sentence in some]
    asked = vectorizer.transform(questions)[places]
    cosines = np.asarray(vectorizer.transform(sentences).multiply(asked).sum(1)).ravel()
    best: dict[int, int] = {}
    for number, place in enumerate(places):
        if place not in best or cosines[number] > cosines[best[place]]:
            best[place] = number
    return [sentences[best[place]] for place in range(len(divided))]
