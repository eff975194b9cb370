"""Several processes train as one: same gradients, same weights, one end.

Most groups are forked by `loops.ranks`, where nobody ends a process from outside;
torchrun starts the others.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from rondel.checkpoint import latest_checkpoint
from rondel.errors import UsageError
from rondel.processes import Processes
from rondel.rehearsal import differences
from rondel.rescue import Lookout

HERE = Path(__file__).parent
LOOPS = "loops"
TIMEOUT_S = 120
SOON_S = 15.0


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


def python(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command,
        check=False,
        cwd=HERE,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def torchrun(size: int, *words: str) -> subprocess.Popen[str]:
    launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={size}", "-m"]
    command = [sys.executable, "-m", *launcher, *words]
    pipe = subprocess.PIPE
    # torchrun itself warns under -W error; only its children are ours
    env = environment() | {"PYTHONWARNINGS": "default"}
    return subprocess.Popen(command, cwd=HERE, env=env, stdout=pipe, stderr=pipe, text=True)


def saved(directory: Path) -> Any:
    found = latest_checkpoint(directory / "checkpoints", lambda _: None)
    assert found is not None
    return found[1]


def weights(directory: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = saved(directory)["course"]["cursors"]["states"]["module/model"]
    return state


def rows(directory: Path) -> str:
    return (directory / "metrics.jsonl").read_text()


# -- gradients -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], dict[str, Tensor]]:
    """Gradients, losses and weights of every process of groups of one, two and three."""
    out = tmp_path_factory.mktemp("gradients")
    done = python(f"{LOOPS}.gradients", str(out))
    assert done.returncode == 0, done.stderr
    groups = [(size, rank) for size in (1, 2, 3) for rank in range(size)]
    return {(size, rank): load_file(out / f"{size}-{rank}.safetensors") for size, rank in groups}


Notes = dict[tuple[int, int], dict[str, Tensor]]
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
EXACT = ("supervised", "weighted", "adversarial", "branches", "channels_last")


def distance(value: Tensor, other: Tensor) -> float:
    value, other = value.double(), other.double()
    return float((value - other).norm() / other.norm().clamp(min=1e-300))


@pytest.mark.parametrize("scenario", EXACT)
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("what", ["gradient", "loss", "weight"])
def test_uneven_shares_give_what_one_process_computes(
    notes: Notes, scenario: str, kind: str, what: str
) -> None:
    one = {k: v for k, v in notes[1, 0].items() if k.startswith(f"{scenario}/{kind}/{what}")}
    assert one
    for group, found in notes.items():
        for pieces in (scenario, f"{scenario}-in-pieces"):
            same = {k.replace(scenario, pieces, 1): v for k, v in one.items()}
            if next(iter(same)) in found:
                far = {
                    k: d for k, v in same.items() if (d := distance(found[k], v)) > TOLERANCE[kind]
                }
                assert not far, (group, far)


def test_a_wrong_share_would_be_noticed(notes: Notes) -> None:
    one = notes[1, 0]
    first = one["supervised/float32/gradient/01/model.0"]
    second = one["supervised/float32/gradient/02/model.0"]
    assert distance(first, second) > 100 * TOLERANCE["float32"]


def test_weights_are_equal_bit_for_bit_in_all_processes(notes: Notes) -> None:
    for (size, rank), found in notes.items():
        ours = {k: v for k, v in found.items() if "/weight/" in k}
        assert not differences(ours, {k: notes[size, 0][k] for k in ours}), (size, rank)


def test_running_statistics_are_those_of_the_first_process(notes: Notes) -> None:
    name = "normed/float32/weight/model.1.running_mean"
    assert torch.equal(notes[3, 2][name], notes[3, 0][name])
    assert not torch.equal(notes[3, 0][name], notes[1, 0][name])  # each share has its own


def test_a_parameter_that_nobody_uses_is_left_alone(notes: Notes) -> None:
    name = "branches/float32/weight/model.never.weight"
    assert torch.equal(notes[2, 0][name], notes[1, 0][name])
    for group, found in notes.items():
        assert not any(re.match(r"branches/.*/gradient/\d+/model\.[45]$", k) for k in found), group


def test_a_penalty_alone_gives_all_processes_the_same_gradient(notes: Notes) -> None:
    """Through a wrapper such as DDP this is silently wrong."""
    third = "adversarial/float64/gradient/03/d.0"
    assert distance(notes[2, 1][third], notes[1, 0][third]) < 1e-13
    assert notes[2, 1][third].norm() > 0


# -- one fails, all end ----------------------------------------------------------------------------


class Failures:
    """The outcomes of all scenarios of `loops.failures`."""

    def __init__(self, out: Path) -> None:
        done = python(f"{LOOPS}.failures", str(out))
        assert done.returncode == 0, done.stderr
        self.out = out
        self.outcomes: dict[str, Any] = json.loads(done.stdout)

    def ended(self, name: str, *codes: int) -> list[str]:
        """Check the exit codes and the time of a scenario; return what each process said."""
        outcome = self.outcomes[name]
        assert outcome["codes"] == list(codes), outcome["stderr"]
        assert outcome["seconds"] < SOON_S
        said: list[str] = outcome["stderr"]
        assert not any("Warning" in text for text in said)
        return said

    def result(self, name: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.out / name / "result.json").read_text())
        return result


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Failures:
    return Failures(tmp_path_factory.mktemp("failures"))


def test_an_exception_in_one_process_ends_all_with_its_message(failures: Failures) -> None:
    message = "ValueError: label 7 is unknown"
    first, second = failures.ended("exception", 1, 1)
    assert first == f"Process 1 failed, process 0 ends too: {message}\n"
    assert second.endswith(f"{message}\n")
    assert "Traceback" in second
    first, _, third = failures.ended("exception-of-three", 1, 1, 1)
    assert first == f"Process 1 failed, process 0 ends too: {message}\n"
    assert third == f"Process 1 failed, process 2 ends too: {message}\n"


def test_the_result_names_what_failed_elsewhere(failures: Failures) -> None:
    result = failures.result("exception")
    assert result["outcome"] == "failed"
    assert result["reason"] == "process 1: ValueError: label 7 is unknown"
    assert failures.result("while-busy")["reason"].startswith("process 1: ValueError: failed while")


def test_a_failure_of_the_first_process_ends_the_others(failures: Failures) -> None:
    _, second = failures.ended("first-fails", 1, 1)
    assert second == "Process 0 failed, process 1 ends too: ValueError: the first one failed\n"


def test_a_process_that_computes_hears_of_a_failure(failures: Failures) -> None:
    first, _ = failures.ended("while-busy", 1, 1)
    assert first.endswith("ends too: ValueError: failed while others compute\n")


def test_a_killed_process_ends_the_others(failures: Failures) -> None:
    first, _, third = failures.ended("killed", 1, -9, 1)
    assert first == (
        "Process 1 failed, process 0 ends too: "
        "it is gone without a word, killed perhaps for its memory\n"
    )
    assert third.startswith("Process 1 failed, process 2 ends too") or "Process 0" in third
    failures.ended("killed-while-busy", 1, -9)


def test_nan_in_one_share_stops_all_processes_and_names_the_samples(failures: Failures) -> None:
    for text in failures.ended("not-a-number", 5, 5):
        assert re.search(r"DivergedError: .*the loss is nan.*; samples [\d, ]*\b5\b", text)
    assert failures.result("not-a-number")["outcome"] == "diverged"


def test_an_unreadable_sample_of_one_share_ends_all_with_its_code(failures: Failures) -> None:
    first, _ = failures.ended("bad-sample", 4, 4)
    assert "Process 1 failed, process 0 ends too: DataError: stream 'train', index 5" in first


def test_skipped_samples_of_any_process_are_listed_once_a_pass(failures: Failures) -> None:
    failures.ended("skip", 0, 0, 0)
    text = (failures.out / "skip" / "skipped.jsonl").read_text()
    assert sorted(json.loads(line)["index"] for line in text.splitlines()) == [5, 5, 11, 11]


def test_the_budget_of_skipped_samples_holds_over_all_processes(failures: Failures) -> None:
    for text in failures.ended("over-budget", 4, 4):
        assert "more than 1 samples cannot be read" in text


def test_a_directory_that_cannot_be_used_is_told_once(failures: Failures) -> None:
    first, second = failures.ended("taken-directory", 1, 1)
    assert first.startswith("DirectoryError: ")
    assert second.startswith("Process 0 failed, process 1 ends too: DirectoryError: ")
    assert "Traceback" not in second


def test_a_failure_before_the_first_step_ends_all(failures: Failures) -> None:
    first, _ = failures.ended("start-fails", 4, 4)
    assert first == "Process 1 failed, process 0 ends too: DataError: the camera is not connected\n"


def test_a_full_disk_ends_those_that_wait_for_the_checkpoint(failures: Failures) -> None:
    _, second = failures.ended("full-disk", 1, 1)
    assert second.startswith("Process 0 failed, process 1 ends too: DirectoryError: cannot be wr")


def test_models_of_different_shapes_are_refused(failures: Failures) -> None:
    for text in failures.ended("other-model", 1, 1):
        assert (
            "the model differs between process 0 and 1: 'weight' is [1, 3] and [2, 3]. "
            "Build it from the config and the data, the same in every process." in text
        )


def test_all_processes_decide_by_the_numbers_of_the_first(failures: Failures) -> None:
    failures.ended("own-number", 0, 0)


def test_one_process_may_run_out_of_memory_alone(failures: Failures) -> None:
    first, second = failures.ended("out-of-memory", 0, 0)
    assert "micro-batches 1" in first
    assert "micro-batches 2" in second


def test_a_signal_to_one_process_stops_all_at_one_safe_point(failures: Failures) -> None:
    first, second = failures.ended("one-is-asked", 75, 75)
    step = re.search(r"at step (\d+); everything is saved", first)
    assert step is not None
    assert f"at step {step[1]};" in second
    assert failures.result("one-is-asked")["outcome"] == "interrupted"


def test_failures_of_an_earlier_start_are_forgotten(failures: Failures) -> None:
    first, _ = failures.ended("resumed", 0, 0)
    assert "Not bit for bit the same run any more: processes: was 3, is 2" in first
    assert not (failures.out / "exception-of-three" / "failures").exists()


# -- resume ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["cuts", "cuts-of-three"])
@pytest.mark.parametrize("cut", [1, 4, 5, 6, 9, 12])
def test_a_resumed_group_equals_the_uninterrupted_one(
    failures: Failures, group: str, cut: int
) -> None:
    straight, resumed = failures.out / group / "straight", failures.out / group / f"cut-{cut}"
    assert not differences(saved(straight), saved(resumed))
    assert rows(straight) == rows(resumed)


def test_each_process_gets_its_own_random_state_back(failures: Failures) -> None:
    states = saved(failures.out / "cuts" / "straight")["random"]
    assert len(states) == 2
    assert not torch.equal(states[0]["torch"], states[1]["torch"])


def test_a_signal_to_torchrun_saves_and_a_resume_ends_like_the_straight_run(
    failures: Failures, tmp_path: Path
) -> None:
    """Also with loader workers, which torchrun signals as well."""
    directory = tmp_path / "run"
    asked = torchrun(2, f"{LOOPS}.training", str(directory), "slow", "workers")
    wait_until(lambda: rows(directory).count("\n") >= 2, asked)
    started = time.monotonic()
    asked.send_signal(signal.SIGTERM)
    _, stderr = asked.communicate(timeout=TIMEOUT_S)
    assert time.monotonic() - started < SOON_S
    assert stderr.count("Interrupted: ") == 2, stderr
    assert json.loads((directory / "result.json").read_text())["outcome"] == "interrupted"
    resumed = torchrun(2, f"{LOOPS}.training", str(directory), "resume", "workers")
    stdout, stderr = resumed.communicate(timeout=TIMEOUT_S)
    assert resumed.returncode == 0, stderr
    assert "finished with 2" in stdout
    assert "Warning" not in stderr
    straight = failures.out / "rows"
    assert not differences(saved(straight), saved(directory))
    assert rows(straight) == rows(directory)


def test_torchrun_reports_the_exit_code_of_the_process_that_failed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    failed = torchrun(2, f"{LOOPS}.training", str(tmp_path / "run"))
    _, stderr = failed.communicate(timeout=TIMEOUT_S)
    assert failed.returncode != 0
    assert "is not empty and not a run: it holds 'thesis.txt'" in stderr
    assert "exitcode  : 1" in stderr


def test_one_process_continues_what_two_began(failures: Failures) -> None:
    """Same order of samples, other dropout: close, and said to be no more than that."""
    directory = failures.out / "one-goes-on"
    (said,) = failures.ended("alone", 0)
    assert "Not bit for bit the same run any more: processes: was 2, is 1" in said
    straight = failures.out / "cuts" / "straight"
    assert saved(directory)["counters"] == saved(straight)["counters"]
    for name, tensor in weights(directory).items():
        torch.testing.assert_close(tensor, weights(straight)[name], atol=0.2, rtol=0.5)


def wait_until(condition: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1])


# -- evaluation ------------------------------------------------------------------------------------


def test_every_sample_is_evaluated_once(failures: Failures) -> None:
    """The number is the one that one process computes from the same weights."""
    for name in ("evaluated-by-two", "evaluated-by-three"):
        assert failures.outcomes[name]["codes"] == [0] * (3 if "three" in name else 2)
        texts = failures.outcomes[name]["stderr"]
        alone, together = (json.loads(line) for line in texts[0].splitlines()[-2:])
        assert together["accuracy"] == alone["accuracy"]
        assert together["auc"] == alone["auc"]
        assert together["loss"] == pytest.approx(alone["loss"], rel=1e-6)
        for other in texts[1:]:
            assert json.loads(other.splitlines()[-1]) == together


# -- units -----------------------------------------------------------------------------------------


def test_the_cpu_of_a_machine_with_gpus_uses_gloo(monkeypatch: pytest.MonkeyPatch) -> None:
    backends: list[str] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("atexit.register", lambda _: None)
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 1)
    monkeypatch.setattr(
        "torch.distributed.init_process_group", lambda backend, **_: backends.append(backend)
    )
    joined = Processes.join("cpu")
    assert backends == ["gloo"]
    assert joined.device == torch.device("cpu")
    assert joined.control is None


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(
        UsageError, match="process 3 of this machine finds no GPU of its own: there"
    ):
        Processes.join("cuda")


def test_sparse_gradients_are_refused_by_a_group() -> None:
    table = torch.nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    group = Processes(0, 2, torch.device("cpu"))
    with pytest.raises(UsageError, match=r"a sparse gradient of shape \(4, 2\) cannot be summed"):
        group.sum_gradients(list(table.parameters()), torch.zeros(1))


def test_a_process_that_leaves_well_is_not_missed(tmp_path: Path) -> None:
    folder = tmp_path / "failures"
    with Lookout(folder, 0), Lookout(folder, 1):
        assert {file.name for file in folder.iterdir()} == {"rank-0.json", "rank-1.json"}
    assert not folder.exists()
