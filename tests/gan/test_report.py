"""What the report shows of a game, against computations by hand."""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import rondel
from rondel import Section
from rondel_gan.interpolation import slerp, ways
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.metrics.likeness import likeness
from rondel_gan.picture import rows_png
from rondel_gan.report import film
from rondel_gan.report.balance import balance_section, read_lines
from rondel_gan.report.classes import classes_section
from rondel_gan.report.composition import compose
from rondel_gan.report.film import film_section, places
from rondel_gan.report.samples import codes_section, nearest_section
from rondel_gan.sampling import to_images, to_pixels

Make = Callable[..., Adversarial]
SMALL: Mapping[str, Any] = {
    "quiet": True,
    "epochs": 2,
    "evaluation": {"every": 1, "samples": 64, "proxy_updates": 5},
    "model": {"width": 16},
    "run": {"threads": 1},
}
ALWAYS_FIRST, ALWAYS_LAST = ["Collapse alarm", "Samples over time"], ["Balance of the players"]
OF_NOISE = ["Between samples", "Nearest training images", "Classes of samples"]
SECTIONS: Mapping[str, tuple[Mapping[str, Any], list[str], str]] = {
    "plain": ({}, OF_NOISE, "How samples are measured"),
    "info": ({"loop": "info"}, ["Codes", *OF_NOISE], "How samples are measured"),
    "vae": ({"loop": "vae"}, ["Rebuilt images", *OF_NOISE], "How samples are measured"),
    "growing": (
        {"loop": "growing", "growing": {"epochs": 1}, "model": {"width": 8}},
        OF_NOISE,
        "How samples are measured",
    ),
    "pix2pix": (
        {"dataset": "colorize", "translation": {"width": 4}},
        ["Translations"],
        "How translations are measured",
    ),
    "cycle": (
        {"dataset": "photos", "translation": {"width": 4}, "batch_size": 26},
        ["There and back", "The other way round"],
        "How translations are measured",
    ),
}


@pytest.mark.parametrize("name", SECTIONS)
def test_every_kind_of_game_has_its_sections(name: str, tmp_path: Path) -> None:
    settings, own, protocol = SECTIONS[name]
    result = rondel.train("gan", out=tmp_path / "run", **{**SMALL, **settings})
    sections = json.loads((tmp_path / "run" / "sections.json").read_text())
    titles = [section["title"] for section in sections]
    assert titles == [*ALWAYS_FIRST, *own, *ALWAYS_LAST, protocol]
    assert result.report is not None
    page = result.report.read_text()
    for section in sections:
        if "picture" in section:  # whole, as it was drawn: a shrunk film would not move
            content = (tmp_path / "run" / section["picture"]).read_bytes()
            assert base64.b64encode(content).decode() in page, section["title"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loop": "info"},
        {"loop": "growing", "growing": {"epochs": 3, "fade": 0.5}, "model": {"width": 8}},
    ],
)
def test_the_bundle_makes_what_the_best_evaluation_measured(
    settings: Mapping[str, Any], tmp_path: Path
) -> None:
    words = {**SMALL, **settings, "run": {"threads": 1, "seed": 1}}
    result = rondel.train("gan", out=tmp_path / "run", **words)
    bundle = result.bundle
    bundle.config["run"]["seed"] = 0  # with the noise of the next seed, that of the training
    for name, value in bundle.evaluate(None).items():
        assert value == pytest.approx(result.metrics[name], rel=1e-6), name


def test_a_process_that_does_not_write_draws_nothing(make_quick_loop: Make) -> None:
    run: Any = SimpleNamespace(processes=SimpleNamespace(writes=False))
    assert compose(make_quick_loop("model.width=8"), run, [Section("x")]) == []


# -- ways ------------------------------------------------------------------------------------------


def test_an_arc_has_equal_steps_and_keeps_the_length() -> None:
    draw = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 8, generator=draw, dtype=torch.float64)
    second = second * first.norm() / second.norm()
    points = [slerp(first, second, k / 10) for k in range(11)]
    for point in points:
        torch.testing.assert_close(point.norm(), first.norm())
    apart = torch.stack([(b - a).norm() for a, b in itertools.pairwise(points)])
    torch.testing.assert_close(apart, apart[:1].expand(10))
    torch.testing.assert_close(points[0], first)
    torch.testing.assert_close(points[10], second)


