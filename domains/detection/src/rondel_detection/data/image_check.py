"""Checks of image files: are they there, do they open, have they the size that the labels say.

Letters: I images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rondel.errors import DataError
from rondel_detection.data.defects import Defect, defect
from rondel_detection.data.duplicates import Likeness, likeness
from rondel_detection.data.images import Header, inside, read_header
from rondel_detection.data.table import Annotations, Status

NAMED = 8
"""Files that a note about several images names."""


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """What the files of I images are.

    Args:
        paths: The file of each image; None where there is none that may be opened.
        headers: Its size and orientation; None where it is no image.
        defects: What was wrong on the way.
    """

    paths: list[Path | None]
    headers: list[Header | None]
    defects: list[Defect]


def image_files(annotations: Annotations) -> ImageFiles:
    """Open the head of every image file."""
    paths: list[Path | None] = []
    headers: list[Header | None] = []
    defects: list[Defect] = []
    for row, name in enumerate(annotations.images.file):
        path, header = None, None
        try:
            path = inside(annotations.root, name)
            header = read_header(path)
        except DataError as error:
            kind = "escapes" if path is None else "unreadable" if path.is_file() else "missing"
            reason = f"{path}: {error.what}" if kind == "missing" else error.what
            defects.append(defect(kind, reason, annotations.image_place(row), images=(row,)))
        paths.append(path if header is not None else None)
        headers.append(header)
    return ImageFiles(paths, headers, defects)


def size_defects(annotations: Annotations, headers: list[Header | None]) -> Iterator[Defect]:
    """Compare the sizes in the labels with those of the files."""
    images = annotations.images
    turned_by_exif = []
    for row, header in enumerate(headers):
        if header is None:
            continue
        told = (int(images.width[row]), int(images.height[row]))
        found = (header.width, header.height)
        place = annotations.image_place(row)
        if min(told) <= 0 or told == found:
            if header.orientation != 1:
                turned_by_exif.append(row)
            continue
        sizes = f"the labels say {told[0]} x {told[1]}, the picture is {found[0]} x {found[1]}"
        if told == found[::-1] and header.orientation >= 5:
            reason = f"{sizes} as a person sees it, turned by EXIF orientation {header.orientation}"
            yield defect("turned", reason, place, images=(row,))
        else:
            yield defect("wrong_size", sizes, place, images=(row,))
    if turned_by_exif:
        reason = (
            f"{count_of(len(turned_by_exif), 'image')} stored turned, and put upright by EXIF: "
            f"{some_names(annotations, turned_by_exif)}"
        )
        yield defect("exif", reason, images=turned_by_exif)


def likeness_defects(annotations: Annotations, alike: Likeness) -> Iterator[Defect]:
    """Say which images show the same, and whether they do so in different splits."""
    images = annotations.images
    for rows in alike.twice:
        kind = "leak" if _in_splits(annotations, rows) else "twice"
        told = f"{images.file[rows[0]]!r} is listed {len(rows)} times"
        yield defect(kind, f"{told}{_in_splits(annotations, rows)}", images=rows)
    for rows in alike.identical:
        kind = "leak" if _in_splits(annotations, rows) else "identical"
        told = f"{some_names(annotations, rows)} are the same file"
        yield defect(kind, f"{told}{_in_splits(annotations, rows)}", images=rows)
    within = []
    for pair in alike.near.tolist():
        if told := _in_splits(annotations, pair):
            names = some_names(annotations, pair)
            yield defect("near_leak", f"{names} look almost the same{told}", images=pair)
        else:
            within.append(pair)
    if within:
        pairs = "; ".join(some_names(annotations, pair) for pair in within[:3])
        rows = np.unique(np.array(within)).tolist()
        noun = "pair looks" if len(within) == 1 else "pairs look"
        yield defect(
            "near_identical", f"{len(within)} {noun} almost the same: {pairs}", images=rows
        )


def file_defects(
    annotations: Annotations, files: ImageFiles, *, decode: bool | None = None
) -> list[Defect]:
    """Return everything that is wrong with image files.

    Args:
        annotations: The set.
        files: Its image files.
        decode: Whether to decode all pictures; None does so if they are few enough.
    """
    alike = likeness(annotations, files.paths, decode=decode)
    found = [*files.defects, *size_defects(annotations, files.headers)]
    if alike.look is None:
        reason = "damaged and almost identical pictures were not searched for"
        found.append(defect("not_decoded", reason))
    else:
        found += [
            defect("unreadable", reason, annotations.image_place(row), images=(row,))
            for row, reason in alike.look.damaged.items()
        ]
    return [*found, *likeness_defects(annotations, alike)]


def count_of(count: int, noun: str) -> str:
    """Write a number of things and their verb: ``1 image is``, ``2 images are``."""
    return f"{count:,} {noun} is" if count == 1 else f"{count:,} {noun}s are"


def some_names(annotations: Annotations, rows: list[int]) -> str:
    """Name the first images of several, with their split if they have one."""
    images = annotations.images
    names = [
        f"{images.file[row]!r}{f' ({images.split[row]})' if images.split[row] else ''}"
        for row in rows[:NAMED]
    ]
    more = len(rows) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")


def _in_splits(annotations: Annotations, rows: list[int]) -> str:
    """Name the splits that images are in, if there are several; nothing otherwise."""
    images = annotations.images
    used = [row for row in rows if images.status[row] != Status.IGNORED]
    splits = sorted({images.split[row] for row in used} - {""})
    return f", in the splits {' and '.join(splits)}" if len(splits) > 1 else ""
