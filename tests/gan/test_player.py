"""Players: what they own, what a game makes of their settings, and what they refuse."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from handmade import BATCH, BATCHES, adversarial, configured, rows
from torch import Tensor, nn

from rondel import Run
from rondel.errors import ConfigError, DivergedError
from rondel_gan.config import PenaltyConfig, PlayerConfig
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.penalties import Penalty, penalty
from rondel_gan.player import Player, Term, check_owners


def player(net: nn.Module, *penalties: Penalty, name: str = "generator", **values: Any) -> Player:
    given = {"optimizer": {"name": "adam", "lr": 1e-2, "betas": (0.0, 0.9)}, **values}
    term = Term("term", lambda scene: scene)
    return Player("G", name, {name: net}, PlayerConfig(**given), terms=[term], penalties=penalties)


def lazy(every: int, weight: float = 1.0, final: float | None = None) -> Penalty:
    config = PenaltyConfig(weight=weight, final=final, every=every)
    (found,) = penalty("path", lambda scene: scene, config, "noise")
    return found


# -- who owns what ---------------------------------------------------------------------------------


def test_a_player_without_parameters_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        check_owners([player(nn.Linear(2, 2)), player(nn.Tanh(), name="critic")])
    text = str(caught.value)
    assert text.startswith("player 'critic': owns no parameter that is trained")
    assert "leave it out of the game" in text


def test_a_frozen_net_is_as_good_as_none() -> None:
    frozen = nn.Linear(2, 2).requires_grad_(requires_grad=False)
    with pytest.raises(ConfigError, match="owns no parameter that is trained"):
        check_owners([player(frozen)])


def test_a_parameter_of_two_players_names_both() -> None:
    shared = nn.Linear(3, 5, bias=False)
    others = nn.Sequential(nn.Linear(2, 2), shared)
    with pytest.raises(ConfigError) as caught:
        check_owners([player(shared, name="one"), player(others, name="other")])
    text = str(caught.value)
    assert text.startswith("player 'other': owns a parameter of shape (5, 3)")
    assert "that the player 'one' owns too" in text
    assert "give the net to one of them" in text


def test_a_net_that_a_player_has_twice_is_its_own() -> None:
    shared = nn.Linear(2, 2)
    check_owners([player(nn.Sequential(shared, shared))])


def test_a_game_of_players_that_share_a_net_is_refused() -> None:
    config = configured()

    class Shared(Adversarial):
        def seats(self, config: Any) -> Any:
            rival, maker = super().seats(config)
            return rival, maker.with_more(again=self.discriminator)

    parts = adversarial()
    with pytest.raises(ConfigError, match="that the player 'discriminator' owns too"):
        Shared(
            config,
            generator=parts.generator,
            discriminator=parts.discriminator,
            data=rows(),
            quality=parts.quality,
        )


def test_a_generator_of_another_shape_than_the_data_is_refused() -> None:
    parts = adversarial()
    wide = {"real": torch.zeros(40, 1, 4, 6, dtype=torch.float64)}
    with pytest.raises(ConfigError) as caught:
        Adversarial(
            configured(),
            generator=parts.generator,
            discriminator=parts.discriminator,
            data=wide,
            quality=parts.quality,
        )
    text = str(caught.value)
    assert text.startswith("generator: makes samples of shape (1, 4, 4)")
    assert "those of the data have (1, 4, 6)" in text
    assert "last layer" in text


def test_looking_at_the_shape_leaves_statistics_and_mode_alone() -> None:
    loop = adversarial()
    norm = nn.BatchNorm2d(1).double()
    loop.generator.body = nn.Sequential(loop.generator.body, norm)
    loop.check_shape()
    assert norm.training
    assert norm.num_batches_tracked == 0


# -- settings --------------------------------------------------------------------------------------


def test_betas_that_end_somewhere_must_start_somewhere() -> None:
    with pytest.raises(ConfigError) as caught:
        player(nn.Linear(2, 2), final_betas=(0.0, 0.99), optimizer={"name": "sgd", "lr": 0.1})
    text = str(caught.value)
    assert text.startswith("generator.final_betas: there are no betas to start from")
    assert "generator.optimizer.betas, of an optimizer of the Adam family" in text


def entered(made: Player, folder: Path, *, moves: int = 20, images: int = 120) -> Player:
    with Run(folder / "run") as run:
        made.enter(run, moves=moves, images=images)
    return made


def test_steps_of_lazy_penalties_slow_the_others_down(tmp_path: Path) -> None:
    """With 3 of 4 steps, lr^1 becomes lr * 3/4 and beta^1 beta^(3/4)."""
    made = entered(player(nn.Linear(2, 2), lazy(3)), tmp_path)
    group = made.update.optimizers[0].param_groups[0]
    assert made.steps_per_move == pytest.approx(4 / 3)
    assert made.update.config.optimizer.lr == pytest.approx(0.0075, rel=1e-14)
    assert group["betas"] == pytest.approx((0.0, 0.9**0.75), rel=1e-14)


def test_without_lazy_penalties_settings_stay(tmp_path: Path) -> None:
    made = entered(player(nn.Linear(2, 2), lazy(1)), tmp_path)
    assert made.steps_per_move == 1
    assert (made.update.config.optimizer.lr, made.update.config.ema) == (1e-2, None)


@pytest.mark.parametrize(("moves", "every", "share"), [(20, 1, 1.0), (4, 1, 1.0), (20, 2, 2 / 3)])
def test_an_average_in_images_has_its_half_life(
    moves: int, every: int, share: float, tmp_path: Path
) -> None:
    made = entered(player(nn.Linear(2, 2), lazy(every), ema_images=300), tmp_path, moves=moves)
    decay = made.update.config.ema
    assert decay is not None
    images_per_step = 120 / moves * share
    assert decay ** (300 / images_per_step) == pytest.approx(0.5, rel=1e-12)


def test_weights_and_betas_follow_half_a_cosine(tmp_path: Path) -> None:
    made = player(nn.Linear(2, 2), lazy(1, 2.0, 0.2), lazy(3, 1.0), final_betas=(0.0, 0.99))
    assert made.changes
    entered(made, tmp_path)
    for progress in (0.0, 0.25, 0.5, 1.0):
        made.follow(progress)
        half = (1 + math.cos(math.pi * progress)) / 2
        (own,), (rare,) = made.penalties, made.lazy
        assert own.strength == pytest.approx(0.2 + 1.8 * half, rel=1e-12)
        assert rare.strength == 3.0, "a lazy penalty is as much stronger as it is rarer"
        betas = made.update.optimizers[0].param_groups[0]["betas"]
        expected = (0.99 + (0.9 - 0.99) * half) ** 0.75
        assert betas == pytest.approx((0.0, expected), rel=1e-12)


def test_a_player_whose_numbers_stay_has_nothing_to_follow() -> None:
    assert not player(nn.Linear(2, 2), lazy(1, 2.0, 2.0)).changes
    assert player(nn.Linear(2, 2), lazy(4, 2.0, 0.5)).changes


def test_a_penalty_that_weighs_nothing_is_none() -> None:
    def value(scene: Any) -> Tensor:
        found: Tensor = scene
        return found

    assert penalty("r1", value, PenaltyConfig(weight=0.0)) == ()
    assert len(penalty("r1", value, PenaltyConfig(weight=0.0, final=1.0))) == 1


def test_lazy_penalties_are_due_after_so_many_moves() -> None:
    made = player(nn.Linear(2, 2), lazy(1), lazy(2), lazy(3))
    due = [[one.every for one in made.due(move)] for move in range(1, 7)]
    assert due == [[], [2], [3], [2], [], [2, 3]]


def test_more_to_pursue_keeps_what_there_was() -> None:
    made = player(nn.Linear(2, 2), lazy(1), lazy(2))
    more = made.with_more(Term("more", lambda scene: scene), extra=nn.Linear(1, 1))
    assert [term.name for term in more.terms] == ["term", "more"]
    assert list(more.nets) == ["generator", "extra"]
    assert (more.penalties, more.lazy) == (made.penalties, made.lazy)


# -- what goes wrong on the way --------------------------------------------------------------------


def test_a_loss_that_is_no_number_names_player_and_term(tmp_path: Path) -> None:
    loop = adversarial()
    maker = loop.players["G"]
    sick = Term("odd", lambda scene: scene.fake.flatten(1).mean(1) * math.nan)
    maker.terms = (*maker.terms, sick)
    with pytest.raises(DivergedError) as caught, Run(tmp_path / "run") as run:
        loop.train(run)
    text = str(caught.value)
    assert "update 'generator', number 1" in text
    assert "part 'odd' is nan" in text


def test_a_penalty_that_is_no_number_names_player_and_penalty(tmp_path: Path) -> None:
    loop = adversarial(r1={"weight": 1.0, "every": 3})
    (rare,) = loop.players["D"].lazy
    original = rare.value
    rare.value = lambda scene: original(scene) * math.nan
    with pytest.raises(DivergedError) as caught, Run(tmp_path / "run") as run:
        loop.train(run)
    text = str(caught.value)
    assert "update 'discriminator', number 4" in text
    assert "part 'r1' is nan" in text


def test_images_that_are_no_numbers_name_the_player_and_the_samples(tmp_path: Path) -> None:
    loop = adversarial()
    assert len(loop.real) == BATCHES * BATCH
    loop.real[7, 0, 0, 0] = math.nan
    with pytest.raises(DivergedError) as caught, Run(tmp_path / "run") as run:
        loop.train(run)
    text = str(caught.value)
    assert "update 'discriminator'" in text
    assert "part 'adversarial' is nan" in text
    assert " 7," in text.split("samples")[1]
