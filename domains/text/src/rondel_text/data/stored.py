"""Sets of texts in a cache: written piece by piece, and read as if they were in memory.

Letters: N texts, T items of all of them, B chosen ones, L items of the longest chosen one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import count, takewhile
from typing import Any, cast, overload

import numpy as np
import torch
from torch import Tensor

from rondel.array_cache import Array, Cache, Draft, Entry
from rondel_text.data.ragged import Ragged
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.tokenizers import Encoded

ENCODING = 1
"""Raised when texts are encoded or written in another way, so that older entries are not read."""
INTEGERS = (np.int8, np.int16, np.int32, np.int64)


@dataclass(frozen=True, eq=False)
class StoredRagged(Ragged):
    """Sequences of a file, in the narrowest type of integers; what is taken of them is int64."""

    def __getitem__(self, index: int) -> Tensor:
        """Return one sequence."""
        return super().__getitem__(index).long()

    def padded(self, indices: Tensor, fill: int = 0) -> tuple[Tensor, Tensor]:
        """Return some sequences, one below the other: (B, L, ...) items and (B,) lengths."""
        items, lengths = super().padded(indices, fill)
        return items.long(), lengths


@dataclass(frozen=True, eq=False)
class StoredTexts(Sequence[str]):
    """Texts of a file, decoded when they are asked for.

    Args:
        flat: (T,) uint8 their UTF-8, text after text.
        ends: (N,) int64, where each text ends.
    """

    flat: Array
    ends: Array

    def __len__(self) -> int:
        """Return N."""
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Return a text, or some."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        start = int(self.ends[place - 1]) if place else 0
        return self.flat[start : int(self.ends[place])].tobytes().decode("utf-8")


def write(
    draft: Draft, name: str, texts: TextSet, *, file: int | None = None, column: str | None = None
) -> None:
    """Put texts below those that a set has already.

    Args:
        draft: The entry.
        name: Of the set.
        texts: The texts; of nothing but their numbers, their targets and where they came from.
        file: The number of the file that all of them are from.
        column: That of the texts themselves, if they are kept.
    """
    rows = texts.rows
    for part, values in parts_of(texts):
        if isinstance(values, Tensor):
            draft.append(f"{name}.{part}", values.numpy())
        else:
            write_ragged(draft, f"{name}.{part}", narrowed(values.flat), values.ends.numpy())
    files = rows.file if file is None else np.full(len(rows), file)
    draft.append(f"{name}.file", np.asarray(files, np.int32))
    draft.append(f"{name}.number", np.asarray(rows.numbers, np.int64))
    if column is not None:
        contents = [str(text).encode() for text in rows[column]]
        flat = np.frombuffer(b"".join(contents), np.uint8)
        ends = np.cumsum([len(content) for content in contents], dtype=np.int64)
        write_ragged(draft, f"{name}.text", flat, ends)


def read(
    entry: Entry, name: str, files: Sequence[str], *, column: str = "", rows: Rows | None = None
) -> TextSet:
    """Return a set of texts without reading it.

    Args:
        entry: Where it was written.
        name: Of the set.
        files: The names of the files that the texts came from.
        column: What the column of the texts themselves is called, if they were kept.
        rows: The rows, if they are in memory; of windows those of their texts are in the entry.
    """
    arrays = entry.below(name)
    encoded: dict[str, Any] = {part.name: value_of(arrays, part.name) for part in fields(Encoded)}
    targets = (value_of(arrays, f"target{number}") for number in count())
    if rows is None or len(rows) != len(arrays["number"]):
        rows = Rows(
            columns=texts_in(arrays, column),
            files=files,
            file=cast(Sequence[int], arrays["file"]),
            numbers=cast(Sequence[int], arrays["number"]),
        )
    return TextSet(
        Encoded(**encoded), rows, tuple(takewhile(lambda found: found is not None, targets))
    )


def kept(
    cache: Cache, key: str, rows: Mapping[str, Rows], encode: Callable[[str], TextSet]
) -> tuple[Entry, dict[str, TextSet]]:
    """Return sets of texts whose rows are in memory, encoded unless they are in a cache.

    Args:
        cache: Where they are kept.
        key: A hash of all that they depend on.
        rows: The rows of each set, by its name.
        encode: Makes a set.
    """

    def make(draft: Draft) -> None:
        for name in rows:
            write(draft, name, encode(name))

    entry = cache.entry(key, make)
    return entry, {name: read(entry, name, mine.files, rows=mine) for name, mine in rows.items()}


def parts_of(texts: TextSet) -> Iterator[tuple[str, Tensor | Ragged]]:
    """Yield all numbers of a set, each with its name."""
    encoded = [(part.name, getattr(texts.encoded, part.name)) for part in fields(Encoded)]
    targets = [(f"target{number}", target) for number, target in enumerate(texts.targets)]
    yield from ((part, values) for part, values in (*encoded, *targets) if values is not None)


def write_ragged(draft: Draft, name: str, flat: Array, ends: Array) -> None:
    """Write sequences behind those that are there."""
    start = draft.rows(f"{name}.flat")
    draft.append(f"{name}.flat", flat)
    draft.append(f"{name}.ends", ends + start)


def value_of(arrays: dict[str, Array], part: str) -> Any:
    """Return the numbers of a name, or None."""
    if part in arrays:
        return tensor_of(arrays[part])
    if f"{part}.flat" in arrays:
        return StoredRagged(tensor_of(arrays[f"{part}.flat"]), tensor_of(arrays[f"{part}.ends"]))
    return None


def texts_in(arrays: dict[str, Array], column: str) -> dict[str, Sequence[str]]:
    """Return the column of the texts, if they were kept."""
    if "text.flat" not in arrays:
        return {}
    return {column: StoredTexts(arrays["text.flat"], arrays["text.ends"])}


def narrowed(values: Tensor) -> Array:
    """Return integers in the narrowest type that holds all of them."""
    if not values.numel():
        return values.numpy().astype(INTEGERS[0])
    lowest, highest = int(values.min()), int(values.max())
    limits = [np.iinfo(kind) for kind in INTEGERS]
    kind = next(each.dtype for each in limits if each.min <= lowest and highest <= each.max)
    return values.numpy().astype(kind)


def tensor_of(array: Array) -> Tensor:
    """Return a tensor over the memory of an array that nobody writes to."""
    with warnings.catch_warnings():
        # a private map could be written to, but systems refuse one that is larger than the memory
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
