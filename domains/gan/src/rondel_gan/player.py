"""A player of a game: the nets it owns, what it pursues, and the update that moves it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rondel import Run, Update
from rondel.errors import ConfigError
from rondel.schedule import Length
from rondel.settings import OptimizerConfig, UpdateConfig
from rondel_gan.config import PlayerConfig
from rondel_gan.penalties import Penalty, Ramp


@dataclass(frozen=True)
class Term:
    """Something that a player pursues.

    Args:
        name: In the log.
        value: Of a scene: one value for each sample, (N,).
        weight: Factor on it.
    """

    name: str
    value: Callable[[Any], Tensor]
    weight: float = 1.0


class Player:
    """One player.

    Args:
        code: The letter it has in a plan of turns.
        name: In the log, in errors and in checkpoints; also the config key of its settings.
        nets: What it owns, by the role that it has in a scene.
        config: Optimizer, schedules, average.
        terms: What it pursues.
        penalties: What holds it back.
    """

    update: Update

    def __init__(
        self,
        code: str,
        name: str,
        nets: Mapping[str, nn.Module],
        config: PlayerConfig,
        *,
        terms: Sequence[Term],
        penalties: Sequence[Penalty] = (),
    ) -> None:
        self.code = code
        self.name = name
        self.nets = dict(nets)
        self.config = config
        self.terms = tuple(terms)
        self.penalties = tuple(p for p in penalties if p.every == 1)
        """Those of every move, in one step with the terms."""
        self.lazy = tuple(p for p in penalties if p.every > 1)
        """Those that are rarer, in steps of their own (Karras et al., 2020, appendix B)."""
        self._ramps = self._beta_ramps()

    def with_more(self, *terms: Term, **nets: nn.Module) -> Player:
        """Return the player with more to pursue, and more nets to do it."""
        return Player(
            self.code,
            self.name,
            self.nets | nets,
            self.config,
            terms=(*self.terms, *terms),
            penalties=(*self.penalties, *self.lazy),
        )

    def _beta_ramps(self) -> tuple[Ramp, Ramp] | None:
        final, betas = self.config.final_betas, self.config.optimizer.betas
        if final is None:
            return None
        if betas is None:
            raise ConfigError(
                "there are no betas to start from",
                where=f"{self.name}.final_betas",
                hint=f"Set {self.name}.optimizer.betas, of an optimizer of the Adam family.",
            )
        first, second = (Ramp(*pair) for pair in zip(betas, final, strict=True))
        return first, second

    @property
    def changes(self) -> bool:
        """Something of the player depends on the images seen."""
        ramps = [p.weight for p in (*self.penalties, *self.lazy)] + list(self._ramps or ())
        return any(ramp.start != ramp.final for ramp in ramps)

    @property
    def steps_per_move(self) -> float:
        """Steps of the update for each move: one, and those of lazy penalties."""
        return 1 + sum(1 / lazy.every for lazy in self.lazy)

    def enter(self, run: Run, *, moves: int, images: int) -> None:
        """Take a place in a run.

        Args:
            run: The run.
            moves: Planned number of moves.
            images: Planned number of images of the whole game.
        """
        self.update = run.update(
            self.name,
            list(self.nets.values()),
            self._fitted(images / max(1, moves)),
            total=Length(math.ceil(moves * self.steps_per_move), images),
        )

    def _fitted(self, images_per_move: float) -> UpdateConfig:
        """Return the settings with what depends on the game: lazy steps, images of the average.

        With k/(k+1) of the steps that are no penalties, the learning rate gets that factor and
        the decay rates of Adam that power (Karras et al., 2020, appendix B).
        """
        values = {name: getattr(self.config, name) for name in UpdateConfig.model_fields}
        share = 1 / self.steps_per_move
        if self.lazy:
            values["optimizer"] = lazier(self.config.optimizer, share)
        if self.config.ema_images is not None:
            values["ema"] = 0.5 ** (images_per_move * share / self.config.ema_images)
        return UpdateConfig(**values)

    def follow(self, progress: float) -> None:
        """Take what changes with the share of images seen: weights of penalties, betas."""
        for penalty in (*self.penalties, *self.lazy):
            penalty.follow(progress)
        if self._ramps is not None:
            power = 1 / self.steps_per_move
            betas = tuple(ramp(progress) ** power for ramp in self._ramps)
            for optimizer in self.update.optimizers:
                for group in optimizer.param_groups:
                    group["betas"] = betas

    def due(self, moves: int) -> tuple[Penalty, ...]:
        """Return the lazy penalties that follow the ``moves``-th move."""
        return tuple(lazy for lazy in self.lazy if moves % lazy.every == 0)

    @torch.no_grad()
    def clip(self) -> None:
        """Clip the weights, if the game asks for it (Arjovsky et al., 2017, algorithm 1)."""
        bound = self.config.clip_weights
        if bound is not None:
            owned: list[Tensor] = list(self.update.owned)
            torch._foreach_clamp_max_(owned, bound)
            torch._foreach_clamp_min_(owned, -bound)


def lazier(config: OptimizerConfig, share: float) -> OptimizerConfig:
    """Return the settings of an optimizer some of whose steps are of lazy penalties."""
    changed: dict[str, Any] = {"lr": config.lr * share}
    if config.betas is not None:
        changed["betas"] = tuple(beta**share for beta in config.betas)
    return config.model_copy(update=changed)


def check_owners(players: Sequence[Player]) -> None:
    """Refuse players that own nothing, or the same.

    Raises:
        ConfigError: Names the players.
    """
    owners: dict[int, str] = {}
    for player in players:
        parameters = [
            p for net in player.nets.values() for p in net.parameters() if p.requires_grad
        ]
        if not parameters:
            raise ConfigError(
                "owns no parameter that is trained",
                where=f"player '{player.name}'",
                hint="Give it a net with parameters, or leave it out of the game.",
            )
        for parameter in parameters:
            other = owners.setdefault(id(parameter), player.name)
            if other != player.name:
                raise ConfigError(
                    f"owns a parameter of shape {tuple(parameter.shape)} "
                    f"that the player '{other}' owns too",
                    where=f"player '{player.name}'",
                    hint="A parameter is moved by one player: give the net to one of them.",
                )
