"""What the verbs hand to the session, and what they tell about its result.

The session is stood in for by a recorder: these tests are about the way in and out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import rondel
from rondel.cli.main import main
from rondel.errors import DataError, Interrupted


class Recorder(ModuleType):
    """A session that trains nothing."""

    def __init__(self) -> None:
        super().__init__("rondel.session")
        self.requests: list[Any] = []
        self.calls: list[tuple[Any, ...]] = []
        self.failure: BaseException | None = None
        self.outcome = "done"

    def carry_out(self, request: Any) -> SimpleNamespace:
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(
            directory=Path("runs/one"),
            metrics={"accuracy": 0.91234, "loss": 0.2},
            baseline={"name": "majority class", "values": {"accuracy": 0.76}},
            watch=("accuracy", "max"),
            seconds=1.25,
            report=Path("runs/one/report.html"),
            outcome=self.outcome,
        )

    def dry_run(self, request: Any) -> str:
        self.requests.append(request)
        return "one batch"

    def check_resume(self, request: Any) -> str:
        self.requests.append(request)
        return "every end is equal"

    def evaluate(self, *call: Any) -> dict[str, float]:
        self.calls.append(call)
        return {"accuracy": 0.9}

    def predict(self, *call: Any) -> None:
        self.calls.append(call)

    def export(self, *call: Any) -> Path:
        self.calls.append(call)
        return Path(call[1])


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "rondel.session", recorder)
    monkeypatch.setattr(rondel, "session", recorder, raising=False)
    return recorder


@pytest.fixture
def toy(install_toy: Callable[[], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.syspath_prepend(install_toy())
    monkeypatch.setenv("RONDEL_PLUGINS", "toy")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.startswith("rondel_toy")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.mark.usefixtures("toy")
def test_train_hands_over_config_origins_and_flags(session: Recorder) -> None:
    words = [
        "toy",
        "train",
        "walls.csv",
        "bricks=9",
        "--seed",
        "7",
        "--workers=2",
        "-q",
    ]
    assert main([*words, "--out", "runs/mine"]) == 0
    (request,) = session.requests
    config = request.config
    assert (config.data, config.bricks, config.run.seed, config.run.workers) == (
        Path("walls.csv"),
        9,
        7,
        2,
    )
    assert request.origins["run.seed"] == "--seed"
    assert request.origins["run.workers"] == "--workers"
    assert request.origins["bricks"] == "command line"
    assert (request.out, request.resume) == (Path("runs/mine"), None)
    assert (request.verbosity, request.json) == (-1, False)
    assert request.domain.name == "toy"
    assert request.command == ("rondel", *words, "--out", "runs/mine")


@pytest.mark.usefixtures("toy", "session")
@pytest.mark.parametrize(
    ("flag", "text"), [("--dry-run", "one batch"), ("--check-resume", "every end is equal")]
)
def test_a_flag_that_only_tries_the_loop_prints_what_it_found(
    flag: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["toy", "train", flag]) == 0
    assert capsys.readouterr().out.strip() == text


@pytest.mark.usefixtures("toy")
def test_a_path_with_an_equals_sign_is_given_as_data(session: Recorder) -> None:
    assert main(["toy", "train", "data=a=b.csv"]) == 0
    assert session.requests[0].config.data == Path("a=b.csv")


@pytest.mark.usefixtures("toy", "session")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.csv", "b.csv"], "unexpected argument 'b.csv': DATA is 'a.csv' already"),
        (["a.csv", "data=b.csv"], "DATA is given twice: 'a.csv' and 'data=...'"),
        (["--seed", "1", "run.seed=2"], "run.seed is given twice: as --seed and as run.seed=..."),
        (["--seed", "many"], "run.seed"),
        (["--out", "x", "--resume", "y"], "--out and --resume contradict each other"),
        (["--resume", "y"], "--resume: 'y' is no run directory: it has no config.toml"),
        (["--config", "no.toml"], "no.toml: no such recipe"),
    ],
)
def test_contradictions_on_the_command_line_end_with_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["toy", "train", *words]) == 2
    assert message in capsys.readouterr().err


def test_resume_starts_from_the_saved_config_with_overrides_above(
    session: Recorder, toy: Path
) -> None:
    run = toy / "runs" / "one"
    run.mkdir(parents=True)
    (run / "config.toml").write_text('data = "walls.csv"\nepochs = 3\nbricks = 5\n')
    (run / "manifest.json").write_text('{"domain": "toy"}')
    assert main(["toy", "train", "--resume", "runs/one", "epochs=8"]) == 0
    (request,) = session.requests
    assert (request.config.epochs, request.config.bricks) == (8, 5)
    assert request.config.data == Path("walls.csv")
    assert request.origins["bricks"] == "runs/one/config.toml:3"
    assert request.resume == Path("runs/one")


@pytest.mark.usefixtures("session")
def test_a_run_of_another_domain_is_not_resumed(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (toy / "config.toml").write_text("")
    (toy / "manifest.json").write_text('{"domain": "gan"}')
    assert main(["toy", "train", "--resume", "."]) == 2
    message = "'.' is a run of 'gan', not of 'toy'. Resume it with: rondel gan train --resume ."
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("toy", "session")
def test_the_result_stands_beside_its_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toy", "train"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["metric", "value", "baseline", "(majority", "class)"]
    assert lines[1].split() == ["accuracy", "0.9123", "0.76"]
    assert "runs/one/report.html" in lines[-1]


@pytest.mark.usefixtures("toy", "session")
def test_the_result_is_one_json_line_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toy", "train", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    row = json.loads(line)
    assert (row["event"], row["outcome"], row["metrics"]["loss"]) == ("result", "done", 0.2)
    assert row["directory"] == "runs/one"


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("outcome", "code"), [("done", 0), ("failed", 1), ("diverged", 5), ("interrupted", 75)]
)
def test_the_exit_code_follows_the_outcome(session: Recorder, outcome: str, code: int) -> None:
    session.outcome = outcome
    assert main(["toy", "train"]) == code


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (DataError("row 3 is empty", where="a.csv"), 4, "Error: a.csv: row 3 is empty\n"),
        (Interrupted("stopped"), 75, "Error: stopped\n"),
        (
            ZeroDivisionError("division by zero"),
            1,
            "Error: ZeroDivisionError: division by zero. Run it again with -v for the traceback.\n",
        ),
        (KeyboardInterrupt(), 130, "Aborted.\n"),
    ],
)
def test_a_failure_is_one_line_and_its_exit_code(
    session: Recorder,
    failure: BaseException,
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    session.failure = failure
    assert main(["toy", "train"]) == code
    assert capsys.readouterr().err.lstrip("\n") == message


@pytest.mark.usefixtures("toy")
def test_an_unexpected_failure_names_the_file_of_its_traceback(
    session: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ZeroDivisionError("division by zero")
    error.run_directory = Path("runs/one")  # type: ignore[attr-defined]
    session.failure = error
    assert main(["toy", "train"]) == 1
    assert "The traceback is in runs/one/error.txt." in capsys.readouterr().err
    assert main(["toy", "train", "-v"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_run_directory_stands_for_its_bundle(session: Recorder, toy: Path) -> None:
    bundle = toy / "runs" / "one" / "bundle"
    bundle.mkdir(parents=True)
    for words in (
        ["evaluate", "runs/one", "new.csv"],
        ["evaluate", "runs/one/bundle"],
        ["predict", "runs/one", "a", "b", "--out", "p.csv"],
        ["export", "runs/one", "--format", "onnx"],
    ):
        assert main(["toy", *words]) == 0
    folder = Path("runs/one/bundle")
    assert [call[:-1] for call in session.calls] == [
        (folder, Path("new.csv")),
        (folder, None),
        (folder, ("a", "b"), Path("p.csv")),
        (folder, Path("runs/one/bundle.onnx"), "onnx"),
    ]


@pytest.mark.usefixtures("toy", "session")
def test_a_bundle_that_does_not_exist_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toy", "evaluate", "nowhere"]) == 2
    assert "'nowhere' is no bundle: there is no such folder" in capsys.readouterr().err


@pytest.mark.usefixtures("toy")
def test_quickstart_trains_every_domain_on_its_demo(
    session: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quickstart"]) == 0
    (request,) = session.requests
    assert (request.config.epochs, request.config.data) == (1, None)
    assert str(request.out).startswith("runs/quickstart-toy-")
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["domain", "data", "metric", "baseline", "seconds", "report"]
    cells = ["toy", "embedded", "accuracy", "0.9123", "0.76", "(majority", "class)", "1.2"]
    assert row.split()[:-1] == cells


@pytest.mark.usefixtures("toy")
def test_a_domain_that_fails_is_a_row_of_the_quickstart(
    session: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    session.failure = DataError("no rows")
    assert main(["quickstart", "--json"]) == 4
    row = json.loads(capsys.readouterr().out)
    assert (row["metric"], row["exit_code"]) == ("failed: no rows", 4)


def test_quickstart_without_domains_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RONDEL_PLUGINS", "none")
    assert main(["quickstart"]) == 3
    message = 'no domain is installed. Install one with: pip install "rondel[tabular]"'
    assert message in capsys.readouterr().err
