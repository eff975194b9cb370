"""Pictures with what is there and what was found drawn on them, side by side, as one PNG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from rondel.errors import UsageError
from rondel.report.drawing import drawing_library
from rondel.report.figure import INK, INK_2, PAPER, label_of, small_png
from rondel_detection.data.table import Floats
from rondel_detection.metrics.coco import evaluate
from rondel_detection.metrics.columns import Detections, GroundTruth
from rondel_detection.metrics.outcome import outcome_of
from rondel_detection.metrics.parameters import AreaRange, Parameters

GRID_WIDTH = 1440
GAP = 16
TAG_PX = 14
CAPTION_PX = 16
LEGEND_HEIGHT = 40
CAPTION_HEIGHT = 28
DASH_PX = (7, 5)
TALLEST = 1.4
"""Height of a cell over its width; taller pictures are made smaller."""

Box = tuple[int, int, int, int]
"""x1 y1 x2 y2 in pixels of the grid."""


@dataclass(frozen=True)
class Style:
    """How one kind of box is drawn."""

    colour: str
    meaning: str
    dashed: bool = False
    width: int = 2


HIT = Style("#2fe6c6", "right")
FALSE = Style("#ff9129", "false")
MISSED = Style("#ff6ab8", "missed", dashed=True)
TRUTH = Style("#ffffff", "where it is", dashed=True, width=1)
IGNORED = Style("#c3ccd6", "ignored", width=1)
LEGEND = (HIT, FALSE, MISSED, TRUTH, IGNORED)
DARK = "#101418"
"""Around boxes and in tags."""


@dataclass(frozen=True)
class Mark:
    """A box on a picture; without a text it has no tag."""

    style: Style
    xywh: Floats  # (4,) pixels of the picture
    text: str = ""


def picture_grid(
    images: Sequence[npt.ArrayLike],
    truth: GroundTruth,
    found: Detections,
    names: Sequence[str],
    *,
    score: float = 0.3,
    iou: float = 0.5,
    captions: Sequence[str] = (),
    columns: int = 3,
) -> bytes:
    """Draw pictures with objects and detections, and a line below that counts them.

    A detection is right if it takes an object as in an evaluation: by falling score, of its own
    class, with enough overlap.

    Args:
        images: Each (3, H, W) uint8 RGB.
        truth: What is there; ``image`` is the row in ``images``, boxes are in their pixels.
        found: What was detected; likewise.
        names: The classes.
        score: Detections below are not drawn.
        iou: Overlap that a right detection needs.
        captions: Words below each picture, before its counts.
        columns: Pictures in a row.

    Raises:
        UsageError: There is no picture, or one is not (3, H, W) of 8 bits.
    """
    pictures = [as_picture(image) for image in images]
    if not pictures:
        raise UsageError("a grid of pictures needs at least one picture")
    sure = found.take(found.score >= score)
    marks = marks_of(truth, sure, names, images=len(pictures), iou=iou)
    columns = min(columns, len(pictures))
    width = (GRID_WIDTH - GAP * (columns + 1)) // columns
    cells = []
    for row, (picture, drawn) in enumerate(zip(pictures, marks, strict=True)):
        words = f"{captions[row]}: {counted(drawn)}" if captions else counted(drawn)
        cells.append(draw_cell(picture, drawn, words, width))
    colours = [DARK, PAPER, INK, INK_2, *(style.colour for style in LEGEND)]
    return small_png(arranged(cells, columns), exact=colours)


def as_picture(image: npt.ArrayLike) -> Image.Image:
    """Turn (3, H, W) of 8 bits into a picture.

    Raises:
        UsageError: It is something else.
    """
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.dtype != np.uint8:
        raise UsageError(
            f"a picture to draw on has shape {pixels.shape} and type {pixels.dtype}",
            hint="Give (3, H, W) of uint8.",
        )
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def marks_of(
    truth: GroundTruth, found: Detections, names: Sequence[str], *, images: int, iou: float
) -> list[list[Mark]]:
    """Return what is drawn on each picture, the most important last."""
    parameters = Parameters(
        iou=(iou,),
        recall=(0.0,),
        areas=(AreaRange("any", -math.inf, math.inf),),
        max_detections=(max(len(found), 1),),
    )
    evaluation = evaluate(truth, found, images=images, classes=len(names), parameters=parameters)
    outcome = outcome_of(evaluation, iou=iou)
    shown: list[list[Mark]] = [[] for _ in range(images)]
    for row, missed in enumerate(outcome.missed()):
        kind = MISSED if missed else TRUTH if outcome.counted[row] else IGNORED
        text = "" if kind is TRUTH else label_of(names[truth.label[row]])
        shown[truth.image[row]].append(Mark(kind, truth.xywh[row], text))
    for kind, rows in ((IGNORED, outcome.ignored), (FALSE, outcome.false), (HIT, outcome.hit)):
        for row in outcome.row[rows]:
            text = f"{label_of(names[found.label[row]])} {found.score[row]:.2f}"
            shown[found.image[row]].append(Mark(kind, found.xywh[row], text))
    return [sorted(marks, key=lambda mark: mark.style.width) for marks in shown]


def counted(marks: Sequence[Mark]) -> str:
    """Count hits and mistakes in words."""
    counts = [(kind, sum(mark.style is kind for mark in marks)) for kind in (HIT, FALSE, MISSED)]
    said = [f"{count} {kind.meaning}" for kind, count in counts if count]
    return ", ".join(said) or "nothing there, nothing found"


def draw_cell(picture: Image.Image, marks: Sequence[Mark], words: str, width: int) -> Image.Image:
    """Return a picture of a width with its marks and the words below it."""
    factor = min(width / picture.width, width * TALLEST / picture.height)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    cell = Image.new("RGB", (width, size[1] + CAPTION_HEIGHT), PAPER)
    enlarged = picture.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(enlarged)
    boxes = [box_of(mark.xywh, factor, size) for mark in marks]
    for mark, box in zip(marks, boxes, strict=True):
        draw_box(draw, box, mark.style)
    draw_tags(draw, marks, boxes, size)
    cell.paste(enlarged, (0, 0))
    below = ImageDraw.Draw(cell)
    text = fitting(below, words, font(CAPTION_PX), width)
    below.text((0, size[1] + 5), text, fill=INK_2, font=font(CAPTION_PX))
    return cell


def box_of(xywh: Floats, factor: float, size: tuple[int, int]) -> Box:
    """Return a box in pixels of the enlarged picture, cut off at its edges."""
    x, y, width, height = (float(value) * factor for value in xywh)
    bounds = zip((x, y, x + width, y + height), (size[0], size[1]) * 2, strict=True)
    x1, y1, x2, y2 = (min(max(round(value), 0), limit - 1) for value, limit in bounds)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def draw_box(draw: ImageDraw.ImageDraw, box: Box, style: Style) -> None:
    """Draw the edges of a box, with a thin dark line around so that it shows on any ground."""
    x1, y1, x2, y2 = box
    if style.dashed:
        for line in dashes(box):
            draw.line(line, fill=DARK, width=style.width + 2)
        for line in dashes(box):
            draw.line(line, fill=style.colour, width=style.width)
        return
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=DARK, width=1)
    draw.rectangle(box, outline=style.colour, width=style.width)


def dashes(box: Box) -> Iterator[Box]:
    """Cut the four edges of a box into dashes."""
    x1, y1, x2, y2 = box
    dash, period = DASH_PX[0], sum(DASH_PX)
    for x in range(x1, x2 + 1, period):
        end = min(x + dash, x2)
        yield x, y1, end, y1
        yield x, y2, end, y2
    for y in range(y1, y2 + 1, period):
        end = min(y + dash, y2)
        yield x1, y, x1, end
        yield x2, y, x2, end


def draw_tags(
    draw: ImageDraw.ImageDraw, marks: Sequence[Mark], boxes: Sequence[Box], size: tuple[int, int]
) -> None:
    """Write what each box is, beside it where the least is covered."""
    placed: list[Box] = []
    face = font(TAG_PX)
    # the most important one is placed first
    for mark, box in reversed(list(zip(marks, boxes, strict=True))):
        if not mark.text:
            continue
        width = math.ceil(draw.textlength(mark.text, font=face)) + 8
        tag = best_place(box, (width, TAG_PX + 5), size, placed)
        placed.append(tag)
        draw.rectangle(tag, fill=mark.style.colour)
        draw.text((tag[0] + 4, tag[1] + 1), mark.text, fill=DARK, font=face)


def best_place(box: Box, tag: tuple[int, int], size: tuple[int, int], placed: Sequence[Box]) -> Box:
    """Return where a tag covers the fewest other tags: above the box, below it, or inside."""
    x1, y1, x2, y2 = box
    width, height = tag
    corners = [
        (x1, y1 - height),
        (x2 - width, y1 - height),
        (x1, y2),
        (x2 - width, y2),
        (x1, y1),
        (x2 - width, y2 - height),
    ]
    inside = [
        (min(max(x, 0), max(0, size[0] - width)), min(max(y, 0), max(0, size[1] - height)))
        for x, y in corners
    ]
    places = [(x, y, x + width, y + height) for x, y in inside]
    return min(places, key=lambda place: sum(shared(place, other) for other in placed))


def shared(one: Box, two: Box) -> int:
    """Return the area two boxes share."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    return max(width, 0) * max(height, 0)


