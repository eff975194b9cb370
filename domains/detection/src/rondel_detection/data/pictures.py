"""Labelled pictures as a map-style data set: decoded and scaled into the canvas once, then cached.

Letters: I images, N boxes, P proposals. The position of a sample is the row of its image in
`Pictures.annotations`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rondel.errors import DataError, UsageError
from rondel_detection.data.cache import PictureCache
from rondel_detection.data.canvas import Canvas, Integers, resize, restore
from rondel_detection.data.images import MAX_PIXELS, inside, read_header, read_reduced
from rondel_detection.data.masks import mask_of
from rondel_detection.data.sample import Sample
from rondel_detection.data.table import Annotations, Status

LABELLED = (Status.LABELLED,)


class Pictures:
    """The images of a table with their boxes, on one canvas.

    Args:
        annotations: The table; defects of its boxes have been seen to.
        canvas: Where the pictures stand, see `Canvas.fit` and `sizes_of`.
        pixels: (I, 3, H, W) uint8, the pictures of the images of the table, instead of files.
        statuses: Which images are taken; unlabelled ones say nothing, ignored ones should not be
            trained on.
        cache: Bytes for scaled pictures; see `PictureCache`.
        masks: Make masks of the outlines; an object without one gets its box.
        max_pixels: Larger files are refused.

    Raises:
        DataError: There is no such image, or a box has no area inside its picture.
        UsageError: There is not one picture for each image.
    """

    def __init__(
        self,
        annotations: Annotations,
        canvas: Canvas,
        *,
        pixels: Tensor | None = None,
        statuses: Sequence[Status] = LABELLED,
        cache: int = 0,
        masks: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        rows = rows_with(annotations, statuses)
        if pixels is not None and len(pixels) != len(annotations.images):
            raise UsageError(f"{len(pixels)} pictures for {len(annotations.images)} images")
        self.annotations = with_sizes(annotations.take_images(rows))
        self.canvas = canvas
        self.full = sizes_of(self.annotations)  # (I, 2) height and width as labelled
        self.sizes = canvas.scaled_sizes(self.full)  # (I, 2) the same on the canvas
        self._boxes = boxes_on_canvas(self.annotations, self.full, self.sizes)
        self._labels = torch.from_numpy(self.annotations.boxes.label)
        self._crowd = torch.from_numpy(self.annotations.boxes.crowd)
        image = self.annotations.boxes.image
        self._bounds = np.searchsorted(image, np.arange(len(rows) + 1))
        self._pixels = pixels
        self._rows = rows
        self._cache = PictureCache(self.sizes, cache if self._costs() else 0)
        self._masks = masks
        self._max_pixels = max_pixels
        self._proposals: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.full)

    def __getitem__(self, index: int) -> Sample:
        """Return a picture on the canvas with its boxes.

        Raises:
            DataError: The file cannot be read, or is not of the size that the labels say.
        """
        boxes = slice(int(self._bounds[index]), int(self._bounds[index + 1]))
        labels = self._labels[boxes].clone()
        return Sample(
            picture=self._picture(index),
            boxes=self._boxes[boxes].clone(),
            labels=labels,
            crowd=self._crowd[boxes].clone(),
            visible=torch.ones(len(labels)),
            row=index,
            proposals=None if self._proposals is None else self._proposals[index].clone(),
            masks=self._masks_of(index, boxes) if self._masks else None,
        )

    def describe(self, index: int) -> str:
        """Say which image a sample is, and where it is described."""
        return self.annotations.image_place(index)

    def with_proposals(self, proposals: Tensor) -> Pictures:
        """Return the same data set, with the same cache, whose samples have proposals.

        Args:
            proposals: (I, P, 4) float32 boxes on the canvas; rows of zeros are padding.

        Raises:
            UsageError: They are not of that shape.
        """
        if proposals.ndim != 3 or proposals.shape[0] != len(self) or proposals.shape[2] != 4:
            raise UsageError(
                f"proposals of shape {tuple(proposals.shape)} for {len(self)} images",
                hint=f"Give a tensor of shape ({len(self)}, proposals, 4).",
            )
        made = copy.copy(self)
        made._proposals = proposals.to("cpu", torch.float32)
        return made

    def original(self, rows: Tensor, boxes: Tensor) -> Tensor:
        """Return boxes on the canvas in pixels of the images as they were labelled, clipped.

        Args:
            rows: (N,) position of the image of each box.
            boxes: (N, 4) pixels of the canvas.

        Returns:
            (N, 4) float64, on the CPU.
        """
        chosen = rows.cpu().numpy()
        scaled, full = (torch.from_numpy(sizes[chosen]) for sizes in (self.sizes, self.full))
        return restore(boxes.cpu(), scaled, full)

    # -- pictures ------------------------------------------------------------------------------

    def _costs(self) -> bool:
        """Tell whether a picture takes more than a copy to get."""
        return self._pixels is None or bool((self.sizes != self.full).any())

    def _picture(self, index: int) -> Tensor:
        kept = self._cache.get(index)
        if kept is not None:
            return kept
        if self._pixels is not None:
            picture = self._pixels[int(self._rows[index])]
            full = (picture.shape[-2], picture.shape[-1])
            where = self.describe(index)
        else:
            path = inside(self.annotations.root, str(self.annotations.images.file[index]))
            longest = int(self.sizes[index].max()) or self.canvas.longest
            picture, full = read_reduced(path, longest, max_pixels=self._max_pixels)
            where = str(path)
        check_size(tuple(self.full[index].tolist()), full, where)
        height, width = self.sizes[index].tolist()
        made = resize(picture, (height, width) if height else self.canvas.scaled(*full))
        self._cache.put(index, made)
        return made.clone() if made is picture else made

    def _masks_of(self, index: int, boxes: slice) -> Tensor:
        """(n, h, w) bool."""
        size = (int(self.sizes[index][0]), int(self.sizes[index][1]))
        full = (int(self.full[index][0]), int(self.full[index][1]))
        table = self.annotations.boxes
        made = torch.zeros(boxes.stop - boxes.start, *size, dtype=torch.bool)
        for place, row in zip(made, range(boxes.start, boxes.stop), strict=True):
            try:
                mask = mask_of(table.outline.get(row), table.xyxy[row], full, size)
            except DataError as error:
                where = self.annotations.box_place(row)
                raise DataError(error.what, where=where, hint=error.hint) from error
            place[...] = torch.from_numpy(mask)
        return made


def load(
    path: Path, canvas: Canvas, *, max_pixels: int = MAX_PIXELS
) -> tuple[Tensor, tuple[int, int]]:
    """Read a picture as `Pictures` does.

    Returns:
        The picture on the canvas, (3, h, w) uint8, and its height and width in the file.

    Raises:
        DataError: It cannot be read.
    """
    header = read_header(path)
    longest = max(canvas.scaled(header.height, header.width))
    picture, full = read_reduced(path, longest, max_pixels=max_pixels)
    return canvas.scale(picture, full), full


def rows_with(annotations: Annotations, statuses: Sequence[Status]) -> Integers:
    """Return the rows of the images of some status.

    Raises:
        DataError: There is none.
    """
    rows = np.flatnonzero(np.isin(annotations.images.status, [int(s) for s in statuses]))
    if not len(rows):
        wanted = " or ".join(status.name.lower() for status in statuses)
        raise DataError(
            f"none of the {len(annotations.images)} images is {wanted}",
            where=str(annotations.root),
            hint="Look at the labels by `rondel detection inspect`.",
        )
    return rows


def with_sizes(annotations: Annotations) -> Annotations:
    """Return the table with the sizes that its labels do not say, from the headers of the files.

    What cannot be read stays 0: its own turn says why.
    """
    images = annotations.images
    height, width = images.height.copy(), images.width.copy()
    for row in np.flatnonzero((height <= 0) | (width <= 0)).tolist():
        try:
            header = read_header(inside(annotations.root, str(images.file[row])))
        except DataError:
            height[row], width[row] = 0, 0
        else:
            height[row], width[row] = header.height, header.width
    return replace(annotations, images=replace(images, height=height, width=width))


def sizes_of(annotations: Annotations) -> Integers:
    """Return height and width of the images, (I, 2); zeros are not known."""
    return np.stack([annotations.images.height, annotations.images.width], 1)


def boxes_on_canvas(annotations: Annotations, full: Integers, scaled: Integers) -> Tensor:
    """Return the boxes of a table on the canvas, clipped to their pictures, (N, 4) float32.

    Args:
        annotations: The table.
        full: (I, 2) height and width as labelled.
        scaled: (I, 2) the same on the canvas.

    Raises:
        DataError: A box has no area inside its picture.
    """
    boxes = annotations.boxes
    limits = full[boxes.image][:, [1, 0, 1, 0]].astype(np.float64)
    known = (limits > 0).all(1)
    clipped = np.clip(boxes.xyxy, 0.0, np.where(limits > 0, limits, np.inf))
    factor = scaled[boxes.image][:, [1, 0, 1, 0]] / np.maximum(limits, 1.0)
    made = (clipped * factor).astype(np.float32)
    bad = np.flatnonzero(known & ~(made[:, 2:] > made[:, :2]).all(1))  # NaN is not larger either
    if len(bad):
        row = int(bad[0])
        corners = ", ".join(f"{value:g}" for value in boxes.xyxy[row].tolist())
        height, width = full[boxes.image[row]].tolist()
        more = f", and {len(bad) - 1} more are like it" if len(bad) > 1 else ""
        raise DataError(
            f"box [{corners}] has no area inside the picture of {width} x {height} pixels{more}",
            where=annotations.box_place(row),
            hint="Run `rondel detection check`; bad_boxes=repair or drop sees to such boxes.",
        )
    return torch.from_numpy(made)


def check_size(labelled: tuple[int, ...], found: tuple[int, int], where: str) -> None:
    """Refuse a picture that has not the size that its labels say; zeros say nothing.

    Raises:
        DataError: The sizes differ; both are named.
    """
    if labelled == found or 0 in labelled:
        return
    swapped = labelled == found[::-1]
    raise DataError(
        f"the labels say {labelled[1]} x {labelled[0]} pixels, "
        f"the picture has {found[1]} x {found[0]}",
        where=where,
        hint="It was labelled without its EXIF rotation, or was turned since: "
        "`rondel detection check` shows such pictures."
        if swapped
        else "Labels and picture do not belong together, or it was scaled after it was labelled.",
    )
