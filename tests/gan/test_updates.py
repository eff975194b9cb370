"""What the moves of the players compute, and what they leave alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from handmade import Plane
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from rondel import Run, keyed
from rondel_gan import penalties
from rondel_gan.config import LossName
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.losses import RULES
from rondel_gan.scene import DISCRIMINATOR, GENERATOR, Scene

Make = Callable[..., Adversarial]
TINY = ("model.width=16", "model.latent=4", "evaluation.samples=64")
STILL = ("optimizer.name=sgd", "optimizer.betas=none", "optimizer.lr=1e-12", "ema=none")
PIECES = [1, 2, 8]
BATCH = 13  # no piece is as large as another


@pytest.fixture
def tiny_loop(make_quick_loop: Make) -> Make:
    """Return a function that makes a small loop in float64."""

    def make(*words: str) -> Adversarial:
        loop = make_quick_loop(*TINY, *words)
        for player in loop.players.values():
            for net in player.nets.values():
                net.double()
        loop.dtype = torch.float64
        return loop

    return make


def inputs(loop: Adversarial, turn: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return rows and random numbers of a batch."""
    rows = {"real": loop.real[:BATCH].double()}
    return rows, loop.draw(BATCH, torch.Generator().manual_seed(1))[turn]


def scene_of(loop: Adversarial, role: str, *watched: str) -> Scene:
    turn = {DISCRIMINATOR: "D", GENERATOR: "G"}[role]
    return Scene(loop, *inputs(loop, turn), frozenset({role}), frozenset(watched))


MOVES = {
    "discriminator": ("D", ("r1.weight=2", "r2.weight=1", "gradient.weight=10")),
    "generator": ("G", ("path.weight=2",)),
    "relativistic generator": ("G", ("loss=relativistic",)),
    "r1 only": ("D", ("r1.weight=2", "r1.every=2")),
    "path length only": ("G", ("path.weight=2", "path.every=2")),
}


def gradient_of(make: Make, directory: Path, name: str, pieces: int) -> list[Tensor]:
    """Move once with a learning rate of almost nothing, and return the gradient."""
    code, words = MOVES[name]
    still = [f"{role}.{word}" for role in (DISCRIMINATOR, GENERATOR) for word in STILL]
    loop = make(
        *words,
        *still,
        f"{DISCRIMINATOR}.micro_batches={pieces}",
        f"{GENERATOR}.micro_batches={pieces}",
    )
    with Run(directory) as run:
        loop.enter(run)
        move, player = loop.moves[(code,)], loop.players[code]
        loss = next(iter(move.lazy.values())) if "only" in name else move.losses
        player.update(loss, *inputs(loop, code))
    owned = player.update.owned
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in owned]


@pytest.mark.parametrize("name", MOVES)
def test_pieces_of_a_batch_give_the_gradient_of_the_whole(
    name: str, tiny_loop: Make, tmp_path: Path
) -> None:
    whole, *others = (
        gradient_of(tiny_loop, tmp_path / str(pieces), name, pieces) for pieces in PIECES
    )
    assert max(g.abs().max().item() for g in whole) > 1e-6
    for other in others:
        torch.testing.assert_close(other, whole, rtol=1e-10, atol=1e-14)


# -- penalties -------------------------------------------------------------------------------------


def slopes_of(loop: Adversarial, images: Tensor) -> Tensor:
    """Return the gradient of every sample's score, one sample at a time, (N, ...)."""
    parameters: dict[str, Tensor] = dict(loop.discriminator.named_parameters())

    def score(image: Tensor) -> Tensor:
        scores: Tensor = functional_call(loop.discriminator, parameters, (image[None],))
        return scores[0]

    slopes: Tensor = vmap(grad(score))(images.detach())
    return slopes.flatten(1)


