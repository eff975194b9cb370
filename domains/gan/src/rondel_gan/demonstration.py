"""``rondel gan demo``: a good game and one that collapses, side by side on one page."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rondel import session
from rondel.cli.app import App
from rondel.cli.terminal import text_table
from rondel.report import RunRecord, write_comparison
from rondel.report.page import render, write_page
from rondel.report.pictures import Picture, embed
from rondel.report.wording import format_number

PAGES = Path(__file__).parent / "pages"
EPOCHS = 20
"""Passes over the digits."""
PICTURE_BYTES = 600_000
SHOWN = ("frechet", "classes", "diversity", "precision", "recall")
ADAM = {"optimizer": {"lr": 1e-3, "betas": (0.9, 0.999)}}


@dataclass(frozen=True)
class Game:
    """One of the two.

    Args:
        name: Of its run directory.
        title: For people.
        about: What is special about it.
        settings: In which it differs from the defaults.
    """

    name: str
    title: str
    about: str
    settings: Mapping[str, Any]


GAMES = (
    Game(
        "good",
        "The default recipe",
        "A penalty on the discriminator's gradients (R1), Adam without momentum, and an average of "
        "the generator's weights.",
        {},
    ),
    Game(
        "collapsing",
        "Adam as torch has it",
        "No penalty, Adam with its usual momentum and rate for both players, no average.",
        {"r1": {"weight": 0.0}, "discriminator": ADAM, "generator": {**ADAM, "ema": None}},
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a game.

    Args:
        game: Which one.
        values: Its last evaluation.
        alarms: Number of the evaluation, sign and message of each alarm.
        film: Its samples over time.
    """

    game: Game
    values: Mapping[str, float]
    alarms: Sequence[Sequence[object]]
    film: Picture | None

    @property
    def verdict(self) -> str:
        """What the alarm said."""
        signs = list(dict.fromkeys(str(sign) for _, sign, _ in self.alarms))
        return f"alarm: {', '.join(signs)}" if signs else "alarm silent"

    @classmethod
    def read(cls, game: Game, folder: Path) -> Outcome:
        """Read what a run left in its directory."""
        record = RunRecord.read(folder)
        sections = {str(section.get("title")): section for section in record.sections}
        table = sections.get("Collapse alarm", {}).get("table") or {}
        shown = sections.get("Samples over time", {}).get("picture")
        film = embed(folder / shown, max_bytes=PICTURE_BYTES) if shown else None
        return cls(game, record.events("evaluation")[-1].values, table.get("rows", ()), film)


def demonstrate(app: App, out: Path | None, *, opens: bool) -> Path:
    """Train both games, print how they ended, write the page, and open it.

    Args:
        app: Where to talk.
        out: A folder for both runs and the page; by default a new one below ``runs/``.
        opens: Open the page in the browser.

    Returns:
        The page.
    """
    folder = out if out is not None else Path("runs") / f"gan-demo-{datetime.now():%Y%m%d-%H%M%S}"
    quiet = app.terminal.verbosity < 0 or app.terminal.json
    for game in GAMES:
        app.terminal.talk(f"{game.title}: {EPOCHS} passes over the digits.")
        session.train(
            "gan",
            out=folder / game.name,
            quiet=quiet,
            epochs=EPOCHS,
            evaluation={"every": 1},
            run={"threads": 1},
            **game.settings,
        )
    outcomes = [Outcome.read(game, folder / game.name) for game in GAMES]
    write_comparison(
        [RunRecord.read(folder / game.name) for game in GAMES], folder / "compare.html"
    )
    page = write_page(folder / "demo.html", demo_page(outcomes))
    report(app, outcomes, page)
    if opens:
        webbrowser.open(page.resolve().as_uri())
    return page


def demo_page(outcomes: Sequence[Outcome]) -> str:
    """Return the page as HTML."""
    names = [name for name in SHOWN if all(name in outcome.values for outcome in outcomes)]
    rows = [
        [name, *(format_number(outcome.values[name]) for outcome in outcomes)] for name in names
    ]
    return render("demo.html", {"outcomes": outcomes, "rows": rows}, folder=PAGES)


def report(app: App, outcomes: Sequence[Outcome], page: Path) -> None:
    """Print how both games ended."""
    names = ("frechet", "classes", "diversity")
    rows = [
        [
            outcome.game.title,
            *(format_number(outcome.values[name]) for name in names),
            outcome.verdict,
        ]
        for outcome in outcomes
    ]
    app.terminal.result(text_table(["game", *names, ""], rows))
    app.terminal.result(str(page))
    for outcome in outcomes:
        app.terminal.row(
            "game",
            {
                "name": outcome.game.name,
                "metrics": dict(outcome.values),
                "alarms": [list(alarm) for alarm in outcome.alarms],
            },
        )
    app.terminal.row("demo", {"page": str(page)})
