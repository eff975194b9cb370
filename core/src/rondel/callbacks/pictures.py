"""Save a picture of what the model does, after every evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rondel.callback import Callback
from rondel.directory import write_atomically

if TYPE_CHECKING:
    from rondel.run import Run


class Pictures(Callback):
    """Write what ``draw`` returns to ``pictures/<name>-<step>.png``.

    Args:
        draw: Returns a PNG as bytes. It runs like an evaluation: modules in evaluation mode,
            averages in place, no gradients, randomness of its own.
        title: First part of the file name.
    """

    name = "pictures"

    def __init__(self, draw: Callable[[], bytes], *, title: str = "samples") -> None:
        self.draw = draw
        self.title = title

    def evaluated(self, run: Run, name: str, values: Mapping[str, float]) -> None:  # noqa: ARG002
        """Draw and write one picture."""
        if not run.processes.writes:
            return
        with run.averaged(), run.examining(self.title):
            png = self.draw()
        folder = run.directory / "pictures"
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{self.title}-{run.step:07d}.png", png)
