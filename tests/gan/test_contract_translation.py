"""The contract of every rondel loop, for games from image to image, on forty small pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rondel.testing import LoopContract

SMALL = (
    "data=pictures",
    "translation.width=4",
    "run.log_every=2",
    "epochs=2",
    "batch_size=11",
    "evaluation.samples=64",
    "evaluation.every=1",
)


@pytest.fixture(scope="module", autouse=True)
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Write squares, grey and in colour, and work in their folder, as the started processes do."""
    folder = tmp_path_factory.mktemp("pairs")
    draw = np.random.default_rng(0)
    for number in range(40):
        grey = draw.integers(0, 80, (32, 32), dtype=np.uint8)
        row, column, side = draw.integers(2, 14, 3)
        grey[row : row + side, column : column + side] += 150
        color = np.stack([grey, 255 - grey, grey // 2], axis=-1)
        for kind, pixels in (("a", grey), ("b", color)):
            file = folder / "pictures" / kind / f"{number:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


class TestPix2Pix(LoopContract):
    """Grey squares and the same ones in colour."""

    domain = "gan"
    overrides = (*SMALL, "loop=pix2pix")
    tolerance = 5e-6  # convolutions of other sizes
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)


class TestCycle(LoopContract):
    """Without partners, and pools that are full after the second batch."""

    domain = "gan"
    overrides = (
        *SMALL,
        "loop=cycle",
        "translation.pool=16",
        "translation.identity=0",
        "generator.ema=0.9",
    )
    tolerance = 5e-6  # convolutions of other sizes
    kills = 0  # the crash harness kills more, and faster
    processes = (2,)
