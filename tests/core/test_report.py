"""The page of a run: read like a browser would, from run directories written by hand."""

from __future__ import annotations

import fcntl
import json
import math
import random
import re
import struct
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TextIO

import pytest

from rondel.errors import DirectoryError, UsageError
from rondel.report import RunRecord, find_headline, write_comparison, write_report
from rondel.report.comparison import config_differences
from rondel.report.curves import (
    Chart,
    limit_charts,
    make_series,
    phase_bands,
    run_charts,
    running_mean,
    thin_out,
)
from rondel.report.page import fair_share
from rondel.report.pictures import embed, make_gallery

RUN_NAME = "gan-<script>alert(1)</script>-größe"
HOSTILE = "<script>alert('x')</script> & \"Größe\" 猫"


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def png(width: int, height: int, *, seed: int = 0) -> bytes:
    """Write a noisy RGB picture with the standard library alone."""
    dice = random.Random(seed)
    rows = b"".join(b"\0" + dice.randbytes(3 * width) for _ in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def manifest(domain: str | None, name: str, samples: int, data_hash: str) -> dict[str, Any]:
    return {
        "format": "rondel run 1",
        "rondel": "0.1.0",
        "domain": domain,
        "created": "2025-10-02T14:03:22+00:00",
        "command": ["rondel", domain or "x", "train", f"{name}.csv"],
        "fingerprint": {"torch": "2.9.0", "device": "cpu", "threads": 2},
        "data": {"name": name, "hash": data_hash, "samples": samples, "files": [f"{name}.csv"]},
    }


def update_row(step: int, name: str, epoch: int, **values: float | str) -> dict[str, Any]:
    return {
        "step": step, "event": "update", "name": name, "epoch": epoch, "phase": None,
        "updates": step, "values": values,
    }  # fmt: skip


def evaluation_row(step: int, epoch: int, **values: float | str) -> dict[str, Any]:
    return {
        "step": step, "event": "evaluation", "name": "evaluate", "epoch": epoch, "phase": None,
        "values": values,
    }  # fmt: skip


def make_tabular_run(folder: Path, *, seed: int = 0, lr: float = 0.001) -> Path:
    """A finished run with a watched metric and a baseline."""
    dice = random.Random(seed)
    rows = []
    for epoch in range(20):
        for batch in range(10):
            step = epoch * 11 + batch + 1
            loss = 0.25 + 0.6 * math.exp(-step / (40000 * lr)) + dice.gauss(0, 0.02)
            values = {
                "loss": loss,
                "lr": lr * (1 - step / 230),
                "gradient_norm": 0.8 + dice.random(),
            }
            rows.append(update_row(step, "model", epoch, **values))
        accuracy = 0.93 - 0.4 * math.exp(-epoch / 4) - max(0, epoch - 15) * 0.004
        loss = 0.3 + 0.5 * math.exp(-epoch / 4)
        auc = accuracy + 0.03
        rows.append(evaluation_row(step + 1, epoch, loss=loss, accuracy=accuracy, auroc=auc))
    rows.append(
        {"step": 220, "event": "note", "name": "stop", "epoch": 19, "phase": None,
         "text": "no better accuracy for 4 evaluations"}
    )  # fmt: skip
    evaluations = [row for row in rows if row["event"] == "evaluation"]
    best = max(evaluations, key=lambda row: row["values"]["accuracy"])
    value = best["values"]["accuracy"]
    write_json(folder / "manifest.json", manifest("tabular", "adult", 48842, "3f9ac21e77b0"))
    (folder / "config.toml").write_text(f'epochs = 20\n[optimizer]\nname = "adamw"\nlr = {lr}\n')
    write_rows(folder / "metrics.jsonl", rows)
    timing = [
        {"step": row["step"], "elapsed_s": row["step"] * 0.12, "samples_per_s": 9000 + dice.gauss(0, 300),
         "memory_bytes": 300e6 + row["step"] * 1e5} for row in rows[::5]
    ]  # fmt: skip
    write_rows(folder / "timing.jsonl", timing)
    write_json(
        folder / "result.json",
        {
            "outcome": "done",
            "reason": "no better accuracy for 4 evaluations",
            "metrics": best["values"],
            "baseline": {"name": "majority class", "values": {"accuracy": 0.39, "auroc": 0.5}},
            "watch": {"metric": "accuracy", "mode": "max"},
            "best": {"step": best["step"], "metric": "accuracy", "value": value},
            "seconds": 26.4,
        },
    )
    write_json(folder / "bundle" / "bundle.json", {})
    return folder


def make_gan_run(folder: Path) -> Path:
    """A finished run with two updates, pictures, sections and hostile names."""
    dice, rows = random.Random(1), []
    for step in range(1, 601):
        epoch = step // 60
        base = {"lr": 2e-4, "gradient_norm": 1 + dice.random()}
        rows.append(
            update_row(step, "discriminator", epoch, loss=0.7 + dice.gauss(0, 0.08), **base)
        )
        rows.append(update_row(step, "generator", epoch, loss=1.1 + dice.gauss(0, 0.15), **base))
        if step % 60 == 0:
            rows.append(
                evaluation_row(step, epoch, fid=20 + 300 * math.exp(-step / 150), **{HOSTILE: 1.0})
            )
    write_json(folder / "manifest.json", manifest("gan", HOSTILE, 60000, "77aa01"))
    (folder / "config.toml").write_text(f"# {HOSTILE}\nepochs = 10\n", encoding="utf-8")
    write_rows(folder / "metrics.jsonl", rows)
    write_json(
        folder / "result.json",
        {"outcome": "done", "reason": None, "metrics": {"fid": 25.5}, "baseline": None,
         "watch": {"metric": "fid", "mode": "min"},
         "best": {"step": 600, "metric": "fid", "value": 25.5}, "seconds": 3723.0},
    )  # fmt: skip
    (folder / "pictures").mkdir()
    for step in (60, 300, 600):
        (folder / "pictures" / f"samples-step-{step:06d}.png").write_bytes(png(64, 64, seed=step))
    (folder / "pictures" / f"confusion{HOSTILE.replace('/', '')}.png").write_bytes(png(40, 30))
    (folder / "pictures" / "broken.png").write_bytes(b"no picture")
    write_json(
        folder / "sections.json",
        [
            {"title": HOSTILE, "text": "First paragraph.\n\nSecond paragraph."},
            {"title": "Nearest neighbours", "table": {"columns": ["class", "distance"], "rows": [[HOSTILE, 0.25]]}},
            {"title": "Outside", "picture": "../../secret.png"},
            {"title": "Inside", "picture": "pictures/samples-step-000060.png"},
        ],
    )  # fmt: skip
    write_rows(folder / "skipped.jsonl", [{"file": HOSTILE, "cause": "truncated file"}])
    return folder


def make_running_run(folder: Path) -> Path:
    """A run without a result: two phases, a torn last line."""
    rows = []
    for step in range(1, 81):
        row = update_row(step, "rpn" if step < 40 else "head", 0, loss=2.0 / step)
        rows.append(row | {"phase": "first" if step < 40 else "second"})
    write_json(folder / "manifest.json", manifest("detection", "photos", 120, "beef"))
    write_rows(folder / "metrics.jsonl", rows)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 81, "event": "upd')
    write_rows(folder / "timing.jsonl", [{"step": 80, "elapsed_s": 90.0}])
    return folder


def make_failed_run(folder: Path) -> Path:
    """A run that diverged, with values that are not finite."""
    rows = [update_row(k, "model", 0, loss=0.5 * 1.3**k) for k in range(1, 30)]
    rows += [update_row(30, "model", 0, loss="inf"), update_row(31, "model", 0, loss="nan")]
    write_json(folder / "manifest.json", manifest(None, "toy", 100, "00"))
    write_rows(folder / "metrics.jsonl", rows)
    reason = "loss of update 'model' is nan at step 31; samples 4, 17"
    write_json(
        folder / "result.json",
        {"outcome": "diverged", "reason": reason, "metrics": {}, "baseline": None, "watch": None,
         "best": None, "seconds": 2.0},
    )  # fmt: skip
    (folder / "error.txt").write_text(f"Traceback: {HOSTILE}\n", encoding="utf-8")
    return folder


def hold(lock: TextIO) -> None:
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.write('{"pid": 1}')
    lock.flush()


class PageReader(HTMLParser):
    """Collects tags and the text that a browser would show."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown: list[str] = []
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.shown.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.shown))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def tabular_run(tmp_path: Path) -> Path:
    return make_tabular_run(tmp_path / "tabular-20251002-quiet")


@pytest.fixture
def gan_run(tmp_path: Path) -> Path:
    return make_gan_run(tmp_path / RUN_NAME.replace("/", "∕"))  # noqa: RUF001 - a name may hold it


@pytest.fixture
def running_run(tmp_path: Path) -> Path:
    return make_running_run(tmp_path / "detection-20251003-brisk")


@pytest.fixture
def failed_run(tmp_path: Path) -> Path:
    return make_failed_run(tmp_path / "toy-20251004-steep")


@pytest.fixture
def all_runs(tabular_run: Path, gan_run: Path, running_run: Path, failed_run: Path) -> list[Path]:
    return [tabular_run, gan_run, running_run, failed_run]


def read_page(directory: Path) -> PageReader:
    return PageReader(write_report(directory).read_text(encoding="utf-8"))


# The record


def test_a_finished_run_is_read_whole(tabular_run: Path) -> None:
    record = RunRecord.read(tabular_run)
    assert (record.state, record.domain, record.seconds) == ("done", "tabular", 26.4)
    assert len(record.events("evaluation")) == 20
    assert record.last_step == 220
    assert record.rows[0].values["lr"] == pytest.approx(0.001 * (1 - 1 / 230))


def test_a_torn_last_line_is_ignored(running_run: Path) -> None:
    record = RunRecord.read(running_run)
    assert [len(record.rows), record.last_step] == [80, 80]


def test_an_empty_directory_is_a_new_run_with_nothing_in_it(tmp_path: Path) -> None:
    record = RunRecord.read(tmp_path)
    assert record.state == "new"
    assert (record.manifest, record.result, record.config_text, record.rows) == (
        None,
        None,
        None,
        (),
    )


def test_damaged_files_are_read_as_missing(tabular_run: Path) -> None:
    for name in ("manifest.json", "result.json", "sections.json"):
        (tabular_run / name).write_bytes(b'{"outcome": \xff\xfe')
    (tabular_run / "metrics.jsonl").write_bytes(
        b'\x00\x01\n[1]\n{"step": "x"}\n{"step": 4, "values": 7}\n'
    )
    record = RunRecord.read(tabular_run)
    assert (record.manifest, record.result, record.sections) == (None, None, ())
    assert [(row.step, dict(row.values)) for row in record.rows] == [(4, {})]
    write_report(tabular_run)


def test_non_finite_strings_are_numbers_again(failed_run: Path) -> None:
    values = [row.values["loss"] for row in RunRecord.read(failed_run).rows[-2:]]
    assert math.isinf(values[0])
    assert math.isnan(values[1])


def test_a_run_whose_process_died_is_interrupted_even_with_its_lock_file_left(
    running_run: Path,
) -> None:
    (running_run / "run.lock").write_text('{"pid": 1}')
    record = RunRecord.read(running_run)
    assert record.state == "interrupted"
    assert record.reason == "the process ended without writing a result"


def test_a_run_whose_lock_is_held_is_running(running_run: Path) -> None:
    with (running_run / "run.lock").open("w") as lock:
        hold(lock)
        assert RunRecord.read(running_run).state == "running"


def test_a_resumed_run_is_running_although_an_older_result_lies_there(tabular_run: Path) -> None:
    import os

    with (tabular_run / "run.lock").open("w") as lock:
        hold(lock)
        os.utime(tabular_run / "result.json", (1, 1))
        assert RunRecord.read(tabular_run).state == "running"


def test_a_run_that_writes_its_report_before_it_lets_go_of_its_lock_is_done(
    tabular_run: Path,
) -> None:
    with (tabular_run / "run.lock").open("w") as lock:
        hold(lock)
        assert RunRecord.read(tabular_run).state == "done"


def test_a_run_with_an_error_and_no_result_has_failed(running_run: Path) -> None:
    (running_run / "error.txt").write_text("Traceback")
    assert RunRecord.read(running_run).state == "failed"


# The headline


def test_the_headline_stands_beside_the_baseline(tabular_run: Path) -> None:
    headline = find_headline(RunRecord.read(tabular_run))
    assert headline is not None
    assert headline.sentence == "accuracy 0.9206, majority class 0.39"
    assert headline.beats_baseline is True


def test_a_nan_never_beats_the_baseline(tabular_run: Path) -> None:
    result = json.loads((tabular_run / "result.json").read_text())
    result["best"]["value"] = "nan"
    write_json(tabular_run / "result.json", result)
    headline = find_headline(RunRecord.read(tabular_run))
    assert headline is not None
    assert headline.beats_baseline is False
    assert "Not better than the baseline." in read_page(tabular_run).text


def test_a_lower_value_beats_the_baseline_of_a_minimised_metric(gan_run: Path) -> None:
    result = json.loads((gan_run / "result.json").read_text())
    result["baseline"] = {"name": "noise", "values": {"fid": 380.0}}
    write_json(gan_run / "result.json", result)
    text = read_page(gan_run).text
    assert "fid 25.5, noise 380 . Better than the baseline." in text.replace("380.", "380 .")


def test_a_running_run_takes_its_headline_from_the_best_checkpoint(running_run: Path) -> None:
    best = {"step": 40, "metric": "map", "value": 0.31, "mode": "max"}
    write_json(running_run / "checkpoints" / "best.json", best)
    headline = find_headline(RunRecord.read(running_run))
    assert headline is not None
    assert (headline.metric, headline.value, headline.step) == ("map", 0.31, 40)


# Curves


def test_thinning_out_keeps_every_spike_and_both_ends() -> None:
    points = [(float(k), 0.0) for k in range(100_000)]
    points[54_321] = (54_321.0, 9.0)
    points[70_001] = (70_001.0, -9.0)
    kept = thin_out(points, 600)
    assert len(kept) <= 600
    assert {points[0], points[54_321], points[70_001], points[-1]} <= set(kept)
    assert kept == sorted(kept)


def test_values_that_are_not_finite_are_counted_and_not_drawn(failed_run: Path) -> None:
    (chart,) = run_charts(RunRecord.read(failed_run))[0].charts
    assert chart.omitted == 2
    assert all(math.isfinite(y) for _, y in chart.series[0].points)
    assert "2 values not finite, not drawn" in read_page(failed_run).text


def test_the_running_mean_of_a_line_is_the_line_away_from_its_ends() -> None:
    points = [(float(k), 2.0 * k) for k in range(400)]
    averaged = [y for _, y in running_mean(points)]
    assert averaged[5:-5] == pytest.approx([y for _, y in points[5:-5]])
    assert averaged[0] == pytest.approx(5.0)  # the mean of 0, 2, ..., 10


def test_lines_that_lie_on_each_other_are_drawn_once_under_both_names(tmp_path: Path) -> None:
    rows = [update_row(k, name, 0, lr=1e-4) for k in (1, 2) for name in ("critic", "actor")]
    write_rows(tmp_path / "metrics.jsonl", rows)
    (chart,) = run_charts(RunRecord.read(tmp_path))[0].charts
    assert [line.label for line in chart.series] == ["critic, actor"]
    assert "critic, actor" in read_page(tmp_path).text


def test_two_updates_share_one_loss_chart(gan_run: Path) -> None:
    (chart,) = run_charts(RunRecord.read(gan_run))[0].charts
    assert [line.label for line in chart.series] == ["discriminator", "generator"]


def test_the_best_point_of_the_watched_metric_is_marked(tabular_run: Path) -> None:
    charts = {c.title: c for g in run_charts(RunRecord.read(tabular_run)) for c in g.charts}
    mark = charts["accuracy"].mark
    assert mark is not None
    assert mark.text == "best 0.9206 at step 176"
    assert charts["accuracy"].baseline == 0.39


def test_an_unwatched_metric_is_not_called_best(tabular_run: Path) -> None:
    charts = {c.title: c for g in run_charts(RunRecord.read(tabular_run)) for c in g.charts}
    assert charts["auroc"].mark is not None
    assert charts["auroc"].mark.word == "highest"
    assert charts["loss"].mark is not None
    assert charts["loss"].mark.word == "lowest"


def test_several_phases_are_bands_that_meet(running_run: Path) -> None:
    record = RunRecord.read(running_run)
    bands = phase_bands(record.rows, 80)
    assert [(b.name, b.start, b.end) for b in bands] == [("first", 0, 40), ("second", 40, 80)]
    assert "Phases: 1 first , 2 second" in read_page(running_run).text


def test_a_wide_range_gets_a_logarithmic_axis() -> None:
    steep = Chart(title="x", last_step=2, series=(make_series("x", [(0, 1.0), (1, 1e-4)]),))
    flat = Chart(title="x", last_step=2, series=(make_series("x", [(0, 1.0), (1, -1e-4)]),))
    assert steep.is_logarithmic
    assert not flat.is_logarithmic


def test_charts_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    values = {f"part{k}": 1.0 for k in range(30)}
    write_rows(tmp_path / "metrics.jsonl", [update_row(k, "model", 0, **values) for k in (1, 2)])
    (group,) = run_charts(RunRecord.read(tmp_path))
    assert (len(group.charts), group.left_out) == (16, 14)
    assert limit_charts(group).charts == group.charts
    assert "14 more charts of this kind not drawn" in read_page(tmp_path).text


# Pictures


def test_a_large_picture_is_shrunk_to_its_budget(tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(png(900, 700))
    picture = embed(tmp_path / "big.png", max_bytes=60_000)
    assert picture is not None
    assert len(picture.data_url) < 90_000
    assert picture.width < 900
    assert picture.width / picture.height == pytest.approx(9 / 7, abs=0.02)


def test_pictures_are_chosen_evenly_with_the_first_and_the_last(tmp_path: Path) -> None:
    paths = [tmp_path / f"samples-{k}.png" for k in range(100)]
    for path in paths:
        path.write_bytes(png(4, 4))
    gallery = make_gallery(paths)
    assert len(gallery.pictures) == 24
    assert (gallery.pictures[0].caption, gallery.pictures[-1].caption) == (
        "samples 0",
        "samples 99",
    )
    assert gallery.left_out == 76


def test_a_truncated_large_picture_is_named_as_damaged(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(png(400, 400)[:200_000])
    assert make_gallery([tmp_path / "torn.png"], max_bytes=1000).damaged == ("torn.png",)


# The page


def test_the_page_asks_for_nothing_outside_itself(all_runs: list[Path]) -> None:
    for directory in all_runs:
        page = write_report(directory).read_text(encoding="utf-8")
        assert "http://" not in page
        assert "https://" not in page
        reader = PageReader(page)
        for attribute in ("src", "href"):
            for _, attributes in reader.tags:
                target = attributes.get(attribute)
                assert target is None or target.startswith(("data:", "#")), target


def test_a_content_security_policy_admits_only_the_script_of_the_page(gan_run: Path) -> None:
    import base64
    import hashlib

    page = write_report(gan_run).read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(m["content"] for m in PageReader(page).all("meta") if "http-equiv" in m)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_names_of_the_user_are_text_and_never_markup(gan_run: Path) -> None:
    page = write_report(gan_run).read_text(encoding="utf-8")
    assert page.count("<script") == 1
    reader = PageReader(page)
    assert gan_run.name in reader.text
    # metric, data set, section title, table cell, skipped file, config
    assert reader.text.count(HOSTILE) >= 5
    assert all(not (a.get("alt") or "").startswith("<") for a in reader.all("img"))


def test_the_error_of_a_failed_run_is_shown_and_escaped(failed_run: Path) -> None:
    page = write_report(failed_run).read_text(encoding="utf-8")
    assert f"Traceback: {HOSTILE}" in PageReader(page).text
    assert "loss of update 'model' is nan at step 31; samples 4, 17" in PageReader(page).text


def test_ids_are_unique_and_every_reference_has_its_target(tabular_run: Path) -> None:
    page = write_report(tabular_run).read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {*re.findall(r"url\(#([^)]+)\)", page), *re.findall(r'href="#([^"]+)"', page)} <= set(
        ids
    )


def test_charts_carry_no_fixed_colours(tabular_run: Path) -> None:
    page = write_report(tabular_run).read_text(encoding="utf-8")
    drawings = re.findall(r"<svg class=.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) >= 8
    assert not [c for d in drawings for c in re.findall(r"#[0-9a-f]{6}\b", d)]
    assert all("var(--series-0)" in drawing for drawing in drawings)


def test_every_picture_and_chart_has_a_text_for_those_who_cannot_see_it(gan_run: Path) -> None:
    reader = read_page(gan_run)
    pictures = [a for a in reader.all("img") if "src" in a]
    assert len(pictures) == 5 - 1  # the broken one is named instead
    assert all(a.get("alt") for a in pictures)
    assert "Could not be read: broken.png." in reader.text
    charts = [a for a in reader.all("svg") if a.get("role") == "img"]
    assert charts
    assert all("steps." in (a.get("aria-label") or "") for a in charts)


def test_a_section_cannot_bring_in_a_picture_from_outside_the_run(gan_run: Path) -> None:
    (gan_run.parent.parent / "secret.png").write_bytes(png(8, 8))
    reader = read_page(gan_run)
    assert "Outside" in reader.text
    assert not any(a.get("alt") == "secret" for a in reader.all("img"))


def test_the_page_says_how_to_resume_and_to_predict(tabular_run: Path, running_run: Path) -> None:
    done, stopped = read_page(tabular_run).text, read_page(running_run).text
    assert "rondel tabular predict " in done
    assert re.search(r"rondel detection train --resume \S*detection-20251003-brisk", stopped)
    assert "predict" not in stopped


def test_a_page_of_a_run_with_nothing_in_it_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("")
    assert "Nothing was evaluated." in read_page(tmp_path).text


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), 1e308, 5e-324, "nan", "-inf", None, True, "$\\foo$", [], {"a": 1}],
)
def test_no_value_of_a_journal_costs_the_page(value: object, tmp_path: Path) -> None:
    rows = [update_row(k, "$_$", 0, loss=0.5) | {"phase": "$p$"} for k in (1, 2)]
    odd = {"step": 3, "event": "evaluation", "name": value, "epoch": value, "phase": value,
           "values": {"loss": value, "acc": 0.5}, "text": value}  # fmt: skip
    write_rows(tmp_path / "metrics.jsonl", [*rows, odd])
    write_rows(tmp_path / "timing.jsonl", [{"step": 1, "elapsed_s": value, "memory_bytes": value}])
    keys = ("outcome", "reason", "metrics", "baseline", "watch", "best", "seconds")
    write_json(tmp_path / "result.json", dict.fromkeys(keys, value))
    write_json(tmp_path / "manifest.json", {"data": value, "fingerprint": value, "command": value})
    write_json(
        tmp_path / "sections.json", [{"title": value, "picture": "\ud800\0", "text": "\ud800"}]
    )
    assert "Its picture could not be read" in read_page(tmp_path).text


def test_a_hundred_thousand_rows_make_a_small_page(tmp_path: Path) -> None:
    dice = random.Random(0)
    rows = [
        update_row(
            k, "model", k // 1000, loss=1 + dice.random(), lr=1e-3, gradient_norm=dice.random()
        )
        for k in range(100_000)
    ]
    rows += [evaluation_row(k * 100, k, loss=1.0, accuracy=dice.random()) for k in range(1000)]
    write_rows(tmp_path / "metrics.jsonl", rows)
    page = write_report(tmp_path)
    assert page.stat().st_size < 1_500_000
    assert "800 more rows not shown" in PageReader(page.read_text(encoding="utf-8")).text


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a run directory: it has no manifest\.json and"):
        write_report(tmp_path)


def test_a_page_that_cannot_be_written_names_its_path(tabular_run: Path) -> None:
    (tabular_run / "report.html").mkdir()
    with pytest.raises(
        DirectoryError, match=r"report\.html: cannot write the page: Is a directory"
    ):
        write_report(tabular_run)


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_names_the_extra_to_install(
    library: str, tabular_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError) as caught:
        write_report(tabular_run)
    assert str(caught.value) == (
        f"a report needs {library}, which is not installed. "
        'Install it with: pip install "rondel[report]"'
    )


def test_importing_the_report_loads_neither_torch_nor_what_it_draws_with() -> None:
    heavy = "{'torch', 'numpy', 'matplotlib', 'jinja2', 'rich'}"
    code = f"import sys, rondel.report, rondel.cli.runs; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# The comparison


def test_only_config_keys_that_differ_are_listed(tmp_path: Path) -> None:
    records = [
        RunRecord.read(make_tabular_run(tmp_path / "a", lr=0.001)),
        RunRecord.read(make_tabular_run(tmp_path / "b", lr=0.003)),
    ]
    assert [(d.key, d.values) for d in config_differences(records)] == [
        ("optimizer.lr", ("0.001", "0.003"))
    ]


def test_a_comparison_overlays_the_runs_and_names_the_best(tmp_path: Path) -> None:
    first = make_tabular_run(tmp_path / "a")
    second = make_tabular_run(tmp_path / "b", seed=1)
    result = json.loads((second / "result.json").read_text())
    result["best"]["value"] = 0.99
    write_json(second / "result.json", result)
    records = [RunRecord.read(first), RunRecord.read(second)]
    page = write_comparison(records, tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "Best accuracy: 0.99, reached by b." in PageReader(page).text
    assert "The configs of these runs are the same." in PageReader(page).text
    drawings = re.findall(r"<svg class=.*?</svg>", page, flags=re.DOTALL)
    assert all("var(--series-1)" in drawing for drawing in drawings)
    assert "http" not in page.replace("http-equiv", "")


def test_a_comparison_warns_of_different_data(
    tabular_run: Path, gan_run: Path, tmp_path: Path
) -> None:
    records = [RunRecord.read(tabular_run), RunRecord.read(gan_run)]
    page = write_comparison(records, tmp_path / "c.html").read_text(encoding="utf-8")
    assert "used different data: their numbers are not comparable" in PageReader(page).text
    assert page.count("<script") == 1


def test_a_comparison_of_one_run_is_refused(tabular_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a comparison needs at least two runs"):
        write_comparison([RunRecord.read(tabular_run)], tmp_path / "c.html")


def test_small_pictures_leave_their_room_to_large_ones() -> None:
    assert fair_share([10, 20, 500, 700], 630) == 300
    assert fair_share([10, 20], 630) == 630
    assert fair_share([], 630) == 630
