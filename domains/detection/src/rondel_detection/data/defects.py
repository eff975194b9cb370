"""What can be wrong with labels: the kinds, how bad each is, and what is to be done about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rondel_detection.data.table import Annotations

Severity = Literal["error", "warning", "note"]
Action = Literal["repair", "drop", "look"]
"""What `repair` does about it, or that a person has to look."""


@dataclass(frozen=True)
class Kind:
    """A kind of defect.

    Args:
        title: For people.
        severity: An error makes labels or images useless or wrong, a warning is repaired without a
            loss or is doubtful, a note is no defect at all.
        action: What becomes of it.
        advice: What a person can do; a whole sentence.
    """

    title: str
    severity: Severity
    action: Action
    advice: str


KINDS: Mapping[str, Kind] = {
    # the whole set
    "wrong_format": Kind(
        "box format misunderstood",
        "error",
        "look",
        "Correct the program that wrote the labels, or read them as what they are.",
    ),
    "no_boxes": Kind(
        "no boxes at all", "error", "look", "Check that these are the labels you meant."
    ),
    # boxes
    "not_finite": Kind("not a number", "error", "drop", "Draw the box again."),
    "no_area": Kind("no area", "error", "drop", "Draw the box again, or delete it."),
    "outside": Kind("outside the image", "error", "drop", "Check that the box is of this image."),
    "unknown_class": Kind("unknown class", "error", "drop", "Add the class, or correct the label."),
    "corner_order": Kind("corners in wrong order", "warning", "repair", "Training swaps them."),
    "partly_outside": Kind("beyond the border", "warning", "repair", "Training clips them."),
    "tiny": Kind("suspiciously small", "warning", "look", "Delete what was a slip of the hand."),
    "duplicate_box": Kind("labelled twice", "warning", "look", "Delete one of the two."),
    "duplicate_id": Kind(
        "annotation id used twice", "warning", "look", "Number the annotations anew."
    ),
    # classes
    "similar_classes": Kind(
        "class names almost the same", "warning", "look", "Merge them if they mean the same."
    ),
    "misspelt_class": Kind(
        "class name perhaps misspelt", "warning", "look", "Correct the label, or leave it."
    ),
    "untrained_class": Kind(
        "class missing from training", "warning", "look", "Split again, stratified by class."
    ),
    "unused_class": Kind("class without boxes", "note", "look", "Leave it out, or label some."),
    # image files
    "escapes": Kind(
        "name leads out of the folder", "error", "look", "Correct the name, or say --images DIR."
    ),
    "missing": Kind("image missing", "error", "look", "Say where the images are: --images DIR."),
    "unreadable": Kind("image unreadable", "error", "look", "Get the file again, or remove it."),
    "wrong_size": Kind(
        "size in the labels is wrong", "error", "look", "Label the file that is there."
    ),
    "turned": Kind(
        "labelled on the unturned picture",
        "error",
        "look",
        "Turn the boxes, or store the picture upright and label it again.",
    ),
    "exif": Kind(
        "turned by EXIF", "note", "look", "Boxes must be those of the picture as a person sees it."
    ),
    "no_size": Kind(
        "size unknown", "note", "look", "What lies beyond the border cannot be told without it."
    ),
    # images
    "leak": Kind(
        "same image in two splits", "error", "look", "Split again; equal images stay together."
    ),
    "near_leak": Kind(
        "almost the same image in two splits",
        "warning",
        "look",
        "Look at the pairs; split again if they are the same scene.",
    ),
    "twice": Kind("image listed twice", "warning", "look", "Merge the entries into one."),
    "identical": Kind("identical images", "warning", "look", "Delete one of each pair."),
    "boxes_unseen": Kind(
        "boxes on an unlabelled image", "warning", "look", "Say whether somebody looked at it."
    ),
    "near_identical": Kind(
        "almost identical images", "note", "look", "'split' keeps each such group together."
    ),
    "not_decoded": Kind(
        "pictures not decoded",
        "note",
        "look",
        "Say --decode to search for damaged and for almost identical ones.",
    ),
    "unlabelled": Kind("unlabelled images", "note", "look", "Nobody looked at them yet."),
    "ignored": Kind("ignored images", "note", "look", "They are not trained on."),
}
"""All kinds in the order in which they are listed."""


@dataclass(frozen=True)
class Defect:
    """One defect.

    Args:
        kind: A key of `KINDS`.
        place: File with line, annotation and image; empty if it is of the whole set.
        reason: What is wrong, with its numbers.
        action: What `repair` does about it, or that a person has to look.
        images: Rows of the images that it is about.
        boxes: Rows of the boxes that it is about.
    """

    kind: str
    place: str
    reason: str
    action: Action
    images: tuple[int, ...] = ()
    boxes: tuple[int, ...] = ()

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.kind].severity

    def __str__(self) -> str:
        """Say where it is and what is wrong."""
        return f"{self.place}: {self.reason}" if self.place else self.reason

    def to_json(self) -> dict[str, Any]:
        """Describe the defect as plain values."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "place": self.place,
            "reason": self.reason,
            "action": self.action,
            "images": list(self.images),
            "boxes": list(self.boxes),
        }


def defect(
    kind: str,
    reason: str,
    place: str = "",
    *,
    images: Sequence[int] = (),
    boxes: Sequence[int] = (),
) -> Defect:
    """Make a defect with the action of its kind."""
    rows = tuple(int(row) for row in images), tuple(int(row) for row in boxes)
    return Defect(kind, place, reason, KINDS[kind].action, *rows)


def box_defect(kind: str, reason: str, annotations: Annotations, rows: Sequence[int]) -> Defect:
    """Make a defect of boxes; it stands at the last of them."""
    images = annotations.boxes.image[list(rows)].tolist()
    place = annotations.box_place(rows[-1])
    return defect(kind, reason, place, images=tuple(dict.fromkeys(images)), boxes=rows)


def by_kind(defects: Iterable[Defect]) -> dict[str, list[Defect]]:
    """Return the defects of each kind that there is: errors, warnings, notes, as in `KINDS`."""
    ranks: tuple[Severity, ...] = ("error", "warning", "note")
    order = sorted(KINDS, key=lambda kind: ranks.index(KINDS[kind].severity))
    groups: dict[str, list[Defect]] = {kind: [] for kind in order}
    for each in defects:
        groups[each.kind].append(each)
    return {kind: found for kind, found in groups.items() if found}


def severities(defects: Iterable[Defect]) -> dict[Severity, int]:
    """Return how many errors, warnings and notes there are."""
    counts: dict[Severity, int] = {"error": 0, "warning": 0, "note": 0}
    for each in defects:
        counts[each.severity] += 1
    return counts


def verdict(defects: Iterable[Defect]) -> str:
    """Say in one line whether data can be trained on."""
    counts = severities(defects)
    told = ", ".join(
        f"{count:,} {word}{'' if count == 1 else 's'}" for word, count in counts.items() if count
    )
    if counts["error"]:
        return f"Needs a look before training: {told}."
    if counts["warning"]:
        return f"Fit for training: {told}."
    return f"Nothing is wrong with it{f': {told}' if told else ''}."
