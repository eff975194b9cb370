"""What is read as images, and what bad images are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rondel.errors import DataError
from rondel_gan.config import GanConfig
from rondel_gan.data import folder, images
from rondel_gan.data.images import split
from rondel_gan.data.reader import read_images
from rondel_gan.data.summary import inspect
from rondel_gan.demo import read_digits

Configure = Callable[..., GanConfig]


def save_pictures(root: Path, count: int = 24, *, mode: str = "L", classes: int = 1) -> Path:
    """Write real digits as PNGs, below one subfolder per class if there are several."""
    digits = (read_digits().pixels[:count, 0] * 127.5 + 127.5).byte().numpy()
    for number, digit in enumerate(digits):
        place = root / f"class {number % classes}" if classes > 1 else root
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digit).convert(mode).save(place / f"{number:03d}.png")
    return root


def problem(configure: Configure, path: Path, *overrides: str) -> str:
    config = configure(*overrides).model_copy(update={"data": path})
    with pytest.raises(DataError) as caught:
        read_images(config)
    return str(caught.value)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


# -- what is read ----------------------------------------------------------------------------------


def test_the_digits_are_split_into_1297_and_500() -> None:
    digits = read_digits()
    parts = split(digits, None)
    assert (len(parts.train), len(parts.held_out)) == (1297, 500)
    assert (digits.pixels.min().item(), digits.pixels.max().item()) == (-1, 1)
    assert digits.manifest.samples == 1797


def test_no_image_is_on_both_sides_of_a_split() -> None:
    digits = read_digits()
    numbers = torch.arange(1797.0).reshape(-1, 1, 1, 1)
    numbered = images.Images(
        name="n", pixels=numbers, source_range="", manifest=digits.manifest, held_out=500
    )
    parts = split(numbered, None)
    both = torch.cat([parts.train, parts.held_out]).flatten()
    assert torch.equal(both.sort().values, numbers.flatten())


def test_a_folder_of_subfolders_has_classes(configure: Configure, tmp_path: Path) -> None:
    root = save_pictures(tmp_path / "ünder a space", 24, classes=3)
    read = read_images(configure().model_copy(update={"data": root}))
    assert read.pixels.shape == (24, 1, 8, 8)
    assert read.classes == ("class 0", "class 1", "class 2")
    assert read.labels is not None
    assert torch.bincount(read.labels).tolist() == [8, 8, 8]


def test_a_folder_and_an_archive_of_the_same_pixels_are_equal(
    configure: Configure, tmp_path: Path
) -> None:
    root = save_pictures(tmp_path / "pictures")
    pixels = np.stack([np.asarray(Image.open(file)) for file in sorted(root.iterdir())])
    archive = saved(tmp_path / "a.npz", images=pixels)
    from_folder = read_images(configure().model_copy(update={"data": root}))
    from_archive = read_images(configure().model_copy(update={"data": archive}))
    assert torch.equal(from_folder.pixels, from_archive.pixels)
    assert from_folder.pixels.min() == -1


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([0, 255], np.uint8), [-1.0, 1.0]),
        (np.array([0.0, 1.0]), [-1.0, 1.0]),
        (np.array([-1.0, 0.5]), [-1.0, 0.5]),
        (np.array([0.0, 255.0]), [-1.0, 1.0]),
        (np.array([False, True]), [-1.0, 1.0]),
    ],
)
def test_pixels_of_every_known_range_are_scaled(
    array: np.ndarray, expected: list[float], configure: Configure, tmp_path: Path
) -> None:
    stack = np.repeat(array, 16).reshape(2, 4, 4)
    path = saved(tmp_path / "a.npz", images=stack)
    pixels = read_images(configure().model_copy(update={"data": path})).pixels
    assert pixels[:, 0, 0, 0].tolist() == expected


@pytest.mark.parametrize("shape", [(20, 3, 6, 5), (20, 6, 5, 3)])
def test_colour_arrays_are_read_with_channels_first_or_last(
    shape: tuple[int, ...], configure: Configure, tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.npz", images=np.zeros(shape, np.uint8), labels=np.arange(20) % 2)
    read = read_images(configure().model_copy(update={"data": path}))
    assert read.pixels.shape == (20, 3, 6, 5)
    assert read.classes == ("0", "1")


def test_the_manifest_changes_with_one_pixel(configure: Configure, tmp_path: Path) -> None:
    root = save_pictures(tmp_path / "pictures")
    config = configure().model_copy(update={"data": root})
    before = read_images(config).manifest
    with Image.open(root / "007.png") as picture:
        changed = picture.copy()
    changed.putpixel((0, 0), 99)
    changed.save(root / "007.png")
    assert before.difference(read_images(config).manifest) == ["007.png: changed"]


def test_inspect_tells_counts_size_values_and_classes(configure: Configure) -> None:
    text = inspect(configure())
    assert "1797 (1297 to train on, 500 held out)" in text
    assert "8 x 8, grey" in text
    assert "0 to 16, scaled to -1 to 1" in text
    assert "0: 178, 1: 182" in text


# -- bad input: folders ----------------------------------------------------------------------------


def test_a_missing_path_is_named(configure: Configure, tmp_path: Path) -> None:
    text = problem(configure, tmp_path / "nothing")
    assert text == f"{tmp_path / 'nothing'}: there is no such file or folder. Check the path."


def test_a_file_of_another_kind_is_refused(configure: Configure, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1,2")
    assert "a .csv file is not read. Give a folder of images, or an .npz file" in problem(
        configure, path
    )


@pytest.mark.parametrize(("count", "words"), [(0, "no images"), (1, "one image"), (5, "5 images")])
def test_too_few_images_are_counted(
    count: int, words: str, configure: Configure, tmp_path: Path
) -> None:
    root = save_pictures(tmp_path / "few", count)
    root.mkdir(exist_ok=True)
    assert f"holds {words}, but at least 20 are needed" in problem(configure, root)


def test_two_sizes_are_refused_with_both_names(configure: Configure, tmp_path: Path) -> None:
    root = save_pictures(tmp_path / "sizes")
    Image.new("L", (9, 7)).save(root / "011.png")
    text = problem(configure, root)
    assert "011.png: is 9 x 7, but '000.png' is 8 x 8" in text
    assert "All images must have the same size" in text


def test_grey_and_colour_mixed_are_refused_or_converted(
    configure: Configure, tmp_path: Path
) -> None:
    root = save_pictures(tmp_path / "mixed")
    Image.new("RGB", (8, 8)).save(root / "005.png")
    text = problem(configure, root)
    assert "005.png: is rgb, but '000.png' is grey. Set color=grey or color=rgb" in text
    for color, channels in (("grey", 1), ("rgb", 3)):
        config = configure(f"color={color}").model_copy(update={"data": root})
        assert read_images(config).pixels.shape == (24, channels, 8, 8)


def test_a_picture_cut_short_is_named(configure: Configure, tmp_path: Path) -> None:
    root = save_pictures(tmp_path / "cut")
    whole = (root / "013.png").read_bytes()
    (root / "013.png").write_bytes(whole[: len(whole) - 30])
    text = problem(configure, root)
    assert "013.png: cannot be decoded" in text
    assert "replace it by a sound copy" in text


def test_a_picture_with_damaged_bytes_is_named(configure: Configure, tmp_path: Path) -> None:
    root = save_pictures(tmp_path / "damaged")
    data = bytearray((root / "003.png").read_bytes())
    data[len(data) // 2] ^= 255
    (root / "003.png").write_bytes(bytes(data))
    assert "003.png: cannot be decoded" in problem(configure, root)


def test_a_text_called_png_is_named(configure: Configure, tmp_path: Path) -> None:
    root = save_pictures(tmp_path / "text")
    (root / "009.png").write_text("no picture")
    assert "009.png: is no image that can be read" in problem(configure, root)


def test_a_huge_picture_is_refused_before_it_is_decoded(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = save_pictures(tmp_path / "huge")
    monkeypatch.setattr(folder, "MOST_PIXELS", 63)
    monkeypatch.setattr(folder, "decode", None)  # would fail if it were called
    assert "000.png: has 8 x 8 pixels, more than 63" in problem(configure, root)


def test_more_images_than_fit_into_memory_are_refused_before_decoding(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = save_pictures(tmp_path / "many")
    monkeypatch.setattr(images, "MOST_BYTES", 1000)
    monkeypatch.setattr(folder, "decode", None)
    assert "24 images of 8 x 8 need 0.0 GiB in memory" in problem(configure, root)


def test_sixteen_bits_are_refused(configure: Configure, tmp_path: Path) -> None:
    root = save_pictures(tmp_path / "deep")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(root / "002.png")
    text = problem(configure, root)
    assert "002.png: has pixels of pillow's mode 'I;16'. Convert it to 8-bit grey or RGB." in text


# -- bad input: archives ---------------------------------------------------------------------------


def test_an_archive_without_arrays_is_refused(configure: Configure, tmp_path: Path) -> None:
    assert "holds no arrays" in problem(configure, saved(tmp_path / "a.npz"))


def test_a_damaged_archive_is_refused(configure: Configure, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", images=np.zeros((30, 8, 8), np.uint8))
    path.write_bytes(path.read_bytes()[:-20])
    assert "is no readable .npz file" in problem(configure, path)


def test_arrays_of_python_objects_are_not_unpickled(configure: Configure, tmp_path: Path) -> None:
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros((8, 8)), np.zeros((9, 9))]
    text = problem(configure, saved(tmp_path / "a.npz", images=ragged))
    assert "a.npz: images: holds Python objects, which are not read" in text


def test_an_archive_of_too_few_images_is_refused_when_it_is_split(
    configure: Configure, tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.npz", images=np.zeros((1, 8, 8), np.uint8))
    read = read_images(configure().model_copy(update={"data": path}))
    with pytest.raises(DataError, match=r"a.npz: holds one image, but at least 20 are needed"):
        split(read, None)


@pytest.mark.parametrize("shape", [(30,), (30, 64), (30, 5, 8, 7), (30, 3, 2, 2, 2)])
def test_shapes_that_are_no_images_are_refused(
    shape: tuple[int, ...], configure: Configure, tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.npz", images=np.zeros(shape, np.uint8))
    assert f"an array of shape {shape} is not a set of images" in problem(configure, path)


def test_an_archive_with_two_stacks_asks_for_a_name(configure: Configure, tmp_path: Path) -> None:
    stack = np.zeros((30, 8, 8), np.uint8)
    text = problem(configure, saved(tmp_path / "a.npz", one=stack, two=stack))
    assert "has no array 'images'; it has 'one' (30, 8, 8), 'two' (30, 8, 8)" in text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_pixel_that_is_no_number_is_named(
    value: float, configure: Configure, tmp_path: Path
) -> None:
    stack = np.zeros((30, 8, 8))
    stack[17, 2, 2] = value
    text = problem(configure, saved(tmp_path / "a.npz", images=stack))
    assert f"image 17 has a pixel that is {value}" in text


def test_an_unknown_range_of_values_is_refused(configure: Configure, tmp_path: Path) -> None:
    stack = np.linspace(-3, 4, 30 * 64).reshape(30, 8, 8)
    text = problem(configure, saved(tmp_path / "a.npz", images=stack))
    assert "values from -3 to 4 are in no known range" in text


def test_text_in_place_of_pixels_is_refused(configure: Configure, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", images=np.full((30, 8, 8), "a"))
    assert "values of type <U1 are no pixels" in problem(configure, path)


def test_labels_must_be_as_many_as_images(configure: Configure, tmp_path: Path) -> None:
    arrays = {"images": np.zeros((30, 8, 8), np.uint8), "labels": np.arange(29)}
    text = problem(configure, saved(tmp_path / "a.npz", **arrays))
    assert "labels: labels of shape (29,) for 30 images" in text


def test_an_archive_that_unpacks_to_too_much_is_refused(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rondel_gan.data import archive

    path = saved(tmp_path / "a.npz", images=np.zeros((30, 8, 8), np.uint8))
    monkeypatch.setattr(archive, "MOST_BYTES", 1000)
    assert "unpacks to" in problem(configure, path)
