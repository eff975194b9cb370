"""Pictures of a data set with their boxes drawn, as data URLs small enough for one page."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from rondel.errors import DataError
from rondel.report.pictures import Picture
from rondel_detection.data.defects import Defect
from rondel_detection.data.images import inside, open_picture
from rondel_detection.data.table import Annotations, Floats, Integers, Status
from rondel_detection.drawing import Colour, Mark, Rectangle, colour_of, draw

EDGES_PX = (384, 320, 256, 192, 144)
"""Longest sides that are tried until a picture is small enough."""
SMALLEST_PX = 320
"""Smaller pictures are enlarged, so that names on them can be read."""
JPEG_QUALITY = 75
MOST_NAMED = 25
"""Boxes of a picture up to which each is drawn with its name."""
BAD: Colour = (214, 40, 40)
OTHER: Colour = (150, 150, 150)
BLANK: Colour = (128, 128, 128)
SURROUND: Colour = (58, 58, 58)
BEYOND = 0.4
"""Of a side of the picture: how far beyond it a bad box is followed."""
SEEN_PX = 14
"""Sides that a bad box is drawn with at least."""
WEIGHT = {"error": 10, "warning": 1, "note": 0}
"""How much a defect counts towards the suspicion on its image."""


@dataclass(frozen=True)
class Sample:
    """A picture of the page.

    Args:
        picture: With its boxes drawn.
        notes: What is to be said about it.
        is_blank: The file is not there; the boxes are drawn on an empty sheet.
    """

    picture: Picture
    notes: tuple[str, ...] = ()
    is_blank: bool = False


@dataclass(frozen=True, eq=False)
class Album:
    """Where the pictures of a set come from.

    Args:
        annotations: The set.
        pictures: (I, 3, H, W) uint8 RGB if they live in memory.
        max_pixels: More are not decoded.
    """

    annotations: Annotations
    pictures: Tensor | None
    max_pixels: int

    def open(self, row: int, longest: int) -> tuple[Image.Image, tuple[int, int]] | None:
        """Return a picture, at least ``longest`` pixels long, and its full width and height."""
        if self.pictures is not None:
            picture = Image.fromarray(self.pictures[row].permute(1, 2, 0).numpy())
            return picture, picture.size
        try:
            path = inside(self.annotations.root, self.annotations.images.file[row])
            picture, header = open_picture(path, longest=longest, max_pixels=self.max_pixels)
        except DataError:
            return None
        return picture, (header.width, header.height)

    def show(
        self, row: int, *, max_bytes: int, bad: Collection[int] = (), notes: Sequence[str] = ()
    ) -> Sample | None:
        """Draw an image with its boxes; those in ``bad`` are red and all others grey, if any is.

        Returns None if there is neither a picture nor a size.
        """
        images = self.annotations.images
        opened = self.open(row, EDGES_PX[0])
        size = (int(images.width[row]), int(images.height[row]))
        if opened is not None:
            picture, size = opened
        elif min(size) > 0:
            picture = Image.new("RGB", _fitted(size, EDGES_PX[0]), BLANK)
        else:
            return None
        caption = str(images.file[row])
        split = f" · {images.split[row]}" if images.split[row] else ""
        data, shown = self._encoded(row, (picture, size), set(bad), max_bytes)
        url = "data:image/jpeg;base64," + base64.b64encode(data).decode("ascii")
        made = Picture(caption=caption + split, data_url=url, width=shown[0], height=shown[1])
        return Sample(made, tuple(notes), opened is None)

    def _frame(self, size: tuple[int, int], bad: set[int]) -> Frame:
        """Return what is shown: the picture, and as much around it as bad boxes reach beyond."""
        width, height = size
        xyxy = self.annotations.boxes.xyxy[sorted(bad)]
        xyxy = xyxy[np.isfinite(xyxy).all(axis=1)]
        edges = np.array([[0, 0], [width, height], *xyxy.reshape(-1, 2).tolist()], dtype=np.float64)
        # a box that lies a kilometre away would leave nothing of the picture
        edges = edges.clip([-BEYOND * width, -BEYOND * height], None)
        edges = edges.clip(None, [(1 + BEYOND) * width, (1 + BEYOND) * height])
        return Frame(*edges.min(axis=0).tolist(), *edges.max(axis=0).tolist())

    def _encoded(
        self,
        row: int,
        opened: tuple[Image.Image, tuple[int, int]],
        bad: set[int],
        max_bytes: int,
    ) -> tuple[bytes, tuple[int, int]]:
        picture, size = opened
        frame = self._frame(size, bad)
        for edge in EDGES_PX:
            sheet = Image.new("RGB", _fitted(frame.size, edge), SURROUND)
            scale = sheet.width / frame.size[0]
            small = picture.resize(
                (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))),
                Image.Resampling.LANCZOS,
            )
            sheet.paste(small, (round(-frame.left * scale), round(-frame.top * scale)))
            stream = io.BytesIO()
            marks = self._marks(row, frame, scale, bad)
            # thin coloured lines need their colour in every pixel
            drawn = draw(sheet, marks)
            drawn.save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True, subsampling=0)
            if stream.tell() <= max_bytes:
                break
        return stream.getvalue(), sheet.size

    def _marks(self, row: int, frame: Frame, scale: float, bad: set[int]) -> Iterable[Mark]:
        boxes, names = self.annotations.boxes, self.annotations.labels.names
        rows = np.flatnonzero(boxes.image == row)
        rows = rows[np.isfinite(boxes.xyxy[rows]).all(axis=1)]
        # the first marks lie on top
        for box in sorted(rows.tolist(), key=lambda box: box not in bad):
            label = int(boxes.label[box])
            known = 0 <= label < len(names)
            colour = colour_of(label) if not bad else BAD if box in bad else OTHER
            named = known and (box in bad or (not bad and len(rows) <= MOST_NAMED))
            place = frame.place(boxes.xyxy[box], scale, grown=box in bad)
            yield Mark(place, names[label] if named else "", colour)


class Frame(NamedTuple):
    """The part of the plane that is drawn, in pixels of the full picture."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    def place(self, xyxy: Floats, scale: float, *, grown: bool) -> Rectangle:
        """Return where a box is drawn; ``grown`` makes one without area large enough to be seen."""
        corners = (xyxy - np.array([self.left, self.top] * 2)) * scale
        low, high = np.minimum(corners[:2], corners[2:]), np.maximum(corners[:2], corners[2:])
        if grown:
            lack = np.clip(SEEN_PX - (high - low), 0.0, None) / 2
            low, high = low - lack, high + lack
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _fitted(size: tuple[float, float], edge: int) -> tuple[int, int]:
    """Return the size of a picture on the page: at most ``edge``, and small ones enlarged."""
    longest = max(size)
    target = min(edge, max(longest, SMALLEST_PX))
    width, height = (max(1, round(side * target / longest)) for side in size)
    return width, height