def test_an_arc_of_a_quarter_is_sine_and_cosine() -> None:
    first, second = torch.eye(2, dtype=torch.float64)
    for share in (0.0, 0.3, 0.5, 1.0):
        angle = share * math.pi / 2
        expected = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        torch.testing.assert_close(slerp(first, second, share), expected)


@pytest.mark.parametrize("factor", [2.0, -1.0])
def test_parallel_noise_is_joined_straight(factor: float) -> None:
    first = torch.tensor([1.0, 2.0, -3.0])
    expected = first + 0.25 * (factor * first - first)
    torch.testing.assert_close(slerp(first, factor * first, 0.25), expected)


def test_codes_beside_the_noise_go_straight() -> None:
    stations = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    found = ways(stations, 5, gaussians=4)
    assert len(found) == 2
    torch.testing.assert_close(found[1][2, 4:], (stations[1, 4:] + stations[2, 4:]) / 2)
    torch.testing.assert_close(found[1][2, :4], slerp(stations[1, :4], stations[2, :4], 0.5))


# -- samples ---------------------------------------------------------------------------------------


def opened(png: bytes | None) -> np.ndarray[Any, Any]:
    assert png is not None
    with Image.open(io.BytesIO(png)) as picture:
        return np.array(picture)


def test_the_nearest_training_images_are_those_found_by_hand(make_quick_loop: Make) -> None:
    game = make_quick_loop("model.width=16", "evaluation.samples=64")
    section = nearest_section(game)
    assert section is not None
    samples = game.samples(256, seed=game.config.run.seed + 1)

    def features(images: Tensor) -> Tensor:
        found: Tensor = game.quality.proxy.features(to_images(to_pixels(images)))  # type: ignore[attr-defined]
        return found

    apart = torch.cdist(features(samples), features(game.real))
    distances, indices = apart.min(dim=1)
    chosen = distances.argsort()[:10]
    expected = rows_png([samples[chosen], game.real[indices[chosen]]])
    assert np.array_equal(opened(section.picture), opened(expected))