def arranged(cells: Sequence[Image.Image], columns: int) -> Image.Image:
    """Lay cells out in rows, each as high as its highest, below a legend."""
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    grid = Image.new("RGB", (GRID_WIDTH, LEGEND_HEIGHT + sum(heights) + GAP * len(rows)), PAPER)
    draw_legend(ImageDraw.Draw(grid))
    top = LEGEND_HEIGHT
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            grid.paste(cell, (GAP + column * (cell.width + GAP), top))
        top += height + GAP
    return grid


def draw_legend(draw: ImageDraw.ImageDraw) -> None:
    """Explain the boxes."""
    left = GAP
    for style in LEGEND:
        draw_box(draw, (left, 12, left + 30, 26), style)
        face = font(CAPTION_PX)
        draw.text((left + 40, 9), style.meaning, fill=INK, font=face)
        left += 40 + int(draw.textlength(style.meaning, font=face)) + 34


def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of the charts; it comes with matplotlib."""
    with drawing_library("matplotlib"):
        from matplotlib import get_data_path
    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def fitting(draw: ImageDraw.ImageDraw, text: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """Return as much of a text as fits, with its end, which counts, kept."""
    if draw.textlength(text, font=face) <= width:
        return text
    shortened = text
    while shortened and draw.textlength(f"\N{HORIZONTAL ELLIPSIS}{shortened}", font=face) > width:
        shortened = shortened[1:]
    return f"\N{HORIZONTAL ELLIPSIS}{shortened}"
