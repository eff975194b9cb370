"""The section about the balance of the players: what the discriminator says of real and made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rondel import Section
from rondel.journal import read_rows
from rondel.report.figure import (
    INK_3,
    SERIES,
    add_axes,
    dress,
    new_figure,
    shorten_ticks,
    to_png,
)
from rondel_gan.picture import add_legend_above

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLAYER = "discriminator"
SCORES = {"loss.real": "real", "loss.fake": "made"}
WINS = "loss.wins"
WIDTH, PLOT, HEAD, GAP, MARGIN, EDGE = 520, 150, 44, 84, 52, 64
"""Pixels of the report's page."""
Line = tuple[list[int], list[float]]
"""Steps and values."""


def balance_section(journal: Path, *, winning: float) -> Section | None:
    """Draw mean scores and the share of pairs in the right order; None if nothing was noted.

    Args:
        journal: The rows that a run logged.
        winning: The share from which the alarm says that the discriminator wins.
    """
    lines = read_lines(journal, (*SCORES, WINS))
    wins = lines[WINS][1]
    if len(wins) < 2:
        return None
    late = wins[-max(1, len(wins) // 4) :]
    text = (
        "A discriminator that cannot tell samples from images orders half of the "
        "pairs rightly and gives both the same scores; one that tells nearly all apart teaches "
        f"little. In the last quarter it ordered {100 * sum(late) / len(late):.0f} % rightly."
    )
    return Section("Balance of the players", text=text, picture=balance_png(lines, winning))


def read_lines(journal: Path, keys: Sequence[str]) -> dict[str, Line]:
    """Return what the discriminator's rows say of some keys."""
    lines: dict[str, Line] = {key: ([], []) for key in keys}
    for row in read_rows(journal):
        if row.get("event") != "update" or row.get("name") != PLAYER:
            continue
        for key, (steps, values) in lines.items():
            value = row["values"].get(key)
            if isinstance(value, int | float):  # what is not finite is a text
                steps.append(row["step"])
                values.append(value)
    return lines


def balance_png(lines: dict[str, Line], winning: float) -> bytes:
    """Draw the scores above the share of pairs."""
    figure = new_figure(WIDTH, HEAD + 2 * PLOT + GAP + 50)
    across = WIDTH - MARGIN - EDGE
    scores = add_axes(figure, MARGIN, HEAD, across, PLOT)
    for place, (key, label) in enumerate(SCORES.items()):
        scores.plot(*lines[key], color=SERIES[place], linewidth=1.6, label=label)
    dress(scores, "Mean score")
    pairs = add_axes(figure, MARGIN, HEAD + PLOT + GAP, across, PLOT)
    steps, wins = lines[WINS]
    pairs.plot(steps, [100 * share for share in wins], color=SERIES[2], linewidth=1.6)
    draw_limit(pairs, 100 * winning, "alarm")
    draw_limit(pairs, 50.0, "a guess")
    pairs.set_ylim(min(45.0, 100 * min(wins) - 2), 102)
    dress(pairs, "Pairs in the right order, %", x="safe points")
    for axes in (scores, pairs):
        shorten_ticks(axes.xaxis)
    add_legend_above(scores)
    return to_png(figure)


def draw_limit(axes: Axes, value: float, label: str) -> None:
    """Draw a horizontal line, named on its right."""
    axes.axhline(value, color=INK_3, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        label, (1.01, value), xycoords=("axes fraction", "data"), va="center", color=INK_3
    )
