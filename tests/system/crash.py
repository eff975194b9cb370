"""The crash harness: kill runs at random and aimed moments, resume them, compare the ends.

    python tests/system/crash.py --domain gan --kills 200

A server process loads torch once and forks a child per run, so that a start costs milliseconds;
the child then runs the real command line. Everything is on the CPU, on one thread.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import importlib
import itertools
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
COMMAND_LINE = "rondel.cli.main:main"
OVER = "was over"

# -- runs ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Program:
    """What is killed: a function that takes words and returns an exit code.

    Args:
        target: The function, as ``module:name``.
        fresh: Its words for a new run; ``{run}`` is the run directory.
        resumed: Its words for a run to continue.
    """

    target: str
    fresh: tuple[str, ...]
    resumed: tuple[str, ...]

    @classmethod
    def of_domain(cls, domain: str, *overrides: str) -> Program:
        """Train a domain from the command line."""
        start = (domain, "train", "-q")
        fresh = (*start, "--out", "{run}", "--device", "cpu", *overrides)
        return cls(COMMAND_LINE, fresh, (*start, "--resume", "{run}"))

    def words(self, run: Path, *, resume: bool) -> list[str]:
        """Return the words for a run directory."""
        return [
            word.replace("{run}", str(run)) for word in (self.resumed if resume else self.fresh)
        ]


OFTEN = "run.checkpoint_every_steps=1"


def programs(folder: Path) -> dict[str, Program]:
    """Return what can be killed by name; data that is made for it goes into the folder."""
    images = folder / "images.npz"
    quick = ("evaluation.samples=64", "model.width=16", "batch_size=16")
    phases = "loops.three_phases:main"
    found = {
        "example": Program.of_domain("example", "epochs=4", "run.log_every=3", OFTEN),
        "tabular": tabular("epochs=3", "network.members=2", "ema=0.9"),
        "gan": Program.of_domain(
            "gan", f"data={images}", "epochs=3", "run.log_every=3", *quick, OFTEN
        ),
    }
    found |= {f"gan-{loop}": gan(*words) for loop, words in GAN_LOOPS.items()}
    found |= {
        f"tabular-{loop}": tabular(f"loop={loop}", *words) for loop, words in TABULAR_LOOPS.items()
    }
    found |= {f"detection-{loop}": detection(loop, *words) for loop, words in LOOPS.items()}
    found |= {
        f"text-{loop}": text(
            *words, *([f"cache={folder / 'cache'}"] if loop == "streaming" else [])
        )
        for loop, words in TEXT_LOOPS.items()
    }
    for workers in (0, 2):
        words = ("{run}", f"workers={workers}")
        found[f"phases-{workers}"] = Program(phases, words, (*words, "resume"))
    found["small"] = Program("loops.one_update:main", ("{run}",), ("{run}", "resume"))
    return found


GAN_LOOPS = {
    "adversarial": (
        *("turns=D*2 G", "r1.every=2", "path.weight=2", "path.every=2", "generator.ema=0.9"),
        *("augment.mode=ada", "augment.images=2000", "generator.final_betas=0,0.999"),
        *("model.condition=auxiliary", "batch_size=330", "epochs=3"),
    ),
    "cycle": (
        *("loop=cycle", "dataset=photos", "translation.width=4", "translation.pool=80"),
        *("batch_size=52", "epochs=2", "generator.ema=0.9"),
    ),
    "growing": ("loop=growing", "growing.epochs=2", "batch_size=330", "epochs=2"),
    "vae": ("loop=vae", "batch_size=330", "epochs=2", "encoder.ema=0.9"),
}
"""The loops of the GAN domain, each with what makes it interesting."""


def gan(*words: str) -> Program:
    """Train a small game on the digits, or on what the words say."""
    small = ("model.width=16", "model.latent=4", "run.log_every=3")
    quick = ("evaluation.samples=64", "evaluation.proxy_updates=5")
    return Program.of_domain("gan", *small, *quick, *words, OFTEN)


TABULAR_LOOPS = {
    "folds": ("dataset=wine", "folds.count=3", "folds.members=2", "batch_size=48", "epochs=3"),
    "blend": (
        *("dataset=wine", "folds.count=2", "folds.members=2", "blend.trees=histogram"),
        *("blend.rounds=1", "batch_size=24", "epochs=3"),
    ),
    "multihead": (
        *(f"data={HERE.parent / 'tabular' / 'tiny' / 'shop.csv'}", "targets=bought,age"),
        *("network.members=2", "batch_size=32", "epochs=3"),
    ),
    "pretrain_then_finetune": (
        *("dataset=wine", "network.members=2", "pretraining.epochs=2"),
        *("batch_size=48", "epochs=3"),
    ),
    "ensemble": ("network.members=3", "batch_size=96", "epochs=3"),
}
"""The loops of the tabular domain, each with what makes it interesting."""


def tabular(*words: str) -> Program:
    """Train small networks on a small table."""
    small = ("network.width=16", "network.number_width=2", "network.bins=8", "run.log_every=3")
    return Program.of_domain("tabular", *small, *words, OFTEN)


LOOPS = {
    "joint": ("augment.mosaic=0.5", "augment.multi_scale=0.5", "update.ema=0.9"),
    "alternating": ("model.name=fasterrcnn_slim", "alternating.proposals=20"),
    "staged": (),
    "teacher": ("teacher.labelled=0.4", "teacher.burn_in=1", "teacher.threshold=0.02"),
}
"""The loops of the detection domain, each with what makes it interesting."""


def detection(loop: str, *words: str) -> Program:
    """Train a detector on sixteen small pictures."""
    tiny = HERE.parent / "detection" / "tiny"
    data = (f"data={tiny / 'labels.json'}", f"images={tiny / 'pictures'}", "image_size=64")
    small = ("model.width=0.25", "epochs=4", "batch_size=4", "run.log_every=3")
    return Program.of_domain("detection", f"loop={loop}", *data, *small, *words, OFTEN)


TINY_TEXT = HERE.parent / "text" / "tiny"
BERT = ("model.name=bert", "model.width=16", "model.heads=2", "model.vocabulary=400")
TEXT_LOOPS = {
    "finetune": (f"data={TINY_TEXT / 'topics.csv'}", "model.buckets=4096", "update.ema=0.9"),
    "streaming": (f"data={TINY_TEXT / 'topics.csv'}", "model.buckets=4096", "streaming=true"),
    "answers": (f"data={TINY_TEXT / 'questions.json'}", "max_length=40", *BERT),
    "pretrain": (
        f"data={TINY_TEXT / 'topics.csv'}",
        *("task=causal", "model.width=16", "context=8", "batching=budget", "tokens=384"),
    ),
    "gradual": (f"data={TINY_TEXT / 'tags.conllu'}", "loop=gradual", "epochs=5", *BERT),
    "pretrain_then_finetune": (
        f"data={TINY_TEXT / 'topics.csv'}",
        *("loop=pretrain_then_finetune", "pretraining.epochs=2", *BERT),
    ),
    "adversarial": (f"data={TINY_TEXT / 'topics.csv'}", "loop=adversarial", *BERT),
    "distil": (f"data={TINY_TEXT / 'tags.conllu'}", "loop=distil", "distil.kind=ema"),
    "mutual": (f"data={TINY_TEXT / 'topics.csv'}", "loop=distil", "distil.kind=mutual"),
    "contrastive": (
        f"data={TINY_TEXT / 'pairs.csv'}",
        *("task=pairs", "update.micro_batches=2", *BERT),
    ),
    "multitask": (
        *(
            f"multitask.tasks.topic.data={TINY_TEXT / 'topics.csv'}",
            "multitask.tasks.topic.ratio=2",
        ),
        *(f"multitask.tasks.tags.data={TINY_TEXT / 'tags.conllu'}", "multitask.tasks.tags.ratio=1"),
        *BERT[1:],
    ),
    "seq2seq": (
        f"data={TINY_TEXT / 'pairs.csv'}",
        *("task=seq2seq", "label=pair", "seq2seq.generated=4", *BERT[1:]),
    ),
}
"""The loops of the text domain, each with what makes it interesting."""


def text(*words: str) -> Program:
    """Train on a hundred short texts."""
    small = ("max_length=24", "epochs=3", "batch_size=16", "run.log_every=3")
    return Program.of_domain("text", *small, *words, OFTEN)


def write_images(file: Path) -> None:
    """Write some of the digits without labels: the measuring network then needs no training."""
    import numpy as np
    from sklearn.datasets import load_digits

    if not file.exists():
        images = np.round(load_digits().images[:160] * 255 / 16).astype(np.uint8)
        np.savez(file, images=images)


def sweep() -> Iterator[int]:
    """Yield the numbers of the calls that fail: every tenth, from a start that the clock chooses.

    ``SWEEP_STRIDE=1`` in the environment tries all of them.
    """
    stride = int(os.environ.get("SWEEP_STRIDE", "10"))
    return itertools.count(1 + time.time_ns() % stride, stride)


# -- the server and its children -------------------------------------------------------------------


class Child:
    """A run in a process of its own, forked from the server."""

    def __init__(self, server: Server, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self.code: int | None = None
        self._server = server

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; harmless when it is over."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def is_over(self) -> bool:
        """Tell whether the process has ended, without waiting."""
        if self.code is None:
            self.code = self._server.ask(do="poll", pid=self.pid)["code"]
        return self.code is not None

    def wait(self, timeout_s: float = 120.0) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        limit = time.monotonic() + timeout_s
        while not self.is_over():
            if time.monotonic() > limit:
                self.kill()
                raise TimeoutError(
                    f"process {self.pid} did not end in {timeout_s} s: {self.said()}"
                )
            time.sleep(0.005)
        assert self.code is not None
        return self.code

    def said(self) -> str:
        """Return what it printed so far, to stdout and stderr."""
        return self.log.read_text(encoding="utf-8", errors="replace")


class Server:
    """A process with everything loaded, which forks a child for every run.

    Args:
        folder: Where logs go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "crash.py"), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""},
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        # asked, because a forked worker of this process may hold a copy of the open pipe
        self.ask(do="end")
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the crash server died")
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise RuntimeError(found["error"])
        return found

    def start(self, target: str, words: Sequence[str], **conditions: Any) -> Child:
        """Fork a child that calls ``target(words)``; for the conditions see `prepare`."""
        self._count += 1
        log = self.folder / f"log-{self._count}.txt"
        request = {"target": target, "words": list(words), "log": str(log), "with": conditions}
        return Child(self, self.ask(do="start", **request)["pid"], log)

    def run(
        self, program: Program, place: Path, *, resume: bool = False, **conditions: Any
    ) -> Child:
        """Start a program on a run directory, new or resumed."""
        return self.start(program.target, program.words(place, resume=resume), **conditions)

    def warm(self, program: Program, place: Path) -> None:
        """Let the server itself run the program once, so that all that it imports is loaded."""
        if "images.npz" in " ".join(program.fresh):
            write_images(place.parent / "images.npz")
        self.ask(do="warm", target=program.target, words=program.words(place, resume=False))


