"""The pictures of a text report that no other domain has, as PNG."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from rondel.report.figure import (
    FONT_SIZE_PX,
    INK_2,
    SERIES,
    add_axes,
    dress,
    new_figure,
    shorten_ticks,
    to_png,
)


def lengths_picture(lengths: Tensor, limit: int) -> bytes:
    """Draw how many texts have which length, and where they are cut."""
    figure = new_figure(640, 260)
    axes = add_axes(figure, 60, 20, 560, 190)
    values = lengths.numpy()
    most = max(int(np.quantile(values, 0.995)), 2)
    axes.hist(np.clip(values, 0, most), bins=min(60, most), color=SERIES[0])
    if limit <= most:
        axes.axvline(limit, color=SERIES[1], linewidth=1.2)
        top = axes.get_ylim()[1]
        axes.text(limit, top, " cut here", color=INK_2, va="top", fontsize=FONT_SIZE_PX)
    dress(axes, "", x="tokens", y="texts")
    for axis in (axes.xaxis, axes.yaxis):
        shorten_ticks(axis)
    return to_png(figure)
