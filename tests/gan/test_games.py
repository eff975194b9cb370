"""Every game against a hand-written loop: 20 batches in float64, equal to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from handmade import (
    BATCH,
    BATCHES,
    LR,
    Hand,
    adam,
    adversarial,
    assert_same_end,
    batches,
    norms,
    squared_norms,
    step,
)
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from rondel import Run
from rondel_gan.loops.adversarial import Adversarial

# -- the hand-written loops ------------------------------------------------------------------------


def by_hand(
    discriminator_loss: Callable[[Tensor, Tensor], Tensor],
    generator_loss: Callable[[Tensor, Tensor], Tensor],
    *,
    critic_steps: int = 1,
    paired: bool = False,
) -> Hand:
    """Return the usual loop of two players."""

    def play(loop: Adversarial) -> None:
        generator, critic = loop.generator, loop.discriminator
        optimizer_d, optimizer_g = adam(critic), adam(generator)
        for number, (data, draws) in enumerate(batches(loop), 1):
            with torch.no_grad():
                fake = generator(draws["D"]["noise"])
            step(optimizer_d, discriminator_loss(critic(data["real"]), critic(fake)).mean())
            if number % critic_steps == 0:
                fake = critic(generator(draws["G"]["noise"]))
                real = critic(data["real"]).detach() if paired else fake
                step(optimizer_g, generator_loss(real, fake).mean())

    return play


RULES: Mapping[str, Hand] = {
    "non_saturating": by_hand(
        lambda real, fake: F.softplus(-real) + F.softplus(fake),
        lambda _, fake: F.softplus(-fake),
    ),
    "least_squares": by_hand(
        lambda real, fake: 0.5 * ((real - 1) ** 2 + fake**2),
        lambda _, fake: 0.5 * (fake - 1) ** 2,
    ),
    "hinge": by_hand(
        lambda real, fake: F.relu(1 - real) + F.relu(1 + fake),
        lambda _, fake: -fake,
    ),
    "relativistic": by_hand(
        lambda real, fake: F.softplus(fake - real),
        lambda real, fake: F.softplus(real - fake),
        paired=True,
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_game_of_two_equals_the_hand_written_loop(rule: str, tmp_path: Path) -> None:
    assert_same_end(lambda: adversarial(loss=rule), RULES[rule], tmp_path)


@pytest.mark.parametrize("critic_steps", [1, 2, 3, 4, 5])
def test_the_generator_of_a_wgan_moves_once_for_so_many_critic_steps(
    critic_steps: int, tmp_path: Path
) -> None:
    hand = by_hand(lambda real, fake: fake - real, lambda _, fake: -fake, critic_steps=critic_steps)
    words = {"loss": "wasserstein", "turns": f"D*{critic_steps} G"}
    assert_same_end(lambda: adversarial(**words), hand, tmp_path)
    loop = adversarial(**words)
    with Run(tmp_path / "counted", seed=0) as run:
        loop.train(run)
        moved = {update.name: update.updates for update in run.updates()}
    assert moved == {"discriminator": BATCHES, "generator": BATCHES // critic_steps}


def test_a_wgan_with_clipped_weights_equals_the_hand_written_loop(tmp_path: Path) -> None:
    def play(loop: Adversarial) -> None:
        optimizer_d, optimizer_g = adam(loop.discriminator), adam(loop.generator)
        for data, draws in batches(loop):
            with torch.no_grad():
                fake = loop.generator(draws["D"]["noise"])
            critic = loop.discriminator
            step(optimizer_d, (critic(fake) - critic(data["real"])).mean())
            with torch.no_grad():
                for parameter in critic.parameters():
                    parameter.clamp_(-0.05, 0.05)
            step(optimizer_g, (-critic(loop.generator(draws["G"]["noise"]))).mean())

    words = {"loss": "wasserstein", "discriminator": {"clip_weights": 0.05}}
    assert_same_end(lambda: adversarial(**words), play, tmp_path)


def test_a_wgan_gp_with_five_critic_steps_equals_the_hand_written_loop(tmp_path: Path) -> None:
    def play(loop: Adversarial) -> None:
        generator, critic = loop.generator, loop.discriminator
        optimizer_d, optimizer_g = adam(critic), adam(generator)
        for number, (data, draws) in enumerate(batches(loop), 1):
            real = data["real"]
            with torch.no_grad():
                fake = generator(draws["D"]["noise"])
            place = draws["D"]["mixing"].view(-1, 1, 1, 1)
            mixed = (real + place * (fake - real)).requires_grad_()
            real_scores = critic(real)  # first, as sums of three depend on their order
            loss = (critic(fake) - real_scores).sum()
            penalty = (norms(critic(mixed), mixed) - 1).square().sum()
            step(optimizer_d, (loss + 10.0 * penalty) / BATCH)
            if number % 5 == 0:
                step(optimizer_g, (-critic(generator(draws["G"]["noise"]))).mean())

    words = {"loss": "wasserstein", "turns": "D*5 G", "gradient": {"weight": 10.0}}
    assert_same_end(lambda: adversarial(**words), play, tmp_path)


def test_an_r3gan_with_annealed_penalties_and_betas_equals_the_hand_written_loop(
    tmp_path: Path,
) -> None:
    def ramp(start: float, final: float, progress: float) -> float:
        return final + (start - final) * 0.5 * (1 + math.cos(math.pi * progress))

    def play(loop: Adversarial) -> None:
        generator, critic = loop.generator, loop.discriminator
        optimizer_d, optimizer_g = adam(critic), adam(generator)
        for number, (data, draws) in enumerate(batches(loop)):
            progress = number / BATCHES
            for optimizer in (optimizer_d, optimizer_g):
                optimizer.param_groups[0]["betas"] = (0.0, ramp(0.9, 0.99, progress))
            gamma = ramp(1.0, 0.1, progress)
            real = data["real"].requires_grad_()
            with torch.no_grad():
                fake = generator(draws["D"]["noise"])
            fake.requires_grad_()
            real_scores, fake_scores = critic(real), critic(fake)
            loss = F.softplus(fake_scores - real_scores).sum()
            loss = loss + gamma * (0.5 * squared_norms(real_scores, real)).sum()
            loss = loss + gamma * (0.5 * squared_norms(fake_scores, fake)).sum()
            step(optimizer_d, loss / BATCH)
            fake_scores = critic(generator(draws["G"]["noise"]))
            step(optimizer_g, F.softplus(critic(data["real"]).detach() - fake_scores).mean())

    annealed = {"weight": 1.0, "final": 0.1}
    player = {"final_betas": (0.0, 0.99)}
    words = {
        "loss": "relativistic",
        "r1": annealed,
        "r2": annealed,
        "discriminator": player,
        "generator": player,
    }
    assert_same_end(lambda: adversarial(**words), play, tmp_path)


def test_lazy_penalties_have_the_steps_weights_and_rates_of_stylegan2(tmp_path: Path) -> None:
    """R1 at every fourth move of D, path lengths at every second of G, in steps of their own."""

    def play(loop: Adversarial) -> None:
        generator, critic = loop.generator, loop.discriminator
        rare, rarer = 2 / 3, 4 / 5
        optimizer_d = adam(critic, lr=LR * rarer, betas=(0.0, 0.9**rarer))
        optimizer_g = adam(generator, lr=LR * rare, betas=(0.0, 0.9**rare))
        mean = torch.zeros((), dtype=torch.float64)
        for number, (data, draws) in enumerate(batches(loop), 1):
            with torch.no_grad():
                fake = generator(draws["D"]["noise"])
            real = data["real"]
            step(optimizer_d, (F.softplus(-critic(real)) + F.softplus(critic(fake))).mean())
            if number % 4 == 0:
                real = real.requires_grad_()
                step(optimizer_d, 4 * 1.5 * (0.5 * squared_norms(critic(real), real)).sum() / BATCH)
            noise = draws["G"]["noise"]
            step(optimizer_g, F.softplus(-critic(generator(noise))).mean())
            if number % 2 == 0:
                noise = noise.requires_grad_()
                image = (generator(noise) * draws["G"]["path"]).flatten(1).sum(dim=1) / 4
                lengths = norms(image, noise)
                step(optimizer_g, 2 * 2.0 * (lengths - mean).square().sum() / BATCH)
                mean = mean.lerp(lengths.detach().sum() / BATCH, 0.01)

    words = {"r1": {"weight": 1.5, "every": 4}, "path": {"weight": 2.0, "every": 2}}
    assert_same_end(lambda: adversarial(**words), play, tmp_path)


def test_simultaneous_turns_compute_both_gradients_before_either_step(tmp_path: Path) -> None:
    def play(loop: Adversarial) -> None:
        generator, critic = loop.generator, loop.discriminator
        optimizer_d, optimizer_g = adam(critic), adam(generator)
        for data, draws in batches(loop):
            fake = critic(generator(draws["G+D"]["noise"]))
            loss_g = F.softplus(-fake).mean()
            loss_d = (F.softplus(-critic(data["real"])) + F.softplus(fake)).mean()
            for optimizer, loss in ((optimizer_g, loss_g), (optimizer_d, loss_d)):
                owned = optimizer.param_groups[0]["params"]
                grads = torch.autograd.grad(loss, owned, retain_graph=True)
                for parameter, grad in zip(owned, grads, strict=True):
                    parameter.grad = grad
            optimizer_g.step()
            optimizer_d.step()

    assert_same_end(lambda: adversarial(turns="G+D"), play, tmp_path)


def test_hinge_with_spectral_norm_equals_the_hand_written_loop(tmp_path: Path) -> None:
    words = {"loss": "hinge", "model": {"spectral": True}}
    assert_same_end(lambda: adversarial(**words), RULES["hinge"], tmp_path)
    bounded = adversarial(**words).discriminator.head
    assert isinstance(spectral_norm(nn.Linear(2, 2)), nn.Linear)
    assert hasattr(bounded, "parametrizations")


@pytest.mark.parametrize("condition", ["projection", "auxiliary"])
def test_conditional_games_equal_the_hand_written_loop(condition: str, tmp_path: Path) -> None:
    def play(loop: Adversarial) -> None:
        generator, critic = loop.generator, loop.discriminator
        optimizer_d, optimizer_g = adam(critic), adam(generator)

        def judged(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
            features = critic.body(images)
            scores = critic.head(features).squeeze(1)
            if condition == "projection":
                return scores + (critic.embedding(labels) * features).sum(1), None
            return scores, critic.classifier(features)

        for data, draws in batches(loop):
            labels = data["labels"]
            with torch.no_grad():
                fake = generator(draws["D"]["noise"], labels)
            (real, classes), (made, _) = judged(data["real"], labels), judged(fake, labels)
            loss = (F.softplus(-real) + F.softplus(made)).sum()
            if classes is not None:
                loss = loss + F.cross_entropy(classes, labels, reduction="none").sum()
            step(optimizer_d, loss / BATCH)
            made, classes = judged(generator(draws["G"]["noise"], labels), labels)
            loss = F.softplus(-made).sum()
            if classes is not None:
                loss = loss + F.cross_entropy(classes, labels, reduction="none").sum()
            step(optimizer_g, loss / BATCH)

    assert_same_end(lambda: adversarial(model={"condition": condition}), play, tmp_path)
