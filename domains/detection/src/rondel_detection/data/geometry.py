"""Exact enclosing boxes of the shapes that labelling tools draw.

Points are (P, 2) float64, x to the right and y down, in pixels; an edge of the picture is 0 or its
size. Angles are degrees and turn clockwise on the screen. Masks are (H, W); pixel (row, column)
covers the square from (column, row) to (column + 1, row + 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from rondel.errors import DataError

Floats = npt.NDArray[np.float64]
Bitmap = npt.NDArray[np.bool_]
Box = tuple[float, float, float, float]
"""The enclosing box: x1, y1, x2, y2."""


def enclosing(points: npt.ArrayLike) -> Box:
    """Return the box around points, (P, 2) with P > 0.

    Raises:
        DataError: There is no point, or they are not pairs.
    """
    pairs = _pairs(points)
    x1, y1 = pairs.min(axis=0)
    x2, y2 = pairs.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def rotate_about(
    points: npt.ArrayLike, origin: tuple[float, float] | Floats, degrees: float
) -> Floats:
    """Turn points, (P, 2), about an origin, clockwise on the screen."""
    cosine, sine = _cosine_sine(degrees)
    centre = np.asarray(origin, dtype=np.float64)
    x, y = (_pairs(points) - centre).T
    # y points down, so the usual matrix turns clockwise as one sees it
    turned: Floats = np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=1)
    return turned + centre


def rotated_rectangle(
    centre_x: float, centre_y: float, width: float, height: float, degrees: float
) -> Floats:
    """Return the corners of a rectangle turned about its centre, (4, 2).

    They run clockwise on the screen, beginning with what is the upper left corner at 0 degrees.
    """
    x, y = width / 2, height / 2
    corners = np.array([[-x, -y], [x, -y], [x, y], [-x, y]])
    turned: Floats = rotate_about(corners, (0.0, 0.0), degrees) + np.array([centre_x, centre_y])
    return turned


def ellipse_bounds(
    centre_x: float, centre_y: float, radius_x: float, radius_y: float, degrees: float = 0.0
) -> Box:
    """Return the box around an ellipse that is turned about its centre."""
    cosine, sine = _cosine_sine(degrees)
    # the support function of an ellipse in the directions of x and of y
    half_width = math.hypot(radius_x * cosine, radius_y * sine)
    half_height = math.hypot(radius_x * sine, radius_y * cosine)
    return (
        centre_x - half_width,
        centre_y - half_height,
        centre_x + half_width,
        centre_y + half_height,
    )


def circle_bounds(centre: Sequence[float], rim: Sequence[float]) -> Box:
    """Return the box around a circle given by its centre and one point on its rim."""
    radius = math.hypot(rim[0] - centre[0], rim[1] - centre[1])
    return ellipse_bounds(centre[0], centre[1], radius, radius)


def bezier_bounds(vertices: npt.ArrayLike, types: str, *, closed: bool = False) -> Box:
    """Return the box around a path of straight lines and cubic Bézier curves.

    A ``C`` begins a curve from the point before it: two control points and the end of the curve,
    which are this vertex and the next two whatever their letters say. Both spellings that occur,
    ``LCCC`` and ``LCCL``, so mean the same. A closed path goes on with its first vertex. Control
    points without an end at the end of an open path count as corners.

    Args:
        vertices: (P, 2) corners and control points.
        types: P letters, ``L`` or ``C``.
        closed: Whether the last vertex is joined to the first.

    Raises:
        DataError: The letters do not fit the vertices.
    """
    points = _pairs(vertices)
    if len(types) != len(points) or set(types) - {"L", "C"}:
        raise DataError(
            f"the types {types!r} do not fit {len(points)} vertices",
            hint="There is one letter, L or C, for each vertex.",
        )
    if closed:
        points, types = np.concatenate([points, points[:1]]), types + "L"
    corners, curves = _path_pieces(points, types)
    return enclosing(np.concatenate([corners, *(_extrema(curve) for curve in curves)]))


def mask_bounds(counts: Sequence[int], height: int, width: int) -> Box | None:
    """Return the box around a run-length mask, or None if it is empty.

    Args:
        counts: Run lengths in column-major order (down each column, then the next), zeros first.
        height: Rows of the mask.
        width: Columns of the mask.

    Raises:
        DataError: A run is negative, or the runs do not fill the mask.
    """
    runs = np.asarray(counts, dtype=np.int64).reshape(-1)
    if (runs < 0).any() or runs.sum() != height * width:
        raise DataError(
            f"the run lengths of the mask fill {runs.sum()} pixels, not {height} x {width}"
        )
    ends = np.cumsum(runs)
    starts, last = (ends - runs)[1::2], ends[1::2] - 1
    starts, last = starts[last >= starts], last[last >= starts]
    if not len(starts):
        return None
    first_column, last_column = starts // height, last // height
    # a run that goes on in the next column holds the bottom of this one and the top of that one
    spills = first_column != last_column
    top = np.where(spills, 0, starts % height).min()
    bottom = np.where(spills, height - 1, last % height).max()
    return float(first_column.min()), float(top), float(last_column.max() + 1), float(bottom + 1)


def bitmap_bounds(bitmap: Bitmap) -> Box | None:
    """Return the box around the true pixels of a mask, (H, W), or None if it is empty."""
    rows = np.flatnonzero(bitmap.any(axis=1))
    columns = np.flatnonzero(bitmap.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def bitmap_counts(bitmap: Bitmap) -> tuple[int, ...]:
    """Return the run lengths of a mask, (H, W), in column-major order, zeros first."""
    flat = np.asarray(bitmap, dtype=bool).ravel(order="F")
    if not flat.size:
        return ()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]]))
    return tuple(runs.tolist()) if not flat[0] else (0, *runs.tolist())


def window_counts(
    window: Bitmap, left: int, top: int, height: int, width: int
) -> tuple[tuple[int, ...], int]:
    """Place a cropped mask in the whole image.

    Args:
        window: (h, w) the crop; what reaches beyond the image is cut off.
        left: Column of the crop's first column.
        top: Row of the crop's first row.
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        The run lengths of the mask of the whole image (column-major, zeros first), and the number
        of true pixels that lie outside of it.
    """
    rows, columns = window.shape
    x1, x2 = min(max(left, 0), width), min(max(left + columns, 0), width)
    y1, y2 = min(max(top, 0), height), min(max(top + rows, 0), height)
    if x2 <= x1 or y2 <= y1:
        return ((height * width,) if height * width else ()), int(window.sum())
    # only the columns of the crop are laid out: the image may be a hundred times as large
    strip = np.zeros((height, x2 - x1), dtype=bool)
    strip[y1:y2] = window[y1 - top : y2 - top, x1 - left : x2 - left]
    inner = list(bitmap_counts(strip))
    inner[0] += x1 * height
    after = (width - x2) * height
    if len(inner) % 2:
        inner[-1] += after
    elif after:
        inner.append(after)
    return tuple(inner), int(window.sum() - strip.sum())


def polygon_area(points: npt.ArrayLike) -> float:
    """Return the area of a polygon, (P, 2), whatever way round it runs.

    Where it crosses itself, areas that run the other way round are subtracted.
    """
    x, y = (_pairs(points) - _pairs(points)[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _pairs(points: npt.ArrayLike) -> Floats:
    pairs = np.asarray(points, dtype=np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise DataError(f"{pairs.shape} is not the shape of a list of points (x, y)")
    return pairs


def _cosine_sine(degrees: float) -> tuple[float, float]:
    """Return cosine and sine, exact at right angles: math.cos(math.pi / 2) is not 0."""
    quarter, rest = divmod(degrees, 90.0)
    cosine, sine = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    for _ in range(int(quarter) % 4):
        cosine, sine = -sine, cosine
    return cosine, sine


def _path_pieces(points: Floats, types: str) -> tuple[Floats, Iterator[Floats]]:
    """Split a path into its corners, (P, 2), and its cubic curves, each (4, 2)."""
    corners, curves = [0], []
    place = 1
    while place < len(points):
        if types[place] == "C" and place + 2 < len(points):
            curves.append(points[place - 1 : place + 3])
            place += 2
        corners.append(place)
        place += 1
    return points[corners], iter(curves)


def _extrema(curve: Floats) -> Floats:
    """Return the points of a cubic Bézier curve, (4, 2), where x or y is extreme, (E, 2)."""
    start, first, second, end = curve
    # the derivative of a cubic is 3 (a t^2 + b t + c)
    squared = end - 3 * second + 3 * first - start
    linear = 2 * (second - 2 * first + start)
    constant = first - start
    times = [0.0, 1.0]
    for axis in range(2):
        times += _roots(float(squared[axis]), float(linear[axis]), float(constant[axis]))
    t = np.array([time for time in times if 0 <= time <= 1])[:, None]
    s = 1 - t
    points: Floats = s**3 * start + 3 * s**2 * t * first + 3 * s * t**2 * second + t**3 * end
    return points


def _roots(a: float, b: float, c: float) -> list[float]:
    """Return the real roots of ``a t^2 + b t + c``, also for very small ``a``."""
    inside = b * b - 4 * a * c
    if inside < 0:
        return []
    # the sum of two numbers of one sign loses no digits; the other root follows from c / (a t)
    half = -(b + math.copysign(math.sqrt(inside), b)) / 2
    roots = [half / a] if a else []
    return [*roots, c / half] if half else roots
