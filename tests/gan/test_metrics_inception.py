"""Inception against torch-fidelity's network, and its resize against Pillow's, as clean-fid has it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import inception_v3

from rondel.errors import ConfigError
from rondel_gan.config import EvaluationConfig
from rondel_gan.metrics import SampleQuality
from rondel_gan.metrics.extractor import make_extractor
from rondel_gan.models import inception as inception_file
from rondel_gan.models.inception import CHECKSUM, Inception, clean_resize, levels, load_inception

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def random_weights() -> dict[str, Tensor]:
    """Weights that keep the size of activations, with statistics that are not those of a new net."""
    torch.manual_seed(0)
    net = inception_v3(weights=None, aux_logits=False, num_classes=1008, init_weights=False)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.get_buffer("running_mean"), std=0.1)
            nn.init.uniform_(module.get_buffer("running_var"), 0.8, 1.2)
    return dict(net.state_dict())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(random_weights(), path)
    return path


@pytest.fixture(scope="module")
def network(file: Path) -> Inception:
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    return load_inception(file, checksum=checksum)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Whole levels of 8 bits."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(256, shape, generator=draw, dtype=torch.uint8)


def test_features_and_logits_are_torch_fidelitys(file: Path, network: Inception) -> None:
    theirs = FeatureExtractorInceptionV3(
        "oracle", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(file)
    )
    image = noise(1, 3, 299, 299)  # of this size neither resizes
    expected, logits = (found.double() for found in theirs(image))
    assert expected.std() > 0.01
    features = network.features(image.float() / 127.5 - 1)
    assert features.shape == (1, 2048)
    assert features.dtype == torch.float64
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)
    probabilities = network.probabilities(features)
    torch.testing.assert_close(probabilities, logits.softmax(dim=1), rtol=1e-3, atol=1e-6)
    assert network.predict(features).tolist() == logits.argmax(dim=1).tolist()


def pillows(image: np.ndarray, size: int) -> np.ndarray:
    """Resize (H, W, C) as clean-fid does: every channel in float, bicubic, clipped."""
    channels = [
        Image.fromarray(one.astype(np.float32), mode="F") for one in image.transpose(2, 0, 1)
    ]
    resized = [np.asarray(one.resize((size, size), Image.Resampling.BICUBIC)) for one in channels]
    return np.stack(resized).clip(0, 255)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (64, 40), (299, 299), (512, 400)])
def test_the_resize_is_pillows_in_float_as_clean_fid_does_it(height: int, width: int) -> None:
    image = noise(height, width, 3)
    expected = torch.from_numpy(pillows(image.numpy(), 299))
    found = clean_resize(image.permute(2, 0, 1)[None].float())[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_images_become_whole_levels_before_they_are_resized() -> None:
    pixels = noise(2, 3, 8, 8)
    images = pixels.float() / 127.5 - 1
    assert torch.equal(levels(images), pixels.float())
    assert torch.equal(levels(images + 0.3 / 127.5 * (images < 0)), pixels.float())
    assert levels(torch.full((1, 3, 2, 2), 7.0)).max() == 255


def test_grey_images_are_three_equal_channels(network: Inception) -> None:
    grey = noise(1, 1, 16, 16).float() / 127.5 - 1
    found = network.features(grey)
    torch.testing.assert_close(found, network.features(grey.expand(-1, 3, -1, -1)))


def test_pieces_change_nothing(network: Inception, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(3, 3, 16, 16).float() / 127.5 - 1
    together = network.features(images)
    monkeypatch.setattr(inception_file, "CHUNK", 2)
    torch.testing.assert_close(network.features(images), together, rtol=1e-4, atol=1e-4)


def test_quality_by_inception_has_a_score_but_no_classes_of_the_data(network: Inception) -> None:
    real = noise(3, 3, 16, 16).float() / 127.5 - 1
    quality = SampleQuality(network, real, neighbours=2)
    values = quality.measure(noise(3, 16, 16, 3, seed=1))
    assert "inception_score" in values
    assert "classes" not in values
    assert quality.protocol(3) == (
        "fid[inception-tf,clean,n=3]: n=3 samples, 3 held-out images, resized to 299 x 299 as "
        "clean-fid does; kid over 10 subsets of 2; precision, recall, density, coverage by k=2 "
        "among 3 of each; inception_score over 3 splits; the Frechet distance of 3 rows of 2048 "
        "features is biased, it comes out too high: go by kid, which is not"
    )


def test_the_extractor_of_a_given_file_is_inception(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_inception, "__kwdefaults__", {"checksum": ""})
    found = make_extractor(EvaluationConfig(inception=file), noise(2, 1, 8, 8), None, ())
    assert isinstance(found, Inception)
    assert not found.training


def test_another_file_is_refused_with_its_hash(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_inception(file)
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    assert CHECKSUM == "6726825d"
    assert str(caught.value) == (
        f"evaluation.inception={file}: has the SHA-256 {found}, not one that begins with 6726825d. "
        "Give pt_inception-2015-12-05-6726825d.pth, whole and unchanged; with others the numbers "
        "are no FID."
    )


def test_a_file_that_is_not_there_is_refused_and_never_downloaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_inception(tmp_path / "none.pth")
    assert str(caught.value) == (
        f"evaluation.inception={tmp_path / 'none.pth'}: cannot be read: No such file or directory. "
        "Give a local pt_inception-2015-12-05-6726825d.pth; nothing is downloaded."
    )
