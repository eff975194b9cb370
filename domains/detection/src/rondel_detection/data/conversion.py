"""Writing labels in a format, and proving by reading them back what became of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rondel.errors import DataError, UsageError
from rondel_detection.data.comparison import Differences, differences, unexplained
from rondel_detection.data.formats import read, write
from rondel_detection.data.formats.format import format_named
from rondel_detection.data.images import inside
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.table import Annotations
from rondel_detection.wording import printable

IMAGE_FOLDERS = {"voc": "JPEGImages", "yolo": "images", "cvat": "images"}
"""Where below the labels the reader of a format looks for images; elsewhere beside the labels."""


@dataclass(frozen=True)
class Conversion:
    """What became of labels that were written.

    Args:
        path: Where they are.
        losses: What the reader and the writer could not keep.
        found: How what was read back differs from what was written.
        unexplained: Those differences that no loss explains: a fault of the reader or the writer.
        copied: Image files that were copied.
        missing: Images that were to be copied, but are not there.
    """

    path: Path
    losses: LossReport
    found: Differences
    unexplained: Differences
    copied: int = 0
    missing: int = 0


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How labels are to be written.

    Args:
        format: A name of `rondel_detection.data.formats.FORMATS`.
        force: Write over files of the same name; all others stay in any case.
        strict: Write nothing if anything would be lost.
        keep: Kinds of differences that must not be found, such as 'split'.
        copy_images: Copy the image files to where the reader of the format looks for them.
    """

    format: str
    force: bool = False
    strict: bool = False
    keep: Sequence[str] = ()
    copy_images: bool = False


def write_checked(annotations: Annotations, path: Path, wish: Wish) -> Conversion:
    """Write labels, read them back and compare.

    Raises:
        UsageError: There is something at the path already, or the format is read-only.
        DataError: Something would be lost that must not be; then nothing has been written.
    """
    check_free(path, force=wish.force)
    _ = format_named(wish.format).write  # a format that cannot be written is refused at once
    if wish.strict or wish.keep:
        with tempfile.TemporaryDirectory() as folder:
            _refuse(_written(annotations, Path(folder) / path.name, wish.format), path, wish)
    is_new = not path.exists()
    try:
        conversion = _written(annotations, path, wish.format)
        if wish.copy_images:
            return copy_images(annotations, conversion, wish)
    except Exception:
        if is_new and path.is_dir():
            shutil.rmtree(path)
        elif is_new:
            path.unlink(missing_ok=True)
        raise
    return conversion


def check_free(path: Path, *, force: bool) -> None:
    """Refuse to write where something is.

    Raises:
        UsageError: There is a file, or a folder that is not empty.
    """
    occupied = path.is_file() or (path.is_dir() and any(path.iterdir()))
    if occupied and not force:
        raise UsageError(
            "there is something already" if path.is_file() else "the folder is not empty",
            where=str(path),
            hint="Name another, or say --force: files of the same name are written over, all "
            "others stay.",
        )


def copy_images(annotations: Annotations, conversion: Conversion, wish: Wish) -> Conversion:
    """Copy the images of written labels to where their reader looks for them.

    Raises:
        DataError: A file cannot be copied.
    """
    path = conversion.path
    home = path if path.is_dir() else path.parent
    target = home / IMAGE_FOLDERS.get(wish.format, "")
    copied = missing = 0
    for name in dict.fromkeys(annotations.images.file.tolist()):
        source, place = inside(annotations.root, name), inside(target, name)
        if not source.is_file():
            missing += 1
        elif not place.exists() or (wish.force and not place.samefile(source)):
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, place)
            except OSError as error:
                raise DataError(f"cannot be copied: {error}", where=str(source)) from error
            copied += 1
    given = (conversion.losses, conversion.found, conversion.unexplained)
    return Conversion(path, *given, copied=copied, missing=missing)


def _written(annotations: Annotations, path: Path, name: str) -> Conversion:
    losses = LossReport()
    losses.merge(annotations.losses)
    own = write(annotations, path, name=name)
    losses.merge(own)
    again = read(path, name=name, images=annotations.root)
    found = differences(annotations, again)
    return Conversion(path, losses, found, unexplained(found, [own, again.losses]))


def _refuse(rehearsed: Conversion, path: Path, wish: Wish) -> None:
    """Raise if something is lost that must not be."""
    title = format_named(wish.format).title
    for kind in wish.keep:
        if kind in rehearsed.found:
            count = len(rehearsed.found[kind])
            raise DataError(
                f"{title} does not keep the {kind} of {count:,} images; nothing was written",
                where=str(path),
                hint="Choose another format with --to: coco, voc, yolo and cvat keep it in a folder.",
            )
    if wish.strict and (rehearsed.losses or rehearsed.unexplained):
        lines = [*rehearsed.losses, *difference_lines(rehearsed.unexplained)]
        told = "".join(f"\n  {printable(line)}" for line in lines)
        raise DataError(
            f"something would be lost in {title}, so nothing was written:{told}",
            where=str(path),
            hint="Leave --strict out to write it all the same.",
        )


def difference_lines(found: Differences) -> list[str]:
    """Return one line for each kind of difference, with the first place."""
    return [
        f"{len(listed):,} x {kind} differs (first: {listed[0]})" for kind, listed in found.items()
    ]