def serve() -> None:
    """Answer requests from stdin, one JSON object a line, until it is closed."""
    sys.path.insert(0, str(HERE))
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what runs print must not get between the answers
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    children: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "end":
            answers.write("{}\n")
            break
        try:
            answer = respond(request, children, answers.fileno())
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def respond(request: dict[str, Any], children: set[int], answers: int) -> dict[str, Any]:
    """Do what a request asks for."""
    if request["do"] == "poll":
        pid, status = os.waitpid(request["pid"], os.WNOHANG)
        if pid == 0:
            return {"code": None}
        children.discard(pid)
        return {"code": os.waitstatus_to_exitcode(status)}
    module, _, name = request["target"].partition(":")
    function = getattr(importlib.import_module(module), name)
    if request["do"] == "warm":
        with contextlib.redirect_stdout(sys.stderr):
            code = function(request["words"])
        if code != 0:
            raise RuntimeError(f"{request['words']} ended with {code}")
        return {"code": code}
    pid = os.fork()
    if pid == 0:
        os.close(answers)
        become(function, request)
    children.add(pid)
    return {"pid": pid}


def become(function: Any, request: dict[str, Any]) -> None:
    """Turn this fork into the process of a run; never returns."""
    code = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        prepare(**request["with"])
        code = function(request["words"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def prepare(
    *,
    file_bytes: int | None = None,
    fail: dict[str, Any] | None = None,
    faults: Sequence[str] = (),
    user: int | None = None,
) -> None:
    """Make the conditions of a child.

    Args:
        file_bytes: No file may grow beyond this.
        fail: Settings of `FailingDisk`.
        faults: Functions ``module:name`` that break the engine.
        user: The user id to run under.
    """
    if file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
    for fault in faults:
        module, _, name = fault.partition(":")
        getattr(importlib.import_module(module), name)()
    if fail is not None:
        FailingDisk(**fail).install()
    if user is not None:
        os.setgid(user)
        os.setuid(user)


# -- a disk that fails -----------------------------------------------------------------------------

CALLS = ("open", "write", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "ftruncate")


@dataclass
class FailingDisk:
    """Counts the calls that change a folder, and lets the n-th one fail.

    Args:
        folder: Calls on other places are neither counted nor failed.
        at: The number of the call; 0 counts only.
        how: 'once': this call fails; 'full': it and all later ones that need room; or the name of a
            signal, which the process gets there.
        code: The error number of the failure.
    """

    folder: str
    at: int = 0
    how: str = "once"
    code: int = 28  # ENOSPC
    count: int = 0
    names: list[str] = field(default_factory=list)

    def install(self) -> None:
        """Put counting versions in place of the calls of `os`."""
        for name in CALLS:
            setattr(os, name, self.wrapped(name, getattr(os, name)))

    @contextlib.contextmanager
    def installed(self) -> Iterator[Self]:
        """Put them in place for a while."""
        real = {name: getattr(os, name) for name in CALLS}
        self.install()
        try:
            yield self
        finally:
            for name, call in real.items():
                setattr(os, name, call)

    def wrapped(self, name: str, real: Any) -> Any:
        """Return a version of a call that fails when its number comes."""

        def call(*arguments: Any, **options: Any) -> Any:
            if self.concerns(name, arguments, options):
                self.count += 1
                self.names.append(name)
                if self.count == self.at or (
                    self.at and self.count > self.at and self.how == "full"
                ):
                    self.fail(arguments[0])
            return real(*arguments, **options)

        return call

    def fail(self, place: Any) -> None:
        """Do what `how` says."""
        if self.how.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[self.how])
            return
        raise OSError(self.code, os.strerror(self.code), str(place))

    def concerns(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
        """Tell whether a call changes something in the folder."""
        place = arguments[0]
        if name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR):
            return False  # reading
        if self.how == "full" and name in {"unlink", "rmdir", "ftruncate", "replace", "rename"}:
            return False  # a full disk refuses none of these
        if isinstance(place, int) or options.get("dir_fd") is not None:
            descriptor = options.get("dir_fd", place)
            with contextlib.suppress(OSError):
                place = Path(f"/proc/self/fd/{descriptor}").readlink()
        return str(place).startswith(self.folder)


# -- comparing ends --------------------------------------------------------------------------------


def end_of(place: Path) -> dict[str, Any]:
    """Return everything that a run left behind and that a resumed one must equal."""
    from rondel.checkpoint import list_checkpoints, read_checkpoint

    steps = list_checkpoints(place / "checkpoints")
    end: dict[str, Any] = {
        "metrics": (place / "metrics.jsonl").read_bytes(),
        "step": steps[-1].step,
        "state": read_checkpoint(steps[-1].path)[1],
    }
    bundle, best = place / "bundle" / "tensors.safetensors", place / "checkpoints" / "best.json"
    result = json.loads((place / "result.json").read_text())
    result.pop("seconds")
    end["result"] = result
    end["best"] = best.read_bytes() if best.exists() else None
    end["bundle"] = bundle.read_bytes() if bundle.exists() else None
    end["bundle manifest"] = (
        bundle.with_name("manifest.json").read_bytes() if bundle.exists() else None
    )
    return end


def strays(place: Path) -> list[str]:
    """Return the leftovers of interrupted writes that nobody cleaned up."""
    return sorted({path.name.split(".tmp-")[0] for path in place.rglob("*.tmp-*")})


def damaged(place: Path) -> list[str]:
    """Return the listed checkpoints that are not whole; after a kill there must be none."""
    from rondel.checkpoint import list_checkpoints, verify_checkpoint
    from rondel.errors import CheckpointError

    found = []
    for info in list_checkpoints(place / "checkpoints"):
        try:
            verify_checkpoint(info.path)
        except CheckpointError as error:
            found.append(f"half a checkpoint: {error}")
    return found


def difference(straight: Path, other: Path) -> list[str]:
    """Return where the end of a run differs from that of the uninterrupted one."""
    from rondel.testing import differences

    try:
        return differences(end_of(straight), end_of(other))
    except (OSError, IndexError, ValueError) as error:
        return [f"{type(error).__name__}: {error}"]


# -- a campaign ------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What a campaign came to."""

    name: str
    runs: int = 0
    kills: int = 0
    aimed: int = 0
    equal: int = 0
    different: list[str] = field(default_factory=list)
    strays: set[str] = field(default_factory=set)
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.runs} runs, {self.kills} kills ({self.aimed} aimed at writes), "
            f"{self.equal} equal, {len(self.different)} different, "
            f"leftovers of {sorted(self.strays) or 'nothing'}, {self.seconds:.0f} s"
        )


