"""Try a loop before its long run: one batch with all its shapes, or resuming at random cuts."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from rondel.batch import leaves
from rondel.callback import Callback
from rondel.callbacks import Best
from rondel.checkpoint import latest_checkpoint
from rondel.errors import Interrupted, StateError
from rondel.loop import Loop
from rondel.run import Run
from rondel.settings import RunConfig
from rondel.update import Update

MakeLoop = Callable[[], Loop]


# -- resuming at cuts ------------------------------------------------------------------------------


class Rehearsal:
    """Runs of one loop that can be cut at any safe point, resumed and compared.

    Args:
        make: Builds the loop anew, with the same initial weights each time.
        settings: Of every run.
        folder: Where the run directories go.
    """

    def __init__(self, make: MakeLoop, settings: RunConfig, folder: Path) -> None:
        self.make = make
        # checkpoints come from the cuts alone, so that the number of steps decides and not the time
        self.settings = settings.model_copy(
            update={"checkpoint_every_s": 1e9, "checkpoint_every_steps": None}
        )
        self.folder = folder

    def run(
        self,
        name: str,
        *,
        stop_at: int | None = None,
        resume: bool = False,
        workers: int | None = None,
    ) -> int:
        """Train until the end or a cut; return the safe points passed."""
        loop = self.make()
        settings = self.settings
        if workers is not None:
            settings = settings.model_copy(update={"workers": workers})
        run = Run(
            self.folder / name,
            settings=settings,
            resume=resume,
            callbacks=[Best(loop.watch)] if loop.watch else [],
            stop_at=stop_at,
        )
        with contextlib.suppress(Interrupted), run:
            run.print_with(lambda _: None)
            loop.train(run)
        return run.step

    def end(self, name: str) -> dict[str, Any]:
        """Return everything that a run left behind and that a resumed one must equal."""
        directory = self.folder / name
        latest = latest_checkpoint(directory / "checkpoints", lambda _: None)
        if latest is None:
            raise StateError("the run has no checkpoint", where=str(directory))
        return {"state": latest[1], "metrics": (directory / "metrics.jsonl").read_text()}

    def compare(
        self, cut: int, *, until: int | None = None, workers: int | None = None
    ) -> list[str]:
        """Cut a run, resume it, and return where its end differs from the run 'straight'."""
        name = f"cut-{cut}-{workers or 0}"
        self.run(name, stop_at=cut)
        self.run(name, stop_at=until, resume=True, workers=workers)
        return differences(self.end("straight"), self.end(name))


def check_random_cuts(
    make: MakeLoop, settings: RunConfig, *, limit: int = 60, cuts: int = 5
) -> str:
    """Resume a short run at random safe points and compare it with the straight run.

    Args:
        make: Builds the loop.
        settings: Of the runs.
        limit: Safe points of the short run.
        cuts: How many safe points are tried.

    Raises:
        StateError: Names the first differences.
    """
    with tempfile.TemporaryDirectory() as folder:
        rehearsal = Rehearsal(make, settings, Path(folder))
        until = rehearsal.run("straight", stop_at=limit)
        tried = sorted(random.sample(range(1, until), min(cuts, until - 1)))
        for cut in tried:
            found = rehearsal.compare(cut, until=limit)
            if found:
                raise StateError(
                    f"a run resumed at safe point {cut} of {until} ended differently: "
                    f"{'; '.join(found[:5])}",
                    hint="Register what changes during training with run.track, and keep code "
                    "between iterators idempotent or wrap it in run.once.",
                )
    points = ", ".join(map(str, tried))
    return f"Resumed at safe points {points} of {until}: every end is equal bit for bit."


def differences(first: Any, second: Any, path: str = "") -> list[str]:
    """Return the dotted paths at which two trees of state differ."""
    if isinstance(first, dict) and isinstance(second, dict):
        if first.keys() != second.keys():
            return [f"{path}: the keys differ ({sorted(map(str, first.keys() ^ second.keys()))})"]
        return [d for key in first for d in differences(first[key], second[key], f"{path}.{key}")]
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        if len(first) != len(second):
            return [f"{path}: {len(first)} and {len(second)} entries"]
        pairs = enumerate(zip(first, second, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{path}.{i}")]
    return [] if equal(first, second) else [path.lstrip(".")]


def equal(first: Any, second: Any) -> bool:
    """Compare two leaves bit for bit; NaN equals NaN."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        same = first.shape == second.shape and first.dtype == second.dtype
        return same and torch.equal(first.nan_to_num(), second.nan_to_num())
    if isinstance(first, np.ndarray):
        return isinstance(second, np.ndarray) and np.array_equal(first, second)
    return bool(first == second or (first != first and second != second))  # noqa: PLR0124


