"""The pictures of a target of classes, as PNG.

Shapes: C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rondel.report.figure import (
    INK_3,
    SERIES,
    WIDTH,
    add_axes,
    add_legend,
    add_legend_beside,
    dress,
    label_of,
    new_figure,
    to_png,
)
from rondel_tabular.calibration import Reliability
from rondel_tabular.ranking import Ranking

Floats = NDArray[Any]


def ranking_png(rankings: Mapping[str, Ranking]) -> bytes:
    """Draw ROC and precision-recall curves, of each class against the others.

    Args:
        rankings: By class; each has rows inside and outside.
    """
    figure = new_figure(WIDTH, 400)
    roc, curve = add_axes(figure, 64, 44, 300, 300), add_axes(figure, 464, 44, 300, 300)
    for (name, ranking), colour in zip(rankings.items(), SERIES, strict=False):
        look: dict[str, Any] = {"color": colour, "linewidth": 1.8, "clip_on": False}
        alarms, recall, precision = (
            column.numpy() for column in (ranking.false_alarms, ranking.recall, ranking.precision)
        )
        roc.plot(np.concatenate([[0], alarms]), np.concatenate([[0], recall]), **look)
        # precision at no recall is that of the first flagged
        first = np.concatenate([precision[:1], precision])
        curve.plot(
            np.concatenate([[0], recall]),
            first,
            drawstyle="steps-pre",
            label=label_of(name),
            **look,
        )
        prevalence = ranking.positives / (ranking.positives + ranking.negatives)
        curve.axhline(prevalence, color=colour, linewidth=1, linestyle=(0, (4, 3)), alpha=0.7)
    roc.plot([0, 1], [0, 1], color=INK_3, linewidth=1, linestyle=(0, (4, 3)))
    dress(roc, "ROC curve", x="share of the others flagged", y="recall")
    dress(curve, "Precision over recall", x="recall", y="precision")
    for axes in (roc, curve):
        axes.set(xlim=(0, 1), ylim=(0, 1.01))
    add_legend_beside(curve, title="dashed: a guess")
    return to_png(figure)


def reliability_png(curves: Mapping[str, Reliability]) -> bytes:
    """Draw how often a prediction is right against how sure it is, and how sure predictions are.

    Args:
        curves: By what was done to the probabilities.
    """
    figure = new_figure(WIDTH, 400)
    axes, shares = add_axes(figure, 64, 44, 300, 300), add_axes(figure, 464, 44, 540, 300)
    low = min(float(curve.confidence.min()) for curve in curves.values())
    low = min(low, *(float(curve.accuracy.min()) for curve in curves.values()))
    axes.plot([0, 1], [0, 1], color=INK_3, linewidth=1, linestyle=(0, (4, 3)))
    for place, (name, curve) in enumerate(curves.items()):
        look: dict[str, Any] = {"color": SERIES[place], "linewidth": 1.8, "label": label_of(name)}
        axes.plot(curve.confidence, curve.accuracy, "o-", markersize=4, **look)
        share = (curve.weights / curve.weights.sum()).cumsum(0)
        shares.plot(share, curve.confidence, "o-", markersize=4, **look)
    low = max(0.0, low - 0.03)
    axes.set(xlim=(low, 1.01), ylim=(low, 1.01))
    shares.set(xlim=(0, 1), ylim=(low, 1.01))
    dress(axes, "Share that is right", x="mean probability of the predicted class", y="accuracy")
    dress(shares, "How sure predictions are", x="share of the rows, least sure first")
    add_legend(axes)
    return to_png(figure)
