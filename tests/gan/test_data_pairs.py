"""Images of two kinds: folders with and without partners, pictures side by side, bad ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rondel.errors import ConfigError, DataError
from rondel_gan.config import GanConfig
from rondel_gan.data.images import Images
from rondel_gan.data.mixtures import Points
from rondel_gan.data.pairs import Pairs, split_pairs
from rondel_gan.data.reader import read, read_images
from rondel_gan.data.summary import inspect

Configure = Callable[..., GanConfig]


def picture(number: int, *, mode: str = "L", width: int = 8) -> Image.Image:
    """A picture whose top left pixel is its number."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, width, 3), dtype=np.uint8)
    pixels[0, 0] = number
    return Image.fromarray(pixels).convert(mode)


def save(folder: Path, numbers: Any, *, suffix: str = ".png", **settings: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        picture(number, **settings).save(folder / f"{number}{suffix}")


def two_folders(root: Path) -> Path:
    save(root / "a", range(24))
    save(root / "b", range(24), suffix=".bmp", mode="RGB")
    return root


def configured(configure: Configure, path: Path, *overrides: str) -> GanConfig:
    return configure(*overrides).model_copy(update={"data": path})


def pairs_of(configure: Configure, path: Path, *overrides: str) -> Pairs:
    pairs = read(configured(configure, path, *overrides))
    assert isinstance(pairs, Pairs)
    return pairs


def problem(configure: Configure, path: Path, *overrides: str) -> str:
    with pytest.raises(DataError) as caught:
        read(configured(configure, path, *overrides))
    return str(caught.value)


def numbers_of(images: torch.Tensor) -> list[int]:
    return [round(value) for value in ((images[:, 0, 0, 0] + 1) * 127.5).tolist()]


# -- what is read ----------------------------------------------------------------------------------


def test_partners_have_the_same_name_whatever_their_suffix(
    configure: Configure, tmp_path: Path
) -> None:
    pairs = pairs_of(configure, two_folders(tmp_path / "maps"), "loop=pix2pix")
    assert pairs.a.shape == (24, 1, 8, 8)
    assert pairs.b.shape == (24, 3, 8, 8)
    assert (pairs.paired, pairs.names, pairs.name) == (True, ("a", "b"), "maps")
    assert numbers_of(pairs.a) == numbers_of(pairs.b)
    assert sorted(numbers_of(pairs.a)) == list(range(24))
    assert len(pairs.manifest.files) == 48


def test_partners_in_subfolders_are_found_by_their_place(
    configure: Configure, tmp_path: Path
) -> None:
    for kind in ("a", "b"):
        save(tmp_path / kind / "one", range(12))
        save(tmp_path / kind / "two", range(12))
    pairs = pairs_of(configure, tmp_path, "loop=pix2pix")
    assert torch.equal(pairs.a, pairs.b)


def test_without_partners_names_and_counts_may_differ(configure: Configure, tmp_path: Path) -> None:
    save(tmp_path / "horses", range(21))
    save(tmp_path / "zebras", range(100, 130))
    pairs = pairs_of(configure, tmp_path, "loop=cycle", "pairs=folders")
    assert (len(pairs.a), len(pairs.b), pairs.paired) == (21, 30, False)
    parts = split_pairs(pairs, 0.1)
    assert (len(parts.train_a), len(parts.held_out_a)) == (19, 2)
    assert (len(parts.train_b), len(parts.held_out_b)) == (27, 3)
    assert max(numbers_of(parts.train_a)) < 100 <= min(numbers_of(parts.train_b))


def test_the_folders_of_cyclegan_have_tests_that_are_held_out(
    configure: Configure, tmp_path: Path
) -> None:
    for name, numbers in {
        "trainA": range(20), "trainB": range(30, 52), "testA": range(20, 24), "testB": range(60, 67)
    }.items():  # fmt: skip
        save(tmp_path / name, numbers)
    pairs = pairs_of(configure, tmp_path, "loop=cycle")
    parts = split_pairs(pairs, None)
    assert pairs.names == ("trainA", "trainB")
    assert sorted(numbers_of(parts.train_a)) == list(range(20))
    assert sorted(numbers_of(parts.train_b)) == list(range(30, 52))
    assert sorted(numbers_of(parts.held_out_a)) == list(range(20, 24))
    assert sorted(numbers_of(parts.held_out_b)) == list(range(60, 67))


def test_halves_of_a_picture_are_partners(configure: Configure, tmp_path: Path) -> None:
    save(tmp_path / "facades", range(24), width=16, mode="RGB")
    pairs = pairs_of(configure, tmp_path / "facades", "loop=pix2pix", "pairs=halves")
    assert pairs.a.shape == pairs.b.shape == (24, 3, 8, 8)
    first = np.asarray(picture(0, width=16, mode="RGB")).transpose(2, 0, 1)
    both = torch.cat([pairs.a[0], pairs.b[0]], dim=2)
    assert np.array_equal(((both + 1) * 127.5).round().numpy(), first)
    assert (pairs.paired, pairs.names) == (True, ("left", "right"))


def test_a_split_keeps_partners_together(configure: Configure, tmp_path: Path) -> None:
    pairs = pairs_of(configure, two_folders(tmp_path), "loop=pix2pix")
    parts = split_pairs(pairs, None)
    assert len(parts.held_out_a) == 5
    assert numbers_of(parts.train_a) == numbers_of(parts.train_b)
    assert numbers_of(parts.held_out_a) == numbers_of(parts.held_out_b)
    assert sorted(numbers_of(torch.cat([parts.train_a, parts.held_out_a]))) == list(range(24))


def test_a_colour_is_asked_of_both_kinds(configure: Configure, tmp_path: Path) -> None:
    pairs = pairs_of(configure, two_folders(tmp_path), "loop=pix2pix", "color=rgb")
    assert pairs.a.shape == pairs.b.shape == (24, 3, 8, 8)


def test_inspect_describes_two_folders(configure: Configure, tmp_path: Path) -> None:
    text = inspect(configured(configure, two_folders(tmp_path), "loop=pix2pix"))
    assert "a         24 (19 to train on, 5 held out), 8 x 8, grey" in text
    assert "b         24 (19 to train on, 5 held out), 8 x 8, rgb" in text


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("removed", "left", "other"), [("a", "b", "7.bmp"), ("b", "a", "7.png")])
def test_a_missing_partner_is_named(
    removed: str, left: str, other: str, configure: Configure, tmp_path: Path
) -> None:
    root = two_folders(tmp_path)
    next((root / removed).glob("7.*")).unlink()
    assert problem(configure, root, "loop=pix2pix") == (
        f"{root / left / other}: has no partner called '7' in the other folder. "
        "Add it, remove this one, or train without partners: loop=cycle."
    )


