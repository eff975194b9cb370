"""Tests of the tests: an engine that loses something on resume must not go unnoticed.

Each fault breaks the engine in one place, for the straight and for the resumed run alike. The
comparison that the crash tests rely on must then report a difference.
"""

from __future__ import annotations

import contextlib
import gc
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import crash
import pytest
import torch
from loops.one_update import OneUpdate
from loops.three_phases import ThreePhases
from loops.two_players import TwoPlayers

import rondel.checkpoint
import rondel.record
from rondel import Callback, Loop, Run, RunConfig, Update
from rondel.callbacks import Best, EarlyStopping
from rondel.counter import Counters
from rondel.cursor import Course, Cursor
from rondel.directory import write_file
from rondel.ema import Average
from rondel.errors import RondelError
from rondel.journal import Journal
from rondel.log import Window
from rondel.sample import KeyedSamples
from rondel.stream import Stream

Patch = pytest.MonkeyPatch
Fault = Callable[[Patch], None]


class CrashError(Exception):
    """Stands for the end of a process."""


class Crash(Callback):
    """Ends the run after so many updates, without any warning."""

    name = "crash"
    essential = True

    def __init__(self, after: int) -> None:
        self.left = after

    def update_finished(self, run: Run, update: Update) -> None:
        self.left -= 1
        if self.left == 0:
            raise CrashError


