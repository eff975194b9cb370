"""CSV, TSV and parquet become rows; what is damaged is refused with file and line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rondel.errors import DataError
from rondel_text.data.reading import read_rows
from rondel_text.data.rows import Rows


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def refused(path: Path, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read_rows(written(path, text))
    return str(caught.value)


REVIEWS = (
    "\ufefftext,label,id\r\n"
    '"Schön, aber ""teuer"".",neg,007\r\n'
    '"zwei\r\nZeilen",pos,\r\n'
    "日本語 😀,pos,1\r\n"
    "\r\n"
)


def test_csv_keeps_cells_as_they_are_and_counts_the_first_line_of_a_record(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "reviews.csv", REVIEWS))
    assert dict(rows.columns) == {
        "text": ['Schön, aber "teuer".', "zwei\r\nZeilen", "日本語 😀"],
        "label": ["neg", "pos", "pos"],
        "id": ["007", "", "1"],
    }
    assert list(rows.numbers) == [2, 3, 5]
    assert rows.where(2) == f"{tmp_path / 'reviews.csv'}:5"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_recognises_its_delimiter(tmp_path: Path, delimiter: str) -> None:
    lines = [delimiter.join(("text", "label")), delimiter.join(('"a, b; c\td"', "x"))]
    rows = read_rows(written(tmp_path / "a.csv", "\n".join(lines)))
    assert [*rows] == [{"text": "a, b; c\td", "label": "x"}]


def test_a_quoted_header_is_parted_at_its_delimiter(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "a.csv", '"text, full";"la\nbel"\na,b;x\n'))
    assert [*rows] == [{"text, full": "a,b", "la\nbel": "x"}]
    assert list(rows.numbers) == [3]


def test_tsv_has_tabs_only(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "a.tsv", "text, all;x\tlabel\r\na,b;c,d\t1\r\n\r\n"))
    assert [*rows] == [{"text, all;x": "a,b;c,d", "label": "1"}]


def test_a_cell_may_be_longer_than_the_limit_of_the_csv_module(tmp_path: Path) -> None:
    limit = 131_072
    rows = read_rows(written(tmp_path / "a.csv", "text,label\n" + "x" * (limit + 1) + ",1\n"))
    assert len(rows["text"][0]) == limit + 1
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(("record", "count"), [("only one", 1), ("a,b,c", 3)])
def test_csv_with_a_ragged_record_is_refused(tmp_path: Path, record: str, count: int) -> None:
    path = tmp_path / "a.csv"
    assert refused(path, f'text,label\n"x\ny",1\n{record}\nz,2\n') == (
        f"{path}:4: the number of cells is {count}, in the header 2. "
        "Quote cells that hold a ',', and name each column in the header."
    )


def test_csv_with_a_column_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert refused(path, "\ntext,label, text\na,b,c\n") == (
        f"{path}:2: the columns 1, 3 are all named 'text'. "
        "Give every column a name of its own in the header line."
    )


def test_csv_with_a_quote_that_is_never_closed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert refused(path, 'text,label\na,1\n"b,2\nc,3\nd,4\n') == (
        f"{path}:3: cannot be split into cells: a quote that opens in this record is never "
        'closed. A cell with a quote in it is written "like ""this"" one".'
    )


def test_csv_with_a_quote_in_a_quoted_cell_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert refused(path, 'text,label\n"so "genannt",1\n').startswith(
        f"{path}:2: cannot be split into cells: ',' expected after '\"'."
    )


def test_csv_with_a_header_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert refused(path, "text,label\n\n") == (
        f"{path}: has no rows. It was read as CSV: look at how it was exported."
    )


CELLS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
) | st.sampled_from(['"', "\n", "\r\n", "\r", ",", "a;b", " x ", "\u2028", "\ufeff"])
HEADERS = st.lists(
    st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=2, max_size=4, unique=True
)


@given(st.data(), HEADERS, st.sampled_from([",", ";", "\t"]))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_the_csv_module_writes_is_read_back(
    tmp_path: Path, data: st.DataObject, header: list[str], delimiter: str
) -> None:
    width = len(header)
    records = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1))
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows([header, *records])
    rows = read_rows(written(tmp_path / "a.csv", file.getvalue()))
    assert list(rows.columns) == header
    assert [list(row.values()) for row in rows] == records


def test_parquet_is_read_over_its_row_groups(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "text": ["größer", None, "日本"],
            "tags": [["O", "B-X"], [], None],
            "label": pyarrow.array(["a", "b", "a"]).dictionary_encode(),
            "score": [1, 2, 3],
        }
    )
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=2)
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 2
    rows = read_rows(path)
    assert [*rows] == table.to_pylist()
    assert rows.where(2) == f"{path}:3"


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    message = refused(path, "PAR1 no table PAR1")
    assert message.startswith(f"{path}: is no parquet file that can be read: ")
    assert message.endswith("Write it again, or check that the copy is complete.")
    assert "\n" not in message


def test_parquet_with_a_column_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table([["a"], ["b"]], names=["text", "text"]), path)
    with pytest.raises(DataError) as caught:
        read_rows(path)
    assert str(caught.value) == (
        f"{path}: the column name 'text' occurs twice. "
        "Write it again with a name of its own for every column."
    )


def test_parquet_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array([], "string")}), path)
    with pytest.raises(DataError, match=r"a\.parquet: has no rows\. It was read as parquet"):
        read_rows(path)


def test_joined_rows_keep_their_files_lines_and_notes() -> None:
    first = Rows.of_records([(2, {"text": "a"}), (5, {"text": "b"})], file="x", notes=["n"])
    second = Rows.of_records([(1, {"text": "c", "label": "l"})], file="y")
    joined = Rows.join([first, second])
    assert dict(joined.columns) == {"text": ["a", "b", "c"], "label": [None, None, "l"]}
    assert [joined.where(row) for row in range(3)] == ["x:2", "x:5", "y:1"]
    assert list(joined.take([2, 0])["text"]) == ["c", "a"]
    assert list(joined.take([2, 0]).notes) == ["n"]
