"""Pictures with boxes drawn: a thin outline, and a plate that says what it is.

Boxes are x1 y1 x2 y2 in pixels of the picture.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Seven colours that people with any kind of colour vision tell apart (Okabe and Ito, 2008)."""
SHADES = (1.0, 0.62, 1.35)
"""Factors on the lightness of each further round through the palette."""
PICTURE_PER_LINE = 400
"""Pixels of the picture's longest side for each pixel of an outline."""
PICTURE_PER_LETTER = 48
SMALLEST_LETTER = 10
LARGEST_LETTER = 64
CROWD = 20
"""Captions from which letters become smaller, so that there is room for all."""
ELLIPSIS = "…"


@dataclass(frozen=True)
class Mark:
    """One box to draw.

    Args:
        box: Where; parts outside of the picture are not seen.
        caption: What stands on its plate; empty is no plate.
        colour: Of outline and plate.
        dashed: Draw a broken outline, to tell a second set of boxes from the first.
    """

    box: Rectangle
    caption: str
    colour: Colour
    dashed: bool = False


def colour_of(label: int) -> Colour:
    """Return the colour of a class, the same for an index in every picture.

    The first seven differ most; further ones are darker and lighter shades of these.
    """
    red, green, blue = PALETTE[label % len(PALETTE)]
    shade = SHADES[label // len(PALETTE) % len(SHADES)]
    hue, lightness, saturation = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
    shaded = colorsys.hls_to_rgb(hue, min(0.9, lightness * shade), saturation)
    return tuple(round(255 * part) for part in shaded)  # type: ignore[return-value] # three


def draw(picture: Image.Image, marks: Iterable[Mark]) -> Image.Image:
    """Return a copy of a picture with boxes drawn, in RGB.

    The first marks lie on top of later ones: give the best first. Plates stand above their boxes
    or, where there is no room or another plate, inside or below them; they never leave the picture.
    """
    canvas = picture.convert("RGB")
    if canvas is picture:
        canvas = picture.copy()
    pen = ImageDraw.Draw(canvas)
    ordered = list(marks)
    line = max(1, round(max(canvas.size) / PICTURE_PER_LINE))
    for mark in reversed(ordered):
        _outline(pen, mark, line, canvas.size)
    named = [mark for mark in ordered if mark.caption]
    letter = _letter_size(canvas.size, len(named))
    plates: list[_Plate] = []
    for mark in named:
        font = _font(letter, mark.caption + ELLIPSIS)
        plates.append(_plate(mark, font, line, canvas.size, [plate.place for plate in plates]))
    for plate in reversed(plates):
        plate.draw(pen)
    return canvas


def _letter_size(size: tuple[int, int], captions: int) -> int:
    usual = max(size) / PICTURE_PER_LETTER * min(1.0, math.sqrt(CROWD / max(1, captions)))
    return min(LARGEST_LETTER, max(SMALLEST_LETTER, round(usual)))


# -- outlines --------------------------------------------------------------------------------------


def _outline(pen: ImageDraw.ImageDraw, mark: Mark, line: int, size: tuple[int, int]) -> None:
    """Draw an outline inside of the box, between two hairlines that set it off the picture."""
    left, top, right, bottom = _pixels(mark.box, size)
    hairline = max(1, line // 2)
    dark = _against(mark.colour)
    frames = ((0, 2 * hairline + line, dark), (hairline, line, mark.colour))
    for inset, thickness, colour in frames:
        frame = (left + inset, top + inset, right - inset, bottom - inset)
        if frame[2] <= frame[0] or frame[3] <= frame[1]:
            # too small for hairlines: a dot in the colour of its class
            pen.rectangle((left, top, right, bottom), fill=mark.colour)
        elif mark.dashed:
            _dashes(pen, frame, colour, thickness)
        else:
            pen.rectangle(frame, outline=colour, width=thickness)


def _dashes(
    pen: ImageDraw.ImageDraw, frame: tuple[int, int, int, int], colour: Colour, thickness: int
) -> None:
    """Draw the outline of a frame, inwards, as dashes of thrice their gap."""
    left, top, right, bottom = frame
    dash = max(6, 4 * thickness)
    inner = thickness - 1
    for x in range(left, right + 1, dash * 4 // 3 + 1):
        end = min(x + dash, right)
        pen.rectangle((x, top, end, min(top + inner, bottom)), fill=colour)
        pen.rectangle((x, max(bottom - inner, top), end, bottom), fill=colour)
    for y in range(top, bottom + 1, dash * 4 // 3 + 1):
        end = min(y + dash, bottom)
        pen.rectangle((left, y, min(left + inner, right), end), fill=colour)
        pen.rectangle((max(right - inner, left), y, right, end), fill=colour)


def _pixels(box: Rectangle, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the first and last pixels of a box that are within the picture."""
    width, height = size
    left = min(max(round(box[0]), 0), width - 1)
    top = min(max(round(box[1]), 0), height - 1)
    right = min(max(round(box[2]) - 1, left), width - 1)
    bottom = min(max(round(box[3]) - 1, top), height - 1)
    return left, top, right, bottom


# -- plates ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plate:
    """A caption on its background."""

    text: str
    font: ImageFont.FreeTypeFont
    place: Rectangle
    margin: int
    colour: Colour

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        """Draw background and text."""
        left, top, right, bottom = self.place
        pen.rectangle((left, top, right - 1, bottom - 1), fill=self.colour)
        ascent, _ = self.font.getmetrics()
        at = (left + self.margin, top + self.margin + ascent)
        pen.text(at, self.text, font=self.font, fill=_against(self.colour), anchor="ls")


def _plate(
    mark: Mark,
    font: ImageFont.FreeTypeFont,
    line: int,
    size: tuple[int, int],
    taken: Sequence[Rectangle],
) -> _Plate:
    """Place a caption where it hides no other one, if there is such a place."""
    width, height = size
    margin = max(1, round(font.size / 8))
    text = _shortened(mark.caption, font, width - 2 * margin)
    wide = min(width, round(font.getlength(text)) + 2 * margin)
    high = min(height, sum(font.getmetrics()) + 2 * margin)
    x1, y1, x2, y2 = _pixels(mark.box, size)
    inset = line + 2 * max(1, line // 2)
    places = (
        (x1, y1 - high),
        (x1 + inset, y1 + inset),
        (x1, y2 + 1),
        (x2 - wide + 1, y1 - high),
        (x2 - wide + 1, y2 + 1),
    )
    rectangles = [(x, y, x + wide, y + high) for x, y in places]
    within = [place for place in rectangles if place[1] >= 0 and place[3] <= height]
    shifted = [_moved_in(place, size) for place in within or rectangles[1:2]]
    free = [place for place in shifted if not any(_meet(place, other) for other in taken)]
    return _Plate(text, font, (free or shifted)[0], margin, mark.colour)


def _moved_in(place: Rectangle, size: tuple[int, int]) -> Rectangle:
    """Move a rectangle into the picture, which is at least as large."""
    x = min(max(place[0], 0), size[0] - (place[2] - place[0]))
    y = min(max(place[1], 0), size[1] - (place[3] - place[1]))
    return x, y, x + place[2] - place[0], y + place[3] - place[1]


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Return as much of a text, on one line, as fits into a width."""
    line = " ".join(text.split())
    if font.getlength(line) <= width:
        return line
    kept = line
    while kept and font.getlength(kept + ELLIPSIS) > width:
        kept = kept[:-1]
    return kept + ELLIPSIS


def _against(colour: Colour) -> Colour:
    """Return black or white, whichever is read better on a colour (WCAG 2 relative luminance)."""
    parts = [part / 255 for part in colour]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # at 0.179 the contrasts to black and to white are equal
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


# -- fonts -----------------------------------------------------------------------------------------


def _font(size: int, text: str) -> ImageFont.FreeTypeFont:
    """Return a font with all letters of a text, or DejaVu Sans where no installed one has them."""
    return ImageFont.truetype(_font_file("".join(sorted(set(text)))), size)


@lru_cache(maxsize=64)
def _font_file(letters: str) -> str:
    """Return the file of a font that has some letters."""
    import matplotlib as mpl

    own = str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    needed = {ord(letter) for letter in letters if not letter.isspace()}
    if needed <= _characters(own):
        return own
    from matplotlib import font_manager

    for entry in font_manager.fontManager.ttflist:
        # a font of last resort has a glyph for every character: a box with the script's name
        if "LastResort" not in entry.fname and needed <= _characters(entry.fname):
            return entry.fname
    return own


@lru_cache(maxsize=512)
def _characters(file: str) -> frozenset[int]:
    """Return the characters that a font has; none if it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(file).get_charmap())
    except (OSError, RuntimeError, UnicodeError):
        return frozenset()
