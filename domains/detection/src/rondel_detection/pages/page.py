"""``inspection.html``: a data set on one self-contained page that opens offline."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rondel.report.page import Command, render
from rondel.report.tables import Table, make_table
from rondel_detection.data.defects import KINDS, Defect, by_kind, severities, verdict
from rondel_detection.data.survey import Survey
from rondel_detection.drawing import colour_of
from rondel_detection.pages.samples import Album, Sample, representative, suspicious
from rondel_detection.pages.survey_charts import Chart, charts_of
from rondel_detection.wording import plural

if TYPE_CHECKING:
    from markupsafe import Markup

HERE = Path(__file__).parent
PICTURE_BYTES = 600_000
"""Of all pictures of the page together, before they are written as text."""
SAMPLES, SUSPECTS, PLACES = 12, 8, 3
MOST_CLASSES = 300
"""Rows of the table of classes."""


@dataclass(frozen=True, eq=False)
class Inspected:
    """What the page shows.

    Args:
        name: What people call the set.
        title: Name of its format, for people.
        command: What the commands of the page name the data by; empty is the embedded set.
        album: The set and its pictures.
        survey: Its numbers.
        defects: What is wrong with it.
    """

    name: str
    title: str
    command: str
    album: Album
    survey: Survey
    defects: Sequence[Defect]


@dataclass(frozen=True)
class ClassRow:
    """A class in the table of classes."""

    name: str
    colour: str
    boxes: int
    share: float
    of_splits: tuple[int, ...]
    images: int


@dataclass(frozen=True)
class DefectRow:
    """A kind of defect in the list of defects."""

    title: str
    severity: str
    count: int
    action: str
    advice: str
    places: tuple[str, ...]

    @property
    def left_out(self) -> int:
        """Places that are not named."""
        return self.count - len(self.places)


ACTIONS = {"repair": "repaired in training", "drop": "dropped in training", "look": ""}


def inspection_page(inspected: Inspected) -> str:
    """Return the page as HTML; everything that comes from files is escaped."""
    album, survey = inspected.album, inspected.survey
    annotations = album.annotations
    samples = _samples(album)
    suspects = _suspects(album, inspected.defects)
    splits = [each.name or "none" for each in survey.splits]
    return render(
        "inspection.html",
        {
            "title": inspected.name,
            "format": inspected.title,
            "survey": survey,
            "counts": severities(inspected.defects),
            "verdict": verdict(inspected.defects),
            "facts": _facts(inspected),
            "status_bars": _status_bars(survey),
            "splits": _split_table(survey),
            "split_names": splits,
            "classes": _class_rows(survey)[:MOST_CLASSES],
            "classes_left_out": max(0, len(survey.classes) - MOST_CLASSES),
            "charts": charts_of(survey),
            "samples": samples,
            "suspects": suspects,
            "defects": _defect_rows(inspected.defects),
            "losses": [
                (kind, loss.count, loss.examples[:PLACES])
                for kind, loss in annotations.losses.losses.items()
            ],
            "commands": _commands(inspected),
        },
        folder=HERE,
        filters={"plural": plural, "drawn": _drawn},
    )


def _samples(album: Album) -> list[Sample]:
    rows = representative(album.annotations, SAMPLES)
    budget = int(PICTURE_BYTES * 0.6) // max(1, len(rows))
    shown = (album.show(row, max_bytes=budget) for row in rows)
    return [sample for sample in shown if sample is not None]


def _suspects(album: Album, defects: Sequence[Defect]) -> list[Sample]:
    worst = suspicious(defects, SUSPECTS)
    budget = int(PICTURE_BYTES * 0.4) // max(1, len(worst))
    shown = []
    for row, found in worst:
        reasons = [f"{KINDS[each.kind].title}: {each.reason}" for each in found]
        more = [f"and {len(reasons) - PLACES} more"] if len(reasons) > PLACES else []
        bad = {box for each in found for box in each.boxes}
        notes = [*reasons[:PLACES], *more]
        shown.append(album.show(row, max_bytes=budget, bad=bad, notes=notes))
    return [sample for sample in shown if sample is not None]


def _facts(inspected: Inspected) -> list[tuple[str, str]]:
    survey, annotations = inspected.survey, inspected.album.annotations
    size = survey.sizes[0][0] if survey.sizes else (0, 0)
    per_image = survey.per_image
    facts = [
        ("Format", inspected.title),
        ("Label files", f"{len(annotations.files):,}" if annotations.files else ""),
        ("Splits", ", ".join(f"{each.name or 'none'} {each.images:,}" for each in survey.splits)),
        ("Boxes per labelled image", f"{per_image.mean():.2f}" if len(per_image) else ""),
        ("Most frequent size", f"{size[0]} x {size[1]}" if min(size) > 0 else ""),
        ("Images in", str(annotations.root) if inspected.command else ""),
    ]
    return [(label, text) for label, text in facts if text]


def _status_bars(survey: Survey) -> list[tuple[str, int, float]]:
    """Return (what, how many images, share of the longest bar in percent)."""
    whole = survey.whole
    bars = [
        ("with boxes", whole.with_boxes),
        ("empty", whole.empty),
        ("unlabelled", whole.unlabelled),
        ("ignored", whole.ignored),
    ]
    most = max(1, *(count for _, count in bars))
    return [(name, count, round(100 * count / most, 1)) for name, count in bars]


def _split_table(survey: Survey) -> Table | None:
    if not survey.splits:
        return None
    columns = ("split", "images", "with boxes", "empty", "unlabelled", "ignored", "boxes")
    rows = [
        (
            each.name or "none",
            *(each.images, each.with_boxes, each.empty, each.unlabelled, each.ignored, each.boxes),
        )
        for each in (*survey.splits, survey.whole)
    ]
    return make_table(columns, rows)


def _class_rows(survey: Survey) -> list[ClassRow]:
    most = max([1, *(each.boxes for each in survey.classes)])
    rows = [
        ClassRow(
            each.name,
            "#{:02x}{:02x}{:02x}".format(*colour_of(label)),
            each.boxes,
            round(100 * each.boxes / most, 2),
            each.of_splits if survey.splits else (),
            each.images,
        )
        for label, each in enumerate(survey.classes)
    ]
    return sorted(rows, key=lambda row: -row.boxes)


def _defect_rows(defects: Sequence[Defect]) -> list[DefectRow]:
    return [
        DefectRow(
            KINDS[kind].title,
            KINDS[kind].severity,
            len(found),
            ACTIONS[found[0].action],
            KINDS[kind].advice,
            tuple(str(each) for each in found[:PLACES]),
        )
        for kind, found in by_kind(defects).items()
    ]


def _commands(inspected: Inspected) -> list[Command]:
    data = f" {shlex.quote(inspected.command)}" if inspected.command else ""
    commands = [Command(purpose="Train on it", line=f"rondel detection train{data}")]
    if data:
        commands.insert(
            0, Command(purpose="List every defect", line=f"rondel detection check{data}")
        )
    return commands


def _drawn(chart: Chart) -> Markup:
    from markupsafe import Markup

    return Markup(chart.svg)  # noqa: S704 - drawn by us, from numbers alone
