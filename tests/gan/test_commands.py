"""The verbs of the domain, as a person types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image, ImageChops

from rondel.cli.main import main
from rondel_gan import demonstration
from rondel_gan.loops.adversarial import Adversarial

Make = Callable[..., Adversarial]


@pytest.fixture
def bundle(make_quick_loop: Make, tmp_path: Path) -> Path:
    """The folder of an untrained generator of digits."""
    loop = make_quick_loop("evaluation.samples=64", "model.width=16")
    return loop.bundle().save(tmp_path / "run" / "bundle")


@pytest.fixture
def conditional(make_quick_loop: Make, tmp_path: Path) -> Path:
    words = ("evaluation.samples=64", "model.width=16", "model.condition=projection")
    return make_quick_loop(*words).bundle().save(tmp_path / "conditional")


Capture = pytest.CaptureFixture[str]


def frames_of(path: Path) -> int:
    with Image.open(path) as picture:
        return int(getattr(picture, "n_frames", 1))


def test_sample_takes_a_run_or_its_bundle(bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "g.png"
    for place in (bundle, bundle.parent):
        words = ["gan", "sample", str(place), "--n", "4", "--seed", "2", "--out", str(out)]
        assert main(words) == 0
        assert capsys.readouterr().out == f"4 samples of seed 2: {out}\n"
        assert frames_of(out) == 1


def test_sample_speaks_json(bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    out = str(tmp_path / "g.png")
    assert main(["gan", "sample", str(bundle), "--n", "4", "--out", out, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row == {"event": "sample", "path": out, "n": 4, "seed": 0}


def test_sample_draws_the_class_that_is_asked_for(
    conditional: Path, tmp_path: Path, capsys: Capture
) -> None:
    for label in ("2", "8"):
        out = str(tmp_path / label)
        words = ["gan", "sample", str(conditional), "--n", "2", "--class", label, "--out", out]
        assert main(words) == 0
    first, second = (np.array(Image.open(tmp_path / label / "00000.png")) for label in ("2", "8"))
    assert not np.array_equal(first, second)
    capsys.readouterr()
    assert main(["gan", "sample", str(conditional), "--class", "88"]) == 2
    assert "there is no class '88'. Did you mean '8'?" in capsys.readouterr().err


def test_a_missing_folder_is_named(tmp_path: Path, capsys: Capture) -> None:
    assert main(["gan", "sample", str(tmp_path / "none")]) == 2
    assert "none' is no bundle: there is no such folder. Name the f" in capsys.readouterr().err


def test_interpolate_draws_a_row_for_each_pair(
    bundle: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "walk.png"
    words = ["gan", "interpolate", str(bundle), "--seeds", "0,1,5", "--steps", "6"]
    assert main([*words, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"Seeds 0, 1, 5 in steps of 6: {out}\n"
    with Image.open(out) as grid:
        factor = grid.width // (6 * 9 + 1)
        assert grid.size == (factor * (6 * 9 + 1), factor * (2 * 9 + 1))


@pytest.mark.parametrize(
    ("name", "kind", "still"), [("w.apng", "PNG", 1), ("w.gif", "GIF", 0), ("w.webp", "WEBP", 0)]
)
def test_interpolate_moves_from_seed_to_seed_and_back_to_the_first(
    name: str, kind: str, still: int, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / name
    words = ["gan", "interpolate", str(bundle), "--seeds", "0,1", "--steps", "4"]
    assert main([*words, "--out", str(out)]) == 0
    with Image.open(out) as film:
        assert film.format == kind
        assert film.n_frames == 2 * 3 + still  # type: ignore[attr-defined]
        assert film.info["loop"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "a"], "--seeds 'a' is no list of numbers. Write 0,1,2."),
        (["--seeds", "4"], "one seed leads nowhere. Give two or more: 0,1,2."),
        (["--steps", "1"], "steps is 1. It must be at least 2."),
        (["--out", "w.mp4"], "w.mp4: an interpolation is not written to it. Use a .png file for a"),
        (["--class", "3"], "'3' cannot be asked for: the model knows no classes."),
    ],
)
def test_a_bad_interpolation_is_answered(
    words: list[str], message: str, bundle: Path, capsys: Capture
) -> None:
    assert main(["gan", "interpolate", str(bundle), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([], ["images   1797 (1297 to train on, 500 held out)", "size     8 x 8, grey"]),
        (["dataset=ring"], ["modes   8, of deviation 0.0141"]),
        (["dataset=colorize", "loop=adversarial"], ["partners  each has one"]),
        (["dataset=grid", "loop=cycle"], ["modes   25, of deviation 0.0177"]),
        (["dataset=photos"], ["partners  none"]),
    ],
)
def test_inspect_describes_data_whatever_the_loop(
    words: list[str], lines: list[str], capsys: Capture
) -> None:
    assert main(["gan", "inspect", *words]) == 0
    said = capsys.readouterr().out
    for line in lines:
        assert line in said


@pytest.mark.slow
def test_the_demo_shows_a_good_game_and_a_collapsing_one(tmp_path: Path, capsys: Capture) -> None:
    assert main(["gan", "demo", "--out", str(tmp_path / "demo"), "--no-open", "--quiet"]) == 0
    said = capsys.readouterr().out
    good, collapsing, page = said.splitlines()[1:]
    assert good.startswith("The default recipe")
    assert good.endswith("alarm silent")
    assert "missing" in collapsing
    assert "winning" in collapsing
    assert page == str(tmp_path / "demo" / "demo.html")
    text = Path(page).read_text()
    assert text.count("data:image/png;base64,") == 2
    assert "alarm silent" in text
    assert "alarm: " in text
    assert (tmp_path / "demo" / "compare.html").is_file()


def test_the_demo_opens_the_page_that_it_wrote(tmp_path: Path, capsys: Capture) -> None:
    """A demo of two passes: too short to collapse, long enough for a page."""
    with (
        mock.patch.object(demonstration, "EPOCHS", 2),
        mock.patch("webbrowser.open") as opened,
    ):
        assert main(["gan", "demo", "--out", str(tmp_path / "d"), "--json"]) == 0
    page = (tmp_path / "d" / "demo.html").resolve()
    opened.assert_called_once_with(page.as_uri())
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["event"] for row in rows] == ["game", "game", "demo"]
    assert [row["name"] for row in rows[:2]] == ["good", "collapsing"]


def test_films_of_one_colour_are_still_films(tmp_path: Path) -> None:
    """Equal frames are shown longer, and that is no fault."""
    from rondel_gan.picture import animation

    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "red", "blue")]
    path = tmp_path / "a.png"
    path.write_bytes(animation(frames, kind="PNG", frame_ms=50))
    with Image.open(path) as film:
        film.seek(0)
        still = film.convert("RGB")
    assert ImageChops.difference(still, frames[-1]).getbbox() is None