def test_penalties_are_of_each_samples_own_gradient(tiny_loop: Make) -> None:
    loop = tiny_loop("gradient.weight=10")
    scene = scene_of(loop, DISCRIMINATOR, "real", "fake")
    for value, images in ((penalties.r1, scene.real), (penalties.r2, scene.fake)):
        expected = 0.5 * slopes_of(loop, images).square().sum(dim=1)
        torch.testing.assert_close(value(scene), expected, rtol=1e-12, atol=0)
    expected = (slopes_of(loop, scene.mixed).norm(dim=1) - 1).square()
    torch.testing.assert_close(penalties.one_lipschitz(scene), expected, rtol=1e-12, atol=0)


def test_images_in_between_lie_each_at_a_place_of_its_own(tiny_loop: Make) -> None:
    scene = scene_of(tiny_loop("gradient.weight=10"), DISCRIMINATOR)
    real, fake = scene.real.flatten(1), scene.fake.flatten(1)
    place = ((scene.mixed.flatten(1) - real) / (fake - real)).detach()
    torch.testing.assert_close(place, place[:, :1].expand_as(place), rtol=1e-9, atol=0)
    assert len(place[:, 0].unique()) == BATCH
    assert 0 < float(place.min()) < float(place.max()) < 1


@pytest.mark.parametrize("size", [2, 16, 128])
def test_the_penalty_of_a_linear_critic_does_not_depend_on_the_batch_size(
    size: int, tiny_loop: Make
) -> None:
    loop: Any = tiny_loop()
    loop.discriminator = Plane(2.0, numbers=64)
    real = torch.randn(size, 1, 8, 8, dtype=torch.float64)
    scene = Scene(loop, {"real": real}, {}, frozenset({DISCRIMINATOR}), frozenset({"real"}))
    torch.testing.assert_close(penalties.r1(scene), torch.full((size,), 2.0).double())


def test_a_critic_that_is_flat_somewhere_is_pulled_nowhere(tiny_loop: Make) -> None:
    loop: Any = tiny_loop("gradient.weight=10")
    loop.discriminator = Plane(0.0, numbers=64)
    values = penalties.one_lipschitz(scene_of(loop, DISCRIMINATOR))
    assert values.tolist() == [1.0] * BATCH
    (slope,) = torch.autograd.grad(values.sum(), loop.discriminator.weight)
    assert not slope.any(), "a root of zero would make it NaN"


def test_path_lengths_are_those_of_each_samples_own_jacobian(tiny_loop: Make) -> None:
    loop = tiny_loop("path.weight=2")
    scene = scene_of(loop, GENERATOR, "noise")
    loop.path.mean = torch.tensor(0.3, dtype=torch.float64)
    values = loop.path(scene)
    for noise, direction, found in zip(scene.noise, scene.draws["path"], values, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda z: loop.generator(z[None])[0].flatten(), noise.detach()
        )
        length = (direction.flatten() @ jacobian).norm() / 8  # of 8 x 8 pixels
        torch.testing.assert_close(found, (length - 0.3) ** 2, rtol=1e-10, atol=0)


def test_a_lazy_penalty_is_rarer_and_as_much_stronger(
    make_quick_loop: Make, tmp_path: Path
) -> None:
    loop = make_quick_loop(*TINY, "epochs=1", "batch_size=200", "r1.weight=2", "r1.every=3")
    (rare,) = loop.players["D"].lazy
    seen: list[int] = []
    original = rare.value

    def spy(scene: Scene) -> Tensor:
        seen.append(loop.ledger.moves["D"])
        return original(scene)

    rare.value = spy
    with Run(tmp_path / "run") as run:
        loop.train(run)
    assert seen == [3, 6]  # of 7 batches
    assert rare.strength == 6.0


# -- rules -----------------------------------------------------------------------------------------


def test_the_first_rule_is_the_binary_cross_entropy() -> None:
    real, fake = torch.randn(2, 9, dtype=torch.float64)
    entropy = nn.BCEWithLogitsLoss(reduction="sum")
    both = entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake))
    rule = RULES["non_saturating"]
    torch.testing.assert_close(rule.discriminator(real, fake).sum(), both)
    fooled = entropy(fake, torch.ones_like(fake))
    torch.testing.assert_close(rule.generator(real, fake).sum(), fooled)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_pulls_the_scores_apart_and_the_generator_after_them(name: LossName) -> None:
    real, fake = torch.zeros(2, 4, dtype=torch.float64).requires_grad_()
    rule = RULES[name]
    up, down = torch.autograd.grad(rule.discriminator(real, fake).sum(), (real, fake))
    assert (up < 0).all()
    assert (down >= 0).all()
    assert name == "least_squares" or (down > 0).all()
    (pull,) = torch.autograd.grad(rule.generator(real.detach(), fake).sum(), fake)
    assert (pull < 0).all()