class Campaign:
    """Kills runs of one program until enough of them died, and compares each with the straight one.

    Args:
        server: Where the runs are forked.
        program: What is run.
        folder: Where they go.
        seed: Of the moments.
    """

    def __init__(
        self, server: Server, program: Program, folder: Path, *, name: str, seed: int = 0
    ) -> None:
        self.server = server
        self.program = program
        self.folder = folder
        self.random = random.Random(seed)
        self.tally = Tally(name)
        self.straight = folder / "straight"
        self.length_s = 1.0

    def carry_out(self, kills: int, *, times: int = 4) -> Tally:
        """Kill so many runs, each up to ``times`` times."""
        start = time.monotonic()
        self._run_straight()
        while self.tally.kills < kills:
            self._one_run(min(kills - self.tally.kills, self.random.randint(1, times)))
        self.tally.seconds = time.monotonic() - start
        return self.tally

    def _run_straight(self) -> None:
        self.server.warm(self.program, self.folder / "warm")
        begun = time.monotonic()
        child = self.server.run(self.program, self.straight)
        if child.wait() != 0:
            raise RuntimeError(child.said())
        self.length_s = time.monotonic() - begun

    def _one_run(self, kills: int) -> None:
        place = self.folder / f"run-{self.tally.runs}"
        self.tally.runs += 1
        moments = []
        for _ in range(kills):
            moment = self._kill(place)
            if moment == OVER:
                break
            moments.append(moment)
        else:
            child = self._start(place)
            if child.wait() != 0:
                self._differs(place, moments, [f"exit {child.code}: {child.said()[-1500:]}"])
                return
        found = difference(self.straight, place)
        if found:
            self._differs(place, moments, found)
            return
        self.tally.equal += 1
        self.tally.strays.update(strays(place))
        shutil.rmtree(place)

    def _differs(self, place: Path, moments: list[str], found: list[str]) -> None:
        self.tally.different.append(f"{place.name}, killed {', '.join(moments)}: {found[:5]}")

    def _start(self, place: Path) -> Child:
        return self.server.run(self.program, place, resume=was_begun(place))

    def _kill(self, place: Path) -> str:
        """Start or resume the run and kill it; return when, or that it was over before."""
        child = self._start(place)
        aimed = self.random.random() < 0.6
        moment = self._wait_for_write(child, place) if aimed else self._wait(child)
        child.kill()
        if child.wait() != -signal.SIGKILL:
            if child.code != 0:
                moment = f"{moment}, but exit {child.code}: {child.said()[-1500:]}"
                self._differs(place, [moment], ["it failed by itself"])
            return OVER
        for line in damaged(place):
            self._differs(place, [moment], [line])
        self.tally.kills += 1
        self.tally.aimed += moment.startswith("writing")
        return moment

    def _wait(self, child: Child) -> str:
        delay = self.random.uniform(0, 1.1 * self.length_s)
        limit = time.monotonic() + delay
        while time.monotonic() < limit and not child.is_over():
            time.sleep(min(0.01, max(0.0, limit - time.monotonic())))
        return f"after {delay:.3f} s"

    def _wait_for_write(self, child: Child, place: Path) -> str:
        """Wait until some write of a checkpoint is under way, then a little."""
        skipped, seen = self.random.randint(0, 8), set()
        limit = time.monotonic() + 2 * self.length_s
        while time.monotonic() < limit:
            found = under_way(place / "checkpoints") - seen
            if found and skipped == 0:
                into = 0.006 * self.random.random() ** 2
                busy_until = time.perf_counter() + into
                while time.perf_counter() < busy_until:
                    pass
                return f"writing {min(found)}, {1000 * into:.1f} ms into it"
            skipped -= bool(found)
            seen |= found
            if child.is_over():
                break
            select.select([], [], [], 0.0003)
        return "late"


