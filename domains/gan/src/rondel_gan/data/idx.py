"""IDX files, in which MNIST and its relatives come: plain or packed with gzip.

A file is a magic number (two zero bytes, the type of the values, the number of dimensions), one
big-endian 32-bit number per dimension, then the values. Images are (N, H, W) unsigned bytes, labels
(N,).
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondel.data_manifest import hash_files
from rondel.errors import DataError
from rondel_gan.data.images import Images, check_count, check_memory, scaled_bytes

Array = np.ndarray[Any, Any]
TRAIN = "train-images-idx3-ubyte"
TEST = "t10k-images-idx3-ubyte"
PACKED = ".gz"
GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTES = 8
FASHION = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


def is_idx(path: Path) -> bool:
    """Tell whether a file or folder looks like IDX by its name."""
    if path.is_dir():
        return find(path, TRAIN) is not None
    return "ubyte" in path.name or path.suffix.lower() in {".idx", PACKED}


def read_fashion(folder: Path = FASHION) -> Images:
    """Read Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017) as Debian installs it.

    Raises:
        DataError: It is not installed, or damaged.
    """
    if not is_idx(folder):
        raise DataError(
            "Fashion-MNIST is not installed",
            where=str(folder),
            hint="Install it with: apt install dataset-fashion-mnist",
        )
    return read_idx(folder, name="fashion", names=FASHION_CLASSES)


def read_idx(path: Path, *, name: str = "", names: tuple[str, ...] = ()) -> Images:
    """Read one file of images, or a folder with a training part and maybe a test part.

    The test part is what is held out. Labels are read if they lie beside their images.

    Args:
        path: The file or folder.
        name: What people call the set; by default that of the file or folder.
        names: Of the classes; by default their numbers.

    Raises:
        DataError: A file is damaged, no IDX file, or does not fit the others.
    """
    files = parts_of(path) if path.is_dir() else [path]
    stacks = [read_values(file, dimensions=3) for file in files]
    check_count(len(stacks[0]), where=str(files[0]))
    for file, stack in zip(files, stacks, strict=True):
        check_size(file, stack, files[0], stacks[0])
    label_files = [labels_beside(file) for file in files]
    labels = read_labels(files, label_files, [len(stack) for stack in stacks])
    pixels = np.concatenate(stacks)[:, None]
    used = [*files, *(file for file in label_files if file is not None)]
    return Images(
        name=name or path.name,
        pixels=scaled_bytes(pixels),
        labels=labels,
        classes=() if labels is None else class_names(labels, names, where=str(path)),
        source_range="0 to 255",
        manifest=hash_files(used, files[0].parent, name=name or path.name, samples=len(pixels)),
        held_out=len(stacks[1]) if len(stacks) > 1 else None,
        test_is_last=len(stacks) > 1,
    )


def parts_of(folder: Path) -> list[Path]:
    """Return the file of training images, and that of test images if there is one.

    Raises:
        DataError: There are no training images.
    """
    train, test = find(folder, TRAIN), find(folder, TEST)
    if train is None:
        raise DataError(
            f"has no file {TRAIN!r}", where=str(folder), hint="Give the path of the images."
        )
    return [train] if test is None else [train, test]


def find(folder: Path, name: str) -> Path | None:
    """Return a file by its name, plain or packed, if it is there."""
    for file in (folder / name, folder / f"{name}{PACKED}"):
        if file.is_file():
            return file
    return None


def labels_beside(images: Path) -> Path | None:
    """Return the file of the labels of images, if it is there."""
    name = images.name.removesuffix(PACKED).replace("images-idx3", "labels-idx1")
    file = find(images.parent, name)
    return None if file == images else file


def read_values(path: Path, *, dimensions: int) -> Array:
    """Read one IDX file of unsigned bytes.

    Raises:
        DataError: It is damaged, or holds something else.
    """
    try:
        with opened(path) as stream:
            shape = read_shape(stream, dimensions, path)
            size = math.prod(shape)
            content = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot be read ({error})", where=str(path), hint="Replace it by a sound copy."
        ) from error
    if len(content) != size:
        found = f"{len(content)} are there" if len(content) < size else "more follow"
        raise DataError(
            f"its header announces {size} values, but {found}",
            where=str(path),
            hint="Replace it by a sound copy.",
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def opened(path: Path) -> io.BufferedIOBase:
    """Open a file, unpacking it if its first bytes say that it is packed."""
    with path.open("rb") as stream:
        packed = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return gzip.open(path) if packed else path.open("rb")


def read_shape(stream: io.BufferedIOBase, dimensions: int, path: Path) -> tuple[int, ...]:
    """Read the header, and refuse what would not fit into memory.

    Raises:
        DataError: The magic number is another, or the values are too many.
    """
    expected = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    magic = stream.read(len(expected))
    if magic != expected:
        raise DataError(
            f"begins with {magic.hex() or 'nothing'}, where an IDX file of "
            f"{'images' if dimensions == 3 else 'labels'} has {expected.hex()}",
            where=str(path),
            hint="Give IDX files of unsigned bytes, 3 dimensions for images and 1 for labels.",
        )
    header = stream.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise DataError("ends in its header", where=str(path), hint="Replace it by a sound copy.")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
    height, width = (*shape[1:], 1, 1)[:2]
    check_memory(shape[0], height, width, 1, where=str(path))
    return shape


def check_size(path: Path, stack: Array, first_path: Path, first: Array) -> None:
    """Refuse images of another size than those of the first file, or of none.

    Raises:
        DataError: Names both files and sizes.
    """
    height, width = stack.shape[1:]
    if 0 in (height, width):
        raise DataError(
            f"has images of {height} x {width} pixels",
            where=str(path),
            hint="Replace it by a sound copy.",
        )
    if stack.shape[1:] != first.shape[1:]:
        raise DataError(
            f"has images of {height} x {width}, but '{first_path.name}' of "
            f"{first.shape[1]} x {first.shape[2]}",
            where=str(path),
            hint="All images must have the same size.",
        )


def read_labels(images: list[Path], files: list[Path | None], counts: list[int]) -> Tensor | None:
    """Read the labels of all parts, (N,), if there are any.

    Raises:
        DataError: One part has labels and another has not, or they are not as many as images.
    """
    if all(file is None for file in files):
        return None
    parts = []
    for image_file, file, count in zip(images, files, counts, strict=True):
        if file is None:
            raise DataError(
                "has no labels, but the other part has",
                where=str(image_file),
                hint="Put its file of labels beside it, or remove the other one.",
            )
        labels = read_values(file, dimensions=1)
        if len(labels) != count:
            raise DataError(
                f"holds {len(labels)} labels, but '{image_file.name}' holds {count} images",
                where=str(file),
                hint="Give one label for each image.",
            )
        parts.append(labels)
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))


def class_names(labels: Tensor, names: tuple[str, ...], *, where: str) -> tuple[str, ...]:
    """Return the names of the classes that labels count from 0.

    Raises:
        DataError: A label has no name.
    """
    highest = int(labels.max())
    if not names:
        return tuple(str(number) for number in range(highest + 1))
    if highest >= len(names):
        raise DataError(
            f"has a label {highest}, but there are {len(names)} classes",
            where=where,
            hint="Replace its labels by a sound copy.",
        )
    return names
