"""What stands behind ``rondel detection predict BUNDLE``: pictures, and words KEY=VALUE."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rondel.errors import UsageError
from rondel_detection.data.images import IMAGE_SUFFIXES
from rondel_detection.prediction import Options

SWITCH = {"yes": True, "true": True, "no": False, "false": False}
CANVAS_TILE = "canvas"
"""The value of ``tile`` for tiles of the size of the canvas."""
EXAMPLE = "threshold=0.3 tile=640 overlap=0.2 format=labelme draw=yes overwrite=no batch_size=16"


def switch(text: str) -> bool:
    """Read yes or no."""
    return SWITCH[text.lower()]


def tile(text: str) -> int:
    """Read the side of a tile; 0 stands for that of the canvas."""
    side = 0 if text == CANVAS_TILE else int(text)
    if side < 0 or (side == 0 and text != CANVAS_TILE):
        raise ValueError(text)
    return side


@dataclass(frozen=True)
class Word:
    """A word KEY=VALUE: how its value is read, and what it must be."""

    read: Callable[[str], object]
    rule: str


WORDS: dict[str, Word] = {
    "threshold": Word(float, "a score from 0 to 1, such as 0.3"),
    "tile": Word(tile, f"the side of a tile in pixels, or '{CANVAS_TILE}'"),
    "overlap": Word(float, "the share of a tile that its neighbours see too, such as 0.2"),
    "batch_size": Word(int, "a whole number"),
    "device": Word(str, "such as cpu or cuda"),
    "format": Word(str, "the name of a format, such as json or labelme"),
    "draw": Word(switch, "yes or no"),
    "overwrite": Word(switch, "yes or no"),
}
"""What ``rondel detection predict`` understands, beside pictures."""


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Args:
        paths: Picture files, in order, each once.
        options: How they are looked at.
        format: Of what is written, if it was named.
        draw: Whether pictures are drawn, if it was said.
        overwrite: Whether label files may be replaced.
        device: Where the detector computes, if it was said.
    """

    paths: tuple[str, ...]
    options: Options = field(default_factory=Options)
    format: str | None = None
    draw: bool | None = None
    overwrite: bool = False
    device: str | None = None


def parse(inputs: Sequence[str], *, max_pixels: int) -> Request:
    """Tell words from pictures, and find the pictures.

    A text with ``=`` is a word, unless there is a file of that name.

    Raises:
        UsageError: A word is not understood, or no picture is named or found.
    """
    words: dict[str, object] = {}
    places = []
    for text in inputs:
        name, equals, value = text.partition("=")
        if equals and (name in WORDS or not _is_place(text)):
            words[name] = _read_word(name, value)
        else:
            places.append(text)
    known = {"threshold", "tile", "overlap", "batch_size"} & words.keys()
    options = Options(max_pixels=max_pixels, **{name: words.pop(name) for name in known})  # type: ignore[arg-type]
    return Request(find_pictures(places), options, **words)  # type: ignore[arg-type]


def find_pictures(places: Iterable[str]) -> tuple[str, ...]:
    """Return the picture files that files, folders and patterns name, in order, each once.

    Folders are searched with all their subfolders for files with the suffix of a picture, and so
    is what a pattern such as ``photos/**/*.jpg`` matches. A named file is taken whatever its name;
    whether it is there is seen when it is read.

    Raises:
        UsageError: Nothing is named, or a folder or pattern holds no picture.
    """
    found: dict[str, None] = {}
    for place in places:
        path = Path(place)
        if path.is_dir():
            some = _pictures_below(path)
        elif _is_pattern(place) and not path.exists():
            matched = sorted(glob.glob(place, recursive=True))  # noqa: PTH207 - any root
            some = [name for name in matched if _is_picture(Path(name))]
        else:
            some = [place]
        if not some:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            raise UsageError("holds no pictures", where=place, hint=f"Known are {kinds}.")
        found.update(dict.fromkeys(some))
    if not found:
        raise UsageError(
            "no picture is named", hint=f"Give files, folders or patterns, and {EXAMPLE}."
        )
    return tuple(found)


def _pictures_below(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.rglob("*")) if _is_picture(path)]


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".")  # such as the ._a.jpg that some systems leave behind
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden and path.is_file()


def _is_pattern(place: str) -> bool:
    return any(mark in place for mark in "*?[")


def _is_place(text: str) -> bool:
    return Path(text).exists() or _is_pattern(text) or Path(text).suffix.lower() in IMAGE_SUFFIXES


def _read_word(name: str, value: str) -> object:
    if name not in WORDS:
        close = difflib.get_close_matches(name, WORDS, n=1)
        hint = f"Did you mean {close[0]}={value}?" if close else f"Write {EXAMPLE}."
        raise UsageError(f"'{name}={value}' is not understood", hint=hint)
    word = WORDS[name]
    try:
        return word.read(value)
    except (ValueError, KeyError) as error:
        raise UsageError(f"{name}={value!r} makes no sense", hint=f"It is {word.rule}.") from error