def was_begun(place: Path) -> bool:
    """Tell whether a run directory is there, so that a run is resumed and not begun."""
    return (place / "manifest.json").exists()


def under_way(checkpoints: Path) -> set[str]:
    """Return the checkpoints that are being written."""
    try:
        return {name for name in os.listdir(checkpoints) if ".tmp-" in name}  # noqa: PTH208
    except FileNotFoundError:
        return set()


def campaign(
    name: str, kills: int, folder: Path, *, seed: int, server: Server | None = None
) -> Tally:
    """Carry a campaign out on one of `programs`."""
    place = folder / name
    place.mkdir(parents=True)
    program = programs(place)[name]
    with contextlib.ExitStack() as stack:
        server = server or stack.enter_context(Server(folder))
        return Campaign(server, program, place, name=name, seed=seed).carry_out(kills)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a campaign and print what it came to."""
    parser = argparse.ArgumentParser(description="Kill runs, resume them, compare their ends.")
    parser.add_argument("--domain", nargs="+", default=["gan"], help="One or more of the programs.")
    parser.add_argument("--kills", type=int, default=200, help="Per program.")
    parser.add_argument("--seed", type=int, default=0, help="Of the moments.")
    parser.add_argument("--keep", type=Path, help="Keep the runs in this new folder.")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve()
        return 0
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        for name in options.domain:
            tally = campaign(name, options.kills, folder, seed=options.seed)
            print(tally, flush=True)
            for line in tally.different:
                print(f"  {line}", flush=True)
            failed += len(tally.different)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
