"""Games whose nets grow, or whose discriminator sees varied images, against hand-written loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from handmade import (
    BATCH,
    BATCHES,
    NoQuality,
    Plane,
    adam,
    adversarial,
    assert_same_end,
    batches,
    configured,
    squared_norms,
    step,
)

from rondel import Run, keyed
from rondel_gan.loops.growing import Growing
from rondel_gan.models.catalogue import make_growing
from rondel_gan.penalties import one_lipschitz
from rondel_gan.scene import Scene


def growing() -> Growing:
    config = configured(loop="growing", growing={"first": 4, "epochs": 1, "fade": 0.5})
    keyed.reseed(3)
    generator, discriminator = make_growing(config.model, (1, 8, 8), first=4)
    draw = torch.Generator().manual_seed(0)
    real = torch.rand((BATCHES * BATCH, 1, 8, 8), generator=draw, dtype=torch.float64) * 2 - 1
    return Growing(
        config,
        generator=generator.double(),
        discriminator=discriminator.double(),
        data={"real": real},
        quality=NoQuality(),
    )


def test_progressive_growing_equals_the_hand_written_loop(tmp_path: Path) -> None:
    """20 batches of 4 x 4 pixels, then 20 of 8 x 8, the first ten of which fade in."""

    def play(loop: Any) -> None:
        generator, critic = loop.generator, loop.discriminator
        for stage, side in enumerate((4, 8)):
            loop.grow(side)
            assert generator.stage == critic.stage == stage
            assert generator.shape == (1, side, side)
            optimizer_d, optimizer_g = adam(critic), adam(generator)
            for number, (data, draws) in enumerate(batches(loop), 1):
                assert data["real"].shape[2:] == (side, side)
                generator.alpha = critic.alpha = min(1.0, number / 10) if stage else 1.0
                with torch.no_grad():
                    fake = generator(draws["D"]["noise"])
                real = data["real"]
                step(optimizer_d, (F.softplus(-critic(real)) + F.softplus(critic(fake))).mean())
                step(optimizer_g, F.softplus(-critic(generator(draws["G"]["noise"]))).mean())

    assert_same_end(growing, play, tmp_path)


def varied_by_hand(loop: Any, *, target: float | None = None, images: int = 1) -> list[float]:
    """Play with varied images; with a target, the probability follows; return its values."""
    generator, critic, augment = loop.generator, loop.discriminator, loop.augment
    optimizer_d, optimizer_g = adam(critic), adam(generator)
    probability, seen = 0.0 if target is not None else 1.0, []
    for number, (data, draws) in enumerate(batches(loop)):
        augment.probability = torch.tensor(probability)
        mine = draws["D"]
        with torch.no_grad():
            fake = generator(mine["noise"])
        real = critic(augment(data["real"], mine["vary_real"]))
        made = critic(augment(fake, mine["vary_fake"]))
        step(optimizer_d, (F.softplus(-real) + F.softplus(made)).mean())
        if target is not None and number % 4 == 0:
            sign = float(real.detach().sign().mean())
            up = 1 if sign > target else -1 if sign < target else 0
            probability = min(1.0, max(0.0, probability + up * 4 * BATCH / images))
            augment.probability = torch.tensor(probability)
        seen.append(probability)
        mine = draws["G"]
        made = critic(augment(generator(mine["noise"]), mine["vary_fake"]))
        step(optimizer_g, F.softplus(-made).mean())
    return seen


def test_diff_augment_equals_the_hand_written_loop(tmp_path: Path) -> None:
    kinds = ("color", "translation", "cutout", "flip")
    words = {"augment": {"mode": "diff", "kinds": kinds}}
    assert_same_end(lambda: adversarial(**words), varied_by_hand, tmp_path)


def test_the_probability_of_ada_follows_the_sign_of_real_scores(tmp_path: Path) -> None:
    words = {"augment": {"mode": "ada", "images": 64, "target": 0.2}}
    values: list[float] = []

    def play(loop: Any) -> None:
        values[:] = varied_by_hand(loop, target=0.2, images=64)

    assert_same_end(lambda: adversarial(**words), play, tmp_path)
    loop = adversarial(**words)
    with Run(tmp_path / "again", seed=0) as run:
        loop.train(run)
    assert loop.augment is not None
    assert float(loop.augment.probability) == values[-1]
    assert len(set(values)) > 2, "the probability did not move both ways"


@pytest.mark.parametrize("size", [2, 16, 128])
@pytest.mark.parametrize(("norm", "expected"), [(1.0, 0.0), (3.0, 4.0)])
def test_the_penalty_of_a_linear_critic_does_not_depend_on_the_batch_size(
    size: int, norm: float, expected: float
) -> None:
    loop: Any = adversarial(loss="wasserstein", gradient={"weight": 10.0})
    loop.discriminator = Plane(norm)
    draw = torch.Generator().manual_seed(size)
    real = torch.randn((size, 1, 4, 4), generator=draw, dtype=torch.float64)
    draws = loop.draw(size, draw)["D"]
    scene = Scene(loop, {"real": real}, draws, frozenset({"discriminator"}), frozenset())
    values = one_lipschitz(scene)
    assert values.shape == (size,)
    torch.testing.assert_close(values, torch.full_like(values, expected), rtol=0, atol=1e-24)
    # what the norm of a whole batch would say: it grows with the batch
    whole = (squared_norms(scene.score(scene.mixed), scene.mixed).sum().sqrt() - 1).square()
    assert whole.item() > 0.1
