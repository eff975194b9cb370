"""From pictures of any kind to detections in their own pixels.

Letters: n detections of a picture, (H, W) its height and width, B pictures of a batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from rondel.errors import UsageError
from rondel_detection.data.canvas import Canvas, restore
from rondel_detection.data.images import MAX_PIXELS, read_image, to_tensor
from rondel_detection.data.labels import LabelMap, SourceId
from rondel_detection.data.pictures import load
from rondel_detection.data.table import Floats, Integers
from rondel_detection.models.detector import Detector
from rondel_detection.tiling import Found, Tiling

Picture: TypeAlias = "str | Path | Image.Image | npt.NDArray[np.uint8] | Tensor"
"""The path of a file, a Pillow image, an array (H, W, 3) or a tensor (3, H, W) of 8 bits."""

IN_MEMORY = "picture in memory"
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes that become RGB without a loss of range."""


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one picture, best first.

    Args:
        boxes: (n, 4) float64 x1 y1 x2 y2, pixels of the picture as a person sees it.
        scores: (n,) float64, 0 to 1.
        labels: (n,) training index of the class.
        names: n names of the classes.
        ids: n ids of the classes as the label files had them.
        size: Height and width of the picture.
        source: Where it came from.
    """

    boxes: Floats
    scores: Floats
    labels: Integers
    names: tuple[str, ...]
    ids: tuple[SourceId, ...]
    size: tuple[int, int]
    source: str

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.scores)

    def to_json(self) -> dict[str, Any]:
        """Describe the detections as plain values, rounded to a thousandth of a pixel."""
        rows = zip(self.boxes, self.scores, self.names, self.ids, strict=True)
        return {
            "file": self.source,
            "width": self.size[1],
            "height": self.size[0],
            "detections": [
                {
                    "box": [round(float(side), 3) for side in box],
                    "score": round(float(score), 6),
                    "label": name,
                    "id": source,
                }
                for box, score, name, source in rows
            ],
        }


@dataclass(frozen=True)
class Options:
    """How pictures are looked at.

    Args:
        threshold: Lowest score that is kept; the model's own ``score_threshold`` comes first.
        tile: Cut pictures that are larger into overlapping tiles, and look at each: the longest
            side of a tile in pixels of the picture, 0 for tiles of the size of the canvas. By
            default a picture is looked at as a whole.
        overlap: Share that neighbouring tiles have in common.
        batch_size: Pictures, or tiles, that are computed together.
        max_pixels: Larger files are refused.

    Raises:
        UsageError: A number makes no sense.
    """

    threshold: float = 0.3
    tile: int | None = None
    overlap: float = 0.2
    batch_size: int = 16
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise UsageError(
                f"threshold is {self.threshold!r}", hint="A score is a number from 0 to 1."
            )
        if self.batch_size < 1:
            raise UsageError(f"batch_size is {self.batch_size!r}", hint="It is at least 1.")

    def tiling(self, canvas: Canvas) -> Tiling | None:
        """Return how pictures are cut: into tiles of the shape of the canvas."""
        if self.tile is None:
            return None
        longest = max(canvas.height, canvas.width)
        factor = (self.tile or longest) / longest
        height, width = round(canvas.height * factor), round(canvas.width * factor)
        return Tiling(height, width, overlap=self.overlap)


@dataclass(frozen=True)
class Predictor:
    """A detector with all it needs to look at pictures of any size.

    Args:
        detector: In evaluation mode.
        labels: Its classes.
        canvas: What it sees a picture on.
        iou: Overlap above which detections of several tiles are one object.
    """

    detector: Detector
    labels: LabelMap
    canvas: Canvas
    iou: float = 0.5

    def predict(self, pictures: Iterable[Picture], options: Options) -> Iterator[Detections]:
        """Yield the detections of each picture, in order; a batch is read at a time.

        Raises:
            DataError: A file cannot be read.
            UsageError: Something is no picture.
        """
        tiling = options.tiling(self.canvas)
        waiting = iter(pictures)
        while some := list(islice(waiting, 1 if tiling else options.batch_size)):
            if tiling is not None:
                pixels = full_picture(some[0], options.max_pixels)
                size = (pixels.shape[-2], pixels.shape[-1])
                found = self._in_tiles(pixels, tiling, options.batch_size)
                yield self._named(found, size, some[0], options)
                continue
            loaded = [self._scaled(picture, options.max_pixels) for picture in some]
            seen = self._detect([pixels for pixels, _ in loaded], [size for _, size in loaded])
            for picture, (_, size), found in zip(some, loaded, seen, strict=True):
                yield self._named(found, size, picture, options)

    def _scaled(self, picture: Picture, max_pixels: int) -> tuple[Tensor, tuple[int, int]]:
        """Return a picture at its size on the canvas, (3, h, w) uint8, and its own size."""
        if isinstance(picture, str | os.PathLike):
            return load(Path(picture), self.canvas, max_pixels=max_pixels)
        pixels = full_picture(picture, max_pixels)
        return self.canvas.scale(pixels), (pixels.shape[-2], pixels.shape[-1])

    @torch.no_grad()
    def _detect(self, pictures: Sequence[Tensor], full: Sequence[tuple[int, int]]) -> list[Found]:
        """Look at scaled pictures, each (3, h, w) uint8; boxes come in pixels of their full size."""
        device = device_of(self.detector)
        scaled = torch.tensor([picture.shape[-2:] for picture in pictures], dtype=torch.float32)
        images = self.canvas.stack(pictures).to(device)
        seen = self.detector.detect(images, scaled.to(device))
        image = seen.image.cpu()
        sizes = torch.tensor(full, dtype=torch.float64)
        boxes = restore(seen.boxes.cpu(), scaled[image], sizes[image]).numpy()
        whole = Found(boxes, seen.scores.double().cpu().numpy(), seen.labels.cpu().numpy())
        return [whole.take(image.numpy() == row) for row in range(len(pictures))]

    def _in_tiles(self, picture: Tensor, tiling: Tiling, batch_size: int) -> Found:
        """Look at a picture, (3, H, W) uint8, tile by tile."""
        tiles = tiling.tiles(picture.shape[-2], picture.shape[-1])
        found: list[Found] = []
        for start in range(0, len(tiles), batch_size):
            some = tiles[start : start + batch_size]
            cut = [picture[:, y1:y2, x1:x2] for x1, y1, x2, y2 in some.tolist()]
            sizes = [(part.shape[-2], part.shape[-1]) for part in cut]
            seen = self._detect([self.canvas.scale(part) for part in cut], sizes)
            for tile, part in zip(some, seen, strict=True):
                corner = np.tile(tile[:2], 2).astype(np.float64)
                found.append(Found(part.boxes + corner, part.scores, part.labels))
        return tiling.merge(tiles, found, iou=self.iou)

    def _named(
        self, found: Found, size: tuple[int, int], picture: Picture, options: Options
    ) -> Detections:
        found = found.take(found.scores >= options.threshold)
        found = found.take(np.argsort(-found.scores, kind="stable"))
        labels = found.labels.tolist()
        return Detections(
            found.boxes,
            found.scores,
            found.labels,
            names=tuple(self.labels.names[label] for label in labels),
            ids=tuple(self.labels.ids[label] for label in labels),
            size=size,
            source=source_of(picture),
        )


def device_of(detector: Detector) -> torch.device:
    """Return where a detector computes."""
    first = next(detector.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def source_of(picture: Picture) -> str:
    """Return the name of a picture: its path as it was given, or that it has none."""
    if isinstance(picture, str | os.PathLike):
        return str(picture)
    return str(getattr(picture, "filename", "")) or IN_MEMORY


def full_picture(picture: Picture, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Return the pixels of a picture at its full size, (3, H, W) uint8 RGB.

    Raises:
        DataError: The file cannot be read.
        UsageError: It is no picture.
    """
    if isinstance(picture, str | os.PathLike):
        return read_image(Path(picture), max_pixels=max_pixels)
    if isinstance(picture, Image.Image):
        return to_tensor(in_colour(picture))
    if isinstance(picture, np.ndarray):
        check_pixels(picture.shape, str(picture.dtype), channel=2)
        # a copy: what is read-only or reversed cannot become a tensor
        return torch.from_numpy(np.array(picture, order="C")).permute(2, 0, 1)
    if isinstance(picture, Tensor):
        check_pixels(picture.shape, str(picture.dtype).removeprefix("torch."), channel=0)
        return picture.detach().cpu()
    raise UsageError(
        f"{type(picture).__name__} is no picture",
        where="predict",
        hint="Give a path, a Pillow image, an array (H, W, 3) or a tensor (3, H, W) of uint8.",
    )


def in_colour(picture: Image.Image) -> Image.Image:
    """Return a Pillow image as a person sees it, in RGB; transparent parts become white.

    Raises:
        UsageError: It has more than 8 bits, and nobody says how they are to be cut.
    """
    if picture.mode not in EIGHT_BITS:
        raise UsageError(
            f"a Pillow image of mode {picture.mode!r} has more than 8 bits",
            where="predict",
            hint="Convert it to RGB, or give the path of its file.",
        )
    upright = ImageOps.exif_transpose(picture)
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    seen = upright.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def check_pixels(shape: Sequence[int], dtype: str, *, channel: int) -> None:
    """Refuse what cannot be the pixels of a picture in colour.

    Raises:
        UsageError: Says what they are and what they must be.
    """
    kind = "an array (H, W, 3)" if channel == 2 else "a tensor (3, H, W)"
    if len(shape) != 3 or shape[channel] != 3 or 0 in shape:
        raise UsageError(f"a picture is {kind}, not of shape {tuple(shape)}", where="predict")
    if dtype != "uint8":
        raise UsageError(
            f"a picture has 8 bits (uint8), not {dtype}",
            where="predict",
            hint="Scale values of 0 to 1 by 255, round and convert them.",
        )
