"""Which curves a page shows: the rows of a journal turned into charts, small enough to draw.

A chart is data only; `rondel.report.drawing` turns it into a picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rondel.report.headline import Mode, best_row, find_baseline, find_watch, notable_mode
from rondel.report.run_record import Row, RunRecord, Timing
from rondel.report.wording import format_number, readable

MAX_CHARTS = 16
MAX_POINTS = 600
SMOOTHED_FROM = 150
NOISY_RATIO = 2.0
LOG_RATIO = 50.0
LARGEST_DRAWN = 1e100  # beyond it the arithmetic of an axis overflows; NaN compares false
SMALLEST_LOGARITHMIC = 1e-100

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a chart.

    Args:
        label: What the line is, for the legend.
        points: (step, value), finite, ordered by step.
        colour: Slot in the palette.
        mean: The running mean of a noisy line; empty for a calm one.
        omitted: How many values were not finite, or too large to draw.
        is_shared: Whether several lines that lie on each other are drawn as this one.
    """

    label: str
    points: tuple[Point, ...]
    colour: int = 0
    mean: tuple[Point, ...] = ()
    omitted: int = 0
    is_shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Band:
    """A phase of the run, as a stretch of steps."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The best point of a line."""

    word: str
    step: float
    value: float

    @property
    def text(self) -> str:
        """The mark in words."""
        return f"{self.word} {format_number(self.value)} at step {int(self.step):,}"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One picture: lines over the safe points of the run."""

    title: str
    series: tuple[Series, ...]
    last_step: int
    unit: str = ""
    mark: Mark | None = None
    baseline: float | None = None
    baseline_name: str = "baseline"
    bands: tuple[Band, ...] = ()
    wide: bool = False

    @property
    def is_logarithmic(self) -> bool:
        """Whether the values span so much that only a logarithmic axis shows them."""
        values = [y for line in self.series for _, y in line.points]
        return bool(values) and SMALLEST_LOGARITHMIC < min(values) < max(values) / LOG_RATIO

    @property
    def is_smoothed(self) -> bool:
        """Whether a running mean is drawn over the logged values."""
        return any(line.mean for line in self.series)

    @property
    def has_legend(self) -> bool:
        """Whether the title alone does not say what the lines are."""
        return len(self.series) > 1 or any(line.is_shared for line in self.series)

    @property
    def omitted(self) -> int:
        """How many values of all lines are not finite."""
        return sum(line.omitted for line in self.series)

    @property
    def description(self) -> str:
        """The chart in words, for those who cannot see it."""
        said = [f"{self.title} over {self.last_step:,} steps."]
        for line in self.series:
            if line.points:
                first, last = line.points[0][1], line.points[-1][1]
                said.append(f"{line.label}: from {format_number(first)} to {format_number(last)}.")
        if self.mark:
            said.append(f"{self.mark.text.capitalize()}.")
        if self.baseline is not None:
            said.append(f"{self.baseline_name}: {format_number(self.baseline)}.")
        return " ".join(said)


@dataclass(frozen=True, kw_only=True)
class ChartGroup:
    """Charts that belong together, under one heading."""

    title: str
    charts: tuple[Chart, ...]
    left_out: int = 0


def run_charts(record: RunRecord) -> list[ChartGroup]:
    """Turn everything a run logged into groups of charts, the most telling first."""
    last_step = max((row.step for row in record.rows), default=0)
    bands = phase_bands(record.rows, last_step)
    updates, logs = record.events("update"), record.events("log")
    evaluations = record.events("evaluation")
    special = {"loss": "Loss", "lr": "Learning rate", "gradient_norm": "Gradient norm"}
    loss = _charts_of(updates, ["loss"], last_step, titles=special, wide=True)
    loss = [_with_evaluated_loss(chart, evaluations) for chart in loss]
    optimisation = _charts_of(updates, ["lr", "gradient_norm"], last_step, titles=special)
    parts = _charts_of(updates, [key for key in _keys(updates) if key not in special], last_step)
    groups = [
        ChartGroup(title="Loss", charts=tuple(loss)),
        ChartGroup(
            title="Evaluation", charts=tuple(evaluation_charts(record, evaluations, last_step))
        ),
        ChartGroup(title="Parts of the loss", charts=tuple(parts)),
        ChartGroup(title="Logged", charts=tuple(_charts_of(logs, _keys(logs), last_step))),
        ChartGroup(title="Optimisation", charts=tuple(optimisation)),
        ChartGroup(
            title="Speed and memory", charts=tuple(_timing_charts(record.timing, last_step))
        ),
    ]
    return [_with_bands(limit_charts(group), bands) for group in groups if group.charts]


def limit_charts(group: ChartGroup) -> ChartGroup:
    """Keep the first charts of a group and count the others: a page of hundreds is read by nobody."""
    left_out = max(0, len(group.charts) - MAX_CHARTS)
    return replace(group, charts=group.charts[:MAX_CHARTS], left_out=left_out)


def evaluation_charts(record: RunRecord, rows: list[Row], last_step: int) -> list[Chart]:
    """Make one small chart per metric, its best point marked and the baseline as a line."""
    watch, baseline = find_watch(record), find_baseline(record)
    charts = []
    for chart in _charts_of(rows, _keys(rows), last_step):
        metric = chart.title
        mode = watch[1] if watch and watch[0] == metric else None
        known = baseline.values.get(metric) if baseline else None
        charts.append(
            replace(
                chart,
                title=readable(metric),
                mark=_mark(rows, metric, mode),
                baseline=known if known is not None and is_drawable(known) else None,
                baseline_name=baseline.name if baseline else "baseline",
            )
        )
    return charts


def make_series(
    label: str, points: Iterable[Point], *, colour: int = 0, limit: int = MAX_POINTS
) -> Series:
    """Prepare a line for drawing: finite values only, thinned out, with a mean if it is noisy."""
    given = list(points)
    finite = sorted((point for point in given if is_drawable(point[1])), key=lambda p: p[0])
    mean = running_mean(finite) if len(finite) >= SMOOTHED_FROM else []
    if not is_noisy(finite, mean):
        mean = []
    return Series(
        label=label,
        points=tuple(thin_out(finite, limit)),
        colour=colour,
        mean=tuple(thin_out(mean, limit)),
        omitted=len(given) - len(finite),
    )


def is_drawable(value: float) -> bool:
    """Tell whether a value can stand on an axis: neither NaN nor infinite nor absurdly large."""
    return abs(value) <= LARGEST_DRAWN


def thin_out(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """Keep the smallest and the largest value of each stretch, so that no spike is lost.

    The first and the last point always stay; at most about `limit` points are returned.
    """
    if len(points) <= limit:
        return list(points)
    stretches = max(1, (limit - 2) // 2)
    kept = [points[0]]
    for index in range(stretches):
        start, end = (len(points) * k // stretches for k in (index, index + 1))
        stretch = range(start, end)
        ends = {min(stretch, key=lambda k: points[k][1]), max(stretch, key=lambda k: points[k][1])}
        kept.extend(points[k] for k in sorted(ends) if 0 < k < len(points) - 1)
    return [*kept, points[-1]]


def running_mean(points: Sequence[Point]) -> list[Point]:
    """Average over a centred window of a fortieth of the points, cut off at both ends."""
    sums = [0.0]
    for _, value in points:
        sums.append(sums[-1] + value)
    half = max(1, len(points) // 80)
    averaged = []
    for index, (step, _) in enumerate(points):
        start, end = max(0, index - half), min(len(points), index + half + 1)
        averaged.append((step, (sums[end] - sums[start]) / (end - start)))
    return averaged


def is_noisy(points: Sequence[Point], mean: Sequence[Point]) -> bool:
    """Tell whether a line goes up and down so much that its mean says more than itself."""
    return _travel(points) > NOISY_RATIO * _travel(mean)


def _travel(points: Sequence[Point]) -> float:
    return sum(abs(b[1] - a[1]) for a, b in itertools.pairwise(points))


def phase_bands(rows: Sequence[Row], last_step: int) -> tuple[Band, ...]:
    """Return the stretches of the phases; nothing for a run of a single phase."""
    starts: list[tuple[str, int]] = []
    for row in rows:
        if row.phase is not None and (not starts or starts[-1][0] != row.phase):
            starts.append((row.phase, row.step))
    if len(starts) < 2:
        return ()
    ends = [start for _, start in starts[1:]] + [last_step]
    first = [0] + [start for _, start in starts[1:]]
    return tuple(
        Band(name=name, start=start, end=end)
        for (name, _), start, end in zip(starts, first, ends, strict=True)
    )


def _charts_of(
    rows: list[Row],
    keys: list[str],
    last_step: int,
    *,
    titles: dict[str, str] | None = None,
    wide: bool = False,
) -> list[Chart]:
    names = list(dict.fromkeys(row.name for row in rows))
    charts = []
    for key in keys:
        lines = []
        for slot, name in enumerate(names):
            points = [(r.step, r.values[key]) for r in rows if r.name == name and key in r.values]
            if points:
                lines.append(make_series(readable(name), points, colour=slot))
        if lines:
            title = (titles or {}).get(key, key)
            merged = tuple(_merged(lines))
            charts.append(Chart(title=title, series=merged, last_step=last_step, wide=wide))
    return charts


def _merged(lines: Sequence[Series]) -> list[Series]:
    """Draw lines that lie on each other once, under both names."""
    kept: dict[tuple[Point, ...], Series] = {}
    for line in lines:
        known = kept.get(line.points)
        if known is not None:
            label = f"{known.label}, {line.label}"
            kept[line.points] = replace(known, label=label, is_shared=True)
        else:
            kept[line.points] = line
    return list(kept.values())


def _with_evaluated_loss(chart: Chart, evaluations: list[Row]) -> Chart:
    """Lay the evaluated loss over the training loss of a single update: their gap is the point."""
    names = {row.name for row in evaluations if "loss" in row.values}
    if len(chart.series) != 1 or len(names) != 1:
        return chart
    points = [(row.step, row.values["loss"]) for row in evaluations if "loss" in row.values]
    return replace(
        chart, series=(*chart.series, make_series(readable(names.pop()), points, colour=1))
    )


def _timing_charts(timing: Sequence[Timing], last_step: int) -> list[Chart]:
    speed = [(row.step, row.samples_per_s) for row in timing if row.samples_per_s is not None]
    memory = [
        (row.step, row.memory_bytes / 2**20) for row in timing if row.memory_bytes is not None
    ]
    charts = []
    for title, unit, points in (("Throughput", "samples/s", speed), ("Memory", "MiB", memory)):
        if points:
            line = make_series(title.lower(), points)
            charts.append(Chart(title=title, unit=unit, series=(line,), last_step=last_step))
    return charts


def _mark(rows: list[Row], metric: str, mode: Mode | None) -> Mark | None:
    chosen = mode or notable_mode(metric)
    row = best_row(rows, metric, chosen)
    if row is None or not is_drawable(row.values[metric]):
        return None
    # without a recorded mode the page must not claim to know what is better
    word = "best" if mode else "lowest" if chosen == "min" else "highest"
    return Mark(word=word, step=row.step, value=row.values[metric])


def _with_bands(group: ChartGroup, bands: tuple[Band, ...]) -> ChartGroup:
    return replace(group, charts=tuple(replace(chart, bands=bands) for chart in group.charts))


def _keys(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row.values))
