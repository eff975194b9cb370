"""A bundle predicts, evaluates and is read back as it was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from rondel.errors import DataError, UsageError
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.config import TabularConfig
from rondel_tabular.inspection import inspect

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def columns() -> list[str]:
    return ["age", "colour", "member", "since"]


@pytest.fixture
def bundle(make: Callable[..., Any], frame: pd.DataFrame, tmp_path: Path) -> TabularBundle:
    """A bundle of an untrained network, saved and loaded again."""
    made = make("target=bought", frame=frame).bundle()
    return TabularBundle.load(made.save(tmp_path / "bundle"))


def test_a_loaded_bundle_predicts_as_the_loop_did(
    make: Callable[..., Any], bundle: TabularBundle, frame: pd.DataFrame
) -> None:
    pd.testing.assert_frame_equal(
        make("target=bought", frame=frame).bundle().predict(frame), bundle.predict(frame)
    )


def test_a_prediction_has_label_and_probabilities_and_the_index_of_its_rows(
    bundle: TabularBundle, frame: pd.DataFrame
) -> None:
    found = bundle.predict(frame.iloc[5:8])
    assert list(found.columns) == ["bought", "probability_never", "probability_often"]
    assert list(found.index) == [5, 6, 7]
    assert set(found["bought"]) <= {"never", "often"}
    torch.testing.assert_close(
        torch.tensor(found.iloc[:, 1:].sum(axis=1).to_numpy()), torch.ones(3).double()
    )


def test_a_trained_bundle_predicts_values_in_the_unit_of_the_target(
    train: Callable[..., Any], tmp_path: Path
) -> None:
    from sklearn.datasets import load_diabetes

    loop, values = train(tmp_path / "run", "dataset=diabetes", "epochs=3")
    table = load_diabetes(as_frame=True).frame.rename(columns={"target": "progression"})
    found = loop.bundle().predict(table)["progression"]
    assert 100 < found.mean() < 200
    assert found.std() > 10
    assert loop.bundle().evaluate(None) == pytest.approx(values, rel=1e-5)


def test_rows_may_be_dicts_with_unseen_and_missing_cells(bundle: TabularBundle) -> None:
    rows: list[dict[str, Any]] = [
        {"age": 40, "colour": "purple", "member": "yes", "since": "2021-05-05"},
        {"age": None, "colour": None, "member": "no", "since": None},
    ]
    found = bundle.predict(rows)
    assert len(found) == 2
    assert found.notna().all().all()


def test_an_unseen_category_counts_as_a_missing_one(
    bundle: TabularBundle, frame: pd.DataFrame
) -> None:
    unseen = bundle.predict(frame.assign(colour="purple"))
    pd.testing.assert_frame_equal(unseen, bundle.predict(frame.assign(colour=None)))
    assert not unseen.equals(bundle.predict(frame.assign(colour="red")))


def test_a_file_without_a_needed_column_is_refused(
    bundle: TabularBundle, frame: pd.DataFrame, write: Write
) -> None:
    path = write(frame.drop(columns=["member", "since"]))
    with pytest.raises(DataError) as caught:
        bundle.predict(path)
    assert str(caught.value).startswith(
        f"{path}: the columns 'member', 'since' which the model reads are not there."
    )


def test_nothing_but_tables_is_predicted_for(bundle: TabularBundle) -> None:
    with pytest.raises(
        UsageError, match=r"cannot predict for list\. Give a data frame, the path of"
    ):
        bundle.predict([1, 2])  # type: ignore[list-item]


def test_files_become_csv_on_stdout_or_in_a_file(
    bundle: TabularBundle, frame: pd.DataFrame, write: Write, tmp_path: Path
) -> None:
    path = write(frame.head(3))
    text = bundle.predict_files([str(path)], None)
    assert text.splitlines()[0] == "bought,probability_never,probability_often"
    assert len(text.splitlines()) == 4
    out = tmp_path / "résultats" / "out.csv"
    assert bundle.predict_files([str(path)], out) == f"3 predictions written to {out}"
    assert out.read_text(encoding="utf-8") == text


def test_several_files_are_told_apart(
    bundle: TabularBundle, frame: pd.DataFrame, write: Write
) -> None:
    paths = [str(write(frame.head(2), name)) for name in ("a.csv", "b.csv")]
    lines = bundle.predict_files(paths, None).splitlines()
    assert lines[0].startswith("file,bought,")
    assert [line.split(",")[0] for line in lines[1:]] == [paths[0]] * 2 + [paths[1]] * 2


def test_text_that_a_spreadsheet_would_run_is_made_harmless(
    make: Callable[..., Any], write: Write
) -> None:
    marks = ["=1+1", "+1x", "-1x", "@x"]
    frame = pd.DataFrame({"x": range(5, 85), "y": marks * 20})
    made = make("target=y", frame=frame.sample(frac=1, random_state=0)).bundle()
    lines = made.predict_files([str(write(frame))], None).splitlines()
    assert all(line.startswith("'") for line in lines[1:])
    assert not any(cell.startswith(tuple("=+-@")) for line in lines for cell in line.split(","))


def test_a_bundle_is_evaluated_on_any_table_with_the_target(
    bundle: TabularBundle, frame: pd.DataFrame, write: Write
) -> None:
    labels = bundle.predict(frame)["bought"]
    assert bundle.evaluate(write(frame.assign(bought=labels)))["accuracy"] == 1.0
    with pytest.raises(DataError, match="there is no column 'bought' to predict"):
        bundle.evaluate(write(frame.drop(columns="bought")))
    with pytest.raises(DataError, match="the target 'bought' is none of the classes never, often"):
        bundle.evaluate(write(frame.assign(bought="sometimes")))


def test_a_table_in_memory_cannot_be_evaluated_again(bundle: TabularBundle) -> None:
    with pytest.raises(UsageError, match="evaluate: the model was trained on a table in memory"):
        bundle.evaluate(None)


def test_changed_training_data_is_refused(
    make: Callable[..., Any], frame: pd.DataFrame, write: Write
) -> None:
    path = write(frame)
    made = make(f"data={path}", "target=bought").bundle()
    assert made.evaluate(None)["accuracy"] > 0
    write(frame.head(200))
    with pytest.raises(DataError, match="the data is no longer what the model was trained on"):
        made.evaluate(None)


@pytest.mark.filterwarnings("ignore")  # what torch.export says of itself
def test_an_exported_program_computes_what_the_network_does(
    bundle: TabularBundle, frame: pd.DataFrame, tmp_path: Path
) -> None:
    inputs = bundle.schema.encode(frame)
    program = torch.export.load(bundle.export(tmp_path / "net.pt2", "pt2"))
    torch.testing.assert_close(program.module()(*inputs), bundle.model(*inputs))


def test_an_unknown_format_is_refused_with_the_way_to_the_weights(
    bundle: TabularBundle, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"cannot export 'tflite'.*tensors\.safetensors"):
        bundle.export(tmp_path / "net.tflite", "tflite")


def test_inspect_shows_columns_target_and_what_is_left_out(
    frame: pd.DataFrame, write: Write, columns: list[str]
) -> None:
    path = write(frame)
    text = inspect(TabularConfig(data=path, target="bought"))
    assert text.startswith(f"{path}: 240 rows, 9 columns\n\ntarget bought: 2 classes\n")
    for column in columns:
        assert f"\n{column} " in text
    (colour,) = (line for line in text.splitlines() if line.startswith("colour"))
    assert "category  9.2%" in colour
    assert "3 levels: " in colour
    assert "country   the same value in every row" in text


def test_inspect_shows_no_control_characters_of_a_file(frame: pd.DataFrame, write: Write) -> None:
    path = write(frame.rename(columns={"age": "a\x1b[31mge"}))
    assert "\x1b" not in inspect(TabularConfig(data=path, target="bought"))
