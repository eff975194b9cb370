"""The picture of what was taken for what, with the commonest mistakes beside it.

Shapes: C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rondel.report.figure import (
    BLUES,
    FONT_SIZE_PX,
    INK,
    INK_2,
    PAPER,
    WIDTH,
    add_axes,
    colours,
    dress,
    label_of,
    margin_of,
    new_figure,
    to_png,
)
from rondel.report.wording import format_number


def confusion_png(matrix: NDArray[Any], names: Sequence[str]) -> bytes:
    """Draw what was taken for what, and list the commonest mistakes beside it.

    Args:
        matrix: (C, C) weights, rows are true.
        names: C of them.
    """
    shown = [label_of(name) for name in names]
    size, margin = len(shown), margin_of(shown)
    cell = max(16, min(56, 560 // size))
    side = cell * size
    figure = new_figure(WIDTH, int(max(side, 180) + margin + 76))
    axes = add_axes(figure, margin + 24, 44, side, side)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1e-12)
    # the root lets shares of a hundredth be seen beside the diagonal
    axes.imshow(np.sqrt(shares), cmap=colours(BLUES), vmin=0.0, vmax=1.0)
    axes.set_xticks(range(size), shown, rotation=90)
    axes.set_yticks(range(size), shown)
    axes.spines["bottom"].set_visible(False)
    dress(axes, "True by predicted, % of the true class", x="predicted", y="true", grid=None)
    if cell >= 22:
        for row, column in zip(*np.nonzero(shares >= 0.005), strict=True):
            share = shares[row, column]
            axes.text(
                column, row, f"{100 * share:.0f}", ha="center", va="center",
                fontsize=FONT_SIZE_PX if cell >= 28 else 9, color=PAPER if share > 0.25 else INK,
            )  # fmt: skip
    wrong = matrix * (1 - np.eye(size))
    order = np.argsort(-wrong, axis=None, kind="stable")[:14]
    mistakes = [divmod(int(place), size) for place in order if wrong.flat[place] > 0]
    left, down = margin + side + 90, figure.get_size_inches()[1] * 72
    for line, (true, told) in enumerate([(-1, -1), *mistakes]):
        text = (
            "Most often confused"
            if line == 0
            else f"{format_number(wrong[true, told])}  {shown[true]} as {shown[told]}"
        )
        look: dict[str, Any] = {"weight": "bold", "color": INK} if line == 0 else {"color": INK_2}
        y = 1 - (56 + 18 * line) / down
        figure.text(left / WIDTH, y, text, fontsize=FONT_SIZE_PX + (line == 0), **look)
    return to_png(figure)
