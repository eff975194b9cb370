"""What training does about defective boxes: sorted, clipped or dropped; an image is never lost.

Letters: N boxes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from rondel.errors import DataError, UsageError
from rondel_detection.data.defects import Defect, box_defect
from rondel_detection.data.table import Annotations, Flags, Floats

Policy = Literal["repair", "drop", "stop"]
POLICIES = ("repair", "drop", "stop")

SMALLEST_SIDE = 1e-3
"""Pixels; a side below it is none."""
BORDER_TOLERANCE = 0.05
"""Pixels that a box may reach beyond its image before it is called a defect: formats with relative
coordinates of six digits round by up to a hundredth. It is clipped all the same."""
SHOWN = 3


@dataclass(frozen=True, eq=False)
class BoxFaults:
    """What is wrong with each box, and what it would be if it were repaired.

    Args:
        flags: (N,) for each kind of `rondel_detection.data.defects.KINDS` that repairing is about.
        repaired: (N, 4) x1 y1 x2 y2, sorted and clipped to the image where its size is known.
        beyond: (N,) pixels that the box, sorted, reaches beyond its image.
    """

    flags: dict[str, Flags]
    repaired: Floats
    beyond: Floats

    @property
    def hopeless(self) -> Flags:
        """(N,) the boxes of which nothing is left to train on."""
        return _either([self.flags[kind] for kind in HOPELESS])

    @property
    def any(self) -> Flags:
        """(N,) the boxes with any fault."""
        return _either(list(self.flags.values()))


def _either(flags: list[Flags]) -> Flags:
    return np.asarray(np.stack(flags).any(axis=0), dtype=bool)


HOPELESS = ("not_finite", "no_area", "outside", "unknown_class")
"""Kinds after which a box is dropped, whatever the policy."""


def repair(annotations: Annotations, policy: Policy = "repair") -> tuple[Annotations, list[Defect]]:
    """Return annotations whose boxes all have an area inside of their image, and what was wrong.

    No image is decoded, and none is left out: one without boxes stays as an empty one.

    Args:
        annotations: Labels as they were read.
        policy: 'repair' sorts corners, clips at the border and drops what has no area or no class;
            'drop' drops every defective box; 'stop' raises.

    Raises:
        DataError: There are defects, and the policy is 'stop'; the first are named.
        UsageError: There is no such policy.
    """
    if policy not in POLICIES:
        raise UsageError(f"there is no policy {policy!r}", hint=f"Known are {', '.join(POLICIES)}.")
    faults = box_faults(annotations)
    defects = box_defects(annotations, faults)
    if policy == "stop" and defects:
        raise DataError(
            _stopped(defects),
            where=annotations.files[0] if len(annotations.files) == 1 else str(annotations.root),
            hint="Correct the labels, or train with bad_boxes=repair.",
        )
    if policy == "drop":
        defects = [replace(each, action="drop") for each in defects]
    gone = faults.any if policy == "drop" else faults.hopeless
    if not gone.any() and np.array_equal(faults.repaired, annotations.boxes.xyxy):
        return annotations, defects
    boxes = replace(annotations.boxes, xyxy=faults.repaired)
    return replace(annotations, boxes=boxes).take_boxes(~gone), defects


def box_faults(annotations: Annotations) -> BoxFaults:
    """Look for all faults of all boxes at once."""
    boxes = annotations.boxes
    finite = np.asarray(np.isfinite(boxes.xyxy).all(axis=1), dtype=bool)
    xyxy = np.where(finite[:, None], boxes.xyxy, 0.0)
    ordered = np.all(xyxy[:, :2] <= xyxy[:, 2:], axis=1)
    corners = np.concatenate(
        [np.minimum(xyxy[:, :2], xyxy[:, 2:]), np.maximum(xyxy[:, :2], xyxy[:, 2:])], axis=1
    )
    limits = border(annotations)
    inside = np.clip(corners, 0.0, np.concatenate([limits, limits], axis=1))
    beyond = np.abs(corners - inside).max(axis=1, initial=0.0)
    has_area = sides(corners).min(axis=1, initial=np.inf) >= SMALLEST_SIDE
    is_seen = sides(inside).min(axis=1, initial=np.inf) >= SMALLEST_SIDE
    known = (boxes.label >= 0) & (boxes.label < len(annotations.labels))
    flags = {
        "not_finite": ~finite,
        "no_area": finite & ~has_area,
        "outside": finite & has_area & ~is_seen,
        "unknown_class": ~known,
        "corner_order": finite & has_area & ~ordered,
        "partly_outside": finite & is_seen & (beyond > BORDER_TOLERANCE),
    }
    return BoxFaults(flags, np.where(finite[:, None], inside, boxes.xyxy), beyond)


def border(annotations: Annotations) -> Floats:
    """Return width and height of the image of each box, (N, 2); infinite where not known."""
    images = annotations.images
    sizes = np.stack([images.width, images.height], axis=1).astype(np.float64)
    known = np.where(sizes > 0, sizes, np.inf)
    return np.asarray(known[annotations.boxes.image])


def sides(xyxy: Floats) -> Floats:
    """Return width and height of boxes, (N, 4) to (N, 2)."""
    return xyxy[:, 2:] - xyxy[:, :2]


def box_defects(annotations: Annotations, faults: BoxFaults) -> list[Defect]:
    """Say of each fault where it is, and what is wrong there."""
    boxes, limits, classes = annotations.boxes, border(annotations), len(annotations.labels)
    found = []
    for kind, flags in faults.flags.items():
        for row in np.flatnonzero(flags).tolist():
            case = _Case(boxes.xyxy[row], limits[row], int(boxes.label[row]), classes)
            found.append(box_defect(kind, REASONS[kind](case), annotations, [row]))
    return found


class _Case(NamedTuple):
    """A defective box in its image."""

    xyxy: Floats  # (4,)
    limits: Floats  # (2,) width and height
    label: int
    classes: int

    @property
    def numbers(self) -> str:
        """The box: ``box [310, 20, 295, 80]``."""
        return f"box [{', '.join(f'{value:.6g}' for value in self.xyxy)}]"

    @property
    def size(self) -> str:
        """The image: ``640 x 480``."""
        return " x ".join(f"{side:.0f}" if np.isfinite(side) else "?" for side in self.limits)


def _no_area(case: _Case) -> str:
    x1, y1, x2, y2 = case.xyxy
    return f"{case.numbers} has no area: it is {abs(x2 - x1):.6g} x {abs(y2 - y1):.6g} pixels"


def _corner_order(case: _Case) -> str:
    x1, y1, x2, y2 = case.xyxy
    wrong = [name for name, bad in (("x2 < x1", x2 < x1), ("y2 < y1", y2 < y1)) if bad]
    return f"{case.numbers} has {' and '.join(wrong)}"


def _partly_outside(case: _Case) -> str:
    x1, y1, x2, y2 = case.xyxy
    reach = (
        ("left", -min(x1, x2)),
        ("upper", -min(y1, y2)),
        ("right", max(x1, x2) - case.limits[0]),
        ("lower", max(y1, y2) - case.limits[1]),
    )
    over = [f"{by:.4g} px beyond the {side}" for side, by in reach if by > BORDER_TOLERANCE]
    return f"{case.numbers} reaches {' and '.join(over)} border of {case.size}"


REASONS: dict[str, Callable[[_Case], str]] = {
    "not_finite": lambda case: f"{case.numbers} has coordinates that are no numbers",
    "no_area": _no_area,
    "outside": lambda case: f"{case.numbers} lies outside of the image of {case.size}",
    "unknown_class": lambda case: f"class index {case.label} is none of the {case.classes} classes",
    "corner_order": _corner_order,
    "partly_outside": _partly_outside,
}


def _stopped(defects: list[Defect]) -> str:
    first = "".join(f"\n  {each}" for each in defects[:SHOWN])
    more = f"\n  and {len(defects) - SHOWN} more" if len(defects) > SHOWN else ""
    noun = "box defect" if len(defects) == 1 else "box defects"
    return f"{len(defects)} {noun}, and bad_boxes is 'stop':{first}{more}"
