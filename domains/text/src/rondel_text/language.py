"""In which languages texts seem to be written: a hint, by py3langid if it is installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

MOST_TEXTS = 300
FEWEST_LETTERS = 20
LEAST_SHARE = 0.02


def languages(texts: Sequence[str]) -> Iterator[str]:
    """Yield a line that names the languages, by their ISO 639 codes, of evenly chosen texts.

    Short texts are left out: a few letters tell no language.
    """
    telling = [text for text in texts if sum(map(str.isalpha, text)) >= FEWEST_LETTERS]
    if not telling:
        return
    try:
        from py3langid import classify
    except ModuleNotFoundError:
        yield 'language: not guessed, for want of py3langid (pip install "rondel-text[language]")'
        return
    chosen = telling[:: -(-len(telling) // MOST_TEXTS)]
    found = Counter(classify(text)[0] for text in chosen)
    shares = [
        f"{code} {count / len(chosen):.0%}"
        for code, count in found.most_common()
        if count >= LEAST_SHARE * len(chosen)
    ]
    yield f"language: {', '.join(shares)} (guessed of {len(chosen)} texts)"
