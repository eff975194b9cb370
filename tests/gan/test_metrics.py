"""All measures together: what they are made of, and the protocol that they name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rondel.errors import DataError, UsageError
from rondel_gan.config import EvaluationConfig
from rondel_gan.metrics import SampleQuality, covered, frechet_distance
from rondel_gan.metrics.diversity import diversity
from rondel_gan.metrics.extractor import make_extractor
from rondel_gan.metrics.features import evenly
from rondel_gan.metrics.inception_score import inception_score
from rondel_gan.metrics.kernel import kernel_distance
from rondel_gan.metrics.neighbours import Manifold, neighbourhood
from rondel_gan.models.proxy import Proxy, make_proxy
from rondel_gan.sampling import to_images, to_pixels

CLASSES = ("dark", "bright")
PAIRS = {"precision", "recall", "density", "coverage"}
ALWAYS = {"frechet", "kid", "diversity"} | PAIRS


def pictures(count: int, *, seed: int) -> Tensor:
    """Noise around two levels of grey, (N, 1, 6, 6)."""
    draw = torch.Generator().manual_seed(seed)
    level = torch.where(torch.arange(count) % 2 == 0, -0.5, 0.5)[:, None, None, None]
    return level + 0.2 * torch.randn(count, 1, 6, 6, generator=draw)


def labelled() -> Proxy:
    train = pictures(200, seed=0)
    return make_proxy(train, torch.arange(200) % 2, CLASSES, updates=30)


def unlabelled() -> Proxy:
    return make_proxy(pictures(200, seed=0), None, (), updates=1)


def test_without_labels_there_are_all_numbers_that_need_none() -> None:
    quality = SampleQuality(unlabelled(), pictures(60, seed=1), neighbours=3)
    assert set(quality.measure(to_pixels(pictures(80, seed=2)))) == ALWAYS


def test_with_labels_and_training_images_there_are_all_numbers() -> None:
    train = pictures(200, seed=0)
    quality = SampleQuality(labelled(), pictures(60, seed=1), neighbours=3, train=train)
    values = quality.measure(to_pixels(pictures(80, seed=2)))
    assert set(values) == ALWAYS | {"classes", "inception_score", "novelty"}
    assert values["novelty"] == pytest.approx(1.0, abs=0.3)
    copies = quality.measure(to_pixels(train[:80]))
    assert copies["novelty"] == pytest.approx(0.0, abs=1e-6)


def test_every_number_is_that_of_its_own_measure() -> None:
    proxy = labelled()
    real, pixels = pictures(60, seed=1), to_pixels(pictures(80, seed=2))
    values = SampleQuality(proxy, real, neighbours=3).measure(pixels)
    one, two = proxy.features(to_images(to_pixels(real))), proxy.features(to_images(pixels))
    cut = evenly(two, 60)
    probabilities = proxy.probabilities(two)
    assert probabilities is not None
    assert values == {
        "frechet": frechet_distance(one, two),
        "kid": kernel_distance(one, two, subsets=10, size=30).mean,
        **vars(neighbourhood(Manifold.of(one, 3), Manifold.of(cut, 3))),
        "diversity": diversity(one, cut),
        "classes": covered(proxy.predict(two), 2),
        "inception_score": inception_score(probabilities, splits=10).mean,
    }


@pytest.mark.parametrize("samples", [40, 80])
def test_a_measurement_repeats_itself(samples: int) -> None:
    quality = SampleQuality(labelled(), pictures(60, seed=1), neighbours=3)
    pixels = to_pixels(pictures(samples, seed=2))
    first = quality.measure(pixels)
    quality.measure(to_pixels(pictures(50, seed=3)))
    assert quality.measure(pixels) == first


@pytest.mark.parametrize(("real", "samples"), [(2, 2), (4, 64), (64, 3)])
def test_few_images_still_have_numbers(real: int, samples: int) -> None:
    quality = SampleQuality(labelled(), pictures(real, seed=1), neighbours=3)
    values = quality.measure(to_pixels(pictures(samples, seed=2)))
    assert all(value == value for value in values.values())


def test_the_nearest_training_images_of_samples_are_found() -> None:
    train = pictures(200, seed=0)
    quality = SampleQuality(unlabelled(), pictures(60, seed=1), neighbours=3, train=train)
    found = quality.memorisation(to_pixels(train[[7, 150, 7]]))
    assert found is not None
    assert found.nearest.tolist() == [7, 150, 7]


def test_without_training_images_nothing_is_said_about_copies() -> None:
    quality = SampleQuality(unlabelled(), pictures(60, seed=1), neighbours=3)
    assert quality.memorisation(to_pixels(pictures(5, seed=2))) is None


def test_the_protocol_names_features_counts_and_neighbours() -> None:
    train = pictures(200, seed=0)
    quality = SampleQuality(labelled(), pictures(100, seed=1), neighbours=3, train=train)
    assert quality.protocol(80) == (
        "frechet[proxy-cnn-64d,n=80]: n=80 samples, 100 held-out images, not resized; "
        "kid over 10 subsets of 40; precision, recall, density, coverage by k=3 among 80 of each; "
        "inception_score over 10 splits; novelty against 200 training images"
    )


def test_the_protocol_remarks_on_too_few_images_and_leaves_out_what_is_not_measured() -> None:
    quality = SampleQuality(unlabelled(), pictures(4, seed=1), neighbours=5)
    assert quality.protocol(80) == (
        "frechet[random-cnn-64d,n=80]: n=80 samples, 4 held-out images, not resized; "
        "kid over 10 subsets of 2; precision, recall, density, coverage by k=3 among 4 of each; "
        "the Frechet distance of 4 rows of 64 features is biased, it comes out too high: go by "
        "kid, which is not"
    )


def test_held_out_images_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        SampleQuality(unlabelled(), torch.zeros(5, 1, 6, 6), neighbours=3)
    assert str(caught.value) == (
        "all 5 real images have the same features. Give images that differ."
    )


def test_a_single_sample_is_refused() -> None:
    quality = SampleQuality(unlabelled(), pictures(60, seed=1), neighbours=3)
    with pytest.raises(UsageError, match="1 rows of features are too few"):
        quality.measure(to_pixels(pictures(1, seed=2)))


def test_the_proxys_probabilities_belong_to_its_predictions() -> None:
    proxy = labelled()
    features = proxy.features(pictures(50, seed=3))
    probabilities = proxy.probabilities(features)
    assert probabilities is not None
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(50).double())
    assert torch.equal(probabilities.argmax(dim=1), proxy.predict(features))
    assert unlabelled().probabilities(features) is None


def test_without_a_file_of_inception_the_extractor_is_the_proxy() -> None:
    train, labels = pictures(200, seed=0), torch.arange(200) % 2
    found = make_extractor(EvaluationConfig(proxy_updates=30), train, labels, CLASSES)
    assert isinstance(found, Proxy)
    pixels = pictures(10, seed=4)
    assert torch.equal(found.features(pixels), labelled().features(pixels))