# -- one batch -------------------------------------------------------------------------------------


def describe(loop: Loop, settings: RunConfig, directory: Path) -> str:
    """Run up to the first safe point after an update; describe shapes, parameters and memory."""
    lines: list[str] = []
    first = FirstUpdate()
    with (
        contextlib.suppress(Interrupted),
        Run(directory, settings=settings, callbacks=[first]) as run,
    ):
        run.print_with(lambda _: None)
        with watched(run, lines) as saved:
            loop.train(run)
    lines.append(f"device     {run.device}, precision {settings.precision}")
    for name, module in run.modules.items():
        count = sum(p.numel() for p in module.parameters())
        lines.append(f"module     {name}: {count:,} parameters")
    for update in run.updates():
        state = [t for opt in update.optimizers for s in opt.state.values() for t in tensors(s)]
        kind = " + ".join(type(opt).__name__ for opt in update.optimizers)
        lines.append(
            f"update     {update.name}: {kind}, lr {update.learning_rate:g}, "
            f"loss {float(update.last):.4g}, optimizer state {mebibytes(state)}"
        )
    weights = [p for module in run.modules.values() for p in module.parameters()]
    lines.append(
        f"memory     weights {mebibytes(weights)}, gradients {mebibytes(weights)}, "
        f"kept for the backward pass {saved[0] / 2**20:.1f} MiB at most"
    )
    return "\n".join(lines)


class FirstUpdate(Callback):
    """End a run at the safe point that follows its first update."""

    essential = True

    def update_finished(self, run: Run, update: Update) -> None:  # noqa: ARG002 - any update
        """Ask for the end."""
        run.interrupt("the end of a dry run")


@contextmanager
def watched(run: Run, lines: list[str]) -> Iterator[list[int]]:
    """Note the shapes that go through each module, and the largest graph."""
    largest, present = [0], [0]
    seen: set[nn.Module] = set()

    def pack(tensor: Tensor) -> Tensor:
        present[0] += tensor.nbytes
        largest[0] = max(largest[0], present[0])
        return tensor

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        name = next((n for n, m in run.modules.items() if m is module), None)
        if name is not None and module not in seen:
            seen.add(module)
            lines.append(f"shapes     {name}: {shapes(inputs)} -> {shapes(output)}")

    def begin(*_: Any) -> None:
        present[0] = 0

    hooks = [
        nn.modules.module.register_module_forward_hook(note),
        register_optimizer_step_post_hook(begin),
    ]
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield largest
    finally:
        for hook in hooks:
            hook.remove()


def shapes(batch: Any) -> str:
    """Return the shapes of the tensors of a batch."""
    found = [str(tuple(leaf.shape)) for leaf in leaves(batch) if isinstance(leaf, Tensor)]
    return ", ".join(found) or type(batch).__name__


def tensors(state: Any) -> list[Tensor]:
    """Return the tensors of one parameter's optimizer state."""
    return [value for value in state.values() if isinstance(value, Tensor)]


def mebibytes(items: Sequence[Tensor]) -> str:
    """Return the size of tensors."""
    return f"{sum(item.nbytes for item in items) / 2**20:.1f} MiB"
