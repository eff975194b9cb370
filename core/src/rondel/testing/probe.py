"""The first gradient of every update of a loop, from one piece or many, one process or several.

``torchrun --nproc-per-node 2 -m rondel.testing.probe DOMAIN OUT.safetensors [key=value ...]``
writes what each process ends up with.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from rondel.callback import Callback
from rondel.errors import Interrupted
from rondel.loop import Loop
from rondel.run import Run
from rondel.settings import RunConfig
from rondel.testing.subject import Subject
from rondel.update import Update


class GradientProbe(Callback):
    """Keep the gradients of the first update of each name."""

    name = "gradient_probe"
    essential = True

    def __init__(self) -> None:
        self.gradients: dict[str, Tensor] = {}

    def update_finished(self, run: Run, update: Update) -> None:  # noqa: ARG002
        """Copy the gradients that the step was made with."""
        for position, parameter in enumerate(update.owned):
            place = f"{update.name}.{position}"
            if parameter.grad is not None and place not in self.gradients:
                self.gradients[place] = parameter.grad.detach().cpu().clone()


class StillRun(Run):
    """A run whose updates compute gradients and move nothing: the learning rates are zero."""

    pieces = 1

    def update(self, *arguments: Any, **settings: Any) -> Update:
        """Make an update that stands still and splits its batches."""
        made = super().update(*arguments, **settings)
        made.micro_batches = self.pieces
        made.stand_still()
        return made


def first_gradients(
    loop: Loop, settings: RunConfig, directory: Path, *, pieces: int = 1, stop_at: int = 6
) -> dict[str, Tensor]:
    """Return the first gradients of each update, by ``update.position``.

    Args:
        loop: A fresh loop.
        settings: Of the run.
        directory: A new run directory.
        pieces: Micro-batches.
        stop_at: The safe point to stop at; every update must have been called by then.
    """
    probe = GradientProbe()
    run = StillRun(directory, settings=settings, callbacks=[probe], stop_at=stop_at)
    run.pieces = pieces
    with contextlib.suppress(Interrupted), run:
        run.print_with(lambda _: None)
        loop.train(run)
    return probe.gradients


def main(arguments: Sequence[str]) -> None:
    """Write the gradients that this process, as one of several, ends up with."""
    domain, out, *overrides = arguments
    subject = Subject(domain, tuple(overrides))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        found = first_gradients(subject.build(), subject.config.run, place)
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    save_file({key: value.contiguous() for key, value in found.items()}, f"{out}.{rank}")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1:])
