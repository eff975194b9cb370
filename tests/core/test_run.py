"""What a run promises to a loop: iterators, evaluations, state, stops and resumes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondel
from rondel import Callback, Loop, Loss, Run, RunConfig, Stream, UpdateConfig
from rondel.callbacks import Best, EarlyStopping
from rondel.checkpoint import list_checkpoints
from rondel.data_manifest import hash_arrays
from rondel.errors import (
    DirectoryError,
    Interrupted,
    LoopError,
    StateError,
    UsageError,
)
from rondel.loop import Watch
from rondel.record import Provenance
from rondel.rehearsal import Rehearsal, differences

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)
QUIET = RunConfig(log_every=3)


def squared(model: nn.Module) -> Callable[[Tensor, Tensor], Loss]:
    return lambda x, y: Loss((model(x) - y).square().sum(), len(x))


class Bare(Loop):
    """A loop whose train is a function."""

    def __init__(self, body: Callable[[Run], None]) -> None:
        self.body = body

    def train(self, run: Run) -> None:
        self.body(run)

    def evaluate(self, run: Run) -> dict[str, float]:
        return {"loss": 1.0}


def rows(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]


def cut_and_resume(make: Callable[[], Loop], folder: Path, **settings: Any) -> None:
    """Compare the resumed run with the straight one at every safe point."""
    rehearsal = Rehearsal(make, QUIET.model_copy(update=settings), folder)
    until = rehearsal.run("straight")
    assert until > 2
    for cut in range(1, until):
        assert rehearsal.compare(cut) == [], f"cut at {cut} of {until}"


def test_items_of_nested_iterators_come_in_order(tmp_path: Path) -> None:
    seen = []
    with Run(tmp_path / "run") as run:
        for phase in run.phases(["a", "b"]):
            for epoch in run.epochs(2):
                seen.extend((phase, epoch, step) for step in run.steps(2))
    assert seen == [(p, e, s) for p in "ab" for e in range(2) for s in range(2)]


def test_a_resumed_run_hands_out_only_what_is_left(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def body(run: Run) -> None:
        for epoch in run.epochs(2):
            seen.extend((epoch, step) for step in run.steps(3))

    with pytest.raises(Interrupted, match="--resume"), Run(tmp_path / "run", stop_at=5) as run:
        body(run)
    assert seen == [(0, 0), (0, 1), (0, 2), (1, 0)]
    seen.clear()
    with Run(tmp_path / "run", resume=True) as run:
        body(run)
    assert seen == [(1, 1), (1, 2)]


def test_an_iterator_left_by_break_stays_left_after_a_resume(tmp_path: Path) -> None:
    seen: list[str] = []

    def body(run: Run) -> None:
        for step in run.steps(5):
            seen.append(f"first {step}")
            if step == 1:
                break
        seen.extend(f"second {step}" for step in run.steps(2))

    with pytest.raises(Interrupted), Run(tmp_path / "run", stop_at=2) as run:
        body(run)
    seen.clear()
    with Run(tmp_path / "run", resume=True) as run:
        body(run)
    assert seen == ["second 1"]


def test_an_update_before_a_nested_iterator_is_not_done_twice(tmp_path: Path) -> None:
    def make() -> Loop:
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        side = nn.Linear(4, 1)

        def body(run: Run) -> None:
            outer, inner = run.update("outer", model), run.update("inner", side)
            for x, y in run.batches(Stream((X, Y), batch_size=12, name="outer")):
                outer(squared(model), x, y)  # an effect in the body, before further safe points
                for a, b in run.batches(Stream((X, Y), batch_size=12, name=f"in{len(x)}")):
                    inner(squared(side), a, b)

        return Bare(body)

    cut_and_resume(make, tmp_path)


def test_once_is_done_once_and_its_result_survives(tmp_path: Path) -> None:
    calls = []

    def body(run: Run) -> list[float]:
        def draw() -> dict[str, Tensor]:
            calls.append(1)
            return {"noise": torch.rand(2)}

        values = [run.once(draw)["noise"].sum().item()]
        values += [torch.rand(()).item() for _ in run.steps(3)]
        return values

    with Run(tmp_path / "straight") as run:
        expected = body(run)
    with pytest.raises(Interrupted), Run(tmp_path / "run", stop_at=2) as run:
        body(run)
    with Run(tmp_path / "run", resume=True) as run:
        resumed = body(run)
    assert len(calls) == 2
    assert [resumed[0], *resumed[1:]] == [expected[0], *expected[2:]]


def test_an_evaluation_changes_no_randomness_and_no_mode(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 1), nn.Dropout())
    model[1].eval()
    modes = []

    class Evaluated(Loop):
        def evaluate(self, run: Run) -> dict[str, float]:
            modes.append(model.training)
            return {"draw": torch.rand(()).item()}

    with Run(tmp_path / "run") as run:
        run.track("model", model)
        before = torch.random.get_rng_state()
        first = run.evaluate(Evaluated())
        torch.rand(3)
        second = run.evaluate(Evaluated())
        torch.random.set_rng_state(before)
    assert first == second, "the randomness of an evaluation is keyed"
    assert modes == [False, False]
    assert [model.training, model[1].training] == [True, False]


def test_a_finished_evaluation_is_not_repeated(tmp_path: Path) -> None:
    count = []

    class Counted(Loop):
        def train(self, run: Run) -> None:
            for _ in run.epochs(2):
                assert run.evaluate(self) == {"loss": 0.5}
                for _ in run.steps(2):
                    pass

        def evaluate(self, run: Run) -> dict[str, float]:
            count.append(1)
            return {"loss": 0.5}

    with pytest.raises(Interrupted), Run(tmp_path / "run", stop_at=2) as run:
        Counted().train(run)
    with Run(tmp_path / "run", resume=True) as run:
        Counted().train(run)
        assert run.headline == {"loss": 0.5}
    assert len(count) == 2


def test_tracked_values_come_back(tmp_path: Path) -> None:
    def body(run: Run, values: rondel.Values) -> None:
        run.track("values", values)
        for step in run.steps(4):
            values["sum"] += step

    with pytest.raises(Interrupted), Run(tmp_path / "run", stop_at=3) as run:
        body(run, rondel.Values(sum=0))
    resumed = rondel.Values(sum=0)
    with Run(tmp_path / "run", resume=True) as run:
        body(run, resumed)
    assert resumed == {"sum": 6}


def test_no_worker_outlives_its_run(tmp_path: Path) -> None:
    import multiprocessing

    def fail() -> None:
        with Run(tmp_path / "run", settings=RunConfig(workers=2)) as run:
            for _ in run.batches(Stream(list(range(8)), batch_size=2)):
                raise RuntimeError("no")

    before = {child.pid for child in multiprocessing.active_children()}
    with pytest.raises(RuntimeError, match="no"):
        fail()
    assert {child.pid for child in multiprocessing.active_children()} <= before


def test_epochs_can_be_added_to_a_finished_run(tmp_path: Path) -> None:
    def body(run: Run, epochs: int) -> list[int]:
        return list(run.epochs(epochs))

    with Run(tmp_path / "run") as run:
        assert body(run, 2) == [0, 1]
    with Run(tmp_path / "run", resume=True) as run:
        assert body(run, 4) == [2, 3]


def test_a_run_killed_before_its_first_checkpoint_starts_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RuntimeError), Run(tmp_path / "run") as run:
        raise RuntimeError
    with Run(tmp_path / "run", resume=True) as run:
        assert list(run.steps(2)) == [0, 1]
    assert "the run starts anew" in capsys.readouterr().err


def test_state_of_a_phase_is_released_with_it(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run:
        model = nn.Linear(4, 1)
        run.track("model", model)
        for _ in run.phases(["one", "two"]):
            run.update("model", model)
            names = [update.name for update in run.updates()]
            assert names == ["model"]
        assert run.updates() == []


def test_a_name_registered_twice_is_an_error(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run:
        run.track("values", nn.Linear(1, 1))
        with pytest.raises(StateError, match="'module/values' is registered twice"):
            run.track("values", nn.Linear(1, 1))


def test_an_update_of_an_unregistered_parameter_is_an_error(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run, pytest.raises(StateError, match=r"run\.track"):
        run.update("model", list(nn.Linear(2, 1).parameters()))


def test_an_update_without_parameters_is_an_error(tmp_path: Path) -> None:
    frozen = nn.Linear(2, 1).requires_grad_(False)
    with Run(tmp_path / "run") as run, pytest.raises(StateError, match="no parameter"):
        run.update("model", frozen)


def test_an_object_without_state_cannot_be_tracked(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run, pytest.raises(StateError, match="no state_dict"):
        run.track("thing", object())


def test_state_that_nobody_claims_after_a_resume_is_named(tmp_path: Path) -> None:
    def body(run: Run) -> None:
        for phase in run.phases(["teach", "learn"]):
            if phase == "teach":
                run.update("teacher", nn.Linear(2, 1))
            for _ in run.steps(2):
                pass

    with pytest.raises(Interrupted), Run(tmp_path / "run", stop_at=4) as run:
        body(run)
    expected = r"'module/teacher'.*run\.track"
    with pytest.raises(StateError, match=expected), Run(tmp_path / "run", resume=True) as run:
        body(run)


def test_a_loop_that_takes_another_way_after_a_resume_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), Run(tmp_path / "run", stop_at=2) as run:
        list(run.steps(5))
    with pytest.raises(LoopError, match="before it reached"), Run(tmp_path / "run", resume=True):
        pass


def test_streams_side_by_side_need_one_iterator(tmp_path: Path) -> None:
    first, second = (Stream(X, batch_size=8, name=name) for name in "ab")
    with Run(tmp_path / "run") as run, pytest.raises(LoopError, match=r"run\.batches"):
        for _ in zip(run.batches(first), run.batches(second), strict=True):
            pass


def test_two_streams_of_one_name_are_an_error(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run, pytest.raises(UsageError, match="'train'"):
        for _ in run.batches(Stream(X, batch_size=8), Stream(Y, batch_size=8)):
            pass


def test_every_counts_batches_over_all_passes(tmp_path: Path) -> None:
    stream = Stream(X, batch_size=8)
    with Run(tmp_path / "run") as run:
        hits = [run.every(2) for _ in run.epochs(2) for _ in run.batches(stream)]
    assert hits == [False, True, False, True, False, True]


def test_every_outside_of_an_iterator_is_an_error(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run, pytest.raises(LoopError, match="outside"):
        run.every(2)


def test_stop_ends_every_iterator_and_counts_as_done(tmp_path: Path) -> None:
    seen = []
    with Run(tmp_path / "run") as run:
        for epoch in run.epochs(5):
            for step in run.steps(5):
                seen.append((epoch, step))
                if len(seen) == 3:
                    run.stop("enough")
    assert seen == [(0, 0), (0, 1), (0, 2)]
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["outcome"], result["reason"]) == ("done", "enough")
    assert rows(run)[-1]["text"] == "enough"


def test_a_second_stream_is_cycled_beside_the_first(tmp_path: Path) -> None:
    few = Stream(torch.arange(4), batch_size=2, name="few", shuffle=False)
    many = Stream(torch.arange(12), batch_size=2, name="many", shuffle=False)
    with Run(tmp_path / "run") as run:
        pairs = [(a.tolist(), b.tolist()) for a, b in run.batches(many, few)]
    assert [b for _, b in pairs] == [[0, 1], [2, 3]] * 3
    assert [a[0] for a, _ in pairs] == [0, 2, 4, 6, 8, 10]


def test_the_log_is_the_same_whatever_happened_in_between(tmp_path: Path) -> None:
    def make() -> Loop:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))

        def body(run: Run) -> None:
            update = run.update("model", model, UpdateConfig(ema=0.9, clip_norm=1.0))
            stream = Stream((X, Y), batch_size=8)
            for _ in run.epochs(3):
                for x, y in run.batches(stream):
                    run.log(size=update(squared(model), x, y))
                run.evaluate(loop)

        loop = Bare(body)
        return loop

    cut_and_resume(make, tmp_path)


def test_early_stopping_counts_on_after_a_resume(tmp_path: Path) -> None:
    def train(run: Run) -> int:
        loop = Bare(lambda _: None)
        return sum(1 for _ in run.epochs(9) if run.evaluate(loop))

    watch = Watch("loss", "min")
    with Run(tmp_path / "straight", callbacks=[EarlyStopping(watch, 3)]) as run:
        assert train(run) == 4
    cut = Run(tmp_path / "run", callbacks=[EarlyStopping(watch, 3)], stop_at=4)
    with pytest.raises(Interrupted), cut as run:
        train(run)
    with Run(tmp_path / "run", callbacks=[EarlyStopping(watch, 3)], resume=True) as run:
        assert train(run) == 2


def test_the_best_state_is_the_one_that_was_evaluated_best(tmp_path: Path) -> None:
    losses = [3.0, 1.0, float("nan"), 2.0]
    model = nn.Linear(1, 1, bias=False)

    class Scripted(Loop):
        def __init__(self) -> None:
            self.values: Iterator[float] = iter(losses)

        def evaluate(self, run: Run) -> dict[str, float]:
            return {"loss": next(self.values)}

    loop = Scripted()
    with Run(tmp_path / "run", callbacks=[Best(Watch("loss", "min"))]) as run:
        run.track("model", model)
        for epoch in run.epochs(4):
            nn.init.constant_(model.weight, epoch)
            run.evaluate(loop)
        run.finish()
        best = json.loads((run.directory / "checkpoints/best.json").read_text())
        run.load_weights(best["step"])
    assert best["value"] == 1.0
    assert model.weight.item() == 1.0
    assert run.headline == {"loss": 1.0}


def test_the_best_weights_are_the_averaged_ones(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    seen = {}

    class Averaged(Loop):
        def evaluate(self, run: Run) -> dict[str, float]:
            seen["weight"] = model.weight.clone()
            return {"loss": 1.0}

    with Run(tmp_path / "run", callbacks=[Best(Watch("loss", "min"))]) as run:
        update = run.update("model", model, UpdateConfig(ema=0.5))
        for x, y in run.batches([(X, Y)] * 4):
            update(squared(model), x, y)
        run.evaluate(Averaged())
        run.finish()
        assert not torch.equal(model.weight, seen["weight"])
        run.load_weights(run.step)
    assert torch.equal(model.weight, seen["weight"])


def test_an_observer_that_fails_is_switched_off_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Callback):
        name = "broken"

        def epoch_started(self, run: Run, epoch: int) -> None:
            raise ValueError("no")

    with Run(tmp_path / "run", callbacks=[Broken()]) as run:
        assert list(run.epochs(2)) == [0, 1]
    assert capsys.readouterr().err.count("Callback 'broken' failed in epoch_started") == 1


def test_a_callback_that_takes_part_ends_the_run_when_it_fails(tmp_path: Path) -> None:
    class Part(Callback):
        essential = True

        def epoch_started(self, run: Run, epoch: int) -> None:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"), Run(tmp_path / "run", callbacks=[Part()]) as run:
        list(run.epochs(2))
    assert json.loads((tmp_path / "run/result.json").read_text())["outcome"] == "failed"
    assert "ValueError: no" in (tmp_path / "run/error.txt").read_text()


def test_a_directory_that_holds_a_run_is_not_overwritten(tmp_path: Path) -> None:
    with Run(tmp_path / "run"):
        pass
    with pytest.raises(DirectoryError, match="resume"), Run(tmp_path / "run"):
        pass


def test_samples_of_an_update_are_counted_by_the_whole_batch(tmp_path: Path) -> None:
    model = nn.Linear(4, 1)
    config = UpdateConfig(schedule=rondel.ScheduleConfig(name="cosine", unit="samples", total=96))
    with Run(tmp_path / "run") as run:
        update = run.update("model", model, config)
        for x, y in run.batches(Stream((X, Y), batch_size=10)):
            update(squared(model), x, y)
        assert update.samples == 24
        assert run.counters.of("train").samples == 24


def test_a_checkpoint_remembers_the_data(tmp_path: Path) -> None:
    data = hash_arrays({"x": X.numpy()}, name="clouds")
    with Run(tmp_path / "run", provenance=Provenance(data=data)) as run:
        list(run.steps(2))
    info = list_checkpoints(tmp_path / "run/checkpoints")[-1]
    assert info.meta["data"] == data.hash


def test_a_resumed_run_refuses_other_data(tmp_path: Path) -> None:
    first, second = (hash_arrays({"x": array}) for array in (X.numpy(), 2 * X.numpy()))
    cut = Run(tmp_path / "run", provenance=Provenance(data=first), stop_at=1)
    with pytest.raises(Interrupted), cut as run:
        list(run.steps(2))
    resumed = Run(tmp_path / "run", provenance=Provenance(data=second), resume=True)
    with pytest.raises(rondel.errors.DataError, match="changed since the run was started"):
        resumed.__enter__()


def test_wrong_values_have_no_place_in_a_checkpoint(tmp_path: Path) -> None:
    model = nn.Linear(4, 1)

    def body() -> None:
        with Run(tmp_path / "run") as run:
            run.update("model", model)
            for _ in run.steps(2):
                nn.init.constant_(model.weight, float("nan"))
                run.request_checkpoint()

    with pytest.raises(rondel.errors.DivergedError, match=r"'weight' is not finite"):
        body()
    assert not list((tmp_path / "run").glob("checkpoints/step-*"))


def test_a_difference_between_two_states_is_located() -> None:
    first = {"a": [torch.zeros(2), 1.0], "b": float("nan")}
    second = {"a": [torch.ones(2), 1.0], "b": float("nan")}
    assert differences(first, second) == ["a.0"]
    assert differences(first, first) == []