def test_two_candidates_for_a_partner_are_named(configure: Configure, tmp_path: Path) -> None:
    root = two_folders(tmp_path)
    picture(3).save(root / "a" / "3.bmp")
    assert problem(configure, root, "loop=pix2pix") == (
        f"{root / 'a' / '3.png'}: is called as '3.bmp' is, so its partner is not clear. "
        "Remove one of them."
    )


@pytest.mark.parametrize(
    ("names", "found"), [([], "none"), (["a"], "'a'"), (["x", "y", "z"], "'x', 'y', 'z'")]
)
def test_there_must_be_two_folders(
    names: list[str], found: str, configure: Configure, tmp_path: Path
) -> None:
    for name in names:
        save(tmp_path / name, range(20))
    assert problem(configure, tmp_path, "loop=cycle") == (
        f"{tmp_path}: must have two folders of pictures, one per kind, but has {found}. "
        "Name them a and b, or trainA, trainB, testA and testB."
    )


def test_a_kind_of_too_few_images_is_named(configure: Configure, tmp_path: Path) -> None:
    save(tmp_path / "a", range(20))
    save(tmp_path / "b", [1])
    assert problem(configure, tmp_path, "loop=cycle").startswith(
        f"{tmp_path / 'b'}: holds one image, but at least 20 are needed."
    )


