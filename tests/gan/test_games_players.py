"""Games with more nets than two against hand-written loops: equal to the last bit."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from handmade import (
    BATCH,
    CLASSES,
    LATENT,
    adam,
    adversarial,
    assert_same_end,
    batches,
    step,
)
from torch import Tensor

from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.loops.info import Info
from rondel_gan.loops.vae import VaeGan


def test_infogan_equals_the_hand_written_loop(tmp_path: Path) -> None:
    def play(loop: Adversarial) -> None:
        assert isinstance(loop, Info)
        generator, critic, reader = loop.generator, loop.discriminator, loop.recogniser
        optimizer_d, optimizer_g = adam(critic), adam(generator, reader)
        for data, draws in batches(loop):
            with torch.no_grad():
                fake = generator(draws["D"]["noise"])
            real = data["real"]
            step(optimizer_d, (F.softplus(-critic(real)) + F.softplus(critic(fake))).mean())
            noise = draws["G"]["noise"]
            features = critic.body(generator(noise))
            loss = F.softplus(-critic.head(features).squeeze(1)).sum()
            read = reader(features)
            category = noise[:, LATENT : LATENT + CLASSES].argmax(1)
            lost = F.cross_entropy(read[:, :CLASSES], category, reduction="none")
            lost = lost + 0.5 * (read[:, CLASSES:] - noise[:, LATENT + CLASSES :]).square().sum(1)
            step(optimizer_g, (loss + 0.7 * lost.sum()) / BATCH)

    words = {"loop": "info", "info": {"categories": CLASSES, "continuous": 2, "weight": 0.7}}
    assert_same_end(lambda: adversarial(Info, **words), play, tmp_path)


def test_vae_gan_equals_the_hand_written_loop(tmp_path: Path) -> None:
    def play(loop: Adversarial) -> None:
        assert isinstance(loop, VaeGan)
        generator, critic, encoder = loop.generator, loop.discriminator, loop.encoder
        optimizer_d, optimizer_g, optimizer_e = adam(critic), adam(generator), adam(encoder)

        def rebuilt(real: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mean, log_variance = encoder(real)
            return generator(mean + (0.5 * log_variance).exp() * deviation), mean, log_variance

        for data, draws in batches(loop):
            real, mine = data["real"], draws["D"]
            with torch.no_grad():
                fake = generator(mine["noise"])
                again, _, _ = rebuilt(real, mine["deviation"])
            scores = critic(real)
            loss = (F.softplus(-scores) + F.softplus(critic(fake))).sum()
            loss = loss + (F.softplus(-scores) + F.softplus(critic(again))).sum()
            step(optimizer_d, loss / BATCH)

            mine = draws["G+E"]
            again, mean, log_variance = rebuilt(real, mine["deviation"])
            with torch.no_grad():
                expected = critic.body(real)
            seen = critic.body(again)
            likeness = 0.5 * (expected - seen).square().sum(dim=1)
            kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
            loss_g = F.softplus(-critic(generator(mine["noise"]))).sum()
            loss_g = loss_g + F.softplus(-critic.head(seen).squeeze(1)).sum()
            loss_g = (loss_g + 0.01 * likeness.sum()) / BATCH
            loss_e = (0.3 * kl.sum() + likeness.sum()) / BATCH
            for optimizer, value in ((optimizer_g, loss_g), (optimizer_e, loss_e)):
                owned = optimizer.param_groups[0]["params"]
                grads = torch.autograd.grad(value, owned, retain_graph=True)
                for parameter, grad in zip(owned, grads, strict=True):
                    parameter.grad = grad
            optimizer_g.step()
            optimizer_e.step()

    words = {"loop": "vae", "vae": {"prior": 0.3}}
    assert_same_end(lambda: adversarial(VaeGan, **words), play, tmp_path)
