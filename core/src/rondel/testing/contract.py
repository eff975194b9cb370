"""The contract of every loop, as a pytest class to inherit from."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from rondel.checkpoint import list_checkpoints, read_checkpoint, write_checkpoint
from rondel.config import Layer, parse_overrides, read_recipe, resolve, to_toml
from rondel.domain import resolve as resolve_target
from rondel.errors import ConfigError, RondelError
from rondel.rehearsal import Rehearsal, differences
from rondel.testing.probe import first_gradients
from rondel.testing.subject import Subject

HEAVY = ("torch", "torchvision", "transformers", "pandas")


class LoopContract:
    """Inherit, name the domain, and pytest proves what rondel promises about its loop.

    Attributes:
        domain: The domain's name.
        overrides: ``key=value`` items that make the run small: a few batches and two epochs.
        gradient_overrides: Further items for the tests of gradients; switch dropout and batch
            statistics off there, which are not functions of single samples.
        tolerance: Largest distance between two gradients, relative to their norm.
        limit: Safe points of the longest run that is tried; each of them is a cut.
        kills: Runs that are killed; 0 where a test of its own kills more, and faster.
        processes: Numbers of processes that share a batch; fewer where a start takes long.
    """

    domain: ClassVar[str]
    overrides: ClassVar[tuple[str, ...]] = ()
    gradient_overrides: ClassVar[tuple[str, ...]] = ()
    tolerance: ClassVar[float] = 1e-6
    limit: ClassVar[int] = 40
    kills: ClassVar[int] = 2
    processes: ClassVar[tuple[int, ...]] = (2, 3)

    @pytest.fixture(scope="class")
    @classmethod
    def subject(cls) -> Subject:
        """The domain with its overrides."""
        return Subject(cls.domain, cls.overrides)

    @pytest.fixture(scope="class")
    @classmethod
    def rehearsal(
        cls, subject: Subject, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Rehearsal]:
        """Runs of the loop, with the uninterrupted one done."""
        folder = tmp_path_factory.mktemp(cls.domain)
        made = Rehearsal(subject.build, subject.config.run, folder)
        made.run("straight", stop_at=cls.limit)
        yield made
        shutil.rmtree(folder)

    def test_resume_at_every_safe_point_equals_the_uninterrupted_run(
        self, rehearsal: Rehearsal
    ) -> None:
        """Cut at each safe point in turn, resume, and compare bit for bit."""
        until = rehearsal.end("straight")["state"]["course"]["step"]
        assert until > 2, "the run is too short to be cut; change the overrides"
        for cut in range(1, until):
            found = rehearsal.compare(cut, until=self.limit)
            assert not found, f"cut at {cut} of {until}: {found[:5]}"

    def test_the_number_of_workers_changes_nothing(self, rehearsal: Rehearsal) -> None:
        """Run with two workers, and stop with none and go on with two."""
        rehearsal.run("workers", stop_at=self.limit, workers=2)
        assert not differences(rehearsal.end("straight"), rehearsal.end("workers"))
        assert not rehearsal.compare(2, until=self.limit, workers=2)

    def test_every_entry_of_the_state_matters(self, rehearsal: Rehearsal) -> None:
        """Put back one outdated entry at a time: each must show in the end of the run."""
        first = next(cut for cut in range(1, self.limit) if self._has_stepped(rehearsal, cut))
        rehearsal.run("late", stop_at=first + 2)
        early, late = rehearsal.end(f"early-{first}")["state"], rehearsal.end("late")["state"]
        tried = 0
        for path in entries(late):
            old = entry(early, path)
            if old is None or not differences(old, entry(late, path)):
                continue
            tried += 1
            assert self._shows(rehearsal, path, old), f"{'.'.join(map(str, path))} was not missed"
        assert tried >= 2, "no entry of the state changed between the first safe points"

    def _has_stepped(self, rehearsal: Rehearsal, cut: int) -> bool:
        """Tell whether an update has stepped before a cut."""
        rehearsal.run(f"early-{cut}", stop_at=cut)
        state = rehearsal.end(f"early-{cut}")["state"]
        counters = [entry(state, path)[0] for path in entries(state) if path[-1] == "counters"]
        return any(counters)

    def _shows(self, rehearsal: Rehearsal, path: tuple[str | int, ...], old: Any) -> bool:
        place = rehearsal.folder / "faulty"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(rehearsal.folder / "late", place)
        info = list_checkpoints(place / "checkpoints")[-1]
        info, tree = read_checkpoint(info.path)
        *outer, last = path
        entry(tree, tuple(outer))[last] = old
        write_checkpoint(place / "checkpoints", info.step, tree, meta=info.meta)
        try:
            rehearsal.run("faulty", stop_at=self.limit, resume=True)
        except RondelError:
            return True
        return bool(differences(rehearsal.end("straight"), rehearsal.end("faulty")))

    @pytest.mark.parametrize("pieces", [2, 8])
    def test_micro_batches_give_the_gradient_of_one_batch(
        self, tmp_path: Path, pieces: int
    ) -> None:
        """Compare the first gradient of every update."""
        whole = self._gradients(tmp_path / "whole", 1)
        self._assert_close(self._gradients(tmp_path / "pieces", pieces), whole)

    def test_several_processes_give_the_gradient_of_one(self, tmp_path: Path) -> None:
        """Compare the first gradient of every update, on every process."""
        whole = self._gradients(tmp_path / "whole", 1)
        items = [*self.overrides, *self.gradient_overrides]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        for count in self.processes:
            out = tmp_path / f"gradients-{count}"
            launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
            command = [sys.executable, *launch, "-m", "rondel.testing.probe", self.domain, str(out)]
            done = subprocess.run(  # noqa: S603 - our own module
                [*command, *items], capture_output=True, text=True, env=environment, check=False
            )
            assert done.returncode == 0, done.stderr[-3000:]
            for rank in range(count):
                self._assert_close(load_file(f"{out}.{rank}"), whole)

    def _gradients(self, directory: Path, pieces: int) -> dict[str, Tensor]:
        subject = Subject(self.domain, (*self.overrides, *self.gradient_overrides))
        return first_gradients(subject.build(), subject.config.run, directory, pieces=pieces)

    def _assert_close(self, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
        assert found.keys() == expected.keys()
        for update in sorted({key.split(".")[0] for key in expected}):
            keys = [key for key in expected if key.split(".")[0] == update]
            whole = torch.cat([expected[key].double().flatten() for key in keys])
            mine = torch.cat([found[key].double().flatten() for key in keys])
            distance = ((mine - whole).norm() / whole.norm()).item()
            assert distance <= self.tolerance, f"update '{update}': {distance:.2e}"

    def test_a_killed_run_resumes_to_the_same_end(self, tmp_path: Path) -> None:
        """Kill the command line at random moments, resume, and compare weights and log."""
        often = ("run.checkpoint_every_steps=1",)
        if self.kills:
            self._train("--out", str(tmp_path / "straight"), *self.overrides, *often)
        for number in range(self.kills):
            place = tmp_path / f"killed-{number}"
            self._kill("--out", str(place), *self.overrides, *often)
            self._train("--resume", str(place))
            for file in ("metrics.jsonl", "bundle/tensors.safetensors"):
                first, second = tmp_path / "straight" / file, place / file
                assert first.read_bytes() == second.read_bytes(), f"{file} differs"

    def _train(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "rondel.cli", self.domain, "train", "-q", *arguments]
        done = subprocess.run(  # noqa: S603 - our own command line
            command, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def _kill(self, *arguments: str) -> None:
        """Start a run and kill it a random time after its first checkpoint."""
        command = [sys.executable, "-m", "rondel.cli", self.domain, "train", "-q", *arguments]
        place = Path(arguments[1])
        with subprocess.Popen(  # noqa: S603 - our own command line
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and not list(place.glob("checkpoints/step-*")):
                time.sleep(0.005)
            time.sleep(random.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)

    def test_importing_the_plugin_is_light(self, subject: Subject) -> None:
        """Load plugin, config and commands in a fresh process and look at its modules."""
        record = subject.record
        modules = [record.config.split(":")[0]]
        modules += [record.commands.split(":")[0]] if record.commands else []
        modules += [f"{modules[0].split('.')[0]}.plugin"]
        code = "import importlib, json, sys\n"
        code += f"for name in {modules!r}: importlib.import_module(name)\n"
        code += f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
        done = subprocess.run(  # noqa: S603 - a fixed program
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == []

    def test_the_config_round_trips(self, subject: Subject, tmp_path: Path) -> None:
        """Write the resolved config as a recipe and read it back."""
        recipe = tmp_path / "config.toml"
        recipe.write_text(to_toml(subject.config), encoding="utf-8")
        assert resolve(type(subject.config), [read_recipe(recipe)]).config == subject.config

    def test_a_misspelt_key_is_named(self, subject: Subject) -> None:
        """Every unknown key is named, with the nearest that exists."""
        model = type(subject.config)
        layers: list[Layer] = [parse_overrides(model, ["epoch=3", "run.sed=1"])]
        with pytest.raises(ConfigError) as caught:
            resolve(resolve_target(subject.record.config), layers)
        text = str(caught.value)
        assert "epoch" in text
        assert "'epochs'" in text
        assert "run.sed" in text


def entries(state: dict[str, Any]) -> list[tuple[str | int, ...]]:
    """Return the paths of the entries of a checkpoint, down to the parts of each update.

    Counters are left out: within a pass they follow from the cursors.
    """
    found: list[tuple[str | int, ...]] = [("random",)]
    node = state["course"]["cursors"]
    place: tuple[str | int, ...] = ("course", "cursors")
    for position in [*state["course"]["path"], None]:
        for name, saved in node.get("states", {}).items():
            path = (*place, "states", name)
            parts = list(saved) if name.startswith(("update/", "callback/")) else []
            found += [(*path, part) for part in parts] or [path]
        found.append((*place, "index"))
        if position is not None:
            node = node["children"][position]
            place = (*place, "children", position)
    return found


def entry(state: Any, path: tuple[str | int, ...]) -> Any:
    """Return what is at a path, or None."""
    for part in path:
        try:
            state = state[part]
        except (KeyError, IndexError, TypeError):
            return None
    return state
