"""The section that shows samples over time, as a picture that moves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from rondel import Section
from rondel.report.figure import LINE, SERIES
from rondel_gan.picture import animation

PICTURES = re.compile(r"samples-\d+\.png")
FRAME_MS = 350
CUTS = ((24, 640), (16, 640), (12, 640), (12, 480), (8, 384), (6, 256))
"""Frames, and pixels of the longer side; the first with which the film is small enough counts."""
MOST_BYTES = 350_000
"""So that the page need not shrink it, which would stop it."""
SEEN = 3
"""Every so many pixels one is looked at for the colours, each way; the bar is thicker."""
BAR = 6
"""Pixels of the bar that says how far the training is."""


def film_section(folder: Path) -> Section | None:
    """Join the pictures that were drawn after evaluations; None if there are not two.

    Args:
        folder: Where they lie.
    """
    files = sorted(file for file in folder.glob("*.png") if PICTURES.fullmatch(file.name))
    if len(files) < 2:
        return None
    film = film_of([opened(files[place]) for place in places(len(files), CUTS[0][0])])
    text = (
        "What becomes of the same inputs, from the first evaluation to the last; the bar below says "
        "how far the training is."
    )
    return Section("Samples over time", text=text, picture=film)


def places(count: int, most: int) -> list[int]:
    """Return which of so many pictures are shown, first and last included."""
    return [round(place) for place in np.linspace(0, count - 1, min(count, most))]


def opened(file: Path) -> Image.Image:
    """Read a picture of our own."""
    with Image.open(file, formats=("PNG",)) as picture:
        return picture.convert("RGB")


def film_of(pictures: Sequence[Image.Image]) -> bytes:
    """Return an animated PNG of pictures of one size, as long and large as it may be."""
    content, pixels = b"", 0
    for count, edge in CUTS:
        shown = [fitted(pictures[place], edge) for place in places(len(pictures), count)]
        now = len(shown) * shown[0].width * shown[0].height
        # what would come out too large is not even tried
        if pixels and len(content) * now > MOST_BYTES * pixels and (count, edge) != CUTS[-1]:
            continue
        frames = [with_bar(frame, place / len(shown)) for place, frame in enumerate(shown, 1)]
        content = animation(in_one_palette(frames), kind="PNG", frame_ms=FRAME_MS, rests=True)
        pixels = now
        if len(content) <= MOST_BYTES:
            break
    return content


def fitted(picture: Image.Image, edge: int) -> Image.Image:
    """Return a picture whose longer side has at most so many pixels."""
    small = picture.copy()
    small.thumbnail((edge, edge))
    return small


def with_bar(picture: Image.Image, share: float) -> Image.Image:
    """Return a picture with a bar below it that is filled to a share."""
    width, height = picture.size
    canvas = Image.new("RGB", (width, height + BAR), ImageColor.getrgb(LINE))
    canvas.paste(picture, (0, 0))
    canvas.paste(ImageColor.getrgb(SERIES[0]), (0, height, round(share * width), height + BAR))
    return canvas


def in_one_palette(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Return pictures in 256 colours that they share, which is a third of the bytes."""
    seen = [np.asarray(frame)[::SEEN, ::SEEN] for frame in frames]
    shared = Image.fromarray(np.concatenate(seen)).quantize(256, method=Image.Quantize.MEDIANCUT)
    return [frame.quantize(palette=shared, dither=Image.Dither.NONE) for frame in frames]
