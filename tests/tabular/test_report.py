"""The pages of a report: which there are for which target, and that their figures are right."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn import metrics as oracle

import rondel
from rondel import Section, keyed
from rondel.config import parse_overrides, resolve
from rondel.report.confusion import confusion_png
from rondel.report.figure import WIDTH, label_of
from rondel.session import slug
from rondel_tabular.build import build
from rondel_tabular.calibration import Reliability
from rondel_tabular.config import TabularConfig
from rondel_tabular.ranking import Ranking
from rondel_tabular.report.class_pictures import reliability_png
from rondel_tabular.report.classes import threshold_rows
from rondel_tabular.report.explanation import explain
from rondel_tabular.report.pictures import bars_png, correlation_png, histogram_png, truth_png

Make = Callable[..., Any]
Write = Callable[..., Path]
HOSTILE = ("$x^{", "new\nline", "价格", "<b>", "\ud800half")
MATTERS = ["Importance of the columns", "Partial dependence", "Target distribution"]
TABLE = ["Missing cells", "Correlations", "Columns", "Target", "Left out", "Notes on the data"]
TWO_CLASSES = [
    "Confusions",
    "Classes",
    "ROC and precision-recall curves",
    "Decision thresholds",
    "Calibration",
    "Rows told worst",
]
NUMBER = ["Predicted and true", "Residuals", "Rows told worst"]


def people(rows: int = 600) -> pd.DataFrame:
    """A table with classes and numbers that follow from its columns, and some missing cells."""
    draw = np.random.default_rng(0)
    age, height = draw.uniform(20, 70, rows), draw.normal(170, 9, rows)
    colour = draw.choice(["red", "green", "blue"], rows)
    score = (age - 45) / 15 + (colour == "red") + draw.normal(0, 0.7, rows)
    frame = pd.DataFrame(
        {
            "age": age,
            "height": height,
            "weight in kg": height - 100 + draw.normal(0, 4, rows),
            "colour": colour,
            "number": list(range(rows)),
            "spends": 20 * score + 100,
            "buys": np.where(score > 0, "yes", "no"),
            "size": [("S", "M", "L")[k] for k in np.digitize(height, [165, 175])],
        }
    )
    frame.loc[::9, "age"] = None
    frame.loc[::7, "colour"] = None
    return frame


@cache
def pages(*items: str) -> tuple[Any, list[Section]]:
    """Return an untrained loop for the people, and its pages."""
    return pages_of(people(), *items)


def pages_of(frame: pd.DataFrame | None, *items: str) -> tuple[Any, list[Section]]:
    items = ("network.members=2", "network.width=32", *items)
    config = resolve(TabularConfig, [parse_overrides(TabularConfig, items)]).config
    keyed.reseed(config.run.seed)
    loop = build(config, frame)
    return loop, explain(loop.evidence())


def page(found: list[Section], title: str) -> Section:
    return next(section for section in found if section.title == title)


def rows_of(section: Section) -> list[dict[str, Any]]:
    assert section.table is not None
    return [dict(zip(section.table.columns, row, strict=True)) for row in section.table.rows]


def titles(found: list[Section]) -> list[str]:
    return [section.title for section in found if section.title not in TABLE]


def check_picture(data: bytes | None) -> Image.Image:
    assert data is not None
    picture = Image.open(io.BytesIO(data))
    assert picture.width == WIDTH * 1.5
    assert len(data) < 150_000
    assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 3  # not empty
    return picture


# -- which pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (("target=buys",), TWO_CLASSES),
        (("target=size",), [title for title in TWO_CLASSES if title != "Decision thresholds"]),
        (("target=spends",), NUMBER),
        (("target=spends", "head=quantiles"), [*NUMBER[:2], "Coverage", NUMBER[2]]),
        (("target=spends", "head=gaussian"), [*NUMBER[:2], "Coverage", NUMBER[2]]),
    ],
)
def test_every_kind_of_target_has_its_pages(items: tuple[str, ...], expected: list[str]) -> None:
    _, found = pages(*items)
    assert titles(found) == [*expected, *MATTERS]
    last = [section.title for section in found if section.title in TABLE]
    assert last[:5] == TABLE[:5]
    for section in found:
        assert section.text or section.table or section.picture
        if section.picture is not None:
            check_picture(section.picture)
    with_pictures = {section.title for section in found if section.picture}
    assert {*MATTERS, "Missing cells", "Correlations"} <= with_pictures


def test_several_targets_have_numbered_pages_and_pictures_of_their_own() -> None:
    frame = people().rename(columns={"buys": "a b", "spends": "a-b"})
    _, found = pages_of(frame, "targets=a b,a-b")
    names = titles(found)
    assert names[: len(TWO_CLASSES)] == [f"1. a b: {title}" for title in TWO_CLASSES]
    assert "2. a-b: Residuals" in names
    assert "Importance of the columns" in names
    assert "2. a-b: Partial dependence" in names
    files = [slug(section.title) for section in found if section.picture]
    assert len(set(files)) == len(files)


def test_a_run_writes_the_pages_into_its_report(write: Write, tmp_path: Path) -> None:
    result = rondel.train(
        "tabular",
        data=write(people(300)),
        target="buys",
        epochs=2,
        network={"members": 2, "width": 16},
        out=tmp_path / "run",
        quiet=True,
    )
    written = json.loads((tmp_path / "run" / "sections.json").read_text())
    assert [section["title"] for section in written][: len(TWO_CLASSES)] == TWO_CLASSES
    for section in written:
        assert "picture" not in section or (tmp_path / "run" / section["picture"]).exists()
    assert result.report is not None
    shown = result.report.read_text(encoding="utf-8")
    assert all(f">{title}</h2>" in shown for title in [*TWO_CLASSES, *MATTERS])
    area = rows_of_json(written, "ROC and precision-recall curves")[0]["ROC-AUC"]
    assert area == pytest.approx(result.metrics["roc_auc"], abs=1e-9)


def rows_of_json(written: list[dict[str, Any]], title: str) -> list[dict[str, Any]]:
    table = next(section["table"] for section in written if section["title"] == title)
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def test_only_the_process_that_writes_makes_pages(make: Make) -> None:
    class Quiet:
        class processes:
            writes = False

    assert make("target=buys", frame=people()).sections(Quiet()) == ()


# -- figures ---------------------------------------------------------------------------------------


@pytest.fixture
def told() -> tuple[Any, list[Section], pd.DataFrame]:
    """A loop for two classes, its pages, and what its bundle predicts for the same rows."""
    loop, found = pages("target=buys")
    cells = loop.dataset.valid_cells
    return loop, found, loop.bundle().predict(cells).assign(true=cells["buys"])


def test_confusions_and_classes_are_scikit_learns(told: Any) -> None:
    _, found, said = told
    matrix = oracle.confusion_matrix(said["true"], said["buys"], labels=["no", "yes"])
    confusions = page(found, "Confusions")
    assert confusions.table is not None
    assert [list(row[1:]) for row in confusions.table.rows] == matrix.tolist()
    share = oracle.accuracy_score(said["true"], said["buys"])
    assert confusions.text.startswith(f"{share:.1%} of the validation rows")
    columns = oracle.precision_recall_fscore_support(
        said["true"], said["buys"], labels=["no", "yes"], zero_division=0
    )
    for row, precision, recall, f1, support in zip(
        rows_of(page(found, "Classes")), *columns, strict=True
    ):
        assert row["rows"] == support
        assert (row["precision"] or 0) == pytest.approx(precision)
        assert (row["recall"], row["F1"]) == pytest.approx((recall, f1))


@pytest.mark.parametrize("target", ["buys", "size"])
def test_the_ranking_of_each_class_is_scikit_learns(target: str) -> None:
    loop, found = pages(f"target={target}")
    cells = loop.dataset.valid_cells
    said = loop.bundle().predict(cells)
    rows = rows_of(page(found, "ROC and precision-recall curves"))
    assert [row["class"] for row in rows] == (["yes"] if target == "buys" else ["L", "M", "S"])
    for row in rows:
        inside, scores = cells[target] == row["class"], said[f"probability_{row['class']}"]
        assert row["ROC-AUC"] == pytest.approx(oracle.roc_auc_score(inside, scores), abs=1e-4)
        expected = oracle.average_precision_score(inside, scores)
        assert row["average precision"] == pytest.approx(expected, abs=1e-4)


def test_what_thresholds_flag_is_counted_and_the_best_are_the_best_of_all(told: Any) -> None:
    _, found, said = told
    inside, scores = said["true"] == "yes", said["probability_yes"]
    rows = rows_of(page(found, "Decision thresholds"))
    assert [row["threshold"] for row in rows] == sorted(row["threshold"] for row in rows)
    for row in rows:
        flagged = scores >= row["threshold"]
        kept: dict[str, Any] = {"zero_division": 0}
        assert row["flagged"] == pytest.approx(flagged.mean())
        expected = oracle.precision_score(inside, flagged, **kept)
        assert (row["precision"] or 0) == pytest.approx(expected)
        assert row["recall"] == pytest.approx(oracle.recall_score(inside, flagged, **kept))
        assert row["F1"] == pytest.approx(oracle.f1_score(inside, flagged, **kept))
        balanced = oracle.balanced_accuracy_score(inside, flagged)
        assert row["balanced accuracy"] == pytest.approx(balanced)
    everywhere = [
        (oracle.f1_score(inside, scores >= t), oracle.balanced_accuracy_score(inside, scores >= t))
        for t in scores
    ]
    best = {word: row for row in rows for word in row["best"].split(" and ") if word}
    assert best["F1"]["F1"] == pytest.approx(max(f1 for f1, _ in everywhere))
    found_best = best["balanced accuracy"]["balanced accuracy"]
    assert found_best == pytest.approx(max(balanced for _, balanced in everywhere))


def test_the_best_thresholds_stand_between_the_scores_that_they_part() -> None:
    scores = torch.tensor([0.12, 0.33, 0.44, 0.62, 0.88])
    ranking = Ranking.of(scores, torch.tensor([0, 0, 1, 0, 1]))
    best = {row[-1]: row for row in threshold_rows(ranking) if row[-1]}
    threshold, flagged, precision, recall, f1, balanced, _ = best["F1 and balanced accuracy"]
    assert threshold == pytest.approx((0.33 + 0.44) / 2)
    assert (flagged, recall) == (0.6, 1.0)
    assert (precision, f1, balanced) == pytest.approx((2 / 3, 0.8, 5 / 6))


def test_a_threshold_above_every_score_flags_nothing() -> None:
    ranking = Ranking.of(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 1, 1]))
    last = threshold_rows(ranking)[-1]
    assert last == (0.95, 0.0, None, 0.0, 0.0, 0.5, "")


def test_calibration_is_measured_before_after_and_on_other_rows(told: Any) -> None:
    loop, found, said = told
    before, after, crossed = rows_of(page(found, "Calibration"))
    labels = said["true"] == "yes"
    assert after["log-loss"] == pytest.approx(
        oracle.log_loss(labels, said["probability_yes"]), rel=1e-5
    )
    plain = loop.said()[0].double().softmax(1)[:, 1]
    assert before["log-loss"] == pytest.approx(oracle.log_loss(labels, plain), rel=1e-5)
    assert after["log-loss"] < before["log-loss"]
    assert after["log-loss"] < crossed["log-loss"]
    text = page(found, "Calibration").text
    assert f"by {loop.bundle().targets[0].temperature:.3g}" in text
    assert "fitted on these very rows" in text


def test_without_a_temperature_there_is_one_line_of_calibration() -> None:
    _, found = pages("target=buys", "calibrate=false")
    assert len(rows_of(page(found, "Calibration"))) == 1
    assert "temperature" not in page(found, "Calibration").text


def test_the_rows_told_worst_are_named_as_in_the_file(write: Write) -> None:
    path = write(people())
    loop, found = pages_of(None, f"data={path}", "target=buys")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = rows_of(page(found, "Rows told worst"))
    said = loop.bundle().predict(loop.dataset.valid_cells)
    true = loop.dataset.valid_cells["buys"]
    losses = pd.Series(
        [-math.log(row[f"probability_{label}"]) for (_, row), label in zip(said.iterrows(), true, strict=True)],
        index=true.index,
    )  # fmt: skip
    assert [row["line"] for row in rows] == losses.nlargest(12).index.tolist()
    for row in rows:
        cells = lines[row["line"] - 1].split(",")
        assert (row["true"], row["colour"] or "") == (cells[6], cells[3])
        assert row["height"] == pytest.approx(float(cells[1]))
        assert row["probability"] >= 0.5
        assert (row["predicted"] == row["true"]) == (losses[row["line"]] < math.log(2))


def test_residuals_and_worst_numbers_are_those_of_the_predictions() -> None:
    loop, found = pages("target=spends")
    cells = loop.dataset.valid_cells
    rest = cells["spends"] - loop.bundle().predict(cells)["spends"]
    (row,) = rows_of(page(found, "Residuals"))
    assert row["mean"] == pytest.approx(rest.mean(), abs=1e-4)
    assert row["25 %"] == pytest.approx(rest.quantile(0.25), abs=1e-4)
    assert row["largest"] == pytest.approx(rest[rest.abs().idxmax()], abs=1e-4)
    worst = rows_of(page(found, "Rows told worst"))
    assert [row["data row"] for row in worst] == rest.abs().nlargest(12).index.tolist()
    assert [row["residual"] for row in worst] == pytest.approx(
        rest.loc[[row["data row"] for row in worst]].tolist(), abs=1e-4
    )


def test_coverage_of_quantiles_is_counted() -> None:
    loop, found = pages("target=spends", "head=quantiles", "quantiles=0.9,0.1,0.5")
    cells = loop.dataset.valid_cells
    said = loop.bundle().predict(cells)
    rows = rows_of(page(found, "Coverage"))
    assert [row["quantile"] for row in rows] == [0.1, 0.5, 0.9]
    for row in rows:
        below = (cells["spends"] <= said[f"spends_{row['quantile']:g}"]).mean()
        assert row["share of the rows"] == pytest.approx(below, abs=0.01)


def test_coverage_of_a_gaussian_is_that_of_its_quantiles() -> None:
    loop, found = pages("target=spends", "head=gaussian")
    cells = loop.dataset.valid_cells
    said = loop.bundle().predict(cells)
    for row in rows_of(page(found, "Coverage")):
        at = stats.norm.ppf(row["quantile"], said["spends"], said["spends_deviation"])
        assert row["share of the rows"] == pytest.approx((cells["spends"] <= at).mean(), abs=0.01)


def test_importance_is_of_the_watched_metric() -> None:
    _, found = pages("target=buys", "watch=roc_auc")
    section = page(found, "Importance of the columns")
    assert "How much worse roc_auc gets on 120 validation rows" in section.text
    drops = [row["worse by"] for row in rows_of(section)]
    assert drops == sorted(drops, reverse=True)
    assert len(drops) == 6


def test_missing_cells_and_correlations_are_those_of_the_table() -> None:
    loop, found = pages("target=spends")
    assert page(found, "Missing cells").text == "2 of 6 columns have missing cells."
    rows = rows_of(page(found, "Correlations"))
    valid = loop.dataset.valid_cells
    pairs = {(row["column"], row["goes with"]): row["rank correlation"] for row in rows}
    assert ("height", "weight in kg") in pairs
    assert ("age", "spends") in pairs
    for (one, other), value in pairs.items():
        both = valid[[one, other]].dropna()
        expected = stats.spearmanr(both[one], both[other]).statistic
        assert value == pytest.approx(expected, abs=1e-3)


def test_the_distribution_of_classes_is_counted() -> None:
    loop, found = pages("target=size")
    shares = loop.dataset.valid_cells["size"].value_counts(normalize=True)
    for row in rows_of(page(found, "Target distribution")):
        assert row["share of validation"] == pytest.approx(shares[row["class"]])


def test_weights_count_in_confusions_ranking_and_calibration() -> None:
    frame = people()
    frame["counts"] = np.random.default_rng(1).integers(0, 4, len(frame))
    loop, found = pages_of(frame, "target=buys", "weight=counts")
    cells = loop.dataset.valid_cells
    said, kept = loop.bundle().predict(cells), {"sample_weight": cells["counts"]}
    share = oracle.accuracy_score(cells["buys"], said["buys"], **kept)
    assert page(found, "Confusions").text.startswith(f"{share:.1%}")
    inside, scores = cells["buys"] == "yes", said["probability_yes"]
    (row,) = rows_of(page(found, "ROC and precision-recall curves"))
    assert row["ROC-AUC"] == pytest.approx(oracle.roc_auc_score(inside, scores, **kept), abs=1e-4)
    after = rows_of(page(found, "Calibration"))[1]["log-loss"]
    assert after == pytest.approx(oracle.log_loss(inside, scores, **kept), rel=1e-4)


def test_folds_and_blend_show_what_is_said_by_models_that_never_saw_a_row(
    make: Make, tmp_path: Path
) -> None:
    items = (
        *("target=buys", "loop=blend", "folds.count=2", "blend.trees=histogram", "blend.rounds=4"),
        *("epochs=2", "network.width=16", "folds.members=1"),
    )
    loop = make(*items, frame=people(300))
    with rondel.Run(tmp_path / "run", settings=loop.config.run) as run:
        run.print_with(lambda _: None)
        loop.train(run)
        found = loop.sections(run)
    assert [section.title for section in found[:3]] == ["Blend", "Out of fold", "Confusions"]
    rows = {row["model"]: row for row in rows_of(found[0])}
    assert {
        name: row["weight"] for name, row in rows.items() if name != "together"
    } == loop.weights(loop.told())
    values = loop.dataset.train.values[:, 0]
    for name, said in {**loop.told(), "together": loop.said()[0]}.items():
        expected = oracle.log_loss(values, said.double().softmax(1))
        assert rows[name]["loss"] == pytest.approx(expected, rel=1e-5)
    matrix = oracle.confusion_matrix(values, loop.said()[0].argmax(1))
    confusions = page(list(found), "Confusions").table
    assert confusions is not None
    assert [list(row[1:]) for row in confusions.rows] == matrix.tolist()


# -- what is not as usual --------------------------------------------------------------------------


def test_validation_rows_of_one_class_have_pages_too(make: Make) -> None:
    loop = make("target=buys", frame=people())
    evidence = loop.evidence()
    valid = evidence.dataset.valid
    rows = (valid.values[:, 0] == 1).nonzero()[:, 0]
    dataset = replace(
        evidence.dataset,
        valid=type(valid)(*(column[rows] for column in valid)),
        valid_cells=evidence.dataset.valid_cells.iloc[rows.numpy()],
    )
    found = explain(replace(evidence, dataset=dataset, said=[evidence.said[0][rows]]))
    assert "Decision thresholds" not in titles(found)
    assert "ROC and precision-recall curves" not in titles(found)
    numbers = [
        cell
        for section in found
        if section.table
        for row in section.table.rows
        for cell in row
        if isinstance(cell, float)
    ]
    assert all(map(math.isfinite, numbers))


def test_rows_whose_cells_are_not_at_hand_are_not_shown(make: Make) -> None:
    evidence = make("target=buys", frame=people()).evidence()
    without = replace(evidence, dataset=replace(evidence.dataset, valid_cells=None))
    assert "Rows told worst" not in titles(explain(without))


def test_a_table_of_categories_alone_has_no_correlations() -> None:
    frame = people()[["colour", "size", "buys"]]
    _, found = pages_of(frame, "target=buys")
    assert "Correlations" not in [section.title for section in found]


@pytest.mark.parametrize("unit", ["h", "D"])
def test_dates_and_truths_are_drawn(unit: Literal["h", "D"]) -> None:
    draw, people_ = np.random.default_rng(0), people()
    days = pd.to_timedelta(draw.integers(0, 70, len(people_)), unit)
    frame = pd.DataFrame(
        {
            "since": pd.Timestamp("2021-03-01") + days,
            "member": draw.choice(["yes", "no"], len(people_)),
            "spends": people_["spends"],
        }
    )
    _, found = pages_of(frame, "target=spends")
    check_picture(page(found, "Partial dependence").picture)


def test_strange_names_are_drawn() -> None:
    frame = people()
    names = dict(zip(("age", "height", "colour", "weight in kg"), HOSTILE, strict=False))
    frame = frame.rename(columns={**names, "buys": "$y_$"})
    frame["$y_$"] = frame["$y_$"].map({"yes": "$\\frac", "no": "n\no"})
    _, found = pages_of(frame, "target=$y_$")
    assert len(titles(found)) == len(TWO_CLASSES) + len(MATTERS)


def test_labels_of_pictures_are_one_short_line_and_no_formula() -> None:
    shown = [r"\$x^{", "new\ufffdline", "价格", "<b>", "\ufffdhalf"]
    assert [label_of(name) for name in HOSTILE] == shown
    assert label_of("w" * 300) == "w" * 25 + "\u2026"


def test_pictures_of_odd_numbers_are_drawn() -> None:
    one = np.ones(5)
    check_picture(truth_png(one, one, "price"))
    check_picture(histogram_png({"training": one, "validation": one[:1] * 7}, "price"))
    check_picture(bars_png(["a"], np.zeros(1), "nothing", deviations=np.zeros(1)))
    check_picture(correlation_png(np.array([[1, math.nan], [math.nan, 1]]), ["a", "b"]))
    check_picture(confusion_png(np.zeros((40, 40)), [str(k) for k in range(40)]))
    single = Reliability.of(torch.tensor([0.7]), torch.tensor([True]))
    check_picture(reliability_png({"as it is": single}))
