"""The charts of a survey: sizes, shapes and places of boxes, and sizes of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rondel_detection.data.survey import LARGE_AREA, SMALL_AREA, Survey
from rondel_detection.pages.charts import (
    Bar,
    Tick,
    dots,
    heat_map,
    histogram,
    log_bins,
    log_place,
)
from rondel_detection.wording import plural

BINS = 24
SHARES = (0.01, 1.0)
RATIOS = (0.1, 10.0)
SIZES_SHOWN = 150
COARSER = ((2000, 1), (300, 2), (0, 3))
"""Boxes from which on so many cells of the heat map, along each side, become one."""


@dataclass(frozen=True)
class Chart:
    """A chart of the page.

    Args:
        title: What it shows.
        unit: Of the lower axis.
        svg: The drawing.
        note: What it means.
    """

    title: str
    unit: str
    svg: str
    note: str


def charts_of(survey: Survey) -> list[Chart]:
    """Return the charts of a set; those of boxes are left out where there is none."""
    charts = []
    if len(survey.areas):
        charts += [_by_size(survey), _shares(survey), _ratios(survey), _centres(survey)]
    if len(survey.per_image):
        charts.append(_per_image(survey))
    if any(min(size) > 0 for size, _ in survey.sizes):
        charts.append(_sizes(survey))
    return charts


def _by_size(survey: Survey) -> Chart:
    small, large = round(SMALL_AREA**0.5), round(LARGE_AREA**0.5)
    told = (f"below {small}²", f"{small}² to {large}²", f"above {large}²")
    counts = survey.by_size
    bars = [
        Bar(f"{name}, {area} px", counts[name]) for name, area in zip(counts, told, strict=True)
    ]
    ticks = [Tick((place + 0.5) / 3, f"{name}") for place, name in enumerate(counts)]
    total = max(1, len(survey.areas))
    shares = ", ".join(f"{name} {100 * count / total:.0f} %" for name, count in counts.items())
    return Chart(
        "Size by COCO's borders",
        "boxes",
        histogram(bars, ticks, f"Boxes by size: {shares}"),
        f"{shares}; borders at {small}² and {large}² pixels.",
    )


def _shares(survey: Survey) -> Chart:
    counts = log_bins(survey.shares, *SHARES, BINS)
    edges = np.geomspace(*SHARES, BINS + 1)
    bars = [
        Bar(f"{100 * low:.1f} to {100 * high:.1f} % of the image", int(count))
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    ticks = [
        Tick(log_place(share, *SHARES), f"{100 * share:g} %") for share in (0.01, 0.03, 0.1, 0.3, 1)
    ]
    known = survey.shares[np.isfinite(survey.shares)]
    middle = f"{100 * float(np.median(known)):.3g} %" if len(known) else "unknown"
    return Chart(
        "Size in the image",
        "√ of area share, log scale",
        histogram(bars, ticks, f"Boxes by their share of the image; the median is {middle}"),
        f"The median box has {middle} of the side of its image.",
    )


def _ratios(survey: Survey) -> Chart:
    counts = log_bins(survey.ratios, *RATIOS, BINS)
    edges = np.geomspace(*RATIOS, BINS + 1)
    bars = [
        Bar(f"width / height from {low:.2g} to {high:.2g}", int(count))
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    named = (
        (0.1, "1:10"),
        (0.25, "1:4"),
        (0.5, "1:2"),
        (1, "1:1"),
        (2, "2:1"),
        (4, "4:1"),
        (10, "10:1"),
    )
    ticks = [Tick(log_place(ratio, *RATIOS), text) for ratio, text in named]
    wide = 100 * float((survey.ratios > 1).mean())
    return Chart(
        "Shape",
        "width : height, log scale",
        histogram(bars, ticks, f"Boxes by width over height; {wide:.0f} % are wider than high"),
        f"{wide:.0f} % are wider than high.",
    )


def _centres(survey: Survey) -> Chart:
    total, side = int(survey.centres.sum()), len(survey.centres)
    # few boxes in many cells would look like noise
    pooled = next(factor for fewest, factor in COARSER if total >= fewest)
    cells = survey.centres.reshape(side // pooled, pooled, side // pooled, pooled).sum(axis=(1, 3))
    return Chart(
        "Where boxes are",
        "centres",
        heat_map(cells, "Where in their images the centres of boxes lie"),
        "All images are stretched to one square.",
    )


def _per_image(survey: Survey) -> Chart:
    most = int(survey.per_image.max())
    step = max(1, -(-(most + 1) // BINS))
    counts = np.bincount(survey.per_image // step)
    bars = [
        Bar(
            plural(low, "box", "boxes") if step == 1 else f"{low} to {low + step - 1} boxes",
            int(count),
            muted=low == 0 and step == 1,
        )
        for low, count in zip(range(0, most + 1, step), counts, strict=True)
    ]
    every = max(1, len(bars) // 6)
    ticks = [
        Tick((place + 0.5) / len(bars), f"{place * step}") for place in range(0, len(bars), every)
    ]
    median = float(np.median(survey.per_image))
    return Chart(
        "Boxes per image",
        "labelled images",
        histogram(bars, ticks, f"Images by the number of their boxes, up to {most}"),
        f"The median is {median:g}, the most {most}.",
    )


def _sizes(survey: Survey) -> Chart:
    known = [(size, count) for size, count in survey.sizes if min(size) > 0]
    shown = known[:SIZES_SHOWN]
    points = [(float(width), float(height), count) for (width, height), count in shown]
    rest = f"; the {SIZES_SHOWN} most frequent are shown" if len(known) > SIZES_SHOWN else ""
    return Chart(
        "Image sizes",
        "width and height, px",
        dots(points, f"{len(known)} sizes of images"),
        f"{plural(len(known), 'size')}{rest}.",
    )