def test_the_classes_of_samples_are_counted(make_loop: Make) -> None:
    game = make_loop(
        "evaluation.proxy_updates=200", "evaluation.samples=200", "model.condition=projection"
    )

    def real_ones(count: int, *, seed: int) -> Tensor:
        """Return real digits as samples, every class but '4', those of '4' as '5'."""
        labels = game.stream.data["labels"]
        rows = [game.real[labels == (5 if k % 10 == 4 else k % 10)][k // 10] for k in range(count)]
        return torch.stack(rows)

    game.samples = real_ones  # type: ignore[method-assign]
    section = classes_section(game)
    assert section is not None
    assert "The rarest against its share is '4': " in section.text
    assert " 90 % are of the class" in section.text or " 89 % are of the class" in section.text
    assert opened(section.picture).ndim >= 2


def test_no_classes_are_counted_without_labels(make_quick_loop: Make, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels)
    game = make_quick_loop(f"data={tmp_path / 'a.npz'}", "model.width=8", "evaluation.samples=64")
    assert classes_section(game) is None
    assert classes_section(make_quick_loop("dataset=ring")) is None
    assert nearest_section(make_quick_loop("dataset=ring")) is None


def test_the_picture_of_codes_has_a_column_for_each_category(make_quick_loop: Make) -> None:
    game: Any = make_quick_loop("loop=info", "info.categories=3", "model.width=8")
    picture = opened(codes_section(game).picture)
    factor = picture.shape[1] // (3 * 9 + 1)
    assert picture.shape == (factor * (8 * 9 + 1), factor * (3 * 9 + 1))
    small = picture[::factor, ::factor]
    draw = torch.Generator().manual_seed(game.config.run.seed)
    noise = torch.cat([game.noise(1, draw) for _ in range(6)])[2:3]
    noise[:, 32:35] = torch.tensor([[0.0, 1.0, 0.0]])
    with torch.no_grad():
        pixels = to_pixels(game.generator(noise))[0, :, :, 0].numpy()
    assert np.array_equal(small[2 * 9 + 1 : 3 * 9, 9 + 1 : 18], pixels)


def test_likeness_is_what_numpy_says() -> None:
    draw = torch.Generator().manual_seed(0)
    made, targets = torch.rand(2, 5, 3, 4, 4, generator=draw, dtype=torch.float64) * 2 - 1
    apart = made.numpy() - targets.numpy()
    psnr = np.mean([10 * np.log10(4 / np.mean(rows**2)) for rows in apart])
    found = likeness(made, targets)
    assert found["l1"] == pytest.approx(np.abs(apart).mean())
    assert found["psnr"] == pytest.approx(psnr)
    assert likeness(made, made) == {"l1": 0.0, "psnr": pytest.approx(100.0)}


# -- the film --------------------------------------------------------------------------------------


def draw_picture(folder: Path, number: int, level: int, size: int = 20) -> None:
    folder.mkdir(exist_ok=True)
    Image.new("L", (size, size), level).save(folder / f"samples-{number:07d}.png")


def test_a_film_runs_from_the_first_picture_to_the_last(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for number, level in ((20, 100), (3, 50), (100, 200)):
        draw_picture(folder, number, level)
    Image.new("L", (9, 9), 0).save(folder / "between-samples.png")  # another section's
    section = film_section(folder)
    assert section is not None
    assert section.picture is not None
    with Image.open(io.BytesIO(section.picture)) as picture:
        shown: Any = picture
        assert shown.n_frames == 4
        levels, bars = [], []
        for number in range(4):
            shown.seek(number)
            pixels = np.asarray(shown.convert("RGB"))
            levels.append(int(pixels[5, 5, 0]))
            bars.append(int((pixels[-1, :, 0] < 100).sum()))
    # programs that show no film show the end
    assert levels == [200, 50, 100, 200]
    assert bars == [20, 7, 13, 20]


def test_one_picture_is_no_film(tmp_path: Path) -> None:
    assert film_section(tmp_path / "none") is None
    draw_picture(tmp_path, 1, 0)
    assert film_section(tmp_path) is None


def test_a_film_of_large_noisy_pictures_is_cut_until_it_is_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 600, 600, 3), dtype=np.uint8)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"samples-{number:07d}.png")
    section = film_section(tmp_path)
    assert section is not None
    assert section.picture is not None
    with Image.open(io.BytesIO(section.picture)) as picture:
        shown: Any = picture
        assert shown.n_frames == film.CUTS[-1][0] + 1
        assert shown.width == film.CUTS[-1][1]
    assert len(section.picture) < film.MOST_BYTES * 2


@pytest.mark.parametrize(
    ("count", "most", "expected"), [(3, 5, [0, 1, 2]), (9, 5, [0, 2, 4, 6, 8]), (10, 2, [0, 9])]
)
def test_frames_are_chosen_evenly(count: int, most: int, expected: list[int]) -> None:
    assert places(count, most) == expected


# -- the balance -----------------------------------------------------------------------------------


def journal(path: Path, wins: list[Any]) -> Path:
    rows = [{"step": 0, "event": "evaluation", "name": "evaluation", "values": {"loss.wins": 0.0}}]
    for step, share in enumerate(wins):
        values = {"loss.real": 1.0 + step, "loss.fake": -1.0, "loss.wins": share}
        for name in ("discriminator", "generator"):
            rows.append({"step": step, "event": "update", "name": name, "values": values})  # noqa: PERF401
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_balance_is_that_of_the_discriminator_alone(tmp_path: Path) -> None:
    path = journal(tmp_path / "metrics.jsonl", [0.5, "nan", 0.75])
    lines = read_lines(path, ("loss.real", "loss.wins"))
    assert lines == {
        "loss.real": ([0, 1, 2], [1.0, 2.0, 3.0]),
        "loss.wins": ([0, 2], [0.5, 0.75]),  # what is not finite is left out
    }


def test_the_balance_tells_the_last_quarter(tmp_path: Path) -> None:
    path = journal(tmp_path / "metrics.jsonl", [0.5] * 6 + [0.8, 0.9])
    section = balance_section(path, winning=0.97)
    assert section is not None
    assert section.text.endswith("In the last quarter it ordered 85 % rightly.")
    assert opened(section.picture).shape[0] > 100


def test_without_notes_there_is_no_balance(tmp_path: Path) -> None:
    assert balance_section(tmp_path / "none", winning=0.97) is None
    assert balance_section(journal(tmp_path / "a", [0.5]), winning=0.97) is None
