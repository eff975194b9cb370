"""What a run was trained on: a content hash of its data that can say which part changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rondel.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class DataPart:
    """A file, or a block of rows of an array: ``images/1.png`` or ``features[0:4096]``."""

    name: str
    bytes: int
    hash: str


@dataclass(frozen=True)
class DataManifest:
    """A data set: its name, one hash over all of its content, its size and its parts.

    Args:
        name: What people call it; not part of the hash.
        hash: The sha256 over the sorted parts.
        samples: How many samples it has.
        files: Its parts, sorted by name: files, or blocks of rows of arrays.
    """

    name: str
    hash: str
    samples: int
    files: tuple[DataPart, ...]

    @classmethod
    def of(cls, name: str, parts: Iterable[DataPart], *, samples: int) -> Self:
        """Make a manifest of parts in any order."""
        ordered = tuple(sorted(parts, key=lambda part: part.name))
        root = hashlib.sha256()
        for part in ordered:
            # the length in front keeps neighbouring names apart
            encoded = part.name.encode("utf-8", "surrogateescape")
            root.update(f"{len(encoded)}:".encode() + encoded)
            root.update(f":{part.bytes}:{part.hash}\n".encode())
        return cls(name, root.hexdigest(), samples, ordered)

    def difference(self, other: DataManifest) -> list[str]:
        """Say in one line each how ``other`` differs from this; empty if the content is the same.

        Lines read ``a.csv: changed``, ``a.csv: missing`` or ``a.csv: new``.
        """
        mine = {part.name: part for part in self.files}
        others = {part.name: part for part in other.files}
        lines = []
        for name in sorted(mine.keys() | others.keys()):
            if name not in others:
                lines.append(f"{name}: missing")
            elif name not in mine:
                lines.append(f"{name}: new")
            elif mine[name] != others[name]:
                lines.append(f"{name}: changed")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Describe the manifest as plain JSON; `from_json` reads it."""
        files = [{"name": p.name, "bytes": p.bytes, "hash": p.hash} for p in self.files]
        return {"name": self.name, "hash": self.hash, "samples": self.samples, "files": files}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            DataError: A field is missing, or the hash does not fit the parts.
        """
        try:
            parts = [DataPart(f["name"], f["bytes"], f["hash"]) for f in content["files"]]
            manifest = cls.of(content["name"], parts, samples=content["samples"])
            expected = content["hash"]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"the data manifest is damaged ({error})") from error
        if manifest.hash != expected:
            raise DataError("the data manifest is damaged: its hash does not fit its files")
        return manifest


def hash_files(
    paths: Iterable[Path], root: Path, *, name: str = "", samples: int = 0
) -> DataManifest:
    """Hash the content of files, named relative to ``root``; their order does not matter.

    Raises:
        DataError: A file cannot be read or lies outside of ``root``.
    """
    base = Path(root).absolute()
    unique = {Path(path).absolute() for path in paths}
    parts = [_file_part(path, base) for path in unique]
    return DataManifest.of(name or base.name, parts, samples=samples)


def hash_arrays(
    arrays: Mapping[str, np.ndarray[Any, Any] | Tensor],
    *,
    name: str = "",
    samples: int | None = None,
    block_bytes: int = _BLOCK_BYTES,
) -> DataManifest:
    """Hash numpy arrays or tensors in blocks of rows; dtype and shape count as content.

    Args:
        arrays: Arrays by name; the first dimension counts rows.
        name: What people call the data set.
        samples: How many samples it has; the rows of the first array by default.
        block_bytes: The size of a block: what one changed byte is narrowed down to.

    Raises:
        DataError: An array holds Python objects.
    """
    parts = [
        part for key, array in arrays.items() for part in _array_parts(key, array, block_bytes)
    ]
    if samples is None:
        samples = next((array.shape[0] for array in arrays.values() if array.ndim), 0)
    return DataManifest.of(name, parts, samples=samples)


def _file_part(path: Path, base: Path) -> DataPart:
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}", where=str(path), hint="Restore it or its rights."
        ) from error
    if not path.is_relative_to(base):
        raise DataError(f"lies outside of {str(base)!r}", where=str(path))
    return DataPart(path.relative_to(base).as_posix(), size, digest)


def _array_parts(
    key: str, array: np.ndarray[Any, Any] | Tensor, block_bytes: int
) -> Iterable[DataPart]:
    rows = array if array.ndim else array.reshape(1)
    # an empty array is one empty block, so that its dtype and shape still count
    row_bytes = max(1, array.itemsize * int(np.prod(array.shape[1:])))
    step = max(1, block_bytes // row_bytes)
    for start in range(0, max(1, len(rows)), step):
        stop = min(start + step, len(rows))
        dtype, content = _content(key, rows[start:stop])
        # the number of rows stands in the part's name, so a new row leaves the other blocks alone
        digest = hashlib.sha256(f"{dtype}{tuple(array.shape[1:])}".encode())
        digest.update(content)
        yield DataPart(f"{key}[{start}:{stop}]", content.nbytes, digest.hexdigest())


def _content(key: str, block: np.ndarray[Any, Any] | Tensor) -> tuple[str, memoryview]:
    """The name of a block's dtype and its bytes, in C order and little endian."""
    if not isinstance(block, np.ndarray):
        import torch

        plain = block.detach().cpu().contiguous()
        flat = plain.as_strided((plain.numel(),), (1,))
        return str(block.dtype).removeprefix("torch."), flat.view(torch.uint8).numpy().data
    if block.dtype.hasobject:
        raise DataError(
            "holds Python objects, which have no content to hash",
            where=key,
            hint="Convert it to numbers or fixed-width text.",
        )
    little = np.ascontiguousarray(block, block.dtype.newbyteorder("<"))
    return block.dtype.name, little.reshape(-1).view(np.uint8).data
