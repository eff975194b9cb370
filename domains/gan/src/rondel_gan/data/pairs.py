"""Images of two kinds, a and b, for image-to-image games: with partners or without.

Shapes: a (N, C, H, W), b (M, D, H, W) in [-1, 1]; with partners N = M.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rondel import DataManifest
from rondel.data_manifest import hash_files
from rondel.errors import DataError
from rondel_gan.data.folder import Color, pictures_below, read_pictures
from rondel_gan.data.images import held_out_rows

TRAIN_FOLDERS = ("trainA", "trainB")
TEST_FOLDERS = ("testA", "testB")


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Images of two kinds.

    Args:
        name: What people call the set.
        a: (N, C, H, W) float32 in [-1, 1], what is translated.
        b: (M, D, H, W) float32 in [-1, 1], what it is translated to.
        paired: Whether the images of a row belong together; then N = M.
        names: Of the two kinds.
        manifest: The hash of the content.
        tests: How many images at the end of a and of b the set itself keeps for evaluation.
    """

    name: str
    a: Tensor
    b: Tensor
    paired: bool
    names: tuple[str, str]
    manifest: DataManifest
    tests: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class SplitPairs:
    """The images of both kinds to train on, and those kept for evaluation."""

    train_a: Tensor
    train_b: Tensor
    held_out_a: Tensor
    held_out_b: Tensor


def split_pairs(pairs: Pairs, share: float | None) -> SplitPairs:
    """Split both kinds, always the same way; partners stay together.

    Args:
        pairs: The whole set.
        share: Of the images to hold out; None for what the set says, else a fifth.

    Raises:
        DataError: There are too few images of a kind.
    """
    tests = pairs.tests if share is None else None
    train, held_out = [], []
    for number, images in enumerate((pairs.a, pairs.b)):
        kept, others = held_out_rows(
            len(images),
            share,
            own=tests and tests[number],
            last=tests is not None,
            where=f"{pairs.name}, {pairs.names[number]}",
        )
        held_out.append(images[kept])
        train.append(images[others])
    return SplitPairs(
        train_a=train[0], train_b=train[1], held_out_a=held_out[0], held_out_b=held_out[1]
    )


def read_folders(path: Path, *, paired: bool, color: Color | None = None) -> Pairs:
    """Read two subfolders, one per kind; ``testA`` and ``testB`` are held out.

    Args:
        path: The folder above.
        paired: Pictures of the same name belong together, and each must have a partner.
        color: Convert all pictures to it; None leaves each kind as it is.

    Raises:
        DataError: There are not two subfolders, a picture has no partner, or cannot be used.
    """
    folders = layout(path)
    parts = [tuple(pictures_below(folder) for folder in two) for two in folders]
    if paired:
        parts = [partners(first, second, path) for first, second in parts]
    files = [[file for part in parts for file in part[side]] for side in (0, 1)]
    kinds = folders[0]
    a, b = (
        read_pictures(found, where=str(kind), color=color)
        for found, kind in zip(files, kinds, strict=True)
    )
    check_sizes(a, files[0][0], b, files[1][0])
    return Pairs(
        name=path.name,
        a=a,
        b=b,
        paired=paired,
        names=(kinds[0].name, kinds[1].name),
        manifest=hash_files([*files[0], *files[1]], path, name=path.name, samples=len(a)),
        tests=(len(parts[1][0]), len(parts[1][1])) if all(parts[-1]) and parts[1:] else None,
    )


def read_halves(path: Path, *, paired: bool, color: Color | None = None) -> Pairs:
    """Read pictures that hold both images: a in the left half, b in the right one.

    Raises:
        DataError: A picture cannot be used, or is an odd number of pixels wide.
    """
    files = pictures_below(path)
    images = read_pictures(files, where=str(path), color=color)
    width = images.shape[3]
    if width % 2:
        raise DataError(
            f"is {width} pixels wide, which two images of one size cannot share",
            where=str(files[0]),
            hint="Put both images side by side, with nothing in between.",
        )
    return Pairs(
        name=path.name,
        a=images[..., : width // 2].contiguous(),
        b=images[..., width // 2 :].contiguous(),
        paired=paired,
        names=("left", "right"),
        manifest=hash_files(files, path, name=path.name, samples=len(files)),
    )


def layout(path: Path) -> list[tuple[Path, Path]]:
    """Return the two folders to train on, and the two of tests if there are some.

    Raises:
        DataError: There are no two.
    """
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    names = {folder.name for folder in folders}
    if names == {*TRAIN_FOLDERS, *TEST_FOLDERS}:
        return [(path / a, path / b) for a, b in (TRAIN_FOLDERS, TEST_FOLDERS)]
    if len(folders) != 2:
        found = ", ".join(repr(folder.name) for folder in folders) or "none"
        raise DataError(
            f"must have two folders of pictures, one per kind, but has {found}",
            where=str(path),
            hint="Name them a and b, or trainA, trainB, testA and testB.",
        )
    return [(folders[0], folders[1])]


def partners(first: list[Path], second: list[Path], root: Path) -> tuple[list[Path], list[Path]]:
    """Return the pictures of both folders in the order of their names, which must be the same.

    Raises:
        DataError: A picture has no partner of its name, or several.
    """
    named = [by_name(first, root), by_name(second, root)]
    for own, others in (named, named[::-1]):
        for name, file in own.items():
            if name not in others:
                raise DataError(
                    f"has no partner called {file.stem!r} in the other folder",
                    where=str(file),
                    hint="Add it, remove this one, or train without partners: loop=cycle.",
                )
    names = sorted(named[0])
    return [named[0][name] for name in names], [named[1][name] for name in names]


def by_name(files: list[Path], root: Path) -> dict[tuple[str, ...], Path]:
    """Return the pictures of a kind by their place below its folder, without the suffix.

    Raises:
        DataError: Two have the same name.
    """
    named: dict[tuple[str, ...], Path] = {}
    for file in files:
        name = (*file.relative_to(root).parts[1:-1], file.stem)
        if name in named:
            raise DataError(
                f"is called as {named[name].name!r} is, so its partner is not clear",
                where=str(file),
                hint="Remove one of them.",
            )
        named[name] = file
    return named


def check_sizes(a: Tensor, first_a: Path, b: Tensor, first_b: Path) -> None:
    """Refuse two kinds of different size.

    Raises:
        DataError: Names a picture of each.
    """
    if a.shape[2:] == b.shape[2:]:
        return
    raise DataError(
        f"is {b.shape[3]} x {b.shape[2]}, but '{first_a}' is {a.shape[3]} x {a.shape[2]}",
        where=str(first_b),
        hint="All images must have the same size; scale or crop them first.",
    )
