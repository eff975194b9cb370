"""Who moves when, as data: a plan such as ``"D*5 G"``.

A plan is a round that is played again and again. Its turns follow one another; each begins at the
batch at which the one before it ended.

    "D G"     in every batch first D, then G
    "D*5 G"   D in five batches, G in the fifth
    "G+D"     the gradients of both before either steps
    "D G/4"   G in every fourth round only
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rondel.errors import ConfigError

TURN = re.compile(r"(?P<players>\w+(?:\+\w+)*)(?:\*(?P<times>\d+))?(?:/(?P<every>\d+))?")
LONGEST = 10_000
"""Batches until a plan repeats; a longer one is a mistake."""


@dataclass(frozen=True)
class Turn:
    """One entry of a plan.

    Args:
        players: Who moves; several compute their gradients before either of them steps.
        times: In how many batches, one after the other.
        every: In which rounds: every second, third ...
    """

    players: tuple[str, ...]
    times: int = 1
    every: int = 1

    def __str__(self) -> str:
        """Return the turn as it is written."""
        times = f"*{self.times}" if self.times > 1 else ""
        return "+".join(self.players) + times + (f"/{self.every}" if self.every > 1 else "")


@dataclass(frozen=True)
class Plan:
    """The turns of a round."""

    turns: tuple[Turn, ...]

    @classmethod
    def parse(cls, text: str, players: Sequence[str]) -> Plan:
        """Read a plan.

        Args:
            text: Turns with blanks between them.
            players: The names that there are.

        Raises:
            ConfigError: A turn cannot be read, names an unknown player, or a player never moves.
        """
        turns = tuple(parse_turn(word, players) for word in text.split())
        moving = {name for turn in turns for name in turn.players}
        for name in players:
            if name not in moving:
                raise ConfigError(
                    f"in {text!r} the player {name!r} never moves",
                    where="turns",
                    hint=f"Name every player: {', '.join(players)}.",
                )
        plan = cls(turns)
        if plan.period > LONGEST:
            raise ConfigError(
                f"{text!r} repeats only after {plan.period} batches",
                where="turns",
                hint="Use smaller numbers after '*' and '/'.",
            )
        return plan

    def __str__(self) -> str:
        """Return the plan as it is written."""
        return " ".join(map(str, self.turns))

    @cached_property
    def length(self) -> int:
        """Batches of a round."""
        return 1 + sum(turn.times - 1 for turn in self.turns)

    @cached_property
    def period(self) -> int:
        """Batches until the plan repeats."""
        return self.length * math.lcm(*(turn.every for turn in self.turns))

    @cached_property
    def table(self) -> tuple[tuple[Turn, ...], ...]:
        """The turns of each batch of a period, in their order."""
        batches: list[list[Turn]] = [[] for _ in range(self.period)]
        for number in range(self.period // self.length):
            place = number * self.length
            for turn in self.turns:
                if (number + 1) % turn.every == 0:
                    for batch in range(place, place + turn.times):
                        batches[batch].append(turn)
                place += turn.times - 1
        return tuple(map(tuple, batches))

    def at(self, batch: int) -> tuple[Turn, ...]:
        """Return the turns of a batch; the first of a run has the number 0."""
        return self.table[batch % self.period]

    def moves(self, batches: int) -> Counter[str]:
        """Return how often each player moves in so many batches."""
        whole, rest = divmod(batches, self.period)
        counts: Counter[str] = Counter()
        for number, turns in enumerate(self.table):
            for turn in turns:
                for name in turn.players:
                    counts[name] += whole + (number < rest)
        return counts


def parse_turn(word: str, players: Sequence[str]) -> Turn:
    """Read one turn.

    Raises:
        ConfigError: It cannot be read, or names an unknown player.
    """
    found = TURN.fullmatch(word)
    numbers = [] if found is None else [int(found[name] or 1) for name in ("times", "every")]
    if found is None or min(numbers) < 1:
        raise ConfigError(
            f"{word!r} is no turn",
            where="turns",
            hint="Write players with '+' between them, then '*N' batches or '/N' rounds: 'D*5 G'.",
        )
    names = tuple(found["players"].split("+"))
    for name in names:
        if name not in players:
            raise ConfigError(
                f"{word!r} names the player {name!r}",
                where="turns",
                hint=f"This game has {', '.join(players)}.",
            )
    if len(set(names)) < len(names):
        raise ConfigError(
            f"{word!r} names a player twice", where="turns", hint="Write 'D*2' for two moves."
        )
    return Turn(names, *numbers)
