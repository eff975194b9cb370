"""What a trained generator gives: samples, pictures, measurements."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from rondel.errors import DataError, UsageError
from rondel_gan.bundle import GanBundle
from rondel_gan.commands import sample as sample_verb
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.picture import grid_png
from rondel_gan.sampling import to_images, to_pixels

Make = Callable[..., Adversarial]


@pytest.fixture
def bundle(make_quick_loop: Make) -> GanBundle:
    return make_quick_loop("evaluation.samples=64", "model.width=16").bundle()


def test_a_saved_bundle_samples_the_same(bundle: GanBundle, tmp_path: Path) -> None:
    expected = bundle.predict(5, seed=3)
    loaded = GanBundle.load(bundle.save(tmp_path / "bundle"))
    assert torch.equal(loaded.predict(5, seed=3), expected)
    assert expected.shape == (5, 8, 8, 1)
    assert expected.dtype == torch.uint8


def test_a_longer_draw_begins_with_the_shorter_one(bundle: GanBundle) -> None:
    assert torch.equal(bundle.predict(9, seed=1)[:4], bundle.predict(4, seed=1))
    assert not torch.equal(bundle.predict(4, seed=1), bundle.predict(4, seed=2))


def test_no_truncation_left_means_one_image_only(bundle: GanBundle) -> None:
    drawn = bundle.predict(4, truncation=0.0)
    assert (drawn == drawn[:1]).all()


def test_a_saved_bundle_measures_the_same_proxy(bundle: GanBundle, tmp_path: Path) -> None:
    expected = bundle.evaluate(None)
    assert GanBundle.load(bundle.save(tmp_path / "bundle")).evaluate(None) == expected
    assert set(expected) == {"frechet", "precision", "recall", "classes"}


def test_images_of_another_shape_are_refused(bundle: GanBundle, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros((30, 9, 9), np.uint8))
    with pytest.raises(
        DataError, match=r"images of shape \(1, 9, 9\).*the model makes \(1, 8, 8\)"
    ):
        bundle.evaluate(path)


def test_training_images_that_changed_are_refused(make_quick_loop: Make, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 6, 6), np.uint8)
    np.savez(path, images=pixels)
    bundle = make_quick_loop(f"data={path}", "evaluation.samples=64", "model.width=16").bundle()
    assert set(bundle.evaluate(None)) == {"frechet", "precision", "recall"}  # no labels, no classes
    pixels[0] = 0
    np.savez(path, images=pixels)
    with pytest.raises(DataError, match=r"is not what the model was trained on.*a.npz: changed"):
        bundle.evaluate(None)


def test_a_file_gets_a_grid_and_a_folder_one_file_per_image(
    bundle: GanBundle, tmp_path: Path
) -> None:
    text = bundle.predict_files(("n=9", "seed=4"), tmp_path / "grid.png")
    assert text == f"9 samples of seed 4: {tmp_path / 'grid.png'}"
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.mode == "L"
        assert grid.width == grid.height >= 3 * 8
    bundle.predict_files(("n=3",), tmp_path / "folder")
    names = sorted(file.name for file in (tmp_path / "folder").iterdir())
    assert names == ["00000.png", "00001.png", "00002.png"]
    with Image.open(tmp_path / "folder" / "00001.png") as picture:
        assert np.array_equal(np.asarray(picture), bundle.predict(3)[1, :, :, 0].numpy())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("m=3",), "'m=3' is not understood. Write n=64 seed=0 truncation=1.0."),
        (("n=many",), "n='many' is not a whole number. Write n=1."),
        (("n=0",), "n is 0. It must be at least 1."),
        (("seed=-1",), "seed is -1. It must be not negative."),
        (("truncation=-1",), "truncation is -1.0. It must be not negative."),
    ],
)
def test_a_bad_word_is_answered(
    words: tuple[str, ...], message: str, bundle: GanBundle, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        bundle.predict_files(words, tmp_path / "a.png")
    assert str(caught.value) == message


def test_samples_need_a_place(bundle: GanBundle) -> None:
    with pytest.raises(UsageError, match=r"samples need a place. Add --out grid.png"):
        bundle.predict_files(("n=4",), None)


def test_a_place_that_cannot_be_written_is_named(bundle: GanBundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        bundle.predict_files(("n=4",), tmp_path / "file" / "grid.png")


def test_the_sample_verb_takes_a_run_or_its_bundle(bundle: GanBundle, tmp_path: Path) -> None:
    bundle.save(tmp_path / "run" / "bundle")
    out = tmp_path / "g.png"
    for place in (tmp_path / "run", tmp_path / "run" / "bundle"):
        arguments = [str(place), "--n", "4", "--seed", "2", "--out", str(out)]
        done = CliRunner().invoke(sample_verb, arguments)
        assert done.output == f"4 samples of seed 2: {out}\n"


def test_the_sample_verb_names_a_missing_folder(tmp_path: Path) -> None:
    done = CliRunner().invoke(sample_verb, [str(tmp_path / "none")])
    assert isinstance(done.exception, UsageError)
    assert "there is no such folder" in str(done.exception)


def test_pixels_and_images_convert_back_and_forth() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    assert torch.equal(to_pixels(to_images(pixels)), pixels)


def test_a_grid_shows_every_pixel_of_colour_images() -> None:
    pixels = torch.randint(0, 256, (5, 4, 3, 3), dtype=torch.uint8)
    with Image.open(io.BytesIO(grid_png(pixels))) as picture:
        shown = np.asarray(picture)
    factor = shown.shape[1] // (3 * 4 + 1)
    small = shown[::factor, ::factor]
    assert np.array_equal(small[1:5, 5:8], pixels[1].numpy())
    assert np.array_equal(small[6:10, 1:4], pixels[3].numpy())


def test_the_picture_of_a_loop_is_a_png(make_quick_loop: Make) -> None:
    loop = make_quick_loop("evaluation.samples=64", "model.width=16")
    with Image.open(io.BytesIO(loop.picture())) as picture:
        assert picture.format == "PNG"
