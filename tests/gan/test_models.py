"""The nets: what shapes they make and judge, how they use labels, how they are bounded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rondel.errors import ConfigError, UsageError
from rondel_gan.config import ModelConfig
from rondel_gan.models import r3gan
from rondel_gan.models.catalogue import make_critic, make_generator
from rondel_gan.models.weights import equalize

KINDS = ["perceptron", "dcgan", "resnet", "r3gan"]
CONVOLUTIONAL = KINDS[1:]


def small(name: str, **settings: Any) -> ModelConfig:
    return ModelConfig.model_validate(
        {"name": name, "width": 4, "latent": 5, "depth": 2} | settings
    )


# -- shapes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", ["none", "projection", "auxiliary"])
@pytest.mark.parametrize("size", [8, 12, 16, 28, 32, 64])
@pytest.mark.parametrize("name", KINDS)
def test_every_net_makes_and_judges_every_size(name: str, size: int, condition: str) -> None:
    config = small(name, condition=condition)
    generator = make_generator(config, (3, size, size), 7)
    critic = make_critic(config, (3, size, size), 7)
    labels = torch.tensor([0, 6])
    images = generator(torch.randn(2, 5), labels)
    features = critic.features(images)
    assert images.shape == (2, *generator.shape) == (2, 3, size, size)
    assert images.abs().max() <= 1
    assert features.shape == (2, critic.width)
    assert critic(images, labels).shape == (2,)
    assert generator.classes == critic.classes == (0 if condition == "none" else 7)
    if condition == "auxiliary":
        assert critic.classify(features).shape == (2, 7)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize("shape", [(1, 16, 32), (3, 48, 24), (1, 128, 128)])
def test_images_need_not_be_square_nor_powers_of_two(
    name: str, shape: tuple[int, int, int]
) -> None:
    config = small(name, width=2, depth=1)
    images = make_generator(config, shape)(torch.randn(2, 5))
    assert images.shape == (2, *shape)
    assert make_critic(config, shape)(images).shape == (2,)


def test_a_perceptron_makes_points() -> None:
    config = small("perceptron", output="linear", condition="projection")
    generator, critic = make_generator(config, (2,), 8), make_critic(config, (2,), 8)
    labels = torch.tensor([7, 0, 7])
    points = generator(torch.randn(3, 5) * 100, labels)
    assert points.shape == (3, 2)
    assert points.abs().max() > 1
    assert critic(points, labels).shape == (3,)


def test_channels_double_downwards_up_to_eight_times_the_width() -> None:
    critic = make_critic(small("resnet", width=3, depth=1), (1, 128, 128))
    outputs = [m.out_channels for m in critic.modules() if isinstance(m, nn.Conv2d)]
    assert sorted(set(outputs)) == [6, 12, 24]
    assert critic.width == 24


def test_depth_is_the_number_of_blocks_per_size() -> None:
    for depth in (1, 3):
        critic = make_critic(small("r3gan", depth=depth), (1, 16, 16))
        blocks = [m for m in critic.modules() if isinstance(m, r3gan.Block)]
        assert len(blocks) == 3 * depth


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_a_size_that_does_not_halve_names_what_fits(name: str) -> None:
    for make in (make_generator, make_critic):
        with pytest.raises(ConfigError) as caught:
            make(small(name), (1, 30, 30))
        assert str(caught.value) == (
            f"model.name: {name!r} makes no images of 30 x 30 pixels. Scale them to 8, 10, 12, 14, "
            "16, 20, 24, 28, 32, 40, 48, 56, 64, 128 or 256 pixels, or set model.name=perceptron."
        )


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 512, 512), (1, 8, 9), (1, 9, 8), (1, 64, 65)])
def test_sizes_outside_of_what_fits_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match=f"of {shape[1]} x {shape[2]} pixels"):
        make_critic(small("dcgan"), shape)


@pytest.mark.parametrize("size", [8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 128, 256])
def test_what_the_message_says_fits_does(size: int) -> None:
    make_critic(small("dcgan", width=1), (1, size, size))


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_points_are_for_perceptrons(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_generator(small(name), (2,))
    assert str(caught.value) == (
        f"model.name: {name!r} makes images, not points of 2 numbers. Set model.name=perceptron."
    )


# -- labels ----------------------------------------------------------------------------------------


def test_a_projection_adds_the_product_of_embedding_and_features() -> None:
    critic = make_critic(small("perceptron", condition="projection"), (1, 4, 4), 3).double()
    images, labels = torch.randn(5, 1, 4, 4).double(), torch.tensor([0, 2, 1, 2, 0])
    weights = {name: value.detach().numpy() for name, value in critic.named_parameters()}
    features = critic.features(images).detach().numpy()
    expected = [
        weights["head.weight"][0] @ row + weights["head.bias"][0] + weights["embedding.weight"][k] @ row
        for row, k in zip(features, labels.tolist(), strict=True)
    ]  # fmt: skip
    torch.testing.assert_close(critic(images, labels).detach(), torch.tensor(expected))


def test_an_auxiliary_head_reads_the_features_and_leaves_the_score_alone() -> None:
    critic = make_critic(small("perceptron", condition="auxiliary"), (1, 4, 4), 3).double()
    images = torch.randn(5, 1, 4, 4).double()
    features = critic.features(images)
    assert critic.classifier is not None
    expected = features @ critic.classifier.weight.T + critic.classifier.bias
    torch.testing.assert_close(critic.classify(features), expected)
    assert torch.equal(critic(images), critic(images, torch.zeros(5, dtype=torch.int64)))


@pytest.mark.parametrize("name", KINDS)
def test_a_generator_sees_the_embedding_beside_the_noise(name: str) -> None:
    generator = make_generator(small(name, condition="auxiliary"), (1, 8, 8), 3)
    noise, labels = torch.randn(4, 5), torch.tensor([0, 1, 2, 1])
    assert generator.embedding is not None
    beside = torch.cat([noise, generator.embedding.weight[labels]], dim=1)
    torch.testing.assert_close(generator(noise, labels), torch.tanh(generator.body(beside)))
    assert not torch.allclose(generator(noise, labels), generator(noise, labels.flip(0)))


def test_labels_that_are_missing_are_asked_for() -> None:
    config = small("perceptron", condition="projection")
    with pytest.raises(UsageError) as caught:
        make_generator(config, (1, 4, 4), 3)(torch.randn(2, 5))
    assert str(caught.value) == (
        "a generator of 3 classes was given no labels. Pass one label for each row of noise."
    )
    with pytest.raises(UsageError) as caught:
        make_critic(config, (1, 4, 4), 3)(torch.randn(2, 1, 4, 4))
    assert str(caught.value) == (
        "a discriminator of 3 classes was given no labels. Pass one label for each image."
    )
    with pytest.raises(UsageError) as caught:
        make_critic(config, (1, 4, 4), 3).classify(torch.randn(2, 4))
    assert str(caught.value) == (
        "model.condition: this discriminator has no head for classes. "
        "Set model.condition=auxiliary."
    )


@pytest.mark.parametrize("make", [make_generator, make_critic])
def test_a_condition_needs_data_with_labels(make: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make(small("perceptron", condition="projection"), (1, 4, 4), 0)
    assert str(caught.value) == (
        "model.condition: 'projection' needs labels, and the data has none. "
        "Set model.condition=none, or give data with classes."
    )


# -- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["perceptron", "dcgan", "resnet"])
def test_spectral_norm_makes_the_largest_singular_value_of_every_layer_one(name: str) -> None:
    torch.manual_seed(0)
    critic = make_critic(small(name, spectral=True, condition="projection"), (3, 16, 16), 5)
    for _ in range(200):
        critic.features(torch.zeros(1, 3, 16, 16))
        critic.score(torch.zeros(1, critic.width), torch.zeros(1, dtype=torch.int64))
    layers = [m for m in critic.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Embedding)]
    assert len(layers) > 3
    for layer in layers:
        largest = torch.linalg.svdvals(layer.weight.flatten(1).detach())[0]
        torch.testing.assert_close(largest, torch.tensor(1.0), rtol=0, atol=2e-3)


def test_without_spectral_norm_nothing_is_bounded() -> None:
    critic = make_critic(small("resnet"), (3, 16, 16))
    assert not any(nn.utils.parametrize.is_parametrized(m) for m in critic.modules())


def test_spectral_norm_of_zeros_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        make_critic(small("r3gan", spectral=True), (3, 16, 16))
    assert str(caught.value) == (
        "model.spectral: 'r3gan' starts with layers of zeros, which have no spectral norm to "
        "divide by. Set model.spectral=false, or model.name=resnet."
    )


def test_a_perceptron_is_its_linear_layers_in_order() -> None:
    config = small("perceptron")
    torch.manual_seed(3)
    generator, critic = make_generator(config, (1, 3, 3)), make_critic(config, (1, 3, 3))
    torch.manual_seed(3)
    plain = [nn.Linear(*size) for size in [(5, 4), (4, 4), (4, 9), (9, 4), (4, 4), (4, 1)]]
    noise = hidden = torch.randn(6, 5)
    for layer in plain[:2]:
        hidden = nn.functional.leaky_relu(layer(hidden), 0.2)
    images = torch.tanh(plain[2](hidden)).reshape(6, 1, 3, 3)
    assert torch.equal(generator(noise), images)
    hidden = images.flatten(1)
    for layer in plain[3:5]:
        hidden = nn.functional.leaky_relu(layer(hidden), 0.2)
    assert torch.equal(critic(images), plain[5](hidden)[:, 0])


def test_a_dcgan_is_the_published_stack_of_transposed_convolutions() -> None:
    config = small("dcgan", width=2, latent=6)
    ours = make_generator(config, (3, 16, 16)).double()
    published = nn.Sequential(
        nn.ConvTranspose2d(6, 4, 4, 1, 0, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.ConvTranspose2d(4, 2, 4, 2, 1, bias=False), nn.BatchNorm2d(2), nn.ReLU(),
        nn.ConvTranspose2d(2, 3, 4, 2, 1), nn.Tanh(),
    ).double()  # fmt: skip
    weights = [p.detach().clone() for p in ours.parameters()]
    weights[0] = weights[0].T.reshape(6, 4, 4, 4)
    with torch.no_grad():
        for theirs, weight in zip(published.parameters(), weights, strict=True):
            theirs.copy_(weight)
    noise = torch.randn(7, 6).double()
    torch.testing.assert_close(ours(noise), published(noise[:, :, None, None]))


def test_a_block_of_r3gan_starts_as_the_identity_and_learns() -> None:
    block = r3gan.Block(8, blocks=6).double()
    maps = torch.randn(2, 8, 4, 4).double()
    assert torch.equal(block(maps), maps)
    assert block.convolve.groups == 1
    block(maps).square().sum().backward()
    assert block.narrow.weight.grad is not None
    assert block.narrow.weight.grad.abs().min() > 0


def test_groups_of_r3gan_have_sixteen_channels_where_they_can() -> None:
    assert r3gan.Block(64, blocks=1).convolve.weight.shape == (128, 16, 3, 3)
    assert r3gan.Block(12, blocks=1).convolve.weight.shape == (24, 8, 3, 3)


def test_an_equalized_layer_is_drawn_with_deviation_one_and_used_scaled() -> None:
    layer = nn.Linear(300, 200)
    equalize(layer, gain=2)
    learnt = next(p for p in layer.parameters() if p.ndim == 2)
    assert learnt.std().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(layer.weight, learnt * 2 / 300**0.5)


@pytest.mark.parametrize("name", KINDS)
def test_a_score_depends_on_no_other_image(name: str) -> None:
    critic = make_critic(small(name), (1, 16, 16)).double()
    images = torch.randn(6, 1, 16, 16).double()
    alone = torch.cat([critic(image[None]) for image in images])
    torch.testing.assert_close(critic(images), alone)


# -- gradients of gradients ------------------------------------------------------------------------


def r1_penalty(critic: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(images, labels).sum(), images, create_graph=True)
    return gradient.square().sum()


def path_length(generator: nn.Module, noise: Tensor, labels: Tensor) -> Tensor:
    noise = noise.detach().requires_grad_()
    images = generator(noise, labels)
    direction = torch.linspace(-1, 1, images.numel()).reshape(images.shape).double()
    (gradient,) = torch.autograd.grad((images * direction).sum(), noise, create_graph=True)
    return gradient.square().sum()


def check_penalty(net: nn.Module, penalty: Any, *inputs: Tensor) -> None:
    """Compare the gradient of a penalty with finite differences, along random directions."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():  # zeros at the start would hide paths
            noise = torch.randn(parameter.shape, generator=draw).double()
            parameter.add_(0.2 * noise)
    names = [name for name, _ in net.named_parameters()]
    values = [parameter.detach().clone().requires_grad_() for parameter in net.parameters()]

    def of_parameters(*values: Tensor) -> Tensor:
        replaced = dict(zip(names, values, strict=True))

        def call(*arguments: Tensor) -> Tensor:
            result: Tensor = torch.func.functional_call(net, replaced, arguments)
            return result

        return penalty(call, *inputs)  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(of_parameters, values, fast_mode=True, eps=1e-7, atol=1e-4)
    assert of_parameters(*values) > 0


