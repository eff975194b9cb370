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
ALIKE = 0.15
"""Samples of different noise differ at least by this share of what real images do."""
HISTORY = 3
"""Looks before a gradient can be called small for this game."""
PATIENCE = 2
"""Looks in a row that must show a sign; a game that has just begun shows some."""


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

    def look(self, signs: Mapping[str, float]) -> list[Cry]:
        """Return what is newly wrong.

        Args:
            signs: Any of 'spread' and 'alike' (made against real), 'wins' (share of pairs that
                the discriminator orders rightly), 'gradient' (norm, of the generator), 'novelty'
                (distance to training images against that of held-out ones).
        """
        self._looks += 1
        found = self._found(signs)
        self._seen = {sign: self._seen.get(sign, 0) + 1 for sign in found}
        found = {sign: text for sign, text in found.items() if self._seen[sign] >= PATIENCE}
        new = [Cry(sign, text) for sign, text in found.items() if sign not in self.ringing]
        self.ringing = found
        self.history += [[self._looks, cry.sign, cry.message] for cry in new]
        return new

    def _found(self, signs: Mapping[str, float]) -> dict[str, str]:
        config, found = self.config, {}
        spread, alike = signs.get("spread"), signs.get("alike")
        if spread is not None and spread < config.spread:
            found["collapse"] = (
                f"for the discriminator samples spread over {100 * spread:.0f} % of what real "
                "images do; the generator has few things to say. Raise r1.weight, lower "
                "generator.optimizer.lr, or try recipe=r3gan."
            )
        if alike is not None and alike < ALIKE:
            found["alike"] = (
                f"samples of different noise differ by {100 * alike:.0f} % of what real images do; "
                "the generator ignores its noise. Start anew with recipe=r3gan or a lower rate."
            )
        wins = signs.get("wins")
        if wins is not None and wins > config.winning:
            found["winning"] = (
                f"the discriminator tells {100 * wins:.1f} % of all pairs apart; the generator "
                "learns little from it. Raise r1.weight, lower discriminator.optimizer.lr, or "
                "vary its images: augment.mode=ada."
            )
        gradient = signs.get("gradient")
        if gradient is not None:
            usual = median(self._gradients) if len(self._gradients) >= HISTORY else 0.0
            if gradient < config.gradient * usual:
                found["vanishing"] = (
                    f"the generator's gradient is {gradient:.1e}, usually {usual:.1e}; the "
                    "discriminator is saturated. Raise r1.weight, or use loss=relativistic."
                )
            self._gradients.append(gradient)
        novelty = signs.get("novelty")
        if novelty is not None and novelty < config.novelty:
            found["copies"] = (
                f"samples are {novelty:.2f} times as far from training images as held-out images "
                "are; the generator repeats them. Train shorter, get more images, or use "
                "augment.mode=ada."
            )
        return found

    def section(self) -> Section:
        """Say in the report what the alarm told, and when."""
        if not self.history:
            return Section("Collapse alarm", text=f"Silent in all {self._looks} evaluations.")
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
