"""``rondel gan interpolate``: the samples between some noises, side by side or one after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rondel.errors import UsageError
from rondel_gan.picture import Animation, animation, grid, grid_png
from rondel_gan.sampling import to_pixels
from rondel_gan.writing import write_bytes

if TYPE_CHECKING:
    from rondel_gan.bundle import GanBundle

ANIMATED: dict[str, Animation] = {".apng": "PNG", ".gif": "GIF", ".webp": "WEBP"}
FRAME_MS = 120


def write_walk(
    bundle: GanBundle, out: Path, *, seeds: Sequence[int], steps: int, label: str | None = None
) -> str:
    """Draw what lies between the first samples of seeds, and say where it is.

    A grid has a row for each pair of neighbours; a moving picture also leads from the last seed
    back to the first.

    Args:
        bundle: A generator of images.
        out: A .png file gets a grid; .apng, .gif and .webp move.
        seeds: At least two.
        steps: Images from one to the next, both included.
        label: The class of all images.

    Raises:
        UsageError: A number makes no sense, or the file is of another kind, or cannot be written.
    """
    suffix = out.suffix.lower()
    if suffix != ".png" and suffix not in ANIMATED:
        raise UsageError(
            "an interpolation is not written to it",
            where=str(out),
            hint=f"Use a .png file for a grid; {', '.join(ANIMATED)} move.",
        )
    moves = suffix in ANIMATED
    stations = [*seeds, seeds[0]] if moves and len(seeds) > 1 else list(seeds)
    ways = [to_pixels(way) for way in bundle.maker.between(stations, steps=steps, label=label)]
    if moves:
        frames = [grid(image[None]) for way in ways for image in way[:-1]]
        content = animation(frames, kind=ANIMATED[suffix], frame_ms=FRAME_MS)
    else:
        content = grid_png(torch.cat(ways), columns=steps)
    write_bytes(content, out)
    return f"Seeds {', '.join(map(str, seeds))} in steps of {steps}: {out}"