@pytest.mark.parametrize("condition", ["none", "projection"])
@pytest.mark.parametrize("name", KINDS)
def test_r1_of_every_critic_has_the_gradient_of_finite_differences(
    name: str, condition: str
) -> None:
    torch.manual_seed(1)
    critic = make_critic(small(name, width=2, condition=condition), (2, 8, 8), 3).double()
    images = torch.randn(3, 2, 8, 8).double()
    check_penalty(critic, r1_penalty, images, torch.tensor([0, 2, 1]))


@pytest.mark.parametrize("condition", ["none", "projection"])
@pytest.mark.parametrize("name", KINDS)
def test_path_length_of_every_generator_has_the_gradient_of_finite_differences(
    name: str, condition: str
) -> None:
    torch.manual_seed(1)
    generator = make_generator(small(name, width=2, condition=condition), (2, 8, 8), 3).double()
    check_penalty(generator, path_length, torch.randn(3, 5).double(), torch.tensor([0, 2, 1]))


@pytest.mark.parametrize("name", KINDS)
def test_scores_have_second_derivatives_in_the_image(name: str) -> None:
    torch.manual_seed(1)
    critic = make_critic(small(name, width=2, depth=1), (1, 8, 8)).double()
    images = torch.randn(1, 1, 8, 8).double().requires_grad_()
    squared = lambda x: critic(x).square()  # noqa: E731 - a linear piece has no second derivative
    assert torch.autograd.gradcheck(squared, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(squared, images, fast_mode=True)
