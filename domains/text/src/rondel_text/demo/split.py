"""Which texts are held out: a pure function of what they say, so that equal texts stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from rondel_text.data.rows import Rows


def held_out(content: str, *, share: float) -> bool:
    """Say whether a text is for validation, as it is for about ``share`` of all texts."""
    digest = hashlib.blake2b(content.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def split_rows(rows: Rows, contents: Sequence[str], *, share: float) -> tuple[Rows, Rows]:
    """Return the rows to train on and those held out.

    Args:
        rows: To be split; their order stays.
        contents: What decides about each row: rows of equal content go the same way.
        share: Expected share of the rows that are held out.
    """
    away = [held_out(content, share=share) for content in contents]
    train = [row for row, out in enumerate(away) if not out]
    return rows.take(train), rows.take([row for row, out in enumerate(away) if out])
