"""Files of every type and tables in memory become the same data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import feather, ipc

from rondel.errors import DataError, UsageError
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.data.frames import as_frame
from rondel_tabular.data.readers import read_table

Make = Callable[..., Any]
Write = Callable[..., Path]


def to_ipc(frame: pd.DataFrame, path: Path, kind: Any) -> None:
    table = pa.Table.from_pandas(frame)
    with pa.OSFile(str(path), "wb") as file, kind(file, table.schema) as writer:
        writer.write_table(table)


def to_json_lines(frame: pd.DataFrame, path: Path) -> None:
    rows = frame.astype("object").where(frame.notna(), None).to_dict("records")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "a.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "a.parquet": lambda frame, path: frame.to_parquet(path),
    "b.pq": lambda frame, path: frame.to_parquet(path, row_group_size=17),
    "a.feather": feather.write_feather,
    "a.arrow": lambda frame, path: to_ipc(frame, path, ipc.new_file),
    "stream.arrow": lambda frame, path: to_ipc(frame, path, ipc.new_stream),
    "a.jsonl": to_json_lines,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_type_of_file_gives_the_same_rows(
    make: Make, frame: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    WRITERS[name](frame, tmp_path / name)
    expected = make("target=bought", frame=frame).dataset
    found = make(f"data={tmp_path / name}", "target=bought").dataset
    assert found.schema == expected.schema
    assert found.targets == expected.targets
    for mine, theirs in zip(
        (*found.train, *found.valid), (*expected.train, *expected.valid), strict=False
    ):
        assert torch.equal(mine, theirs)


class LikePolars:
    """What a frame of polars offers."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def to_arrow(self) -> pa.Table:
        return self._table


class Streaming:
    """Any other library's table: nothing but the Arrow interface."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("kind", [pa.Table, LikePolars, Streaming])
def test_tables_of_other_libraries_are_taken(make: Make, frame: pd.DataFrame, kind: Any) -> None:
    arrow = pa.Table.from_pandas(frame)
    table = arrow if kind is pa.Table else kind(arrow)
    expected, found = (make("target=bought", frame=each) for each in (frame, table))
    assert found.dataset.schema == expected.dataset.schema
    assert torch.equal(found.dataset.train.numbers, expected.dataset.train.numbers)


def test_frames_of_polars_are_taken(make: Make, frame: pd.DataFrame) -> None:
    polars = pytest.importorskip("polars")
    table = polars.from_pandas(frame)
    loop = make("target=bought", frame=table)
    assert loop.dataset.schema == make("target=bought", frame=frame).dataset.schema
    assert len(loop.bundle().predict(table)) == len(frame)


def test_a_bundle_predicts_for_tables_of_other_libraries(make: Make, frame: pd.DataFrame) -> None:
    bundle: TabularBundle = make("target=bought", frame=frame).bundle()
    expected = bundle.predict(frame)
    pd.testing.assert_frame_equal(bundle.predict(pa.Table.from_pandas(frame)), expected)


def test_anything_else_is_no_table(make: Make) -> None:
    with pytest.raises(UsageError) as caught:
        make("target=y", frame=[[1, 2], [3, 4]])
    assert str(caught.value) == (
        "the table: cannot take list for a table. Give a frame of pandas or polars, a table of "
        "Arrow, or the path of a file."
    )


def test_a_column_twice_in_an_arrow_table_is_refused() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(DataError, match="the table: the column name 'x' occurs twice"):
        as_frame(table, where="the table")


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.arrow"])
def test_float32_stays_float32(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"x": np.arange(5, dtype=np.float32), "n": np.arange(5, dtype=np.int8)})
    WRITERS[name](frame, tmp_path / name)
    assert read_table(tmp_path / name).dtypes.astype(str).tolist() == ["float32", "int8"]


# -- what rows are called --------------------------------------------------------------------------


def test_rows_of_a_text_file_are_named_by_their_lines(write: Write) -> None:
    frame = read_table(write("x,y\n1,a\n2,b\n"))
    assert (frame.index.name, list(frame.index)) == ("line", [2, 3])


SHIFTED = ['x,y\n1,"a\nb"\n2,b\n', "x,y\n1,a\n\n2,b\n", "\nx,y\n1,a\n2,b\n"]


@pytest.mark.parametrize("text", SHIFTED)
def test_rows_are_counted_where_lines_do_not_fit(write: Write, text: str) -> None:
    frame = read_table(write(text))
    assert (frame.index.name, list(frame.index)) == ("data row", [1, 2])


def test_the_last_line_needs_no_end(write: Write) -> None:
    assert read_table(write("x,y\n1,a\n2,b")).index.name == "line"


def test_rows_keep_their_names_when_others_are_left_out(make: Make, write: Write) -> None:
    text = "x,y\n" + "1.5,\n" * 3 + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(20))
    path = write(text.replace("\n7.5,", "\n-inf,"))
    with pytest.raises(DataError, match="the first is '-inf' in line 12"):
        make(f"data={path}", "target=y")


def test_names_are_tidied_and_may_go_over_lines(write: Write) -> None:
    frame = read_table(write(' id , "first\nname" ,,y \n1,2,3,4\n5,6,7,8\n'))
    assert list(frame) == ["id", "first name", "Unnamed: 2", "y"]


# -- JSON Lines ------------------------------------------------------------------------------------


def test_what_an_object_lacks_is_missing(write: Write) -> None:
    frame = read_table(write('{"a": 1}\n{"b": "x", "a": null}\n\n{"b": "y"}\n', "a.jsonl"))
    assert frame["a"].isna().tolist() == [False, True, True]
    assert frame["b"].isna().tolist() == [True, False, False]
    assert frame.index.name == "data row"


LINES = [
    ('{"a": 1}\n{"a": \n', "line 2: is no JSON: Expecting value"),
    ('{"a": 1}\n[1, 2]\n', "line 2: is no object but list. Write one object a line"),
    ('{"a": 1, "a": 2}\n', "line 1: the name 'a' occurs twice"),
    (b'{"a": "caf\xe9"}\n', "line 1: is not UTF-8 text (byte 0xe9)"),
]


@pytest.mark.parametrize(("content", "said"), LINES)
def test_a_damaged_line_is_named(write: Write, content: str | bytes, said: str) -> None:
    path = write(content, "a.jsonl")
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}, {said}")


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.arrow"])
def test_a_file_cut_short_is_refused(frame: pd.DataFrame, tmp_path: Path, name: str) -> None:
    WRITERS[name](frame, tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-100])
    kind = {"a.arrow": "Arrow"}.get(name, name[2:])
    with pytest.raises(DataError, match=f"is no {kind} file: .*check that the copy is complete"):
        read_table(tmp_path / name)