def representative(annotations: Annotations, count: int) -> list[int]:
    """Choose labelled images so that as many classes as possible are seen, rare ones first.

    The same set gives the same images. Images that have boxes come first.
    """
    boxes, images = annotations.boxes, annotations.images
    shown = (images.status[boxes.image] == Status.LABELLED) & (boxes.label >= 0)
    pairs = np.unique(np.stack([boxes.label[shown], boxes.image[shown]], axis=1), axis=0)
    by_class = {
        int(label): _evenly(pairs[pairs[:, 0] == label, 1], count) for label in set(pairs[:, 0])
    }
    frequency = Counter(pairs[:, 0].tolist())
    order = sorted(by_class, key=lambda label: (frequency[label], label))
    chosen: dict[int, None] = {}
    for turn in range(count):
        for label in order:
            if turn < len(by_class[label]) and len(chosen) < count:
                chosen[by_class[label][turn]] = None
    rest = np.flatnonzero(images.status == Status.LABELLED)
    for row in _evenly(rest, count):
        if len(chosen) < count:
            chosen[row] = None
    return sorted(chosen)


def suspicious(defects: Iterable[Defect], count: int) -> list[tuple[int, list[Defect]]]:
    """Return the images with the worst defects, and these; what is about many images counts for none."""
    by_image: dict[int, list[Defect]] = {}
    for each in defects:
        if WEIGHT[each.severity] and len(each.images) <= count:
            for row in each.images:
                by_image.setdefault(row, []).append(each)
    weights = {row: sum(WEIGHT[d.severity] for d in found) for row, found in by_image.items()}
    worst = sorted(by_image, key=lambda row: (-weights[row], row))[:count]
    return [(row, by_image[row]) for row in worst]


def _evenly(rows: Integers, count: int) -> list[int]:
    """Choose up to ``count`` rows at equal distances, in an order in which each prefix is spread."""
    if not len(rows):
        return []
    places = np.unique(
        np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)
    )
    # halves before quarters before eighths: a prefix is spread over the whole
    spread = sorted(range(len(places)), key=lambda k: f"{k:032b}"[::-1])
    return [int(rows[places[k]]) for k in spread]
