"""The loop of every game: players that take turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor

from rondel import Loop, Loss, Run, Stream
from rondel.gradient import global_norm
from rondel_gan.config import GanConfig
from rondel_gan.ledger import Ledger
from rondel_gan.penalties import Penalty
from rondel_gan.player import Player, check_owners
from rondel_gan.turns import Plan, Turn

GAUGE_EVERY = 4
"""Moves of the discriminator between two looks at how it does."""
NORM_EVERY = 8
"""Moves of the generator between two looks at its gradient."""
Rows = Mapping[str, Tensor]
Draw = Callable[[int, torch.Generator], Tensor]


class Game(Loop):
    """Players that take turns (Goodfellow et al., 2014, and every game since).

    A game says who its players are, what random numbers a turn needs, and what its players look
    at; it is played as the plan says.

    Args:
        config: The config of the domain.
        players: Who plays.
        data: Rows by name, 'real' among them.
        draws: Random numbers that a player needs, by its letter and their names: functions of
            the batch size and a generator.
    """

    usual_turns: ClassVar[str] = "D G"
    drop_last: ClassVar[bool] = False
    scene: ClassVar[Any]
    """What the players of a turn look at, of (game, values, draws, moving, watched)."""

    def __init__(
        self,
        config: GanConfig,
        players: Sequence[Player],
        data: Rows,
        draws: Mapping[str, Mapping[str, Draw]],
    ) -> None:
        check_owners(players)
        self.config = config
        self.epochs = config.epochs
        self.planned = 0
        """Images that will be seen."""
        self.players = {player.code: player for player in players}
        self.plan = Plan.parse(config.turns or self.usual_turns, list(self.players))
        self.draws = draws
        self.stream = Stream(
            dict(data), batch_size=config.batch_size, noise=self.draw, drop_last=self.drop_last
        )
        self.dtype = data["real"].dtype
        self.ledger = Ledger(str(self.plan))
        self.moves: dict[tuple[str, ...], Move] = {}

    def train(self, run: Run) -> None:
        """Play: in every batch the turns of the plan, one after the other."""
        self.enter(run)
        for epoch in run.epochs(self.epochs):
            for rows, draws in self.batches(run):
                for turn in self.plan.at(self.batch_number(run)):
                    if not self.sits_out(run, turn, rows, draws):
                        self.move(turn, rows, draws)
            if run.every(self.config.evaluation.every) or epoch == self.epochs - 1:
                run.evaluate(self, name=self.evaluation(run))

    def evaluation(self, run: Run) -> str:  # noqa: ARG002 - for games
        """Return what an evaluation is called at present; the best state is one of 'evaluation'."""
        return "evaluation"

    def batches(self, run: Run) -> Iterator[tuple[Rows, Mapping[str, Rows]]]:
        """Iterate over the batches of a pass: rows of the data, and random numbers of each turn."""
        return run.batches(self.stream)

    def enter(self, run: Run) -> None:
        """Give every player its update, and say who moves when."""
        planned = self.stream.planned(self.epochs)
        self.planned = planned.samples
        planned_moves = self.plan.moves(planned.updates)
        for code, player in self.players.items():
            player.enter(run, moves=planned_moves[code], images=planned.samples)
        self.moves = {turn.players: Move(self, run, turn) for turn in self.plan.turns}
        run.track("game", self.ledger)
        run.say(f"Turns: {self.plan}; planned moves: {dict(planned_moves)}.")

    def batch_number(self, run: Run) -> int:
        """Return the number of the present batch; the first of a run is 0."""
        return run.counters.of(self.stream.name).batches - 1

    def progress(self, run: Run) -> float:
        """Return which share of the planned images was seen before the present batch."""
        seen = run.counters.of(self.stream.name).samples - run.batch_size
        return min(1.0, seen / self.planned) if self.planned else 0.0

    def seen(self, run: Run) -> float:
        """Return which share of the planned images was seen, with the present batch."""
        if not self.planned:
            return 1.0
        return min(1.0, run.counters.of(self.stream.name).samples / self.planned)

    def sits_out(self, run: Run, turn: Turn, rows: Rows, draws: Mapping[str, Rows]) -> bool:  # noqa: ARG002 - for games
        """Tell whether a turn is left out this time; all processes must say the same."""
        return False

    def move(self, turn: Turn, rows: Rows, draws: Mapping[str, Rows]) -> None:
        """Let the players of a turn move, each followed by its lazy penalties."""
        move = self.moves[turn.players]
        mine = draws["+".join(turn.players)]
        move.play(rows, mine)
        for player in move.players:
            self.ledger.moves[player.code] += 1
            self.moved(player, move)
            for penalty in player.due(self.ledger.moves[player.code]):
                player.update(move.lazy[penalty], rows, mine)
                self.held_back(player, penalty, move)
            player.clip()

    def moved(self, player: Player, move: Move) -> None:
        """Take note of what the step of a move showed."""

    def held_back(self, player: Player, penalty: Penalty, move: Move) -> None:
        """Take note of what the step of a lazy penalty showed."""

    def draw(self, size: int, generator: torch.Generator) -> dict[str, dict[str, Tensor]]:
        """Draw the random numbers of a batch: every turn has its own."""
        drawn = {}
        for players in dict.fromkeys(turn.players for turn in self.plan.turns):
            needed = {name: draw for code in players for name, draw in self.draws[code].items()}
            drawn["+".join(players)] = {
                name: draw(size, generator).to(self.dtype) for name, draw in needed.items()
            }
        return drawn


class Move:
    """The move of one turn: who makes it, and the loss functions that they pursue.

    Args:
        game: The game.
        run: Its run.
        turn: The turn.
    """

    def __init__(self, game: Game, run: Run, turn: Turn) -> None:
        self.game = game
        self.run = run
        self.players = [game.players[code] for code in turn.players]
        self.moving = frozenset(role for player in self.players for role in player.nets)
        penalties = [penalty for player in self.players for penalty in player.penalties]
        self.watched = frozenset(name for penalty in penalties for name in penalty.watches)
        self.lazy = {
            penalty: self.lazy_loss(penalty) for player in self.players for penalty in player.lazy
        }
        self._mixed = run.autocast() is not None
        self._precise = self._mixed and bool(penalties)
        self.gauged = False
        """The present move notes how the discriminator does."""
        updates = [player.update for player in self.players]
        self._update = updates[0] if len(updates) == 1 else run.joint(*updates)
        self._changes = any(player.changes for player in self.players)

    def play(self, rows: Rows, draws: Rows) -> None:
        """Compute the gradients of all players, then step each."""
        if self._changes:
            progress = self.game.progress(self.run)
            for player in self.players:
                player.follow(progress)
        self.gauged = self.due(GAUGE_EVERY)
        self._update(self.losses, rows, draws)

    def due(self, every: int) -> bool:
        """Tell whether the present move is the first, or one of every so many after it."""
        return self.game.ledger.moves[self.players[0].code] % every == 0

    def losses(self, rows: Rows, draws: Rows) -> Loss | tuple[Loss, ...]:
        """Return what each player pursues, of one scene that they share."""
        with precise(rows) if self._precise else nullcontext():
            scene = self.game.scene(self.game, rows, draws, self.moving, self.watched)
            losses = tuple(self.loss(player, scene) for player in self.players)
        return losses if len(losses) > 1 else losses[0]

    def loss(self, player: Player, scene: Any) -> Loss:
        """Return what a player pursues in a scene: terms, and the penalties of every move."""
        total: Tensor | None = None
        parts = {}
        for term in player.terms:
            value = parts[term.name] = term.value(scene).sum()
            weighted = value if term.weight == 1.0 else term.weight * value
            total = weighted if total is None else total + weighted
        for penalty in player.penalties:
            value = parts[penalty.name] = penalty.value(scene).sum()
            total = penalty.strength * value if total is None else total + penalty.strength * value
        if self.gauged and "discriminator" in player.nets:
            scene.gauge()
        assert total is not None
        return Loss(total, len(scene), parts=parts | scene.notes)

    def lazy_loss(self, penalty: Penalty) -> Callable[[Rows, Rows], Loss]:
        """Return the loss function of a lazy penalty, which has a scene of its own."""

        def loss(rows: Rows, draws: Rows) -> Loss:
            with precise(rows) if self._mixed else nullcontext():
                scene = self.game.scene(self.game, rows, draws, self.moving, penalty.watches)
                value = penalty.value(scene).sum()
            parts = {penalty.name: value} | scene.notes
            return Loss(penalty.strength * value, len(scene), parts=parts)

        return loss

    def mean(self, player: Player, name: str) -> Tensor:
        """Return the mean over all samples of what the last step noted under a name.

        All processes must ask for it; one without a share of the batch adds zeros.
        """
        parts = [part[name] for part in player.update.accumulation.parts if name in part]
        total = sum((value for value, _ in parts), torch.zeros(()))
        count = sum(count for _, count in parts)
        if self.run.processes.size > 1:
            sums = self.run.processes.sum_counts({"total": total, "count": count})
            total, count = sums["total"], sums["count"]
        mean: Tensor = total / count
        return mean

    def gradient_norm(self, player: Player) -> Tensor:
        """Return the norm of the gradient of a player's last step, still on its device."""
        return global_norm(player.update.gradients()).detach()


def precise(rows: Rows) -> AbstractContextManager[Any]:
    """Switch autocast off: squares of gradients underflow in half precision."""
    return torch.autocast(rows["real"].device.type, enabled=False)
