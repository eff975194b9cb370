"""The pictures of a text report, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor


def confusion_picture(matrix: Tensor, names: Sequence[str]) -> bytes:
    """Draw a confusion matrix; a cell is the share of the texts of its true class.

    Args:
        matrix: (C, C) counts, rows are true.
        names: C of them.
    """
    shares = (matrix / matrix.sum(1, keepdim=True).clamp(min=1)).numpy()
    side = 2.2 + 0.36 * len(names)
    figure, axes = blank(side, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = np.arange(len(names))
    axes.set_xticks(places, [short(name) for name in names], rotation=60, ha="right")
    axes.set_yticks(places, [short(name) for name in names])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
        share = shares[row, column]
        colour = "white" if share > 0.55 else "black"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, size=7)
    return png(figure)


def lengths_picture(lengths: Tensor, limit: int) -> bytes:
    """Draw how many texts have which length, and where they are cut."""
    figure, axes = blank(6.4, 2.6)
    values = lengths.numpy()
    most = max(int(np.quantile(values, 0.995)), 2)
    axes.hist(np.clip(values, 0, most), bins=min(60, most), color="#4477aa")
    if limit <= most:
        axes.axvline(limit, color="#cc3311", linewidth=1.2)
        axes.text(limit, axes.get_ylim()[1], " cut here", color="#cc3311", va="top", size=8)
    axes.set_xlabel("tokens")
    axes.set_ylabel("texts")
    return png(figure)


def blank(width: float, height: float) -> tuple[Any, Any]:
    """Return an empty figure and its axes, without touching pyplot's state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def png(figure: Any) -> bytes:
    """Return a figure as a PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def short(name: str) -> str:
    """Return a name that fits beside a picture."""
    return name if len(name) <= 18 else f"{name[:17]}…"
