"""U-Net and PatchGAN: shapes, connections, and what a patch sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rondel.errors import ConfigError
from rondel_gan.models.catalogue import make_patch_critic, make_translator


@pytest.mark.parametrize("size", [(32, 32), (48, 48), (64, 32), (40, 56), (128, 128), (256, 256)])
def test_a_unet_translates_every_size(size: tuple[int, int]) -> None:
    net = make_translator(4, (1, *size), (3, *size))
    assert net(torch.randn(2, 1, *size)).shape == (2, 3, *size) == (2, *net.shape)
    assert (net.latent, net.classes) == (0, 0)


@pytest.mark.parametrize(("size", "depth"), [(32, 5), (48, 4), (40, 3), (256, 8)])
def test_a_unet_halves_down_to_an_odd_size(size: int, depth: int) -> None:
    net = make_translator(4, (1, size, size), (1, size, size))
    assert len(net.downs) == depth == len(net.ups) + 1


@pytest.mark.parametrize("step", range(4))
def test_a_map_on_the_way_up_sees_its_partner_of_the_same_size(step: int) -> None:
    torch.manual_seed(0)
    net = make_translator(4, (1, 32, 32), (1, 32, 32))
    with torch.no_grad():
        for parameter in net.ups[step].parameters():  # nothing passes from below
            parameter.zero_()
    torch.autograd.backward(net(torch.randn(1, 1, 32, 32)).sum())
    reached = [
        any(p.grad is not None and bool(p.grad.any()) for p in layer.parameters())
        for layer in net.downs
    ]
    assert reached == [True] * (4 - step) + [False] * (step + 1)


def test_a_translation_depends_on_no_other_image() -> None:
    net = make_translator(4, (1, 32, 32), (3, 32, 32)).double()
    images = torch.randn(5, 1, 32, 32).double()
    torch.testing.assert_close(net(images), torch.cat([net(image[None]) for image in images]))


@pytest.mark.parametrize("size", [(36, 36), (24, 24), (512, 512), (32, 44)])
def test_a_size_that_a_unet_cannot_halve_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        make_translator(4, (1, *size), (1, *size))
    assert str(caught.value) == (
        f"loop: a U-Net translates no images of {size[0]} x {size[1]} pixels. "
        "Scale or crop them to multiples of 8, from 32 to 256 pixels."
    )


def test_a_unet_needs_one_size_on_both_sides() -> None:
    with pytest.raises(ConfigError) as caught:
        make_translator(4, (1, 32, 32), (1, 64, 64))
    assert str(caught.value) == (
        "loop: a U-Net makes no images of 64 x 64 of those of 32 x 32. "
        "Scale or crop both sides to one size."
    )


@pytest.mark.parametrize(("size", "width"), [(32, 16), (48, 16), (64, 32), (256, 32)])
def test_a_patch_critic_gives_one_score_per_image(size: int, width: int) -> None:
    critic = make_patch_critic(4, (4, size, size))
    images = torch.randn(3, 4, size, size)
    assert critic(images).shape == (3,)
    assert critic.features(images).shape == (3, critic.width) == (3, width)


def test_the_score_is_the_mean_of_the_scores_of_patches() -> None:
    critic = make_patch_critic(4, (2, 64, 64)).double()
    images = torch.randn(3, 2, 64, 64).double()
    assert isinstance(critic.body, nn.Sequential)
    maps = critic.body[:-1](images)
    patches = nn.functional.conv2d(maps, critic.head.weight[:, :, None, None], critic.head.bias)
    assert patches.shape == (3, 1, 7, 7)
    torch.testing.assert_close(critic(images), patches.mean(dim=(1, 2, 3)))


@pytest.mark.parametrize(("size", "seen"), [(63, 22), (128, 46)])
def test_a_patch_sees_as_many_pixels_as_documented(size: int, seen: int) -> None:
    critic = make_patch_critic(2, (1, size, size)).double()
    images = torch.randn(1, 1, size, size).double().requires_grad_()
    assert isinstance(critic.body, nn.Sequential)
    maps = critic.body[:-1](images)
    middle = maps.shape[-1] // 2
    (gradient,) = torch.autograd.grad(maps[0, :, middle, middle].sum(), images)
    rows = gradient[0, 0].abs().sum(dim=1).nonzero()
    assert (rows.max() - rows.min() + 1).item() == seen


def test_a_patch_critic_can_be_bounded() -> None:
    critic = make_patch_critic(4, (2, 32, 32), spectral=True)
    for _ in range(200):
        critic(torch.zeros(1, 2, 32, 32))
    for layer in critic.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            largest = torch.linalg.svdvals(layer.weight.flatten(1).detach())[0].item()
            assert largest == pytest.approx(1, abs=2e-3)


def test_both_nets_have_gradients_of_gradients() -> None:
    torch.manual_seed(0)
    net = make_translator(2, (1, 32, 32), (1, 32, 32)).double()
    critic = make_patch_critic(2, (1, 32, 32)).double()
    images = torch.randn(1, 1, 32, 32).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: critic(x).square(), images, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: net(x).mean().square(), images, fast_mode=True)
    (gradient,) = torch.autograd.grad(critic(net(images)).sum(), images, create_graph=True)
    torch.autograd.backward(gradient.square().sum())
    for parameter in [*net.downs.parameters(), *critic.body.parameters()]:
        assert parameter.grad is not None or parameter.ndim == 1
