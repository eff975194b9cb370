"""Two processes play as one, in steps of penalties alone and with empty shares, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from every_gradient import GAMES, LEARNING
from safetensors.torch import load_file
from torch import Tensor

PROGRAM = Path(__file__).parent / "every_gradient.py"
TIMEOUT_S = 300
Notes = dict[str, Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where each process of each game wrote its notes."""
    out = tmp_path_factory.mktemp("games")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=TIMEOUT_S,
        check=False,
    )
    print(done.stderr)
    return out


def notes(folder: Path, name: str) -> list[Notes]:
    files = sorted(folder.glob(f"{name}.*.safetensors"))
    assert files, f"{name} was not played to its end"
    return [load_file(file) for file in files]


def updates(found: Notes) -> list[str]:
    return sorted({name.split(".")[0] for name in found})


@pytest.mark.parametrize("game", GAMES)
def test_every_gradient_of_two_processes_is_that_of_one(game: str, folder: Path) -> None:
    (whole,) = notes(folder, f"{game}-1-still")
    both = notes(folder, f"{game}-2-still")
    assert len(both) == 2
    for mine in both:
        assert mine.keys() == whole.keys()
        for update in updates(whole):
            keys = [key for key in whole if key.startswith(f"{update}.")]
            norm = sum(whole[key].double().square().sum().item() for key in keys) ** 0.5
            apart = sum((mine[k] - whole[k]).double().square().sum().item() for k in keys) ** 0.5
            assert apart <= 2e-6 * norm, f"{update}: {apart / norm:.1e}"


def test_steps_of_lazy_penalties_are_among_them(folder: Path) -> None:
    (whole,) = notes(folder, "lazy-penalties-1-still")
    moves = {"discriminator": 8, "generator": 4}  # of 8 batches
    assert updates(whole) == [
        f"{name} {number:03}"
        for name, count in moves.items()
        for number in range(1, count + count // 2 + 1)
    ]


@pytest.mark.parametrize("game", LEARNING)
def test_two_processes_end_with_equal_weights(game: str, folder: Path) -> None:
    first, second = notes(folder, f"{game}-2-learns")
    ends = [name for name in first if name.startswith("end of")]
    assert {name.split(".")[0] for name in ends} == {"end of discriminator", "end of generator"}
    for name in ends:
        assert first[name].equal(second[name]), name