class Scene:
    """A loop that is run straight, and once more with crashes; and what differs in the end."""

    def __init__(
        self,
        folder: Path,
        make: Callable[[], Loop],
        *,
        crashes: Sequence[int | None] = (9, 8),
        patience: int = 3,
        resumed: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.folder = folder
        self.make = make
        self.crashes = crashes
        self.patience = patience
        self.resumed = resumed or {}
        self.settings = RunConfig(
            **{"device": "cpu", "seed": 5, "log_every": 4, "checkpoint_every_steps": 4, **settings}
        )

    def differences(self) -> list[str]:
        """Return where the two ends differ; an error of a resumed run counts."""
        self.run("straight")
        try:
            for number, after in enumerate((*self.crashes, None)):
                self.run("crashed", resume=number > 0, crash_after=after)
        except (RondelError, RuntimeError, ValueError) as error:
            return [f"{type(error).__name__}: {error}"]
        return crash.difference(self.folder / "straight", self.folder / "crashed")

    def run(self, name: str, *, resume: bool = False, crash_after: int | None = None) -> None:
        """Train until the end, or for so many updates."""
        loop = self.make()
        if isinstance(loop, Crowded):
            loop.full = not resume  # only the first life of a run is short of memory
        callbacks: list[Callback] = [Best(loop.watch), EarlyStopping(loop.watch, self.patience)]
        if crash_after is not None:
            callbacks.append(Crash(crash_after))
        settings = self.settings.model_copy(update=self.resumed if resume else {})
        run = Run(self.folder / name, resume=resume, settings=settings, callbacks=callbacks)
        expected = contextlib.nullcontext() if crash_after is None else pytest.raises(CrashError)
        with expected, run:
            run.print_with(lambda _: None)
            loop.train(run)
        if settings.workers:  # now, and not in the middle of something: it waits for the workers
            del expected, run, loop, callbacks
            gc.collect()


# -- the faults ------------------------------------------------------------------------------------


def nothing(*_: Any) -> None:
    """Take the place of a method that puts a state back."""


def without(part: str, *, update: str | None = None) -> Fault:
    """Lose a part of the state of every update, or of one."""

    def plant(patch: Patch) -> None:
        real = Update.load_state_dict

        def load(self: Update, state: dict[str, Any]) -> None:
            if update in {None, self.name}:
                state = {**state, part: self.state_dict()[part]}
            real(self, state)

        patch.setattr(Update, "load_state_dict", load)

    return plant


def forgets(owner: type, method: str = "load_state_dict") -> Fault:
    """Make a class ignore the state that it is given."""
    return lambda patch: patch.setattr(owner, method, nothing)


def random_state_is_not_restored(patch: Patch) -> None:
    patch.setattr("rondel.keyed.set_random_state", nothing)
    patch.setattr("rondel.keyed.apart", apart)


class apart:
    """Set random states apart without `keyed.set_random_state`."""

    def __init__(self, device: torch.device, seed: int | None = None) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        import random

        import numpy as np

        from rondel import keyed

        self.state = keyed.random_state(torch.device("cpu"))
        self.put = (random.setstate, np.random.set_state, torch.default_generator.set_state)
        if self.seed is not None:
            keyed.reseed(self.seed)

    def __exit__(self, *_: object) -> None:
        for put, name in zip(self.put, ("python", "numpy", "torch"), strict=True):
            put(self.state[name])


def position_is_lost(patch: Patch) -> None:
    real = Course.load_state_dict

    def load(self: Course, state: dict[str, Any]) -> None:
        real(self, state)
        self._cut.index = 0

    patch.setattr(Course, "load_state_dict", load)


def phase_is_lost(patch: Patch) -> None:
    real = Course.load_state_dict

    def load(self: Course, state: dict[str, Any]) -> None:
        real(self, state)
        if self._path:
            self.root.children[self._path[0]].index = 0

    patch.setattr(Course, "load_state_dict", load)


def finished_iterators_run_again(patch: Patch) -> None:
    real = Cursor.from_tree.__func__  # type: ignore[attr-defined]

    def rebuild(cls: type[Cursor], tree: dict[str, Any]) -> Cursor:
        cursor: Cursor = real(cls, tree)
        cursor.done = False
        return cursor

    patch.setattr(Cursor, "from_tree", classmethod(rebuild))


def schedule_is_off_by_one(patch: Patch) -> None:
    real = Update.load_state_dict

    def load(self: Update, state: dict[str, Any]) -> None:
        updates, *others = state["counters"]
        real(self, {**state, "counters": [updates + 1, *others]})

    patch.setattr(Update, "load_state_dict", load)


def metrics_are_appended_twice(patch: Patch) -> None:
    patch.setattr(Journal, "truncate", nothing)


def augmentation_is_not_keyed(patch: Patch) -> None:
    def load(self: KeyedSamples, seed: int, number: int, index: int) -> Any:
        sample = self.samples[index]
        return sample if self.augment is None else self.augment(sample)

    patch.setattr(KeyedSamples, "_load", load)


def augmentation_is_keyed_by_the_process(patch: Patch) -> None:
    """Every process starts a sequence of its own."""
    real = KeyedSamples._load
    lives = iter(range(10**6))
    life = {"number": 0}
    enter = Run.__enter__

    def begin(self: Run) -> Run:
        life["number"] = next(lives)
        return enter(self)

    def load(self: KeyedSamples, seed: int, number: int, index: int) -> Any:
        return real(self, seed + life["number"], number, index)

    patch.setattr(Run, "__enter__", begin)
    patch.setattr(KeyedSamples, "_load", load)


def order_is_drawn_and_not_keyed(patch: Patch) -> None:
    patch.setattr(
        Stream, "plan", lambda self, *_: self._batcher.plan(len(self), torch.default_generator)
    )


def order_is_that_of_the_first_pass(patch: Patch) -> None:
    """A process begins to count passes anew."""
    real_plan, real_enter = Stream.plan, Run.__enter__
    begun: dict[str, int] = {}

    def enter(self: Run) -> Run:
        begun.clear()
        return real_enter(self)

    def plan(self: Stream, seed: int, number: int) -> Any:
        return real_plan(self, seed, number - begun.setdefault(self.name, number))

    patch.setattr(Run, "__enter__", enter)
    patch.setattr(Stream, "plan", plan)


def reason_to_stop_is_lost(patch: Patch) -> None:
    real = Course.state_dict
    patch.setattr(Course, "state_dict", lambda self: {**real(self), "stopped": None})


def results_of_once_are_lost(patch: Patch) -> None:
    real = Run.once
    patch.setattr(Run, "once", lambda self, function: (real(self, function), function())[1])


# -- a loop whose batches do not fit, and one in half precision ------------------------------------


class Crowded(OneUpdate):
    """Runs out of memory once; from then on batches are split."""

    update = OneUpdate.update.model_copy(update={"micro_batches": 1})
    full = True

    def loss(self, points: torch.Tensor, labels: torch.Tensor) -> Any:
        if self.full:
            self.full = False
            raise torch.OutOfMemoryError
        return super().loss(points, labels)


FAULTS: dict[str, tuple[Fault, Callable[[], Loop], dict[str, Any]]] = {
    "random state not restored": (random_state_is_not_restored, OneUpdate, {}),
    "position lost": (position_is_lost, OneUpdate, {"crashes": (12, 5)}),
    "finished iterators run again": (finished_iterators_run_again, ThreePhases, {}),
    "average lost": (forgets(Average), OneUpdate, {}),
    "first optimizer lost": (without("optimizers"), OneUpdate, {}),
    "second optimizer lost": (without("optimizers", update="generator"), TwoPlayers, {}),
    "schedule off by one": (schedule_is_off_by_one, TwoPlayers, {}),
    "metrics appended twice": (metrics_are_appended_twice, OneUpdate, {}),
    "best lost": (forgets(Best), ThreePhases, {"crashes": (9, 17)}),
    "phase lost": (phase_is_lost, ThreePhases, {}),
    "augmentation not keyed": (augmentation_is_not_keyed, OneUpdate, {"resumed": {"workers": 2}}),
    "augmentation keyed by the process": (augmentation_is_keyed_by_the_process, OneUpdate, {}),
    "order drawn, not keyed": (order_is_drawn_and_not_keyed, OneUpdate, {"crashes": (12, 5)}),
    "order keyed without the pass": (order_is_that_of_the_first_pass, OneUpdate, {}),
    "log window lost": (forgets(Window), TwoPlayers, {}),
    "passes of streams lost": (forgets(Counters), ThreePhases, {}),
    "patience lost": (forgets(EarlyStopping), ThreePhases, {"crashes": (9, 17)}),
    "reason to stop lost": (reason_to_stop_is_lost, ThreePhases, {"crashes": (None,)}),
    "results of once lost": (results_of_once_are_lost, ThreePhases, {}),
    "scaler of fp16 lost": (without("scaler"), OneUpdate, {"precision": "fp16", "crashes": (9,)}),
    "split of batches lost": (without("micro_batches"), Crowded, {}),
}
SCENES = {
    "one update": (OneUpdate, {}),
    "one update, other workers": (OneUpdate, {"resumed": {"workers": 2}}),
    "half precision": (OneUpdate, {"precision": "fp16", "crashes": (9,)}),
    "one update, other moments": (OneUpdate, {"crashes": (12, 5)}),
    "two players": (TwoPlayers, {}),
    "three phases": (ThreePhases, {}),
    "three phases, resumed when over": (ThreePhases, {"crashes": (None,)}),
    "three phases, late crash": (ThreePhases, {"crashes": (9, 17)}),
    "crowded": (Crowded, {}),
}


@pytest.mark.parametrize("name", SCENES)
def test_without_a_fault_nothing_differs(name: str, tmp_path: Path) -> None:
    make, options = SCENES[name]
    scene = Scene(tmp_path, make, **options)
    assert scene.differences() == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_noticed(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    plant, make, options = FAULTS[name]
    plant(monkeypatch)
    found = Scene(tmp_path, make, **options).differences()
    print(name, found[:3])
    assert found, f"{name}: nobody noticed"


def write_in_place(root: Path, step: int, tree: object, *, meta: Any) -> Path:
    """Write a checkpoint under its final name, as most training code does."""
    node, tensors = rondel.checkpoint.flatten(tree)
    final = root / f"step-{step:010d}"
    final.mkdir(parents=True, exist_ok=True)
    entry = rondel.checkpoint._write_tensors(final / "tensors.safetensors", tensors)
    manifest = rondel.checkpoint._format_manifest(step, meta, entry, node)
    write_file(final / "manifest.json", [manifest])
    return final


def plant_writing_in_place() -> None:
    """Break the engine of a forked child."""
    rondel.record.write_checkpoint = write_in_place


@pytest.mark.parametrize("faulty", [False, True], ids=["atomic", "in place"])
def test_half_a_checkpoint_is_noticed(faulty: bool, server: crash.Server, tmp_path: Path) -> None:
    program = crash.programs(tmp_path)["small"]
    faults = ["test_planted_faults:plant_writing_in_place"] if faulty else []
    found = []
    for number in range(20, 60):
        place = tmp_path / f"killed-{number}"
        fail = {"folder": str(place), "at": number, "how": "SIGKILL"}
        server.run(program, place, fail=fail, faults=faults).wait()
        found += crash.damaged(place)
        shutil.rmtree(place)
        if found:
            break
    assert bool(found) == faulty
