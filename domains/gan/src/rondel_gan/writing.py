"""What a trained model made, as files: a grid, a folder of pictures, a table of points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import Tensor

from rondel.errors import UsageError
from rondel_gan.inputs import named
from rondel_gan.picture import as_picture, grid_png, points_png
from rondel_gan.sampling import to_pixels

T = TypeVar("T")
TABLES = (".csv", ".png")
"""Endings of files that points are written to."""
OTHERS = (".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".npz", ".npy", ".svg", ".pdf")
"""Endings of files that are not written; as a folder's name they would be a surprise."""


def write_samples(out: Path | None, made: Tensor, what: str) -> str:
    """Write images or points, and say where they are.

    Args:
        out: A .png file gets a grid or a scatter picture, a .csv file points, a folder images.
        made: (N, C, H, W) in [-1, 1], or (N, 2).
        what: They are, for the answer.

    Raises:
        UsageError: There is no ``out``, it is of a wrong kind, or cannot be written.
    """
    points = made.ndim == 2
    example = "points.png, or --out points.csv" if points else "grid.png, or --out FOLDER"
    if out is None:
        raise UsageError("samples need a place", hint=f"Add --out {example}.")
    suffix = out.suffix.lower()
    if suffix in OTHERS or (not points and suffix == ".csv") or (points and suffix not in TABLES):
        kind = "points" if points else "images"
        raise UsageError(
            f"{kind} are not written to it", where=str(out), hint=f"Use --out {example}."
        )
    if suffix == ".csv":
        written(lambda: write_csv(made, out), out)
    elif suffix == ".png":
        content = points_png(made) if points else grid_png(to_pixels(made))
        write_bytes(content, out)
    else:
        names = [Path(f"{number:05d}.png") for number in range(len(made))]
        written(lambda: save_pngs(to_pixels(made), out, names), out)
    return f"{what}: {out}"


def write_translations(out: Path | None, made: Tensor, places: Sequence[Path]) -> str:
    """Write images that were made of files, and say where they are.

    Args:
        out: A .png file for one picture, or a grid of several; anything else is a folder, in which
            they are called as the files are.
        made: (N, C, H, W) in [-1, 1].
        places: The files and folders.

    Raises:
        UsageError: There is no ``out``, it cannot be written, or two files are called the same.
    """
    if out is None:
        raise UsageError("pictures need a place", hint="Add --out FOLDER, or --out made.png.")
    if out.suffix.lower() in OTHERS:
        raise UsageError(
            "pictures are not written to it", where=str(out), hint="Use --out FOLDER, or made.png."
        )
    pixels = to_pixels(made)
    if out.suffix.lower() == ".png" and len(made) > 1:
        write_bytes(grid_png(pixels), out)
    elif out.suffix.lower() == ".png":
        written(lambda: save_pngs(pixels, out.parent, [Path(out.name)]), out)
    else:
        names = [name.with_suffix(".png") for place in places for _, name in named(place)]
        refuse_twice(names)
        written(lambda: save_pngs(pixels, out, names), out)
    return f"{len(made)} pictures: {out}" if len(made) > 1 else f"1 picture: {out}"


def refuse_twice(names: Sequence[Path]) -> None:
    """Refuse names that would overwrite each other.

    Raises:
        UsageError: Names the first.
    """
    seen: set[Path] = set()
    for name in names:
        if name in seen:
            raise UsageError(
                f"two pictures would be called {str(name)!r}", hint="Take them one after the other."
            )
        seen.add(name)


def save_pngs(pixels: Tensor, folder: Path, names: Sequence[Path]) -> None:
    """Write one file per image, (N, H, W, C) of 8 bits."""
    for name, image in zip(names, pixels.numpy(), strict=True):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        as_picture(image).save(file)


def write_csv(points: Tensor, out: Path) -> None:
    """Write points, (N, 2), below a head."""
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(out, points.numpy(), fmt="%.7g", delimiter=",", header="x,y", comments="")


def write_bytes(content: bytes, out: Path) -> None:
    """Write a file, and the folders above it.

    Raises:
        UsageError: It cannot be written.
    """

    def write() -> None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)

    written(write, out)


def written(write: Callable[[], T], out: Path) -> T:
    """Call a function that writes.

    Raises:
        UsageError: It cannot.
    """
    try:
        return write()
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(out), hint="Give another --out."
        ) from error
