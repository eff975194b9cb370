"""The collapse alarm: signs that a game goes wrong, each with its likely cause and a remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from rondel import Section, Table
from rondel_gan.config import AlarmConfig

LOOKS = 256
"""Images whose distances are compared."""
HISTORY = 3
"""Looks before a gradient can be called small for this game."""
PATIENCE = 2
"""Looks in a row that must show a sign."""


@dataclass(frozen=True)
class Sign:
    """A sign that a game goes wrong.

    Args:
        name: In the log.
        measure: What is looked at.
        limit: The threshold, a key of `alarm`.
        text: What was seen, the likely cause, and what to do.
        above: It is wrong to be above the threshold, not below.
    """

    name: str
    measure: str
    limit: str
    text: str
    above: bool = False


SIGNS = (
    Sign(
        "collapse",
        "spread",
        "spread",
        "for the discriminator samples spread over {percent:.0f} % of what real images do; the "
        "generator has few things to say. Raise r1.weight, lower generator.optimizer.lr, or try "
        "recipe=r3gan.",
    ),
    Sign(
        "alike",
        "alike",
        "alike",
        "samples of different noise differ by {percent:.0f} % of what real images do; the "
        "generator ignores its noise. Start anew with recipe=r3gan or a lower rate.",
    ),
    Sign(
        "missing",
        "coverage",
        "coverage",
        "samples come near {percent:.1f} % of the real images; whole kinds of them are never made. "
        "Raise r1.weight, lower both rates, or try recipe=r3gan.",
    ),
    Sign(
        "winning",
        "wins",
        "winning",
        "the discriminator tells {percent:.1f} % of all pairs apart; the generator learns little "
        "from it. Raise r1.weight, lower discriminator.optimizer.lr, or vary its images: "
        "augment.mode=ada.",
        above=True,
    ),
    Sign(
        "vanishing",
        "vanishing",
        "gradient",
        "the generator's gradient is {value:.1e} of what is usual in this game; the discriminator "
        "is saturated. Raise r1.weight, or use loss=relativistic.",
    ),
    Sign(
        "copies",
        "novelty",
        "novelty",
        "samples are {value:.2f} times as far from training images as held-out images are; the "
        "generator repeats them. Train shorter, get more images, or use augment.mode=ada.",
    ),
)


@dataclass(frozen=True)
class Cry:
    """What the alarm says.

    Args:
        sign: What it is about.
        message: What was seen, why, and what to do.
    """

    sign: str
    message: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"Alarm ({self.sign}): {self.message}"


class Alarm:
    """Looks at the signs of every evaluation; what rings is told once, until it is well again.

    Args:
        config: Thresholds.
    """

    looks = LOOKS

    def __init__(self, config: AlarmConfig) -> None:
        self.config = config
        self.ringing: dict[str, str] = {}
        """What is wrong at present, by its sign."""
        self.history: list[list[Any]] = []
        """What was told: number of the look, sign, message."""
        self._gradients: list[float] = []
        self._seen: dict[str, int] = {}
        self._looks = 0

    def look(self, signs: Mapping[str, float], *, seen: float = 1.0) -> list[Cry]:
        """Return what is newly wrong; a game that has just begun is not looked at.

        Args:
            signs: Any of 'spread' and 'alike' (made against real), 'wins' (share of pairs that
                the discriminator orders rightly), 'gradient' (norm, of the generator), 'coverage'
                (share of real images, or of modes, that samples come near) and 'novelty'
                (distance to training images against that of held-out ones).
            seen: Share of the planned images that were seen.
        """
        if seen < self.config.grace:
            return []
        self._looks += 1
        found = self._found(signs)
        self._seen = {sign: self._seen.get(sign, 0) + 1 for sign in found}
        found = {sign: text for sign, text in found.items() if self._seen[sign] >= PATIENCE}
        new = [Cry(sign, text) for sign, text in found.items() if sign not in self.ringing]
        self.ringing = found
        self.history += [[self._looks, cry.sign, cry.message] for cry in new]
        return new

    def _found(self, signs: Mapping[str, float]) -> dict[str, str]:
        """Return what is wrong at this look, by its name."""
        measured = {**signs, "vanishing": self._gradient(signs.get("gradient"))}
        found = {}
        for sign in SIGNS:
            value = measured.get(sign.measure)
            limit = float(getattr(self.config, sign.limit))
            if value is not None and (value > limit if sign.above else value < limit):
                found[sign.name] = sign.text.format(value=value, percent=100 * value)
        return found

    def _gradient(self, norm: float | None) -> float | None:
        """Return a gradient's norm as a share of what is usual in this game, once that is known."""
        if norm is None:
            return None
        usual = median(self._gradients) if len(self._gradients) >= HISTORY else 0.0
        self._gradients.append(norm)
        return norm / usual if usual else None

    def section(self) -> Section:
        """Say in the report what the alarm told, and when."""
        if not self.history:
            times = "the only evaluation" if self._looks == 1 else f"all {self._looks} evaluations"
            return Section("Collapse alarm", text=f"Silent in {times}.")
        now = ", ".join(self.ringing) or "nothing any more"
        table = Table(["evaluation", "sign", "what was seen"], self.history)
        return Section("Collapse alarm", text=f"At the end: {now}.", table=table)

    def state_dict(self) -> dict[str, Any]:
        """Return what is ringing, and what was seen."""
        return {
            "ringing": dict(self.ringing),
            "history": [list(entry) for entry in self.history],
            "gradients": list(self._gradients),
            "seen": dict(self._seen),
            "looks": self._looks,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put it back."""
        self.ringing = dict(state["ringing"])
        self.history = [list(entry) for entry in state["history"]]
        self._gradients = list(state["gradients"])
        self._seen = dict(state["seen"])
        self._looks = state["looks"]