def test_two_sizes_in_a_kind_are_named(configure: Configure, tmp_path: Path) -> None:
    root = two_folders(tmp_path)
    picture(5, width=9).save(root / "b" / "5.bmp")
    text = problem(configure, root, "loop=pix2pix")
    assert "5.bmp: is 9 x 8, but '0.bmp' is 8 x 8" in text


def test_kinds_of_two_sizes_are_named(configure: Configure, tmp_path: Path) -> None:
    save(tmp_path / "a", range(20))
    save(tmp_path / "b", range(20), width=10)
    assert problem(configure, tmp_path, "loop=pix2pix") == (
        f"{tmp_path / 'b' / '0.png'}: is 10 x 8, but '{tmp_path / 'a' / '0.png'}' is 8 x 8. "
        "All images must have the same size; scale or crop them first."
    )


def test_grey_and_colour_mixed_in_a_kind_are_refused(configure: Configure, tmp_path: Path) -> None:
    root = two_folders(tmp_path)
    picture(9, mode="RGB").save(root / "a" / "9.png")
    assert "9.png: is rgb, but '0.png' is grey. Set color=grey" in problem(
        configure, root, "loop=pix2pix"
    )


def test_a_damaged_picture_of_a_kind_is_named(configure: Configure, tmp_path: Path) -> None:
    root = two_folders(tmp_path)
    (root / "a" / "2.png").write_bytes((root / "a" / "2.png").read_bytes()[:60])
    assert "2.png: " in problem(configure, root, "loop=cycle")


def test_halves_of_an_odd_width_are_refused(configure: Configure, tmp_path: Path) -> None:
    save(tmp_path, range(20), width=17)
    assert problem(configure, tmp_path, "loop=pix2pix", "pairs=halves") == (
        f"{tmp_path / '0.png'}: is 17 pixels wide, which two images of one size cannot share. "
        "Put both images side by side, with nothing in between."
    )


def test_a_file_is_no_place_for_pairs(configure: Configure, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros((20, 8, 8)))
    assert problem(configure, path, "loop=cycle") == (
        f"{path}: is a file, but images of two kinds are read from a folder. Give the folder above."
    )


# -- what fits which loop --------------------------------------------------------------------------


def test_read_returns_every_kind(configure: Configure) -> None:
    assert isinstance(read(configure()), Images)
    assert isinstance(read(configure("dataset=ring")), Points)
    assert isinstance(read(configure("dataset=photos")), Pairs)


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            ["loop=cycle", "dataset=digits"],
            (
                "dataset: loop=cycle translates between two kinds of images, and 'digits' has one. "
                "Give a folder of two kinds, or dataset=colorize or photos."
            ),
        ),
        (
            ["loop=adversarial", "dataset=photos"],
            (
                "dataset: 'photos' has images of two kinds, which loop=adversarial does not translate. "
                "Set loop=pix2pix or loop=cycle."
            ),
        ),
        (
            ["loop=pix2pix", "dataset=photos"],
            (
                "dataset: loop=pix2pix needs partners, and 'photos' has none. "
                "Set loop=cycle, or dataset=colorize."
            ),
        ),
    ],
)
def test_data_that_the_loop_does_not_work_with_is_refused(
    overrides: list[str], text: str, configure: Configure
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(configure(*overrides))
    assert str(caught.value) == text


def test_pairs_for_a_loop_of_one_kind_are_refused_at_the_path(
    configure: Configure, tmp_path: Path
) -> None:
    config = configured(configure, two_folders(tmp_path), "pairs=folders")
    with pytest.raises(ConfigError, match=r"^data: .* has images of two kinds"):
        read(config)


def test_images_are_no_points(configure: Configure) -> None:
    with pytest.raises(ConfigError) as caught:
        read_images(configure("dataset=grid"))
    assert str(caught.value) == (
        "dataset: 'grid' is no set of images of one kind. Give images, as dataset=digits."
    )


def test_a_path_of_idx_files_is_read_as_such(configure: Configure, tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 2, *range(80)]))
    for place in (path, tmp_path):
        assert read_images(configured(configure, place)).pixels.shape == (20, 1, 2, 2)