# -- who moves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("moves", ["D", "G"])
@pytest.mark.parametrize("words", [(), ("r1.every=2", "path.weight=1", "path.every=2")])
def test_a_move_of_one_player_leaves_the_other_alone(
    moves: str, words: tuple[str, ...], tiny_loop: Make, tmp_path: Path
) -> None:
    loop = tiny_loop(*words)
    with Run(tmp_path / "run") as run:
        loop.enter(run)
        before = {code: copies(player.update.owned) for code, player in loop.players.items()}
        for turn in (turn for turn in loop.plan.turns if turn.players == (moves,)):
            rows, _ = inputs(loop, moves)
            draws = loop.draw(BATCH, torch.Generator().manual_seed(2))
            loop.move(turn, rows, draws)
            loop.move(turn, rows, draws)
    for code, player in loop.players.items():
        owned = player.update.owned
        same = [torch.equal(p, old) for p, old in zip(owned, before[code], strict=True)]
        if code == moves:
            assert not any(same)
            assert player.update.updates == 2 + bool(words)
        else:
            assert all(same)
            assert all(p.grad is None for p in owned)


def copies(parameters: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


@pytest.mark.parametrize("moves", [1, 2, 3])
def test_the_generator_moves_once_for_so_many_moves_of_the_discriminator(
    moves: int, make_quick_loop: Make, tmp_path: Path
) -> None:
    loop = make_quick_loop(*TINY, "epochs=2", "batch_size=200", f"turns=D*{moves} G")
    with Run(tmp_path / "run", settings=loop.config.run) as run:
        loop.train(run)
    batches = 2 * 7  # 1,297 images
    counts = dict.fromkeys(("discriminator", "generator"), 0)
    for row in map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()):
        if row["event"] == "update":
            counts[row["name"]] = row["updates"]
    assert counts == {"discriminator": batches, "generator": batches // moves}
    assert loop.ledger.moves == {"D": batches, "G": batches // moves}


def test_a_discriminator_that_wins_too_often_sits_out(
    make_quick_loop: Make, tmp_path: Path
) -> None:
    counts = {}
    for limit in ("1", "0.5", "1e-6"):
        loop = make_quick_loop(*TINY, "epochs=2", "batch_size=200", f"balance={limit}")
        with Run(tmp_path / limit) as run:
            loop.train(run)
        counts[limit] = loop.ledger.moves["D"]
        assert loop.ledger.moves["G"] == 14
    assert counts["1"] == 14
    assert counts["1e-6"] <= counts["0.5"] < 14


def test_the_random_numbers_of_the_turns_differ_and_are_keyed(tiny_loop: Make) -> None:
    loop = tiny_loop("gradient.weight=1", "augment.mode=diff")
    first = loop.draw(5, keyed.generator(0, "noise"))
    again = loop.draw(5, keyed.generator(0, "noise"))
    assert {turn: sorted(drawn) for turn, drawn in first.items()} == {
        "D": ["mixing", "noise", "vary_fake", "vary_real"],
        "G": ["noise", "vary_fake", "vary_real"],
    }
    flat = [value for drawn in first.values() for value in drawn.values()]
    repeated = [value for drawn in again.values() for value in drawn.values()]
    assert all(torch.equal(a, b) for a, b in zip(flat, repeated, strict=True))
    assert first["D"]["noise"].shape == first["G"]["noise"].shape == (5, 4)
    assert not torch.equal(first["D"]["noise"], first["G"]["noise"])
    assert not torch.equal(first["D"]["vary_real"], first["D"]["vary_fake"])
