"""The pages of a target that is a number: predicted against true, residuals, coverage.

Shapes: N rows, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rondel import Section, Table
from rondel_tabular.report.evidence import View
from rondel_tabular.report.pictures import residuals_png, truth_png

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of a Gaussian that are looked at."""


def number_sections(view: View) -> Iterator[Section]:
    """Show how far predictions are off, and whether quantiles are met."""
    true, point = view.true.numpy(), view.point.numpy()
    rest = view.true - view.point
    heads = ("residual", "mean", "5 %", "25 %", "50 %", "75 %", "95 %", "largest")
    quantiles = torch.quantile(rest, torch.tensor(LEVELS, dtype=rest.dtype)).tolist()
    row = ("true - predicted", float(rest.mean()), *quantiles, float(rest[rest.abs().argmax()]))
    yield Section(
        "Predicted and true",
        text="Points on the dashed lines are predicted exactly.",
        picture=truth_png(true, point, view.target.name),
    )
    yield Section(
        "Residuals",
        text="The farthest hundredth of the rows is gathered at both ends of the picture.",
        table=Table(heads, [row]),
        picture=residuals_png(rest.numpy()),
    )
    if view.target.head != "point":
        yield coverage_section(view)


def coverage_section(view: View) -> Section:
    """Show how many rows lie below each quantile that is said of them."""
    levels, said = quantiles_of(view)
    below = (view.values.double()[:, None] <= said).double()
    shares = (below * view.weights[:, None]).sum(0) / view.weights.sum()
    rows = list(zip(levels, shares.tolist(), strict=True))
    text = "The share of the rows that lie at or below a quantile should be the quantile itself."
    if len(levels) > 1:
        inside = shares[-1] - shares[0]
        text += f" {inside:.1%} lie between the outermost two, that should be {levels[-1] - levels[0]:.0%}."
    return Section("Coverage", text=text, table=Table(("quantile", "share of the rows"), rows))


def quantiles_of(view: View) -> tuple[tuple[float, ...], Tensor]:  # (N, Q) standardised
    """Return quantiles and what is said of them, those of a row in ascending order."""
    if view.target.head == "quantiles":
        return view.target.quantiles, view.outputs.sort(1).values
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    mean, log_deviation = view.outputs.unbind(1)
    return LEVELS, mean[:, None] + log_deviation.exp()[:, None] * torch.special.ndtri(levels)
