"""What the updates of the two players compute, and what they leave alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from rondel import Run, UpdateConfig, keyed
from rondel.settings import OptimizerConfig
from rondel_gan import losses
from rondel_gan.loops.adversarial import Adversarial

Make = Callable[..., Adversarial]
TINY = ("model.width=16", "model.latent=4", "evaluation.samples=64")
PIECES = [1, 2, 8]
BATCH = 13  # no piece is as large as another


@pytest.fixture
def tiny_loop(make_quick_loop: Make) -> Callable[[], Adversarial]:
    return lambda: doubled(make_quick_loop(*TINY))


def doubled(loop: Adversarial) -> Adversarial:
    loop.generator.double()
    loop.discriminator.double()
    return loop


def inputs(loop: Adversarial) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    real = loop.images.data[:BATCH].double()
    return real, torch.randn(BATCH, loop.generator.latent, generator=draw, dtype=torch.float64)


def gradient_of(loop: Adversarial, directory: Path, step: str, pieces: int) -> list[Tensor]:
    """Step once with a learning rate of almost nothing, and return the gradient."""
    real, noise = inputs(loop)
    module: nn.Module = loop.generator if step == "generator" else loop.discriminator
    config = UpdateConfig(optimizer=OptimizerConfig(name="sgd", lr=1e-12), micro_batches=pieces)
    with Run(directory) as run:
        update = run.update("player", module, config)
        if step == "generator":
            update(loop.generator_loss, noise)
        else:
            with update.gather():
                if step == "discriminator":
                    update(loop.discriminator_loss, real, noise)
                update(loop.penalty, real)
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in module.parameters()]


@pytest.mark.parametrize("step", ["discriminator", "penalty only", "generator"])
def test_pieces_of_a_batch_give_the_gradient_of_the_whole(
    step: str, tiny_loop: Callable[[], Adversarial], tmp_path: Path
) -> None:
    whole, *others = (
        gradient_of(tiny_loop(), tmp_path / str(pieces), step, pieces) for pieces in PIECES
    )
    assert max(g.abs().max().item() for g in whole) > 1e-6
    for other in others:
        torch.testing.assert_close(other, whole, rtol=1e-10, atol=1e-14)


def test_the_penalty_is_the_squared_norm_of_each_samples_own_gradient(
    tiny_loop: Callable[[], Adversarial],
) -> None:
    loop = tiny_loop()
    real, _ = inputs(loop)
    parameters: dict[str, Tensor] = dict(loop.discriminator.named_parameters())

    def score(image: Tensor) -> Tensor:
        scores: Tensor = functional_call(loop.discriminator, parameters, (image[None],))
        return scores[0]

    per_sample = vmap(grad(score))(real).flatten(1).square().sum(dim=1)
    penalty = losses.r1_penalty(loop.discriminator, real, weight=3.0)
    assert penalty.count == BATCH
    torch.testing.assert_close(penalty.sum, 1.5 * per_sample.sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [2, 16, 128])
def test_the_penalty_of_a_linear_critic_does_not_depend_on_the_batch_size(size: int) -> None:
    weight = torch.full((64,), 0.125, dtype=torch.float64, requires_grad=True)  # norm 1
    real = torch.randn(size, 1, 8, 8, dtype=torch.float64)
    penalty = losses.r1_penalty(lambda images: images.flatten(1) @ weight, real, weight=2.0)
    assert penalty.mean.item() == pytest.approx(1.0, rel=1e-12)


def test_losses_equal_the_binary_cross_entropy() -> None:
    real, fake = torch.randn(9, dtype=torch.float64), torch.randn(9, dtype=torch.float64)
    entropy = nn.BCEWithLogitsLoss(reduction="sum")
    both = entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake))
    torch.testing.assert_close(losses.discriminator_loss(real, fake).sum, both)
    torch.testing.assert_close(
        losses.generator_loss(fake).sum, entropy(fake, torch.ones_like(fake))
    )


@pytest.mark.parametrize("moves", ["generator", "discriminator"])
def test_a_step_of_one_player_leaves_the_other_alone(
    moves: str, tiny_loop: Callable[[], Adversarial], tmp_path: Path
) -> None:
    loop = tiny_loop()
    real, noise = inputs(loop)
    players: dict[str, nn.Module] = {
        "generator": loop.generator,
        "discriminator": loop.discriminator,
    }
    before = {
        name: [p.detach().clone() for p in module.parameters()] for name, module in players.items()
    }
    with Run(tmp_path / "run") as run:
        update = run.update(moves, players[moves], getattr(loop.config, moves), total=10)
        if moves == "generator":
            update(loop.generator_loss, noise)
        else:
            update(loop.discriminator_loss, real, noise)
    for name, module in players.items():
        same = [
            torch.equal(p, old) for p, old in zip(module.parameters(), before[name], strict=True)
        ]
        if name == moves:
            assert not any(same)
        else:
            assert all(same)
            assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize("critic_steps", [1, 2, 3])
def test_the_generator_moves_once_for_so_many_critic_steps(
    critic_steps: int, make_quick_loop: Make, tmp_path: Path
) -> None:
    loop = make_quick_loop(
        "epochs=2", "batch_size=200", f"critic_steps={critic_steps}", "evaluation.samples=64"
    )
    with Run(tmp_path / "run", settings=loop.config.run) as run:
        loop.train(run)
    batches = 2 * 7  # 1,297 images
    counts = dict.fromkeys(("discriminator", "generator"), 0)
    for row in map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()):
        if row["event"] == "update":
            counts[row["name"]] = row["updates"]
    assert counts == {"discriminator": batches, "generator": batches // critic_steps}


def test_a_lazy_penalty_is_rarer_and_as_much_stronger(
    make_quick_loop: Make, tmp_path: Path
) -> None:
    loop = make_quick_loop("epochs=1", "batch_size=200", "r1.every=3", "evaluation.samples=64")
    weights = []
    original = losses.r1_penalty

    def spy(*args: object, weight: float) -> object:
        weights.append(weight)
        return original(*args, weight=weight)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, Run(tmp_path / "run") as run:
        patch.setattr(losses, "r1_penalty", spy)
        loop.train(run)
    assert weights == [3.0, 3.0]  # 7 batches


def test_the_noise_of_the_players_differs_and_is_keyed(
    tiny_loop: Callable[[], Adversarial],
) -> None:
    loop = tiny_loop()
    critic, own = loop.noise(5, keyed.generator(0, "noise"))
    again, _ = loop.noise(5, keyed.generator(0, "noise"))
    assert critic.shape == own.shape == (5, 4)
    assert torch.equal(critic, again)
    assert not torch.equal(critic, own)
