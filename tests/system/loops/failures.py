"""What happens when one process of a group fails: codes, messages and times, as JSON.

python -m loops.failures OUT
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from loops import training
from loops.ranks import fork_group, warm_up
from torch import Tensor, nn

import rondel
from rondel import Callback, Loss, RunConfig, Stream, record
from rondel.errors import DataError, DirectoryError, Interrupted
from rondel.metric import Scores

SETTINGS = RunConfig(device="cpu")


def rank() -> int:
    return int(os.environ["RANK"])


def inputs() -> Tensor:
    return torch.randn(24, 3, generator=torch.Generator().manual_seed(0))


def squares(model: nn.Module, x: Tensor) -> Loss:
    return Loss(model(x).square().sum(), len(x))


def simple(run: rondel.Run, before: Callable[[int], None], data: Any = None) -> None:
    """Train two epochs; call ``before`` with the number of each update."""
    model = nn.Linear(3, 1)
    update = run.update("model", model)
    for _ in run.epochs(2):
        for x in run.batches(Stream(inputs() if data is None else data, batch_size=4)):
            before(update.updates)
            update(functools.partial(squares, model), x)


def exception(out: Path) -> None:
    def before(updates: int) -> None:
        if rank() == 1 and updates == 3:
            raise ValueError("label 7 is unknown")

    with rondel.Run(out, settings=SETTINGS) as run:
        simple(run, before)


def first_fails(out: Path) -> None:
    def before(updates: int) -> None:
        if rank() == 0 and updates == 3:
            raise ValueError("the first one failed")

    with rondel.Run(out, settings=SETTINGS) as run:
        simple(run, before)


def while_busy(out: Path) -> None:
    def before(updates: int) -> None:
        if updates == 3 and rank() == 1:
            raise ValueError("failed while others compute")
        if updates == 3:
            time.sleep(60)

    with rondel.Run(out, settings=SETTINGS) as run:
        simple(run, before)


def killed(out: Path) -> None:
    def before(updates: int) -> None:
        if updates == 3 and rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    with rondel.Run(out, settings=SETTINGS) as run:
        simple(run, before)


def killed_while_busy(out: Path) -> None:
    def before(updates: int) -> None:
        if updates == 3 and rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if updates == 3:
            time.sleep(60)

    with rondel.Run(out, settings=SETTINGS) as run:
        simple(run, before)


def not_a_number(out: Path) -> None:
    rows = inputs()
    rows[5] = float("nan")
    with rondel.Run(out, settings=SETTINGS) as run:
        simple(run, lambda _: None, rows)


class BadRows:
    """Rows of which some cannot be read, as one process at a time sees them."""

    def __init__(self, bad: tuple[int, ...]) -> None:
        self.rows, self.bad = inputs(), bad

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        if index in self.bad:
            raise OSError("truncated")
        return self.rows[index]


def bad_sample(out: Path) -> None:
    with rondel.Run(out, settings=SETTINGS) as run:
        simple(run, lambda _: None, BadRows((5,)))


def skip(out: Path) -> None:
    settings = RunConfig(device="cpu", bad_samples="skip")
    with rondel.Run(out, settings=settings) as run:
        simple(run, lambda _: None, BadRows((5, 11)))


def over_budget(out: Path) -> None:
    settings = RunConfig(device="cpu", bad_samples="skip", max_bad_samples=1)
    with rondel.Run(out, settings=settings) as run:
        simple(run, lambda _: None, BadRows((5, 11)))


def taken_directory(out: Path) -> None:
    out.mkdir(exist_ok=True)
    (out / "thesis.txt").write_text("mine")
    with rondel.Run(out, settings=SETTINGS) as run:
        simple(run, lambda _: None)


class FailingStart(Callback):
    essential = True

    def run_started(self, run: rondel.Run) -> None:
        if rank() == 1:
            raise DataError("the camera is not connected")


def start_fails(out: Path) -> None:
    with rondel.Run(out, settings=SETTINGS, callbacks=[FailingStart()]) as run:
        simple(run, lambda _: None)


def full_disk(out: Path) -> None:
    def full(*_: object, **__: object) -> Path:
        raise DirectoryError("cannot be written: No space left on device")

    vars(record)["write_checkpoint"] = full
    with rondel.Run(out, settings=SETTINGS) as run:
        simple(run, lambda updates: run.request_checkpoint() if updates == 3 else None)


def other_model(out: Path) -> None:
    with rondel.Run(out, settings=SETTINGS) as run:
        run.update("model", nn.Linear(3, 1 + rank()))


def own_number(out: Path) -> None:
    """A loop that returns the number of its own share: nobody may decide by that."""

    class Careless(rondel.Loop):
        def evaluate(self, run: rondel.Run) -> dict[str, float]:
            return {"loss": 1.0 + rank()}

    with rondel.Run(out, settings=SETTINGS) as run:
        model = nn.Linear(3, 1)
        run.update("model", model)
        assert run.evaluate(Careless()) == {"loss": 1.0}


def out_of_memory(out: Path) -> None:
    """One process runs out of memory in a loss that needs the counts of all of them."""
    failed: list[bool] = []
    model = nn.Linear(3, 1)

    @rondel.counted(lambda x: {"all": len(x)})
    def loss(x: Tensor) -> Loss:
        if rank() == 1 and not failed:
            failed.append(True)
            raise torch.OutOfMemoryError("out of memory")
        return Loss.weighted({"all": squares(model, x)}, {})

    with rondel.Run(out, settings=SETTINGS) as run:
        update = run.update("model", model)
        for x in run.batches(Stream(inputs(), batch_size=8)):
            update(loss, x)
        print("micro-batches", update.micro_batches)


def resumed_after_failure(out: Path) -> None:
    with rondel.Run(out, settings=SETTINGS, resume=True) as run:
        simple(run, lambda _: time.sleep(0.1))


def one_is_asked(out: Path) -> None:
    """A signal that reaches one process only stops all of them at one safe point."""

    def before(updates: int) -> None:
        if updates == 3 and rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with rondel.Run(out, settings=SETTINGS) as run:
        simple(run, before)


def cuts(out: Path) -> None:
    """Stop at several safe points and go on, against the run that was never stopped."""
    training.train(out / "straight")
    for cut in (1, 4, 5, 6, 9, 12):
        try:
            training.train(out / f"cut-{cut}", stop_at=cut)
        except Interrupted:
            training.train(out / f"cut-{cut}", "resume")


def evaluate(out: Path) -> None:
    """Evaluate by all processes, and once more each alone with everything."""
    loop = training.Classifier()
    with rondel.Run(out, settings=SETTINGS) as run:
        run.track("model", loop.model)
        together = run.evaluate(loop)
        loop.model.eval()
        rows, labels = loop.valid_stream.data
        with torch.no_grad():
            logits = loop.model(rows)
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        hits = (logits.argmax(1) == labels).double().mean().item()
        auc = Scores().update(logits[:, 1] - logits[:, 0], labels).compute()
    print(json.dumps({"accuracy": hits, "auc": auc, "loss": losses.double().mean().item()}))
    print(json.dumps(together))


def until_nine(out: Path) -> None:
    training.train(out, stop_at=9)


def from_nine(out: Path) -> None:
    training.train(out, "resume")


def rows_of_a_data_set(out: Path) -> None:
    training.train(out, "rows")


SCENARIOS: dict[str, tuple[Callable[[Path], None], int]] = {
    "exception": (exception, 2),
    "exception-of-three": (exception, 3),
    "first-fails": (first_fails, 2),
    "while-busy": (while_busy, 2),
    "killed": (killed, 3),
    "killed-while-busy": (killed_while_busy, 2),
    "not-a-number": (not_a_number, 2),
    "bad-sample": (bad_sample, 2),
    "skip": (skip, 3),
    "over-budget": (over_budget, 2),
    "taken-directory": (taken_directory, 2),
    "start-fails": (start_fails, 2),
    "full-disk": (full_disk, 2),
    "other-model": (other_model, 2),
    "own-number": (own_number, 2),
    "out-of-memory": (out_of_memory, 2),
    "one-is-asked": (one_is_asked, 2),
    "evaluated-by-two": (evaluate, 2),
    "evaluated-by-three": (evaluate, 3),
    "one-goes-on": (until_nine, 2),
    "rows": (rows_of_a_data_set, 2),
    "cuts": (cuts, 2),
    "cuts-of-three": (cuts, 3),
}


def main(out: Path) -> None:
    outcomes = {}
    warm_up()
    for name, (work, size) in SCENARIOS.items():
        place = out / name
        outcomes[name] = fork_group(size, functools.partial(work, place), out / f"log-{name}")
    again = functools.partial(resumed_after_failure, out / "exception-of-three")
    outcomes["resumed"] = fork_group(2, again, out / "log-resumed")
    alone = functools.partial(from_nine, out / "one-goes-on")
    outcomes["alone"] = fork_group(1, alone, out / "log-alone")
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
