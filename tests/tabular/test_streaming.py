"""A table that is read some rows at a time trains as the same table in memory does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from rondel import Run, keyed
from rondel.array_cache import Cache, Draft
from rondel.batcher import FixedSize
from rondel.errors import ConfigError, DataError, DirectoryError
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.data import leaks
from rondel_tabular.data.batches import OwnRows
from rondel_tabular.inspection import inspect
from rondel_tabular.streaming import chunks, table
from rondel_tabular.streaming.stored import InWindows, StoredRows

Make = Callable[..., Any]
Write = Callable[..., Path]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read 31 rows at a time."""
    plain = chunks.Chunks.of
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 31)
    monkeypatch.setattr(chunks, "CHUNK_CELLS", 0)
    monkeypatch.setattr(
        chunks.Chunks, "of", lambda path: type(found := plain(path))(**{**vars(found), "rows": 31})
    )


def hard_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Add columns that look different from one part of the table to another."""
    rows = np.arange(len(frame))
    frame["code"] = [("1.0", "2.0", "x", "y")[row % 2 + 2 * (row >= 150)] for row in rows]
    frame["flag"] = [("True", "False", None)[row % 2] if row >= 40 else None for row in rows]
    frame["late"] = np.where(rows < 200, np.nan, rows / 7)
    frame["amount"] = np.float32(rows**1.5)
    frame["remark"] = [f"the remark {row % 9} is number {row}" for row in rows]
    frame["weight"] = 1.0 + rows % 3
    frame["site"] = [f"s{row % 12}" for row in rows]
    frame["when"] = [str(pd.Timestamp("2020-01-01") + pd.Timedelta(days=int(r))) for r in rows]
    frame["price"] = np.where(rows % 5 == 0, np.nan, np.sqrt(rows))
    frame.loc[[3, 77], "bought"] = None
    return frame


SETTINGS = {
    "plain": ("target=bought",),
    "weighted": ("target=bought", "weight=weight", "class_weights=balanced"),
    "grouped": ("target=bought", "split=group", "split_column=site"),
    "by_time": ("target=bought", "split=time", "split_column=when"),
    "number": ("target=price", "head=quantiles"),
    "several": ("targets=bought,price", "loop=multihead"),
}


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_streamed_table_is_the_table_in_memory(
    make: Make, frame: pd.DataFrame, tmp_path: Path, kind: str, name: str
) -> None:
    path = tmp_path / f"a.{kind}"
    hard = hard_frame(frame)
    hard.to_csv(path, index=False) if kind == "csv" else hard.to_parquet(path)
    items = (f"data={path}", *SETTINGS[name])
    whole = make(*items)
    streamed = make(*items, "streaming=true", f"cache={tmp_path / 'cache'}")
    mine, theirs = streamed.dataset, whole.dataset
    assert mine.schema == theirs.schema
    assert mine.targets == theirs.targets
    for some, others in zip(
        (*mine.train, *mine.valid), (*theirs.train, *theirs.valid), strict=False
    ):
        assert torch.equal(some.nan_to_num(-9), others.nan_to_num(-9))
    assert mine.missing == theirs.missing
    assert mine.dropped == theirs.dropped
    assert mine.associations == theirs.associations
    said = [
        [re.sub(r" in (line|data row) \d+", "", note) for note in made.notes]
        for made in (mine, theirs)
    ]
    assert said[0][:-1] == said[1]
    assert mine.notes[-1].startswith("Encoded: ")
    assert np.array_equal(mine.train_rows, theirs.train_rows)
    assert streamed.data == whole.data
    assert streamed.baseline == whole.baseline


@pytest.mark.usefixtures("small_chunks")
def test_a_file_of_validation_rows_is_streamed_too(
    make: Make, frame: pd.DataFrame, tmp_path: Path
) -> None:
    frame.iloc[:160].to_csv(tmp_path / "a.csv", index=False)
    frame.iloc[160:].to_parquet(tmp_path / "b.parquet")
    items = (f"data={tmp_path / 'a.csv'}", f"valid={tmp_path / 'b.parquet'}", "target=bought")
    whole, streamed = make(*items), make(*items, "streaming=true", f"cache={tmp_path / 'cache'}")
    assert streamed.dataset.schema == whole.dataset.schema
    for some, others in zip(streamed.dataset.valid, whole.dataset.valid, strict=True):
        assert torch.equal(some, others)
    assert streamed.data == whole.data


def test_numbers_alone_and_categories_alone_are_stored(make: Make, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    labels = draw.choice(["a", "b"], 60)
    for name, column in (("n", draw.standard_normal(60)), ("c", draw.choice(["u", "v"], 60))):
        path = tmp_path / f"{name}.parquet"
        pd.DataFrame({name: column, "y": labels}).to_parquet(path)
        items = (f"data={path}", "target=y", "streaming=true", f"cache={tmp_path / 'cache'}")
        loop = make(*items, "epochs=1", "network.width=8")
        with Run(tmp_path / name) as run:
            loop.train(run)
        assert loop.dataset.train.rows == 48


def test_the_second_run_reads_the_cache_alone(
    make: Make, frame: pd.DataFrame, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = (f"data={write(frame)}", "target=bought", "streaming=true", f"cache={tmp_path / 'c'}")
    first = make(*items).dataset
    monkeypatch.setattr(chunks.Chunks, "read", lambda *_: pytest.fail("the file was read"))
    second = make(*items).dataset
    assert second.notes == first.notes
    assert torch.equal(second.train.numbers, first.train.numbers)
    with pytest.raises(pytest.fail.Exception):
        make(*items, "run.seed=1")


def test_a_file_that_changes_while_it_is_read_is_refused(
    make: Make, frame: pd.DataFrame, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(frame)
    plain = leaks.suspicions

    def written(*args: Any) -> Any:
        path.write_text(path.read_text() + "x")
        return plain(*args)

    monkeypatch.setattr(table, "suspicions", written)
    items = (f"data={path}", "target=bought", "streaming=true", f"cache={tmp_path / 'c'}")
    with pytest.raises(DataError, match=r"was changed while it was read\. Start again when it is"):
        make(*items)
    assert not [found for found in (tmp_path / "c").iterdir() if found.is_dir()]


def test_a_damaged_entry_is_made_again(
    make: Make, frame: pd.DataFrame, write: Write, tmp_path: Path
) -> None:
    items = (f"data={write(frame)}", "target=bought", "streaming=true", f"cache={tmp_path / 'c'}")
    first = make(*items).dataset.train.numbers.clone()
    (entry,) = (path for path in (tmp_path / "c").iterdir() if path.is_dir())
    array = entry / "train.numbers.npy"
    array.write_bytes(array.read_bytes()[:-4])
    assert torch.equal(make(*items).dataset.train.numbers, first)


def test_a_sample_is_said(
    make: Make,
    frame: pd.DataFrame,
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "SAMPLE_ROWS", 100)
    path = write(frame)
    items = (f"data={path}", "target=bought", "streaming=true", f"cache={tmp_path / 'cache'}")
    dataset = make(*items).dataset
    note = "What the columns are was learnt from a sample, 100 of 240 rows"
    assert note in dataset.notes
    assert dataset.missing == make(f"data={path}", "target=bought").dataset.missing
    text = inspect(make(*items).config)
    assert text.startswith(f"{path}: 240 rows, 9 columns\n")
    assert note in text


# -- order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 64, 100, 129])
@pytest.mark.parametrize("members", [None, 3])
def test_a_pass_has_every_row_once(size: int, members: int | None) -> None:
    within = FixedSize(8) if members is None else OwnRows(members, 8)
    plan = InWindows(within, shard_rows=16, shards=2).plan(size, keyed.generator(0, "order"))
    rows = torch.cat(list(plan))
    assert rows.shape == (size,) if members is None else (size, members)
    for column in rows.reshape(size, -1).T:
        assert column.sort().values.tolist() == list(range(size))
    assert sum(len(batch) < 8 for batch in plan) <= 1 + (size % 8 > 0)


def test_the_rows_of_a_window_lie_in_its_shards_and_are_shuffled() -> None:
    plan = InWindows(FixedSize(8), shard_rows=16, shards=2).plan(160, keyed.generator(1, "order"))
    rows = torch.cat(list(plan)).view(5, 32)
    for window in rows:
        assert len(set((window // 16).tolist())) == 2
        assert window.tolist() != window.sort().values.tolist()
    assert rows.flatten().tolist() != sorted(rows.flatten().tolist())


def test_the_order_is_a_function_of_the_generator() -> None:
    batcher = InWindows(FixedSize(8), shard_rows=16, shards=2)
    first, again, other = (
        torch.cat(list(batcher.plan(100, keyed.generator(seed, "order")))) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.cat(list(batcher.plan(100, None))).tolist() == list(range(100))


def test_shards_are_a_multiple_of_the_batch_and_windows_of_a_size() -> None:
    rows = StoredRows(
        np.zeros((10_000, 1000), np.float32),
        np.zeros((10_000, 0), np.int32),
        np.zeros((10_000, 1), np.float32),
        np.ones(10_000, np.float32),
    )
    assert rows.row_bytes == 4008
    found = InWindows.of(FixedSize(96), rows, 96)
    assert found.shard_rows % 96 == 0
    assert found.shards == 4
    assert InWindows.of(FixedSize(9000), rows, 9000).shard_rows == 9000


def test_rows_are_the_same_after_their_pages_were_given_back(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).standard_normal((5000, 10)).astype(np.float32)

    def make(draft: Draft) -> None:
        draft.append("numbers", numbers)
        draft.append("levels", np.zeros((5000, 0), np.int32))
        draft.append("values", np.zeros((5000, 1), np.float32))
        draft.append("weights", np.ones(5000, np.float32))

    entry = Cache(tmp_path).entry("k", make)
    rows = StoredRows(*(entry.arrays[name] for name in ("numbers", "levels", "values", "weights")))
    indices = torch.randint(5000, (64, 3), generator=torch.Generator().manual_seed(0))
    before = rows.batch_of(indices)
    assert before.numbers.shape == (64, 3, 10)
    rows.forget()
    after = rows.batch_of(indices)
    assert torch.equal(before.numbers, after.numbers)
    assert torch.equal(after.numbers, torch.from_numpy(numbers)[indices])


# -- around it -------------------------------------------------------------------------------------


def test_a_bundle_is_evaluated_on_the_rows_that_validated(
    make: Make, frame: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    frame.to_csv(path, index=False)
    loop = make(f"data={path}", "target=bought", "streaming=true", f"cache={tmp_path / 'cache'}")
    bundle = TabularBundle.load(loop.bundle().save(tmp_path / "bundle"))
    whole = make(f"data={path}", "target=bought").bundle()
    whole.model.load_state_dict(bundle.model.state_dict())
    found = bundle.evaluate(None)
    assert found["accuracy"] == whole.evaluate(None)["accuracy"]
    frame.iloc[1:].to_csv(path, index=False)
    with pytest.raises(DataError, match=r"no longer what the model was trained on: a.csv: changed"):
        bundle.evaluate(None)


REFUSED = [
    (("streaming=true",), "streaming: the embedded sets are in memory. Name data of your own"),
    (("data=a.csv", "streaming=true", "loop=folds", "target=y"), "the loop 'folds' needs its rows"),
    (("data=a.jsonl", "streaming=true", "target=y"), "files of type '.jsonl' are read as a whole."),
    (("data=a.xyz", "streaming=true", "target=y"), "files of type '.xyz' are not read."),
    (("data=a.csv", "streaming=true"), "target: no column to predict is set."),
    (("data=a.csv", "streaming=true", "target=w"), "there is no column 'w' to predict."),
    (("data=a.csv", "streaming=true", "target=y", "weight=w"), "weight: there is no column 'w' of"),
    (
        ("data=a.csv", "streaming=true", "target=y", "split=time", "split_column=w"),
        "there is no 'w'",
    ),
    (
        ("data=a.csv", "streaming=true", "target=y", "kinds.w=drop"),
        "kinds.w: there is no column 'w'",
    ),
    (("data=twins.csv", "streaming=true", "target=y"), "the column name 'x' occurs twice"),
    (("data=long.csv", "streaming=true", "target=y"), "Expected 2 fields in line 3, saw 3"),
    (
        ("data=none.csv", "streaming=true", "target=y"),
        "there is no such file. The folder has a.csv",
    ),
    (("data=empty.csv", "streaming=true", "target=y"), "the table has no rows below its header"),
    (("data=bad.parquet", "streaming=true", "target=y"), "is no parquet file"),
]


@pytest.mark.parametrize(("items", "said"), REFUSED)
def test_what_cannot_be_streamed_is_refused(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("x,y\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(30)))
    Path("a.jsonl").write_text('{"x": 1, "y": "a"}\n')
    Path("a.xyz").write_text("x")
    Path("twins.csv").write_text("x,y,x\n1,a,2\n")
    Path("long.csv").write_text("x,y\n1,a\n2,b,7\n")
    Path("empty.csv").write_text("x,y\n")
    Path("bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises((ConfigError, DataError)) as caught:
        make(*items, f"cache={tmp_path / 'cache'}")
    assert said in str(caught.value)


def test_a_table_in_memory_is_not_streamed(make: Make, frame: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"streaming: the table is in memory. Give the path of a"):
        make("target=bought", "streaming=true", frame=frame)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_named(
    make: Make, frame: pd.DataFrame, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(DirectoryError, match=r"cannot be written: .*name another place: cache="):
        make(f"data={write(frame)}", "target=bought", "streaming=true", f"cache={tmp_path}/cache")


def test_a_cache_that_is_a_file_is_named(
    make: Make, frame: pd.DataFrame, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(DirectoryError, match=r"cannot be written: .*name another place: cache="):
        make(f"data={write(frame)}", "target=bought", "streaming=true", f"cache={tmp_path}/cache")
