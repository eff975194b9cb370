"""``rondel runs``: what it prints, what it writes, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rondel.cli.main import main


def write_run(folder: Path, **changes: Any) -> Path:
    """A finished tabular run in three rows; `changes` replace parts of its result."""
    folder.mkdir(parents=True)
    manifest = {
        "format": "rondel run 1",
        "rondel": "0.1.0",
        "domain": "tabular",
        "created": changes.pop("created", "2025-10-02T14:03:22+00:00"),
        "command": ["rondel", "tabular", "train"],
        "fingerprint": {"device": "cpu"},
        "data": {"name": "adult", "hash": "3f9a", "samples": 48842, "files": []},
    }
    result: dict[str, Any] = {
        "outcome": "done",
        "reason": None,
        "metrics": {"loss": 0.2, "accuracy": 0.93},
        "baseline": {"name": "majority class", "values": {"accuracy": 0.39}},
        "watch": {"metric": "accuracy", "mode": "max"},
        "best": {"step": 20, "metric": "accuracy", "value": 0.93},
        "seconds": 75.0,
    }
    rows = [
        {"step": 10, "event": "update", "name": "model", "epoch": 0, "phase": None, "updates": 10,
         "values": {"loss": 0.4, "lr": 0.001}},
        {"step": 20, "event": "evaluation", "name": "evaluate", "epoch": 0, "phase": None,
         "values": {"loss": 0.2, "accuracy": 0.93}},
    ]  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "config.toml").write_text(f"epochs = {changes.pop('epochs', 3)}\n")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "result.json").write_text(json.dumps(result | changes))
    return folder


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RONDEL_PLUGINS", "none")
    return tmp_path


def test_list_shows_the_latest_run_first_with_its_baseline(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_run(Path("runs/tabular-a-amber"))
    write_run(Path("runs/tabular-b-birch"), created="2025-10-03T09:00:00+00:00")
    Path("runs/no-run").mkdir()
    assert main(["runs", "list"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "name", "domain", "state", "metric", "value", "baseline", "time", "steps", "started",
    ]  # fmt: skip
    assert [row.split()[0] for row in rows] == ["tabular-b-birch", "tabular-a-amber"]
    assert rows[1].split()[1:6] == ["tabular", "done", "accuracy", "0.93", "0.39"]
    assert rows[1].endswith("1 min 15 s  20     2025-10-02 14:03 UTC")


def test_list_as_json_gives_one_object_per_run(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("elsewhere/tabular-a-amber"), best=None, metrics={"accuracy": "nan"})
    assert main(["runs", "list", "elsewhere", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "event": "run",
        "name": "tabular-a-amber",
        "directory": "elsewhere/tabular-a-amber",
        "domain": "tabular",
        "state": "done",
        "metric": "accuracy",
        "value": "nan",
        "baseline": 0.39,
        "seconds": 75.0,
        "steps": 20,
        "started": "2025-10-02T14:03:22+00:00",
    }


def test_list_on_a_terminal_prints_names_that_look_like_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(Path("runs/[red]x"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["runs", "list"]) == 0
    assert "[red]x" in capsys.readouterr().out


def test_list_of_an_empty_folder_talks_on_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs").mkdir()
    assert main(["runs", "list"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "No runs in runs.\n")


def test_list_of_a_missing_folder_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    Path("experiments").mkdir()
    assert main(["runs", "list", "experiment"]) == 2
    assert capsys.readouterr().err == "Error: no folder 'experiment'. Did you mean 'experiments'?\n"


def test_list_without_any_run_yet_says_where_runs_come_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["runs", "list"]) == 2
    assert capsys.readouterr().err == (
        "Error: no folder 'runs'. Runs are written there by 'rondel <domain> train'; "
        "name another folder if yours lie elsewhere.\n"
    )


def test_show_prints_the_summary_and_writes_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(Path("runs/tabular-a-amber"))
    assert main(["runs", "show", "tabular-a-amber"]) == 0
    out = capsys.readouterr().out
    assert "accuracy 0.93, majority class 0.39 (better than the baseline)" in out
    assert out.splitlines()[-1] == str(run / "report.html")
    assert "<title>tabular-a-amber" in (run / "report.html").read_text(encoding="utf-8")


def test_show_refreshes_an_older_page(capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(Path("runs/tabular-a-amber"))
    (run / "report.html").write_text("old")
    assert main(["runs", "show", str(run)]) == 0
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in run.iterdir() if "tmp" in path.name] == []


def test_show_as_json_names_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(Path("runs/tabular-a-amber"))
    assert main(["runs", "show", str(run), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["metrics"] == {"loss": 0.2, "accuracy": 0.93}
    assert shown["report"] == str(run / "report.html")


def test_show_of_a_missing_run_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("runs/tabular-a-amber"))
    assert main(["runs", "show", "tabular-a-ambre"]) == 2
    expected = "Error: no run 'tabular-a-ambre'. Did you mean 'runs/tabular-a-amber'?\n"
    assert capsys.readouterr().err == expected


def test_show_of_a_folder_of_runs_names_one_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("runs/tabular-a-amber"))
    assert main(["runs", "show", "runs"]) == 2
    assert capsys.readouterr().err == (
        "Error: 'runs' is not a run directory: it has no manifest.json and no metrics.jsonl. "
        "It holds 1 run, such as 'runs/tabular-a-amber'; 'rondel runs list runs' lists all.\n"
    )


def test_show_of_a_directory_that_is_no_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos").mkdir()
    assert main(["runs", "show", "photos"]) == 2
    assert capsys.readouterr().err == (
        "Error: 'photos' is not a run directory: it has no manifest.json and no metrics.jsonl. "
        "Name a directory that 'rondel <domain> train' wrote.\n"
    )


def test_compare_writes_a_page_and_prints_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("runs/tabular-a-amber"))
    write_run(Path("runs/tabular-b-birch"), epochs=5)
    words = ["runs", "compare", "tabular-a-amber", "tabular-b-birch", "--out", "both.html"]
    assert main(words) == 0
    assert capsys.readouterr().out == "both.html\n"
    page = Path("both.html").read_text(encoding="utf-8")
    assert "<td>epochs</td>" in page
    assert "tabular-b-birch" in page


@pytest.mark.parametrize("words", [["a"], ["a", "a"], ["a", "runs/a"]])
def test_compare_needs_two_different_runs(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(Path("runs/a"))
    assert main(["runs", "compare", *words]) == 2
    assert capsys.readouterr().err == (
        "Error: a comparison needs at least two different runs, got only 'a'. "
        "Name another run, or use 'rondel runs show'.\n"
    )
    assert not Path("compare.html").exists()


def test_compare_into_a_missing_folder_names_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    write_run(Path("runs/a"))
    write_run(Path("runs/b"))
    assert main(["runs", "compare", "a", "b", "--out", "pages/both.html"]) == 1
    assert capsys.readouterr().err == (
        "Error: pages/both.html: cannot write the page: No such file or directory. "
        "Check that the folder exists and may be written.\n"
    )
