"""What a trained model gives: samples, translations, files, measurements; of every kind of game."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rondel import keyed
from rondel.config import parse_overrides, resolve
from rondel.errors import DataError, UsageError
from rondel_gan.build import build
from rondel_gan.bundle import GanBundle
from rondel_gan.codes import coded_noise
from rondel_gan.config import GanConfig
from rondel_gan.loops.adversarial import Adversarial

SMALL = ("evaluation.proxy_updates=5", "evaluation.samples=64", "model.width=16")
GAMES = {
    "plain": (),
    "projection": ("model.condition=projection",),
    "auxiliary": ("model.condition=auxiliary",),
    "info": ("loop=info", "info.categories=4"),
    "vae": ("loop=vae",),
    "growing": ("loop=growing", "model.width=8"),
    "points": ("dataset=ring",),
    "pix2pix": ("dataset=colorize", "translation.width=4"),
    "cycle": ("dataset=photos", "translation.width=4"),
}
OF_NOISE = ("plain", "projection", "auxiliary", "info", "vae", "growing", "points")
IMAGES = tuple(name for name in OF_NOISE if name != "points")


def made(*overrides: str) -> Adversarial:
    config: Any = resolve(GanConfig, [parse_overrides(GanConfig, [*SMALL, *overrides])]).config
    keyed.reseed(keyed.key(0, "build"))
    return build(config)


@cache
def game(name: str) -> Adversarial:
    """Return the untrained game of a name; what it makes is as good to compare as any."""
    return made(*GAMES[name])


def bundle_of(name: str) -> GanBundle:
    return game(name).bundle()


def reloaded(name: str, folder: Path) -> GanBundle:
    return GanBundle.load(bundle_of(name).save(folder / name))


def sources(name: str, count: int = 3) -> Tensor:
    bundle = bundle_of(name)
    shape = bundle.facts["source"] or bundle.shape
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


# -- every kind loads back ---------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_NOISE)
def test_a_loaded_generator_makes_what_the_game_made(name: str, tmp_path: Path) -> None:
    expected = game(name).samples(7, seed=3)
    loaded = reloaded(name, tmp_path)
    assert torch.equal(loaded.maker.samples(7, seed=3), expected)
    pixels = loaded.predict(7, seed=3)
    if name == "points":
        assert torch.equal(pixels, expected)
        assert pixels.shape == (7, 2)
    else:
        levels = ((expected.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        assert torch.equal(pixels, levels.permute(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("name", "direction", "net"),
    [
        ("pix2pix", "there", "generator"),
        ("cycle", "there", "generator"),
        ("cycle", "back", "inverse"),
    ],
)
@torch.no_grad()
def test_a_loaded_translator_makes_what_the_net_made(
    name: str, direction: Any, net: str, tmp_path: Path
) -> None:
    images = sources(name)
    expected = getattr(game(name), net)(images)
    loaded = reloaded(name, tmp_path)
    assert torch.equal(loaded.translate(images, direction=direction), expected)
    levels = ((expected + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    assert torch.equal(loaded.predict(images, direction=direction), levels)


@torch.no_grad()
def test_a_loaded_vae_gan_encodes_and_rebuilds(tmp_path: Path) -> None:
    images, vae = sources("vae"), game("vae")
    mean, _ = vae.encoder(images)  # type: ignore[attr-defined]
    loaded = reloaded("vae", tmp_path)
    assert torch.equal(loaded.encode(images), mean)
    assert torch.equal(loaded.rebuild(images), vae.generator(mean))
    assert torch.equal(loaded.predict(images), loaded.predict(images.double()))
    assert loaded.predict(images).shape == (3, 8, 8, 1)


@pytest.mark.parametrize("name", GAMES)
def test_a_loaded_bundle_measures_the_same(name: str, tmp_path: Path) -> None:
    expected = bundle_of(name).evaluate(None)
    assert reloaded(name, tmp_path).evaluate(None) == expected
    kinds = {"points": "modes", "pix2pix": "psnr", "cycle": "cycle"}
    assert {kinds.get(name, "novelty")} <= set(expected)


@pytest.mark.parametrize("name", ["pix2pix", "cycle"])
def test_a_translator_is_measured_as_in_its_game(name: str) -> None:
    class NoRun:
        settings = game(name).config.run

        def say(self, text: str) -> None:
            """Say nothing."""

    loop = game(name)
    measured = loop.evaluate(NoRun())  # type: ignore[arg-type]
    again = loop.bundle().evaluate(None)
    assert again.keys() == measured.keys() - {"alarms"}
    for key, value in again.items():
        assert value == pytest.approx(measured[key], rel=1e-9), key


# -- samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "info"])
def test_a_longer_draw_begins_with_the_shorter_one(name: str) -> None:
    bundle = bundle_of(name)
    assert torch.equal(bundle.predict(9, seed=1)[:4], bundle.predict(4, seed=1))
    assert not torch.equal(bundle.predict(4, seed=1), bundle.predict(4, seed=2))


def test_no_truncation_left_means_one_image_only() -> None:
    drawn = bundle_of("plain").predict(4, truncation=0.0)
    assert (drawn == drawn[:1]).all()


@torch.no_grad()
def test_a_class_is_asked_for_by_its_name() -> None:
    bundle = bundle_of("projection")
    generator = bundle.maker.generator
    noise = bundle.maker.noise(5, seed=0)
    expected = generator(noise, torch.full((5,), 7))
    assert torch.equal(bundle.maker.samples(5, label="7"), expected)
    turns = generator(noise, torch.tensor([0, 1, 2, 3, 4]))
    assert torch.equal(bundle.maker.samples(5), turns)


@torch.no_grad()
def test_codes_of_infogan_are_chosen_and_the_rest_is_kept() -> None:
    bundle = bundle_of("info")
    drawn = bundle.maker.noise(6, seed=4)
    chosen = bundle.maker.noise(6, seed=4, label="2", code=(0.5, -1.0))
    latent = bundle.settings.model.latent
    assert torch.equal(chosen[:, :latent], drawn[:, :latent])
    assert chosen[:, latent : latent + 4].tolist() == [[0, 0, 1, 0]] * 6
    assert chosen[:, latent + 4 :].tolist() == [[0.5, -1.0]] * 6
    truncated = bundle.maker.noise(6, seed=4, truncation=0.5)
    assert torch.equal(truncated[:, :latent], 0.5 * drawn[:, :latent])
    assert torch.equal(truncated[:, latent:], drawn[:, latent:])
    draw = torch.Generator().manual_seed(4)
    rows = [coded_noise(bundle.settings, 1, draw) for _ in range(6)]
    assert torch.equal(drawn, torch.cat(rows))


def test_between_two_seeds_lie_both_of_them_and_an_arc() -> None:
    bundle = bundle_of("plain")
    (way,) = bundle.maker.between([3, 8], steps=5)
    for row, seed in ((0, 3), (4, 8)):
        torch.testing.assert_close(way[row], bundle.maker.samples(1, seed=seed)[0])
    ends = [bundle.maker.noise(1, seed=seed)[0].double() for seed in (3, 8)]
    half = (ends[0] + ends[1]) / (2 * torch.cos(angle_of(*ends) / 2))  # the middle of an arc
    with torch.no_grad():
        middle = bundle.maker.generator(half.float()[None])[0]
    torch.testing.assert_close(way[2], middle, rtol=1e-4, atol=1e-5)


def angle_of(first: Tensor, second: Tensor) -> Tensor:
    return torch.acos(torch.dot(first, second) / (first.norm() * second.norm()))


def test_a_way_of_a_conditional_generator_is_of_one_class() -> None:
    bundle = bundle_of("projection")
    (way,) = bundle.maker.between([1, 2], steps=3, label="4")
    torch.testing.assert_close(way[2], bundle.maker.samples(1, seed=2, label="4")[0])


ASKED: dict[str, tuple[str, Callable[[GanBundle], Any], str]] = {
    "a number": ("plain", lambda b: b.predict(0), "n is 0. It must be at least 1."),
    "a seed": ("plain", lambda b: b.predict(1, seed=-1), "seed is -1. It must be not negative."),
    "a factor": (
        "plain",
        lambda b: b.predict(1, truncation=-1.0),
        "truncation is -1.0. It must be not negative.",
    ),
    "a class of none": (
        "plain",
        lambda b: b.predict(1, label="3"),
        (
            "'3' cannot be asked for: the model knows no classes. "
            "Train with model.condition=projection on data with labels."
        ),
    ),
    "another class": (
        "projection",
        lambda b: b.predict(1, label="33"),
        "there is no class '33'. Did you mean '3'?",
    ),
    "a category": (
        "info",
        lambda b: b.predict(1, label="x"),
        "there is no class 'x'. Known: '0', '1', '2', '3'.",
    ),
    "a code of none": (
        "plain",
        lambda b: b.predict(1, code=(0.0,)),
        "only InfoGAN has a code. Leave it out.",
    ),
    "a code too few": (
        "info",
        lambda b: b.predict(1, code=(0.5,)),
        "the code is 0.5. The model has 2, each from -1 to 1.",
    ),
    "a code too large": (
        "info",
        lambda b: b.predict(1, code=(0.5, 2)),
        "the code is 0.5, 2. The model has 2, each from -1 to 1.",
    ),
    "one seed": (
        "plain",
        lambda b: b.maker.between([1]),
        "one seed leads nowhere. Give two or more: 0,1,2.",
    ),
    "one step": (
        "plain",
        lambda b: b.maker.between([1, 2], steps=1),
        "steps is 1. It must be at least 2.",
    ),
    "a negative seed": (
        "plain",
        lambda b: b.maker.between([1, -2]),
        "seed is -2. It must be not negative.",
    ),
    "a way of points": (
        "points",
        lambda b: b.maker.between([1, 2]),
        "there are no pictures between points. Draw them: rondel gan sample.",
    ),
    "noise of a translator": (
        "cycle",
        lambda b: b.predict(4),
        (
            "a translator makes images of images, not of noise. "
            "Give it pictures: rondel gan predict BUNDLE FILES --out FOLDER."
        ),
    ),
    "images of a generator": (
        "plain",
        lambda b: b.predict(torch.zeros(1, 1, 8, 8)),
        (
            "the generator makes samples of noise, not of images. "
            "Say how many: n=64. Translators and VAE-GANs take images."
        ),
    ),
    "a translation of a generator": (
        "plain",
        lambda b: b.translate(torch.zeros(1, 1, 8, 8)),
        "the model translates nothing. Draw samples: rondel gan sample.",
    ),
    "a way back of pix2pix": (
        "pix2pix",
        lambda b: b.translate(torch.zeros(1, 3, 32, 32), direction="back"),
        "there is no direction 'back'. Known: 'there'.",
    ),
    "a direction": (
        "cycle",
        lambda b: b.translate(torch.zeros(1, 3, 32, 32), direction="bakc"),  # type: ignore[arg-type]
        "there is no direction 'bakc'. Did you mean 'back'?",
    ),
    "no format": (
        "plain",
        lambda b: b.export(Path("x"), "tflite"),
        "generators are not exported as 'tflite'. Known are onnx and pt2.",
    ),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_makes_no_sense_is_answered(case: str) -> None:
    name, ask, message = ASKED[case]
    with pytest.raises(UsageError) as caught:
        ask(bundle_of(name))
    assert str(caught.value) == message


def test_a_conditional_vae_gan_must_be_told_the_class() -> None:
    bundle = made("loop=vae", "model.condition=projection").bundle()
    images = torch.zeros(2, 1, 8, 8)
    with pytest.raises(UsageError, match=r"of which class the images are is not said. Known: '0'"):
        bundle.rebuild(images)
    assert bundle.rebuild(images, label="3").shape == (2, 1, 8, 8)


# -- images that are given ---------------------------------------------------------------------------


def picture(path: Path, *shape: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def shown(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as opened:
        return np.array(opened)


def test_files_folders_pixels_and_tensors_are_the_same(tmp_path: Path) -> None:
    bundle = bundle_of("cycle")
    files = [picture(tmp_path / "in" / f"{n}.png", 32, 32, 3, seed=n) for n in range(3)]
    pixels = torch.stack([torch.from_numpy(shown(file)) for file in files])
    expected = bundle.predict(pixels)
    assert torch.equal(bundle.predict(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1), expected)
    assert torch.equal(bundle.predict([str(file) for file in files]), expected)
    assert torch.equal(bundle.predict(tmp_path / "in"), expected)
    assert torch.equal(bundle.predict(files[1]), expected[1:2])


def test_colour_is_converted_to_what_the_model_takes(tmp_path: Path) -> None:
    file = picture(tmp_path / "colour.png", 32, 32, 3)
    with Image.open(file) as opened:
        grey = np.asarray(opened.convert("L"))
    expected = bundle_of("pix2pix").predict(torch.from_numpy(grey.copy())[None, :, :, None])
    assert torch.equal(bundle_of("pix2pix").predict(file), expected)


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png", 32, 32, 3)
    wrong = picture(tmp_path / "in" / "b.png", 20, 40, 3)
    with pytest.raises(DataError) as caught:
        bundle_of("cycle").predict(tmp_path / "in")
    message = f"{wrong}: is 40 x 20, but the model takes 32 x 32. Scale or crop it first."
    assert str(caught.value) == message


def test_an_empty_folder_and_a_damaged_picture_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no pictures. Check the path."):
        bundle_of("cycle").predict(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad.png: is no image that can be read"):
        bundle_of("cycle").predict(tmp_path)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            torch.zeros(2, 3, 16, 16),
            r"images of shape \(2, 3, 16, 16\) where \(N, 3, 32, 32\) is expected. Give \(N, C, H, W\)",
        ),
        (torch.full((1, 3, 32, 32), 2.0), r"values from 2 to 2. Scale them to \[-1, 1\]."),
        (torch.full((1, 3, 32, 32), torch.nan), "values from nan to nan"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(images: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        bundle_of("cycle").predict(images)


# -- files that are written --------------------------------------------------------------------------


def test_a_file_gets_a_grid_and_a_folder_one_file_per_image(tmp_path: Path) -> None:
    bundle = bundle_of("plain")
    text = bundle.predict_files(("n=9", "seed=4"), tmp_path / "grid.png")
    assert text == f"9 samples of seed 4: {tmp_path / 'grid.png'}"
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.mode == "L"
        assert grid.width == grid.height >= 3 * 8
    bundle.predict_files(("n=3",), tmp_path / "folder")
    names = sorted(file.name for file in (tmp_path / "folder").iterdir())
    assert names == ["00000.png", "00001.png", "00002.png"]
    written = shown(tmp_path / "folder" / "00001.png")
    assert np.array_equal(written, bundle.predict(3)[1, :, :, 0].numpy())


def test_points_get_a_table_or_a_scatter_picture(tmp_path: Path) -> None:
    bundle = bundle_of("points")
    bundle.predict_files(("n=5", "seed=2"), tmp_path / "p.csv")
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0] == "x,y"
    rows = torch.tensor([[float(part) for part in line.split(",")] for line in lines[1:]])
    torch.testing.assert_close(rows, bundle.predict(5, seed=2))
    bundle.predict_files(("n=5",), tmp_path / "p.png")
    drawn = shown(tmp_path / "p.png")
    assert drawn.shape[0] == drawn.shape[1]


def test_translations_are_called_as_the_files_are(tmp_path: Path) -> None:
    for name in ("x/1.png", "x/deep/1.jpg", "x/2.png"):
        picture(tmp_path / name, 32, 32, 3)
    said = bundle_of("cycle").predict_files((str(tmp_path / "x"), "direction=back"), tmp_path / "o")
    assert said == f"3 pictures: {tmp_path / 'o'}"
    made_files = sorted(str(f.relative_to(tmp_path / "o")) for f in (tmp_path / "o").rglob("*.png"))
    assert made_files == ["1.png", "2.png", "deep/1.png"]
    expected = bundle_of("cycle").predict(tmp_path / "x" / "2.png", direction="back")[0]
    assert np.array_equal(shown(tmp_path / "o" / "2.png"), expected.numpy())


def test_one_picture_becomes_one_and_several_a_grid(tmp_path: Path) -> None:
    bundle = bundle_of("pix2pix")
    file = picture(tmp_path / "in" / "a.png", 32, 32)
    assert bundle.predict_files((str(file),), tmp_path / "one.png").startswith("1 picture: ")
    assert shown(tmp_path / "one.png").shape == (32, 32, 3)
    picture(tmp_path / "in" / "b.png", 32, 32, seed=1)
    bundle.predict_files((str(tmp_path / "in"),), tmp_path / "two.png")
    assert shown(tmp_path / "two.png").shape[1] > 64


def test_a_vae_gan_rebuilds_files_and_draws_samples(tmp_path: Path) -> None:
    bundle = bundle_of("vae")
    file = picture(tmp_path / "a.png", 8, 8)
    bundle.predict_files((str(file),), tmp_path / "again.png")
    expected = bundle.predict(file)[0, :, :, 0]
    assert np.array_equal(shown(tmp_path / "again.png"), expected.numpy())
    assert "4 samples" in bundle.predict_files(("n=4",), tmp_path / "four.png")


WORDS = "Write n=64 seed=0 truncation=1.0 class=NAME code=0.5,-1."


@pytest.mark.parametrize(
    ("name", "words", "out", "message"),
    [
        ("plain", ("m=3",), "a.png", f"'m=3' is not understood. {WORDS}"),
        (
            "plain",
            ("there",),
            "a.png",
            f"'there' is neither a file nor a folder. Check the path. {WORDS}",
        ),
        ("plain", ("n=many",), "a.png", "n='many' is not a whole number. Write n=1."),
        (
            "plain",
            ("truncation=x",),
            "a.png",
            "truncation='x' is not a number. Write truncation=1.",
        ),
        ("info", ("code=a,b",), "a.png", "code='a,b' is not a list of numbers. Write code=1."),
        ("cycle", ("n=3",), "a", "'n=3' is not understood. Write direction=back."),
        ("cycle", (), "a", "there are no images. Give files or folders."),
        ("plain", ("n=4",), None, "samples need a place. Add --out grid.png, or --out FOLDER."),
        (
            "points",
            ("n=4",),
            None,
            "samples need a place. Add --out points.png, or --out points.csv.",
        ),
        (
            "points",
            ("n=4",),
            "folder",
            "{out}: points are not written to it. Use --out points.png, or --out points.csv.",
        ),
        (
            "plain",
            ("n=4",),
            "a.csv",
            "{out}: images are not written to it. Use --out grid.png, or --out FOLDER.",
        ),
        (
            "plain",
            ("n=4",),
            "a.jpg",
            "{out}: images are not written to it. Use --out grid.png, or --out FOLDER.",
        ),
    ],
)
def test_a_bad_word_or_place_is_answered(
    name: str, words: tuple[str, ...], out: str | None, message: str, tmp_path: Path
) -> None:
    place = None if out is None else tmp_path / out
    with pytest.raises(UsageError) as caught:
        bundle_of(name).predict_files(words, place)
    assert str(caught.value) == message.format(out=place)


def test_places_of_translations_are_checked(tmp_path: Path) -> None:
    bundle = bundle_of("cycle")
    file = str(picture(tmp_path / "in" / "a.png", 32, 32, 3))
    with pytest.raises(UsageError, match=r"pictures need a place. Add --out FOLDER, or --out made"):
        bundle.predict_files((file,), None)
    with pytest.raises(UsageError, match=r"a\.gif: pictures are not written to it. Use --out FOLD"):
        bundle.predict_files((file,), tmp_path / "a.gif")
    other = str(picture(tmp_path / "other" / "a.jpg", 32, 32, 3))
    with pytest.raises(UsageError, match=r"two pictures would be called 'a\.png'. Take them one"):
        bundle.predict_files((file, other), tmp_path / "o")


@pytest.mark.parametrize("out", ["grid.png", "folder"])
def test_a_place_that_cannot_be_written_is_named(out: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot be written: .*Give another --out"):
        bundle_of("plain").predict_files(("n=4",), tmp_path / "file" / out)


# -- measurements --------------------------------------------------------------------------------------


def test_what_is_not_in_the_bundle_is_made_again_to_measure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = bundle_of("plain")
    expected = whole.evaluate(None)
    proxy = whole.modules["proxy"]
    modules = {"generator": whole.modules["generator"]}
    bare = GanBundle(
        config=whole.config, facts={**whole.facts, "proxy": False}, modules=modules, data=whole.data
    )
    asked = []

    def make_extractor(config: Any, *images: Any) -> Any:
        asked.append(config)
        return proxy

    monkeypatch.setattr("rondel_gan.evaluation.make_extractor", make_extractor)
    loaded = GanBundle.load(bare.save(tmp_path / "bundle"))
    assert loaded.evaluate(None) == expected
    assert asked == [whole.settings.evaluation]


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros((30, 9, 9), np.uint8))
    message = r"images of shape \(1, 9, 9\).*the model has \(1, 8, 8\). Give images like those"
    with pytest.raises(DataError, match=message):
        bundle_of("plain").evaluate(path)


def test_other_images_are_measured_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(path, images=pixels)
    measured = bundle_of("plain").evaluate(path)
    assert measured["frechet"] > 0
    assert "novelty" not in measured  # nothing was trained on them


def test_pairs_of_another_shape_are_refused(tmp_path: Path) -> None:
    for number in range(20):
        picture(tmp_path / "d" / "a" / f"{number}.png", 32, 32, seed=number)
        picture(tmp_path / "d" / "b" / f"{number}.png", 32, 32, seed=number)
    with pytest.raises(DataError, match=r"d, a: images of shape \(1, 32, 32\).*has \(3, 32, 32\)"):
        bundle_of("cycle").evaluate(tmp_path / "d")
    with pytest.raises(DataError, match=r"d, b: images of shape \(1, 32, 32\).*has \(3, 32, 32\)"):
        bundle_of("pix2pix").evaluate(tmp_path / "d")


def test_training_images_that_changed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 6, 6), np.uint8)
    np.savez(path, images=pixels)
    bundle = made(f"data={path}").bundle()
    assert "classes" not in bundle.evaluate(None)  # there are no labels
    pixels[0] = 0
    np.savez(path, images=pixels)
    with pytest.raises(DataError, match=r"is not what the model was trained on.*a.npz: changed"):
        bundle.evaluate(None)
