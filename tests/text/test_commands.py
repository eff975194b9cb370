"""``rondel text`` as a person types it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from rondel.cli.main import main

SMALL = ("model.buckets=4096", "model.width=16", "epochs=1", "batch_size=16")


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """Forty short texts with two classes."""
    lines = [f"{('good', 'bad')[i % 2]} film {i},{('yes', 'no')[i % 2]}" for i in range(40)]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(["text,label", *lines]) + "\n")
    return path


@pytest.fixture
def run(reviews: Path, tmp_path: Path) -> Path:
    out = tmp_path / "run"
    assert main(["text", "train", str(reviews), *SMALL, "--out", str(out)]) == 0
    return out


def test_train_evaluate_and_predict(
    capsys: pytest.CaptureFixture[str], run: Path, reviews: Path
) -> None:
    told = capsys.readouterr()
    assert "classification on " in told.err
    assert "To be beaten: TF-IDF + logistic regression, accuracy " in told.err
    assert (run / "report.html").is_file()
    report = (run / "report.html").read_text()
    for title in ("Beside simple models", "Classes", "Surest mistakes", "Lengths in tokens"):
        assert title in report

    assert main(["text", "evaluate", str(run), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = next(iter(rows))
    assert "accuracy" in json.dumps(found)
    assert main(["text", "evaluate", str(run), str(reviews)]) == 0
    assert "accuracy" in capsys.readouterr().out

    assert main(["text", "predict", str(run), "a good film", str(reviews)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 41
    assert rows[0]["text"] == "a good film"
    assert rows[0]["label"] in ("yes", "no")
    out = run.parent / "out.csv"
    assert main(["text", "predict", str(run), str(reviews), "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 41


def test_wrong_data_is_told_with_its_place(
    run: Path, reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    reviews.write_text("text,label\ngood,\nbad,no\nx,yes\n")
    out = run.parent / "other"
    assert main(["text", "train", str(reviews), f"validation={reviews}", "--out", str(out)]) == 4
    assert "reviews.csv:2, column 'label': there is no label" in capsys.readouterr().err
    assert main(["text", "evaluate", str(run)]) == 4
    assert "the data is no longer what the model was trained on" in capsys.readouterr().err
    assert main(["text", "predict", str(run), ""]) == 4
    assert "the text is empty" in capsys.readouterr().err
    assert main(["text", "export", str(run), "--format", "pt2"]) == 2
    assert "Choose --format transformers or onnx." in capsys.readouterr().err


def test_inspect_describes_the_data(reviews: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["text", "inspect", str(reviews)]) == 0
    out = capsys.readouterr().out
    assert "task: classification" in out
    assert "reviews.csv: " in out


def test_config_lists_the_keys_and_mistakes_are_answered(
    reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["text", "config"]) == 0
    out = capsys.readouterr().out
    for key in ("model.vocabulary", "max_length", "pretraining.epochs", "gradual.decay"):
        assert key in out
    assert main(["text", "train", str(reviews), "max_lenght=5"]) == 2
    assert "max_length" in capsys.readouterr().err


def test_the_config_needs_no_torch() -> None:
    code = (
        "import sys; from rondel_text.config import TextConfig; import rondel_text.plugin; "
        "print({'torch', 'numpy', 'transformers', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("flags", [(), ("-q",)])
def test_reading_large_files_is_announced_unless_quiet(
    reviews: Path,
    tmp_path: Path,
    flags: Sequence[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["text", "train", *flags, str(reviews), *SMALL, "--out", str(tmp_path / "run")]
    words += ["streaming=true", f"cache={tmp_path / 'cache'}"]
    assert main(words) == 0
    told = capsys.readouterr().err
    if flags:
        assert told == ""
    else:
        assert "reviews.csv is read for its columns, labels and faults ..." in told
        assert "reviews.csv is encoded into" in told
