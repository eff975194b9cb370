"""What a labelled set looks like: the text of ``rondel detection inspect``, and its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rondel.cli.terminal import text_table
from rondel.report.page import write_page
from rondel_detection.config import DetectionConfig
from rondel_detection.data.check import check
from rondel_detection.data.defects import KINDS, Defect, by_kind, verdict
from rondel_detection.data.formats.format import FORMATS
from rondel_detection.data.source import open_part
from rondel_detection.data.survey import Survey, summary, survey
from rondel_detection.pages.page import Inspected, inspection_page
from rondel_detection.pages.samples import Album
from rondel_detection.wording import printable

PAGE = "inspection.html"
MOST_CLASSES = 20


def inspect(config: DetectionConfig) -> str:
    """Describe the labelled set of a config, and write ``inspection.html`` into the working folder.

    Raises:
        DataError: The labels cannot be read.
        DirectoryError: The page cannot be written.
    """
    part = open_part(config)
    annotations = part.annotations
    in_memory = part.pictures is not None
    defects = check(annotations, files=not in_memory)
    counts = survey(annotations)
    name = config.dataset if config.data is None else config.data.name or str(config.data)
    title = format_title(annotations.format)
    inspected = Inspected(
        name=name,
        title=title,
        command="" if config.data is None else str(config.data),
        album=Album(annotations, part.pictures, config.max_pixels),
        survey=counts,
        defects=defects,
    )
    page = write_page(Path(PAGE), inspection_page(inspected))
    lines = [
        *summary(annotations, f"{name} ({title})"),
        "",
        class_table(counts),
        "",
        *defect_lines(defects),
        *[f"not kept by the reader: {line}" for line in annotations.losses],
        f"{verdict(defects)} The pictures are in {page}.",
    ]
    return "\n".join(printable(line) for line in "\n".join(lines).split("\n"))


def format_title(name: str) -> str:
    """Return what people call a format."""
    return FORMATS[name].title if name in FORMATS else name


def class_table(counts: Survey) -> str:
    """Return the classes with most boxes, and how many of them are in each split."""
    splits = [each.name or "none" for each in counts.splits]
    most = sorted(counts.classes, key=lambda each: -each.boxes)
    rows = [
        (
            each.name,
            f"{each.boxes:,}",
            *(f"{n:,}" for n in each.of_splits[: len(splits)]),
            f"{each.images:,}",
        )
        for each in most[:MOST_CLASSES]
    ]
    table = text_table(("class", "boxes", *splits, "images"), rows)
    rest = len(most) - MOST_CLASSES
    return f"{table}\nand {rest} more classes" if rest > 0 else table


def defect_lines(defects: Sequence[Defect]) -> list[str]:
    """Return one line for each kind of defect, with the first place."""
    lines = []
    for kind, found in by_kind(defects).items():
        told = KINDS[kind]
        lines.append(f"{told.severity}: {told.title}, {len(found):,} x (first: {found[0]})")
    return lines
