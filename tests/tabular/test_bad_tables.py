"""What is wrong with tables, and what users are told: what, where, what next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rondel.errors import ConfigError, DataError

Make = Callable[..., Any]
Write = Callable[..., Path]
GOOD = "x,y\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(20))


def message(make: Make, path: Path, *items: str, kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as caught:
        make(f"data={path}", *(items or ("target=y",)))
    return str(caught.value)


def test_a_good_table_is_taken_from_a_path_with_blanks_and_accents(
    make: Make, write: Write
) -> None:
    assert make(f"data={write(GOOD)}", "target=y").dataset.train.rows == 16


def test_a_missing_file_names_its_neighbours(make: Make, write: Write) -> None:
    path = write(GOOD, "good.csv").with_name("godo.csv")
    assert message(make, path) == f"{path}: there is no such file. The folder has good.csv."


def test_a_missing_folder_is_named(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "a.csv"
    assert "There is no folder" in message(make, path)


def test_a_folder_is_no_table(make: Make, tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    (tmp_path / "a.csv" / "inside").touch()
    text = message(make, tmp_path / "a.csv")
    assert "cannot be read: Is a directory. Check that it is a file" in text


def test_an_unknown_type_lists_the_known_ones(make: Make, write: Write) -> None:
    text = message(make, write(GOOD, "a.xlsx"))
    assert text.endswith(
        "files of type '.xlsx' are not read. Give one of .csv, .tsv, .parquet, .pq, .feather, "
        ".arrow, .jsonl."
    )


def test_an_empty_file_is_named(make: Make, write: Write) -> None:
    text = message(make, write(""))
    assert "the file is empty. Export it again, with a header line." in text


def test_a_header_without_rows_is_refused(make: Make, write: Write) -> None:
    assert "the table has no rows below its header." in message(make, write("x,y\n"))


def test_blank_lines_alone_are_refused(make: Make, write: Write) -> None:
    assert "cannot be split into rows and cells" in message(make, write("\n\n\n"))


def test_latin_1_is_refused_with_its_line(make: Make, write: Write) -> None:
    path = write("x,y\n1,a\n2,caf\u00e9\n".encode("latin-1"))
    text = message(make, path)
    assert (
        text == f"{path}, line 3: is not UTF-8 text (byte 0xe9). Save it as UTF-8, or as parquet."
    )


def test_a_byte_order_mark_is_no_part_of_the_first_name(make: Make, write: Write) -> None:
    loop = make(f"data={write(GOOD.encode('utf-8-sig'))}", "target=y")
    assert [column.name for column in loop.dataset.schema.columns] == ["x"]


def test_a_damaged_parquet_is_refused(make: Make, write: Write) -> None:
    text = message(make, write(b"PAR1 and no more", "a.parquet"))
    assert "is no parquet file" in text
    assert "check that the copy is complete" in text


def test_no_target_lists_the_columns(make: Make, write: Write) -> None:
    text = message(make, write(GOOD), "epochs=1", kind=ConfigError)
    assert text.startswith("target: no column to predict is set. Set target=COLUMN: ")
    assert text.endswith("has x, y.")


def test_a_misspelt_target_suggests_the_nearest(make: Make, write: Write) -> None:
    path = write(GOOD.replace("y\n", "income\n", 1))
    text = message(make, path, "target=incone")
    assert text == f"{path}: there is no column 'incone' to predict. Did you mean 'income'?"


def test_a_strange_target_lists_the_columns(make: Make, write: Write) -> None:
    assert message(make, write(GOOD), "target=zzz").endswith("The columns are x, y.")


def test_a_target_of_one_class_is_refused(make: Make, write: Write) -> None:
    text = message(make, write("x,y\n1,a\n2,a\n3,a\n"))
    assert "the target 'y' is 'a' in every row: nothing can be learnt. Choose another" in text


def test_an_empty_target_is_refused(make: Make, write: Write) -> None:
    assert "the target 'y' is empty in every row." in message(make, write("x,y\n1,\n2,\n"))


def test_text_cannot_be_a_regression(make: Make, write: Write) -> None:
    text = message(make, write(GOOD), "target=y", "task=regression")
    assert "the target 'y' is no number in 20 rows, the first is 'a' in line 2. Correct" in text


def test_names_are_no_classes(make: Make, write: Write) -> None:
    path = write("x,y\n" + "".join(f"{i},name {i}\n" for i in range(30)))
    assert "the target 'y' has 30 different values in 30 rows: too many" in message(make, path)


def test_rows_without_a_target_are_left_out_and_counted(make: Make, write: Write) -> None:
    path = write(GOOD + "1.5,\n2.5,?\n")
    dataset = make(f"data={path}", "target=y").dataset
    assert dataset.train.rows + dataset.valid.rows == 20
    assert dataset.notes == (f"2 of 22 rows of {path} have no 'y' and are left out",)
    assert 20 not in dataset.train_rows


def test_one_row_without_a_target_is_left_out_and_counted(make: Make, write: Write) -> None:
    path = write(GOOD + "1.5,\n")
    notes = make(f"data={path}", "target=y").dataset.notes
    assert notes == (f"1 of 21 rows of {path} has no 'y' and is left out",)


def test_duplicate_column_names_are_refused(make: Make, write: Write) -> None:
    text = message(make, write("x,y,x\n1,a,2\n2,b,3\n"))
    assert "the column name 'x' occurs twice. Give every column a name of its own." in text


def test_a_duplicate_column_of_a_frame_is_refused(make: Make) -> None:
    frame = pd.DataFrame([[1, 2, "a"], [3, 4, "b"]], columns=["x", "x", "y"])
    with pytest.raises(DataError, match="the table: the column name 'x' occurs twice"):
        make("target=y", frame=frame)


def test_one_row_with_more_cells_than_the_header_is_named(make: Make, write: Write) -> None:
    text = message(make, write("x,y\n1,a\n2,b,7\n"))
    assert "cannot be split into rows and cells: Expected 2 fields in line 3, saw 3." in text
    assert "A row has more cells than the header" in text


def test_rows_that_all_have_more_cells_than_the_header_are_refused(
    make: Make, write: Write
) -> None:
    text = message(make, write("x,y\n1,a,7\n2,b,7\n"))
    assert "the rows have more cells than the 2 of the header. Name every column" in text


def test_an_unclosed_quote_is_named(make: Make, write: Write) -> None:
    assert "EOF inside string starting at row 2" in message(make, write('x,y\n1,a\n"2,b\n'))


def test_infinite_cells_are_named(make: Make, write: Write) -> None:
    text = message(make, write(GOOD.replace("\n3.5,", "\ninf,")))
    assert text.endswith(
        "sét.csv, column 'x': infinite numbers, the first is 'inf' in line 5. Correct them or leave "
        "them empty: an empty cell counts as missing."
    )


def test_an_infinite_target_is_named(make: Make) -> None:
    frame = pd.DataFrame({"x": range(40), "y": [0.5, 1.5, 2.5, float("inf")] * 10})
    with pytest.raises(DataError, match="column 'y': infinite numbers, the first is 'inf' in data"):
        make("target=y", "kinds.x=number", frame=frame)


def test_cells_of_mixed_types_are_named(make: Make, write: Write) -> None:
    rows = [*(f"{i},{'ab'[i % 2]}" for i in range(57)), "7,a", "seven,b", "7,a"]
    notes = make(f"data={write(chr(10).join(['x,y', *rows]))}", "target=y").dataset.notes
    assert notes[0] == (
        "Column 'x': 1 cell that is no number counts as missing, the first is 'seven' in line 60"
    )
    rows = [f"{i % 7 if i % 2 else 'ab'[i % 4 == 0]},{'ab'[i % 3 == 0]}" for i in range(40)]
    notes = make(f"data={write(chr(10).join(['x,y', *rows]))}", "target=y").dataset.notes
    assert notes[0] == (
        "Column 'x': mixed types, 20 numbers and 20 texts: the first is 'b' in line 2"
    )


def test_dates_out_of_range_are_named(make: Make, write: Write) -> None:
    rows = [f"2020-01-{1 + i % 28:02},{'ab'[i % 2]}" for i in range(60)]
    rows[41], rows[50] = "2020-13-01,a", "2020-02-30,a"
    path = write("\n".join(["x,y", *rows]))
    dataset = make(f"data={path}", "target=y").dataset
    assert dataset.notes[0] == (
        "Column 'x': 2 cells that are no dates count as missing, the first is '2020-13-01' in line "
        "43"
    )
    assert dataset.schema.columns[0].optional


def test_a_prediction_file_without_a_column_is_refused(make: Make, write: Write) -> None:
    bundle = make(f"data={write(GOOD)}", "target=y").bundle()
    path = write("z\n1.5\n", "new.csv")
    with pytest.raises(DataError) as caught:
        bundle.predict(path)
    assert str(caught.value) == (
        f"{path}: the column 'x' which the model reads is not there. The columns are z. Only columns "
        "that had empty cells in training may be left out."
    )


def test_a_single_useless_column_is_refused(make: Make, write: Write) -> None:
    text = message(make, write("x,y\n" + "1,a\n1,b\n" * 5))
    assert "no column is left to predict from. Left out: 'x': the same value in every row." in text


def test_too_few_rows_are_refused(make: Make, write: Write) -> None:
    text = message(make, write("x,y\n1,a\n2,b\n2,b\n1,a\n"))
    assert "4 rows are too few to keep 20% of each class for validation. Give more rows" in text


def test_a_class_seen_once_trains_and_is_said(make: Make, write: Write) -> None:
    dataset = make(f"data={write(GOOD + '29.5,rare' + chr(10))}", "target=y").dataset
    assert dataset.notes == ("Classes with a single training row, which are never measured: rare",)
    assert dataset.targets[0].labels == ("a", "b", "rare")
    assert 2 not in dataset.valid.values


def test_a_kind_of_no_column_suggests_the_nearest(make: Make, write: Write) -> None:
    path = write(GOOD.replace("x,", "zip_code,"))
    text = message(make, path, "target=y", "kinds.zipcode=category", kind=ConfigError)
    assert text == "kinds.zipcode: there is no column 'zipcode'. Did you mean 'zip_code'?"


def test_a_metric_of_another_task_is_refused(make: Make) -> None:
    with pytest.raises(
        ConfigError, match=r"watch: it has no metric 'rmse' of which .*Watch one of"
    ):
        make("watch=rmse")


def test_a_validation_file_needs_data(make: Make) -> None:
    with pytest.raises(ConfigError, match="valid: a validation file needs training data"):
        make("valid=a.csv")


def test_a_class_only_in_the_validation_file_is_refused(make: Make, write: Write) -> None:
    valid = write("x,y\n1.5,a\n2.5,c\n", "valid.csv")
    text = message(make, write(GOOD), "target=y", f"valid={valid}")
    assert text == (
        f"{valid}: the target 'y' is none of the classes a, b in 1 row, the first is 'c' in line 3. "
        "Correct these rows or leave them out."
    )


def test_a_validation_file_without_the_target_is_refused(make: Make, write: Write) -> None:
    valid = write("x\n1.5\n", "valid.csv")
    text = message(make, write(GOOD), "target=y", f"valid={valid}")
    assert text.startswith(f"{valid}: there is no column 'y' to predict.")
