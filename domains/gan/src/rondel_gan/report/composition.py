"""Which sections a report has, and in which order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rondel import Run, Section
from rondel_gan.report.balance import balance_section
from rondel_gan.report.film import film_section

if TYPE_CHECKING:
    from rondel_gan.loops.adversarial import Adversarial


def compose(game: Adversarial, run: Run, exhibits: Iterable[Section | None]) -> list[Section]:
    """Return the sections of a game's report.

    Args:
        game: With its best state in place.
        run: What it was trained in.
        exhibits: What shows the generator; None where there is nothing to show.
    """
    if not run.processes.writes:
        return []
    limit = game.config.alarm.winning
    found = [
        game.alarm.section(),
        film_section(run.directory / "pictures"),
        *exhibits,
        balance_section(run.directory / "metrics.jsonl", winning=limit),
        game.protocol,
    ]
    return [section for section in found if section is not None]
