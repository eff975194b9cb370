"""Play games in groups of one and two processes, and write down the gradient of every update.

python tests/gan/every_gradient.py OUT

Steps of lazy penalties are updates like others. In a game that stands still the learning rates are
zero, so that both groups see the same nets; of one that learns the weights at its end are written.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from rondel.callback import Callback
from rondel.run import Run
from rondel.testing.subject import Subject
from rondel.update import Update

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))
from loops.ranks import fork_group, warm_up

SMALL = (
    "epochs=1",
    "model.width=16",
    "model.latent=4",
    "evaluation.samples=64",
    "evaluation.proxy_updates=5",
    "run.device=cpu",
)
GAMES = {
    "lazy-penalties": (
        *("batch_size=330", "turns=D*2 G", "r1.every=2", "path.weight=2", "path.every=2"),
        *("epochs=2", "generator.ema=0.9"),
    ),
    "penalties-of-every-move": ("batch_size=330", "recipe=wgan_gp", "path.weight=2", "epochs=2"),
    # 1,297 images: the fifth batch is of one image, and looked at
    "an-empty-share": ("batch_size=324", "augment.mode=ada", "path.weight=2", "path.every=5"),
    "a-balance": ("batch_size=324", "epochs=2", "balance=0.6"),
}
LEARNING = ("lazy-penalties", "an-empty-share")


class Notebook(Callback):
    """Keeps the gradient of every update."""

    name = "notebook"
    essential = True

    def __init__(self) -> None:
        self.notes: dict[str, Tensor] = {}

    def update_finished(self, run: Run, update: Update) -> None:
        """Copy what the step was made with."""
        for place, parameter in enumerate(update.owned):
            if parameter.grad is not None:
                name = f"{update.name} {update.updates:03}.{place}"
                self.notes[name] = parameter.grad.detach().clone().contiguous()


class StillRun(Run):
    """A run whose updates move nothing."""

    def update(self, *arguments: Any, **settings: Any) -> Update:
        """Make an update that stands still."""
        made = super().update(*arguments, **settings)
        made.stand_still()
        return made


def play(game: str, place: Path, *, learns: bool) -> None:
    """Play as one process of a group, and write what it ends up with."""
    subject, notebook = Subject("gan", (*SMALL, *GAMES[game])), Notebook()
    loop: Any = subject.build()
    kind = Run if learns else StillRun
    with kind(place, settings=subject.config.run, callbacks=[notebook]) as run:
        run.print_with(lambda _: None)
        loop.train(run)
    for player in loop.players.values() if learns else ():
        for number, parameter in enumerate(player.update.owned):
            end = parameter.detach().clone().contiguous()
            notebook.notes[f"end of {player.name}.{number}"] = end
    rank = os.environ.get("RANK", "0")
    save_file(notebook.notes, place.with_suffix(f".{rank}.safetensors"))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def main(out: Path) -> int:
    """Play every game; say what failed."""
    torch.set_num_threads(1)
    warm_up()
    Subject("gan", SMALL).build()  # imports what the groups need, once for all of them
    failed = 0
    for game in GAMES:
        for size, learns in ((1, False), (2, False), *([(2, True)] if game in LEARNING else [])):
            place = out / f"{game}-{size}-{'learns' if learns else 'still'}"
            done = fork_group(size, lambda: play(game, place, learns=learns), out / place.name)  # noqa: B023 - called at once
            if any(done["codes"]):
                print(f"{place.name}: {done['codes']}", *done["stderr"], sep="\n", file=sys.stderr)
                failed += 1
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
