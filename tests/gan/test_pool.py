"""Pools of past images, against one that is written image by image."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from rondel import Run, keyed
from rondel_gan.pool import Pool


def numbered(first: int, size: int) -> Tensor:
    return torch.arange(first, first + size, dtype=torch.float32).view(-1, 1, 1, 1)


def exchanged_by_hand(kept: list[float], new: list[float], size: int, batch: int) -> list[float]:
    if len(kept) < size:
        kept += new[: size - len(kept)]
        return list(new)
    draw = keyed.generator(0, "pool", batch)
    slots = torch.randperm(size, generator=draw).tolist()
    coins = torch.rand(min(size, len(new)), generator=draw).tolist()
    shown = list(new)
    for place, (slot, coin) in enumerate(zip(slots, coins, strict=False)):
        if coin < 0.5:
            shown[place], kept[slot] = kept[slot], new[place]
    return shown


@pytest.mark.parametrize("size", [1, 3, 5, 50])
def test_a_pool_equals_one_that_is_written_image_by_image(size: int, tmp_path: Path) -> None:
    pool, kept = Pool(size, "pool"), []
    with Run(tmp_path / "run", seed=0) as run:
        for batch in range(12):
            new = numbered(10 * batch, 4)
            shown = pool.exchange(run, new, batch)
            expected = exchanged_by_hand(kept, new.flatten().tolist(), size, batch)
            assert shown.flatten().tolist() == expected
            assert pool.state_dict()["kept"].flatten().tolist() == kept
    assert len(kept) == min(size, 48)


def test_about_half_of_the_images_are_past_ones(tmp_path: Path) -> None:
    pool = Pool(50, "pool")
    with Run(tmp_path / "run", seed=0) as run:
        past = 0
        for batch in range(200):
            new = numbered(10 * batch, 10)
            past += int((pool.exchange(run, new, batch) < new[0]).sum())
    assert 0.45 < past / (195 * 10) < 0.55


def test_a_pool_of_no_size_hands_everything_through(tmp_path: Path) -> None:
    pool, new = Pool(0, "pool"), numbered(0, 4)
    with Run(tmp_path / "run", seed=0) as run:
        assert pool.exchange(run, new, 0) is new
    assert pool.state_dict() == {"kept": None}


def test_what_is_handed_out_and_kept_is_nobody_elses_memory(tmp_path: Path) -> None:
    pool = Pool(4, "pool")
    with Run(tmp_path / "run", seed=0) as run:
        pool.exchange(run, numbered(0, 4), 0)
        before = pool.state_dict()["kept"].clone()
        new = numbered(10, 4)
        shown = pool.exchange(run, new, 1)
        after = pool.state_dict()["kept"].clone()
        shown.zero_()
        new.zero_()
    assert not torch.equal(before, after)
    assert torch.equal(pool.state_dict()["kept"], after)


def test_a_pool_that_is_put_back_goes_on_as_if_never_cut(tmp_path: Path) -> None:
    straight, cut = Pool(5, "pool"), Pool(5, "pool")
    with Run(tmp_path / "run", seed=0) as run:
        for batch in range(8):
            new = numbered(10 * batch, 3)
            expected = straight.exchange(run, new, batch)
            again = Pool(5, "pool")
            again.load_state_dict(cut.state_dict())
            cut = again
            assert torch.equal(cut.exchange(run, new, batch), expected)


class OneOfTwo(SimpleNamespace):
    """The processes of a run, one of two: it knows what the other one has."""

    def gather(self, mine: Tensor) -> list[Tensor]:
        """Return both shares."""
        shares = [mine, self.other] if self.rank == 0 else [self.other, mine]
        return list(shares)


def test_every_process_holds_the_same_and_gets_its_share(tmp_path: Path) -> None:
    alone, pools = Pool(5, "pool"), (Pool(5, "pool"), Pool(5, "pool"))
    with Run(tmp_path / "run", seed=0) as run:
        for batch in range(6):
            new = numbered(10 * batch, 5)
            shares = (new[:3], new[3:])
            expected = alone.exchange(run, new, batch)
            found = []
            for rank, pool in enumerate(pools):
                processes = OneOfTwo(rank=rank, other=shares[1 - rank])
                part: Any = SimpleNamespace(
                    replaying=False, processes=processes, settings=run.settings
                )
                found.append(pool.exchange(part, shares[rank], batch))
                assert torch.equal(pool.state_dict()["kept"], alone.state_dict()["kept"])
            assert torch.equal(torch.cat(found), expected)
