"""The pictures of a run as data URLs: few enough and small enough for one page."""

from __future__ import annotations

import base64
import io
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rondel.report.wording import readable

MAX_PICTURES = 24
MAX_TOTAL_BYTES = 800_000
EDGES_PX = (1280, 960, 720, 512, 384, 256, 192, 128)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture inside the page."""

    caption: str
    data_url: str
    width: int
    height: int

    @property
    def is_small(self) -> bool:
        """Whether it is so small that it is shown enlarged, with hard pixels."""
        return max(self.width, self.height) <= 160


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The pictures shown, and how many there are."""

    pictures: tuple[Picture, ...]
    total: int
    damaged: tuple[str, ...]

    @property
    def left_out(self) -> int:
        """How many sound pictures lie in the directory but not on the page."""
        return self.total - len(self.pictures) - len(self.damaged)


def make_gallery(paths: Sequence[Path], *, max_bytes: int = MAX_TOTAL_BYTES) -> Gallery:
    """Choose pictures evenly, first and last included, and shrink those that are too large."""
    chosen = _choose(paths)
    shown, damaged = [], []
    for path in chosen:
        picture = embed(path, max_bytes=max_bytes // max(1, len(chosen)))
        if picture is None:
            damaged.append(path.name)
        else:
            shown.append(picture)
    return Gallery(pictures=tuple(shown), total=len(paths), damaged=tuple(damaged))


def embed(path: Path, *, max_bytes: int) -> Picture | None:
    """Read one PNG as a data URL of about `max_bytes`; None if it is no readable picture."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if _dimensions(data) is None:
        return None
    if len(data) > max_bytes:
        shrunk = _shrink(data, max_bytes)
        if shrunk is None:
            return None
        data = shrunk
    width, height = _dimensions(data) or (0, 0)
    url = "data:image/png;base64," + base64.b64encode(data).decode("ascii")
    return Picture(caption=readable(path.stem), data_url=url, width=width, height=height)


def _choose(paths: Sequence[Path]) -> list[Path]:
    """Thin out each kind of picture (same name, other number) by itself."""
    kinds: dict[str, list[Path]] = {}
    for path in paths:
        kinds.setdefault(re.sub(r"\d+", "#", path.stem), []).append(path)
    share = max(2, MAX_PICTURES // max(1, len(kinds)))
    chosen = [path for kind in kinds.values() for path in _evenly(kind, share)]
    return chosen[:MAX_PICTURES]


def _evenly(paths: list[Path], count: int) -> list[Path]:
    if len(paths) <= count:
        return paths
    return [paths[round(k * (len(paths) - 1) / (count - 1))] for k in range(count)]


def _dimensions(data: bytes) -> tuple[int, int] | None:
    if len(data) < 33 or not data.startswith(SIGNATURE):
        return None
    width, height = struct.unpack(">II", data[16:24])
    return (width, height) if width and height else None


def _shrink(data: bytes, max_bytes: int) -> bytes | None:
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(data), formats=("PNG",))
        picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    smallest = data
    for edge in EDGES_PX:
        # a palette of 256 colours is a third of the bytes and seldom seen at this size
        copy = picture.convert("RGBA")
        copy.thumbnail((edge, edge))
        copy = copy.quantize(256, method=Image.Quantize.FASTOCTREE)
        stream = io.BytesIO()
        copy.save(stream, format="PNG", optimize=True)
        smallest = min(smallest, stream.getvalue(), key=len)
        if len(smallest) <= max_bytes:
            break
    return smallest
