"""The table of embedded sets, and how one is written to a folder that one can play with."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from rondel.errors import UsageError
from rondel_detection.data.formats import format as formats
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, TableBuilder
from rondel_detection.demo import digits, shapes
from rondel_detection.demo.shapes import Picture

CANVAS = 128
"""Sides of all pictures of the embedded sets."""


@dataclass(frozen=True)
class Recipe:
    """How a set is made: ``draw(seed, split)`` for the seeds of each split."""

    classes: tuple[str, ...]
    draw: Callable[[int, str], Picture]
    splits: tuple[tuple[str, range], ...]


RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        digits.CLASSES,
        digits.draw_digits,
        (("train", range(1000)), ("val", range(100_000, 100_200))),
    ),
    "shapes": Recipe(
        shapes.CLASSES,
        lambda seed, _: shapes.draw_shapes(seed),
        (("train", range(500)), ("val", range(500, 650))),
    ),
}


@dataclass(frozen=True, eq=False)
class EmbeddedSet:
    """A labelled set that lives in memory.

    Args:
        name: 'digits' or 'shapes'.
        annotations: Its table; the files need not exist.
        pictures: (I, 3, H, W) uint8 RGB, in the order of ``annotations.images``.
    """

    name: str
    annotations: Annotations
    pictures: Tensor


@lru_cache(maxsize=len(RECIPES))
def embedded(name: str) -> EmbeddedSet:
    """Return an embedded set, the same at every call and on every machine.

    It is made once in a process; do not write into its arrays.

    Raises:
        UsageError: There is no set of that name.
    """
    return make_set(name, find_recipe(name))


def make_set(name: str, recipe: Recipe) -> EmbeddedSet:
    """Draw all pictures of a recipe; ``name`` is the folder of their files."""
    builder = TableBuilder(Path(), format="embedded")
    pixels = []
    for split, seeds in recipe.splits:
        for number, seed in enumerate(seeds):
            picture = recipe.draw(seed, split)
            add_picture(builder, picture, f"{name}/{split}-{number:04}.png", split)
            pixels.append(picture.pixels)
    pictures = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return EmbeddedSet(name, builder.build(LabelMap(recipe.classes)), pictures)


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a set."""
    if name in RECIPES:
        return RECIPES[name]
    close = difflib.get_close_matches(name, RECIPES, n=1)
    raise UsageError(
        f"there is no embedded set {name!r}",
        hint=f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(RECIPES)}.",
    )


def add_picture(builder: TableBuilder, picture: Picture, file: str, split: str) -> None:
    """Add a picture and its objects to a table."""
    height, width = picture.pixels.shape[:2]
    row = builder.add_image(file, width=width, height=height, split=split)
    for box, label in zip(picture.boxes, picture.labels, strict=True):
        builder.add_box(row, box, label)


def write_set(name: str, folder: Path, format: str) -> Annotations:  # noqa: A002 - the user's word
    """Write the pictures of an embedded set as PNG files, and their labels, below a folder.

    Returns:
        The annotations that were written, with ``folder`` as their root.

    Raises:
        UsageError: There is no such set or format, or the format is read-only.
    """
    writer = formats.format_named(format).write  # an unknown format is refused before work starts
    made = embedded(name)
    annotations = write_pictures(made, folder)
    writer(annotations, folder)
    return annotations


def write_pictures(made: EmbeddedSet, folder: Path) -> Annotations:
    """Write the pictures of a set as PNG files; returns its table with ``folder`` as the root."""
    annotations = replace(made.annotations, root=folder)
    for file, picture in zip(annotations.images.file, made.pictures, strict=True):
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(target)
    return annotations
