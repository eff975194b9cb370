"""Predictions as text: JSON Lines, or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rondel.spreadsheet import guarded


def lines_of(answers: Sequence[Mapping[str, Any]]) -> str:
    """Return answers as JSON Lines."""
    return "\n".join(json.dumps(answer, ensure_ascii=False) for answer in answers) + "\n"


def table_of(answers: Sequence[Mapping[str, Any]]) -> str:
    """Return answers as CSV; what is nested becomes columns or JSON, formulas are made harmless."""
    flat = [dict(flattened(answer)) for answer in answers]
    columns = dict.fromkeys(name for row in flat for name in row)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writerow({name: guarded(name) for name in columns})
    writer.writerows({name: guarded(value) for name, value in row.items()} for row in flat)
    return out.getvalue()


def flattened(answer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the cells of an answer."""
    for name, value in answer.items():
        if name == "probabilities":
            yield from ((f"probability_{label}", share) for label, share in value.items())
        elif isinstance(value, Mapping):  # what one of several heads says
            yield from ((f"{name}_{inner}", cell) for inner, cell in flattened(value))
        elif isinstance(value, list):
            yield name, json.dumps(value, ensure_ascii=False)
        else:
            yield name, value
