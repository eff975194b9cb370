"""How good tagged entities are: whole spans of the right type, counted sentence by sentence.

Tags are ``O`` or a prefix and a type, such as ``B-PER``: B begins, I is inside, E ends, S is
single. A prefix alone tags the type ``_``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

from rondel.errors import UsageError

Scheme = Literal["IOB2", "IOBES"]


class Span(NamedTuple):
    """An entity: the tokens from ``start`` up to, not including, ``end``."""

    type: str
    start: int
    end: int


class _Tag(NamedTuple):
    prefix: str
    type: str


def spans_of(tags: Sequence[str], *, scheme: Scheme | None = None) -> list[Span]:
    """Return the entities of one sentence, from left to right.

    Without a scheme ill-formed tags are read as conlleval.pl does (Tjong Kim Sang & De Meulder,
    2003): a token goes on with the entity of the token before it if both have the same type, that
    one's prefix is B or I and its own is I or E; otherwise it begins another. So IOB1, IOB2 and
    IOBES need not be told apart. With a scheme, only the entities that obey it are returned.

    Raises:
        UsageError: A tag that is none, or none of the scheme.

    Example:
        >>> spans_of(["B-PER", "I-PER", "O", "I-LOC"])
        [Span(type='PER', start=0, end=2), Span(type='LOC', start=3, end=4)]
        >>> spans_of(["B-PER", "I-PER", "O", "I-LOC"], scheme="IOB2")
        [Span(type='PER', start=0, end=2)]
    """
    allowed, obeys = _SCHEMES[scheme]
    parsed = [_parse(tag, allowed) for tag in tags]
    spans = _runs(parsed)
    return [
        span
        for span in spans
        if obeys("".join(tag.prefix for tag in parsed[span.start : span.end]))
    ]


def _parse(tag: str, allowed: str) -> _Tag:
    prefix, hyphen, kind = tag[:1], tag[1:2], tag[2:]
    is_outside = tag == "O"
    if not is_outside and (prefix not in tuple(allowed) or hyphen not in ("", "-")):
        raise UsageError(
            f"{tag!r} is no tag of an entity",
            hint=f"A tag is 'O', or one of {', '.join(allowed)} with a type: '{allowed[0]}-PER'.",
        )
    return _Tag(prefix, kind or "_")


def _runs(tags: Sequence[_Tag]) -> list[Span]:
    spans: list[Span] = []
    previous = _Tag("O", "_")
    for position, tag in enumerate(tags):
        if tag.prefix != "O":
            goes_on = previous.prefix in "BI" and tag.prefix in "IE" and previous.type == tag.type
            start = spans.pop().start if goes_on else position
            spans.append(Span(tag.type, start, position + 1))
        previous = tag
    return spans


def _obeys_iobes(prefixes: str) -> bool:
    return prefixes == "S" or (prefixes[0] == "B" and prefixes[-1] == "E")


_SCHEMES: dict[Scheme | None, tuple[str, Callable[[str], bool]]] = {
    # allowed prefixes beside O; whether those of one run of tokens make an entity
    None: ("BIES", lambda prefixes: True),  # noqa: ARG005 - the others read it
    "IOB2": ("BI", lambda prefixes: prefixes[0] == "B"),
    "IOBES": ("BIES", _obeys_iobes),
}


class EntityScores:
    """Precision, recall and F1 of entities: over all of them, and by type.

    An entity is right if its type, start and end are. Keeps three counts per type.

    Args:
        scheme: As of `spans_of`.
    """

    def __init__(self, *, scheme: Scheme | None = None) -> None:
        if scheme not in _SCHEMES:
            raise UsageError(
                f"{scheme!r} is no scheme of tags", hint="Choose 'IOB2', 'IOBES' or None."
            )
        self._scheme = scheme
        self._sentences = 0
        self._hits: Counter[str] = Counter()
        self._predicted: Counter[str] = Counter()
        self._true: Counter[str] = Counter()

    def update(self, predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> Self:
        """Add sentences: the predicted and the true tag of each token."""
        if [len(tags) for tags in predicted] != [len(tags) for tags in true]:
            raise UsageError(
                f"a metric got {_sizes(predicted)} predicted and {_sizes(true)} true tags",
                hint="Each token of each sentence needs one predicted and one true tag.",
            )
        for ours, theirs in zip(predicted, true, strict=True):
            self._add_sentence(set(self._spans(ours)), set(self._spans(theirs)))
        return self

    def _spans(self, tags: Sequence[str]) -> list[Span]:
        return spans_of(tags, scheme=self._scheme)

    def _add_sentence(self, predicted: set[Span], true: set[Span]) -> None:
        self._sentences += 1
        self._hits.update(span.type for span in predicted & true)
        self._predicted.update(span.type for span in predicted)
        self._true.update(span.type for span in true)

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the counts of another process."""
        self._sentences += state["sentences"]
        self._hits.update(state["hits"])
        self._predicted.update(state["predicted"])
        self._true.update(state["true"])

    def state_dict(self) -> dict[str, Any]:
        """Return the counts by type."""
        return {
            "sentences": self._sentences,
            "hits": dict(self._hits),
            "predicted": dict(self._predicted),
            "true": dict(self._true),
        }

    def compute(self) -> dict[str, float]:
        """Return precision, recall and f1, then ``TYPE.precision`` and so on, sorted by type.

        A share of nothing is 0; NaN if no sentence was added.
        """
        if not self._sentences:
            return dict.fromkeys(("precision", "recall", "f1"), math.nan)
        totals = (self._hits.total(), self._predicted.total(), self._true.total())
        values = _shares(*totals)
        for kind in sorted({*self._predicted, *self._true}):
            shares = _shares(self._hits[kind], self._predicted[kind], self._true[kind])
            values.update({f"{kind}.{name}": share for name, share in shares.items()})
        return values


def _shares(hits: int, predicted: int, true: int) -> dict[str, float]:
    return {
        "precision": hits / max(predicted, 1),
        "recall": hits / max(true, 1),
        "f1": 2 * hits / max(predicted + true, 1),
    }


def _sizes(sentences: Sequence[Sequence[str]]) -> str:
    return "+".join(str(len(tags)) for tags in sentences[:5]) + ("+..." * (len(sentences) > 5))
