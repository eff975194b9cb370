"""IDX files: what is read, and what damaged ones are told."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from rondel.errors import DataError
from rondel_gan.data import images
from rondel_gan.data.idx import FASHION, read_fashion, read_idx
from rondel_gan.data.images import split

DIGITS = np.random.default_rng(0).integers(0, 256, (30, 6, 5), dtype=np.uint8)
LABELS = (np.arange(30) % 3).astype(np.uint8)


def write_idx(path: Path, array: np.ndarray, *, kind: int = 8) -> Path:
    header = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_set(root: Path, *, packed: bool = True) -> Path:
    """Write 30 training images, 24 test images and the labels of both."""
    end = ".gz" if packed else ""
    for part, count in (("train", 30), ("t10k", 24)):
        write_idx(root / f"{part}-images-idx3-ubyte{end}", DIGITS[:count])
        write_idx(root / f"{part}-labels-idx1-ubyte{end}", LABELS[:count])
    return root


def problem(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_idx(path)
    return str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_has_a_training_part_and_holds_out_the_test_part(
    packed: bool, tmp_path: Path
) -> None:
    read = read_idx(write_set(tmp_path / "set", packed=packed))
    expected = torch.from_numpy(DIGITS).double()[:, None] / 127.5 - 1
    torch.testing.assert_close(read.pixels[:30].double(), expected, rtol=0, atol=1e-6)
    assert read.labels is not None
    assert read.labels.tolist() == [*LABELS, *LABELS[:24]]
    assert read.classes == ("0", "1", "2")
    assert (read.name, read.manifest.samples, len(read.manifest.files)) == ("set", 54, 4)
    parts = split(read, None)
    assert torch.equal(parts.train, read.pixels[:30])
    assert torch.equal(parts.held_out, read.pixels[30:])


def test_a_share_that_is_asked_for_is_drawn_from_both_parts(tmp_path: Path) -> None:
    read = read_idx(write_set(tmp_path))
    parts = split(read, 0.5)
    assert (len(parts.train), len(parts.held_out)) == (27, 27)
    assert not torch.equal(parts.held_out, read.pixels[27:])


def test_values_are_those_that_torchvision_reads(tmp_path: Path) -> None:
    mnist = pytest.importorskip("torchvision.datasets.mnist", reason="torchvision is the oracle")
    folder = write_set(tmp_path, packed=False)
    theirs = mnist.read_image_file(str(folder / "train-images-idx3-ubyte"))
    labels = mnist.read_label_file(str(folder / "train-labels-idx1-ubyte"))
    ours = read_idx(folder / "train-images-idx3-ubyte")
    assert torch.equal(((ours.pixels[:, 0] + 1) * 127.5).round().byte(), theirs)
    assert ours.labels is not None
    assert torch.equal(ours.labels, labels)


def test_one_file_is_read_without_labels_if_none_lie_beside_it(tmp_path: Path) -> None:
    read = read_idx(write_idx(tmp_path / "digits.idx", DIGITS))
    assert (read.labels, read.classes, read.held_out) == (None, (), None)
    assert len(split(read, None).held_out) == 6


@pytest.mark.skipif(
    not FASHION.is_dir(), reason="needs Debian's dataset-fashion-mnist, which is not installed"
)
def test_fashion_is_sixty_and_ten_thousand_clothes() -> None:
    read = read_fashion()
    assert read.pixels.shape == (70_000, 1, 28, 28)
    assert read.labels is not None
    assert torch.bincount(read.labels[-10_000:]).tolist() == [1000] * 10
    assert (read.classes[0], read.classes[9], read.held_out) == ("T-shirt", "ankle boot", 10_000)
    # the mean of the training pixels that is known as 0.2860
    mean = (read.pixels[:60_000].double().mean().item() + 1) / 2
    assert mean == pytest.approx(0.2860, abs=5e-5)


def test_fashion_that_is_not_installed_says_how(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_fashion(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: Fashion-MNIST is not installed. "
        "Install it with: apt install dataset-fashion-mnist"
    )


def test_a_label_without_a_class_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", LABELS + 9)
    with pytest.raises(DataError, match="has a label 11, but there are 10 classes"):
        read_fashion(tmp_path)


# -- damage ----------------------------------------------------------------------------------------


def test_labels_in_place_of_images_are_told_by_their_magic_number(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "labels-idx1-ubyte", LABELS)
    assert problem(path) == (
        f"{path}: begins with 00000801, where an IDX file of images has 00000803. "
        "Give IDX files of unsigned bytes, 3 dimensions for images and 1 for labels."
    )


def test_values_of_another_type_are_refused(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "a-ubyte", DIGITS.astype(">f4"), kind=13)
    assert "begins with 00000d03, where" in problem(path)


@pytest.mark.parametrize(("content", "words"), [(b"", "nothing"), (b"PK\3\4rest", "504b0304")])
def test_other_files_are_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.idx"
    path.write_bytes(content)
    assert f"a.idx: begins with {words}, where an IDX file" in problem(path)


def test_a_header_cut_short_is_named(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "a.idx", DIGITS)
    path.write_bytes(path.read_bytes()[:10])
    assert problem(path) == f"{path}: ends in its header. Replace it by a sound copy."


@pytest.mark.parametrize(
    ("change", "words"), [(-7, "893 are there"), (1, "more follow")]
)  # 30 x 6 x 5 = 900
def test_too_few_or_too_many_values_are_counted(change: int, words: str, tmp_path: Path) -> None:
    path = write_idx(tmp_path / "a.idx", DIGITS)
    content = path.read_bytes()
    path.write_bytes(content[:change] if change < 0 else content + b"0" * change)
    assert problem(path) == (
        f"{path}: its header announces 900 values, but {words}. Replace it by a sound copy."
    )


def test_a_packed_file_cut_short_is_named(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    path = root / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    text = problem(root)
    assert text.startswith(f"{path}: cannot be read (")
    assert text.endswith("Replace it by a sound copy.")


def test_a_packed_file_with_damaged_bytes_is_named(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "a-ubyte.gz", DIGITS)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))
    assert f"{path}: cannot be read (" in problem(path)


def test_a_header_that_announces_too_much_is_refused_before_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MOST_BYTES", 1000)
    path = write_idx(tmp_path / "a.idx", DIGITS)
    assert "30 images of 6 x 5 need 0.0 GiB in memory" in problem(path)


@pytest.mark.parametrize(("count", "words"), [(0, "no images"), (1, "one image"), (7, "7 images")])
def test_too_few_images_are_counted(count: int, words: str, tmp_path: Path) -> None:
    path = write_idx(tmp_path / "a.idx", DIGITS[:count])
    assert problem(path) == (
        f"{path}: holds {words}, but at least 20 are needed. "
        "Check that it is the right place, or add images."
    )


def test_images_without_pixels_are_refused(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "a.idx", DIGITS[:, :0])
    assert "a.idx: has images of 0 x 5 pixels" in problem(path)


def test_a_count_of_labels_that_differs_is_named_with_both_files(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    path = write_idx(root / "t10k-labels-idx1-ubyte.gz", LABELS[:23])
    assert problem(root) == (
        f"{path}: holds 23 labels, but 't10k-images-idx3-ubyte.gz' holds 24 images. "
        "Give one label for each image."
    )


def test_labels_of_one_part_alone_are_refused(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    (root / "train-labels-idx1-ubyte.gz").unlink()
    assert problem(root) == (
        f"{root / 'train-images-idx3-ubyte.gz'}: has no labels, but the other part has. "
        "Put its file of labels beside it, or remove the other one."
    )


def test_parts_of_two_sizes_are_refused_with_both_names(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    path = write_idx(root / "t10k-images-idx3-ubyte.gz", DIGITS[:24, :, :4])
    assert problem(root) == (
        f"{path}: has images of 6 x 4, but 'train-images-idx3-ubyte.gz' of 6 x 5. "
        "All images must have the same size."
    )


def test_a_folder_without_training_images_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", DIGITS)
    assert problem(tmp_path) == (
        f"{tmp_path}: has no file 'train-images-idx3-ubyte'. Give the path of the images."
    )
