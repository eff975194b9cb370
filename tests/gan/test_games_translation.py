"""Games from image to image against hand-written loops: 20 batches in float64, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from handmade import BATCHES, NoQuality, adam, assert_same_end, batches, configured, step
from torch import Tensor, nn

from rondel import keyed
from rondel.errors import ConfigError
from rondel_gan.loops.cycle import Cycle
from rondel_gan.loops.pix2pix import Pix2Pix
from rondel_gan.models import patch
from rondel_gan.models.critic import Critic
from rondel_gan.models.unet import UNet

SIDE, WIDTH, BATCH, POOL = 32, 4, 2, 5
SOURCE, TARGET = (1, SIDE, SIDE), (2, SIDE, SIDE)


def images(seed: int, shape: tuple[int, ...]) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand((BATCHES * BATCH, *shape), generator=draw, dtype=torch.float64) * 2 - 1


def translator(source: tuple[int, ...], target: tuple[int, ...]) -> UNet:
    return UNet(source, target, WIDTH).double()


def judge(channels: int) -> Critic:
    return Critic(*patch.critic_body(WIDTH, (channels, SIDE, SIDE))).double()


def pix2pix(**values: Any) -> Pix2Pix:
    keyed.reseed(3)
    sources, targets = images(1, SOURCE), images(2, TARGET)
    return Pix2Pix(
        configured(loop="pix2pix", batch_size=BATCH, **values),
        generator=translator(SOURCE, TARGET),
        discriminator=judge(3),
        data={"real": targets, "source": sources},
        quality=NoQuality(),
        held_out=(sources[:3], targets[:3]),
    )


def cycle(source: tuple[int, ...] = TARGET, **values: Any) -> Cycle:
    keyed.reseed(3)
    sources, targets = images(1, source), images(2, TARGET)
    return Cycle(
        configured(loop="cycle", loss="least_squares", batch_size=BATCH, **values),
        generator=translator(source, TARGET),
        inverse=translator(TARGET, source),
        discriminator=judge(2),
        other=judge(source[0]),
        data={"real": targets},
        sources=sources,
        quality=NoQuality(),
        held_out=(sources[:3], targets[:3]),
    )


def apart(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().flatten(1).mean(dim=1)


def test_pix2pix_equals_the_hand_written_loop(tmp_path: Path) -> None:
    def play(loop: Any) -> None:
        generator, critic = loop.generator, loop.discriminator
        optimizer_d, optimizer_g = adam(critic), adam(generator)

        def judged(source: Tensor, target: Tensor) -> Tensor:
            scores: Tensor = critic(torch.cat([source, target], dim=1))
            return scores

        softplus = nn.functional.softplus
        for data, _ in batches(loop):
            source, target = data["source"], data["real"]
            with torch.no_grad():
                fake = generator(source)
            loss = softplus(-judged(source, target)) + softplus(judged(source, fake))
            step(optimizer_d, loss.mean())
            fake = generator(source)
            loss = softplus(-judged(source, fake)).sum() + 100.0 * apart(fake, target).sum()
            step(optimizer_g, loss / BATCH)

    assert_same_end(pix2pix, play, tmp_path)


class HandPool:
    """Past images in a list: about half of the new ones are exchanged for them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.kept: list[Tensor] = []

    def show(self, new: Tensor, batch: int) -> Tensor:
        if len(self.kept) < POOL:
            self.kept += list(new[: POOL - len(self.kept)])
            return new
        draw = keyed.generator(0, self.name, batch)
        slots = torch.randperm(POOL, generator=draw).tolist()
        coins = torch.rand(len(new), generator=draw).tolist()
        shown = []
        for image, slot, coin in zip(new, slots, coins, strict=False):
            if coin < 0.5:
                shown.append(self.kept[slot])
                self.kept[slot] = image
            else:
                shown.append(image)
        return torch.stack(shown)


@pytest.mark.parametrize(("identity", "shape"), [(0.5, TARGET), (0.0, SOURCE)])
def test_cycle_gan_equals_the_hand_written_loop(
    identity: float, shape: tuple[int, ...], tmp_path: Path
) -> None:
    def play(loop: Any) -> None:
        there, back, judge_there, judge_back = nets = (
            loop.generator,
            loop.inverse,
            loop.discriminator,
            loop.other,
        )
        optimizer_g, optimizer_d = adam(*nets[:2]), adam(*nets[2:])
        targets_shown, sources_shown = HandPool("pooled"), HandPool("pooled_source")
        both = zip(batches(loop), batches(loop, loop.sources), strict=True)
        for number, ((data, _), sources) in enumerate(both):
            source, target = sources["source"], data["real"]
            with torch.no_grad():
                fake = targets_shown.show(there(source), number)
                fake_source = sources_shown.show(back(target), number)

            made = there(source)
            loss = (0.5 * (judge_there(made) - 1) ** 2).sum()
            made_source = back(target)
            loss = loss + (0.5 * (judge_back(made_source) - 1) ** 2).sum()
            again, again_target = back(made), there(made_source)
            around = apart(again, source) + apart(again_target, target)
            loss = loss + 10.0 * around.sum()
            if identity:
                same, same_source = there(target), back(source)
                stay = apart(same, target) + apart(same_source, source)
                loss = loss + 10.0 * identity * stay.sum()
            step(optimizer_g, loss / BATCH)

            loss = (0.5 * ((judge_there(target) - 1) ** 2 + judge_there(fake) ** 2)).sum()
            real = judge_back(source)
            loss = loss + (0.5 * ((real - 1) ** 2 + judge_back(fake_source) ** 2)).sum()
            step(optimizer_d, loss / BATCH)

    settings = {"pool": POOL, "identity": identity}
    assert_same_end(lambda: cycle(shape, translation=settings), play, tmp_path)


def test_an_identity_of_images_with_other_channels_is_refused_before_training() -> None:
    with pytest.raises(ConfigError) as caught:
        cycle(SOURCE)
    text = str(caught.value)
    assert "translation.identity" in text
    assert "sources have 1 channels, targets 2" in text
    assert "translation.identity=0" in text
