"""Recipes: every one resolves, lies below what the user says, and trains."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from rondel import Run
from rondel.errors import Interrupted
from rondel_gan.config import DatasetName, GanConfig, LoopName
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.recipes import LOOPS, RECIPES, SETS, RecipeName, over

Configure = Callable[..., GanConfig]
Make = Callable[..., Adversarial]
SMALL = ("batch_size=32", "evaluation.samples=64")
NARROW = "translation.width=4"
GAMES = {
    "adversarial": (),
    "info": (),
    "vae": (),
    "growing": (),
    "pix2pix": ("dataset=colorize", NARROW),
    "cycle": ("dataset=photos", NARROW),
}


def test_every_name_has_a_recipe_and_every_recipe_a_name() -> None:
    assert set(RECIPES) == set(get_args(RecipeName))
    assert set(GAMES) == set(get_args(LoopName))
    assert set(LOOPS) <= set(get_args(LoopName))
    assert set(SETS) <= set(get_args(DatasetName))


def assert_trains_two_batches(loop: Adversarial, directory: Path) -> None:
    """Play until the second safe point; each player that moves has a finite loss."""
    with pytest.raises(Interrupted), Run(directory, stop_at=2) as run:
        loop.train(run)
    assert math.isfinite(float(loop.players["D"].update.last))
    assert loop.ledger.moves["D"] == 2


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_two_batches(
    recipe: str, make_quick_loop: Make, tmp_path: Path
) -> None:
    loop = make_quick_loop(*SMALL, f"recipe={recipe}", "model.width=16")
    assert_trains_two_batches(loop, tmp_path / "run")


@pytest.mark.parametrize("game", GAMES)
def test_every_loop_trains_two_batches(game: str, make_quick_loop: Make, tmp_path: Path) -> None:
    loop = make_quick_loop(*SMALL, *GAMES[game], f"loop={game}", "model.width=16")
    assert_trains_two_batches(loop, tmp_path / "run")


@pytest.mark.parametrize("dataset", ["digits", "ring", "grid", "colorize", "photos"])
def test_every_embedded_set_trains_two_batches(
    dataset: str, make_quick_loop: Make, tmp_path: Path
) -> None:
    narrow = (NARROW,) if dataset in ("colorize", "photos") else ()
    loop = make_quick_loop(*SMALL, *narrow, f"dataset={dataset}", "model.width=16")
    assert_trains_two_batches(loop, tmp_path / "run")


def test_a_recipe_lies_below_what_the_user_says(configure: Configure) -> None:
    config = configure("recipe=wgan_gp", "gradient.weight=5", "turns=D*3 G")
    assert (config.loss, config.gradient.weight, config.turns) == ("wasserstein", 5.0, "D*3 G")
    assert config.r1.weight == 0.0
    assert config.discriminator.optimizer.betas == (0.0, 0.9)
    assert config.generator.optimizer.lr == 1e-3


def test_a_recipe_lies_above_what_suits_the_set(configure: Configure) -> None:
    config = configure("recipe=vanilla", "dataset=ring")
    assert config.r1.weight == 0.0
    assert (config.model.width, config.model.output) == (64, "linear")


def test_what_suits_a_loop_lies_above_what_suits_the_set(configure: Configure) -> None:
    config = configure("dataset=photos")
    assert (config.loop, config.loss, config.r1.weight) == ("cycle", "least_squares", 0.0)
    assert config.generator.ema is None


def test_own_data_is_treated_as_digits_are(configure: Configure, tmp_path: Path) -> None:
    own = configure(f"data={tmp_path}", "dataset=ring")
    assert own.model == configure().model


def test_settings_are_laid_over_each_other_group_by_group() -> None:
    below = {"a": {"b": 1, "c": 2}, "d": 3}
    assert over(below, {"a": {"b": 5}, "e": {"f": 6}}) == {
        "a": {"b": 5, "c": 2},
        "d": 3,
        "e": {"f": 6},
    }
    assert below == {"a": {"b": 1, "c": 2}, "d": 3}
