"""Sentence embeddings from pairs, with the negatives of a batch of any size.

Letters: N pairs of the batch, B of this process or of a piece, H width of an embedding.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
from torch import Tensor

from rondel import Loss, Run, Update, keyed
from rondel.batch import split
from rondel.errors import ConfigError
from rondel.processes import Processes, exchange
from rondel_text.config import TextConfig
from rondel_text.data.batch import Texts
from rondel_text.loops.material import Material
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.text_model import TextModel
from rondel_text.tasks.pairs import Pairs, embedded

State = dict[str, Any]
"""Of the random generators, before a piece is computed."""


class Batch(NamedTuple):
    """This process' share of a batch, or a piece of it."""

    first: Texts
    second: Texts
    keys: Tensor  # (B, 2) int64, equal for equal texts


class Recut(Exception):  # noqa: N818 - no error: the batch is begun again
    """Memory ran out, and the pieces are no longer those that were embedded."""


class Contrastive(TextLoop):
    """Bring the texts of a pair together, and away from all others of the batch.

    The loss of a pair needs every text of the batch, so its pieces cannot be differentiated one by
    one. With cached gradients (Gao et al., 2021, section 3) they can: embeddings first, without a
    graph; then the loss, and its gradient by the embeddings; then each piece once more, with a
    graph, against its part of that gradient. So micro-batches and processes give the gradient of
    the one batch, with the memory of a piece.

    Raises:
        ConfigError: A batch has no negatives, or the step cannot be computed like that.
    """

    def __init__(self, config: TextConfig, model: TextModel, material: Material) -> None:
        super().__init__(config, model, material)
        check_settings(config)
        self.losses = cast(Pairs, material.task).contrast

    def train(self, run: Run) -> None:
        """Train, and evaluate after every epoch."""
        config, stream = self.config, self.material.training
        self.begin(run)
        update = run.update("model", self.model, config.update, total=stream.planned(config.epochs))
        for epoch in run.epochs(config.epochs):
            for batch in run.batches(stream):
                self.learn(run, update, Batch(*batch))
            if self.is_due(run, epoch, config.epochs):
                run.evaluate(self)

    def learn(self, run: Run, update: Update, batch: Batch) -> None:
        """Make one update from cached gradients.

        When memory runs out, the batch is begun again in more pieces, because dropout would differ
        from what was embedded. One process of several cannot begin again alone: with dropout, the
        gradient of that one batch is not exact.
        """
        start = keyed.random_state(run.device)
        while True:
            try:
                pairs, states = self.represent(run, update, batch)
                losses, gradient = self.contrast(run, pairs, batch.keys)
                surrogate = partial(self.surrogate, run.processes)
                update(surrogate, batch, gradient, losses, states)
            except Recut:
                keyed.set_random_state(start, run.device)
            else:
                return

    def represent(
        self, run: Run, update: Update, batch: Batch
    ) -> tuple[Tensor, list[State | None]]:
        """Embed a batch in pieces, without a graph.

        Returns:
            (B, 2, H), and the state of the random generators for the first pair of each piece.

        Raises:
            Recut: Memory ran out; the pieces are smaller now.
        """
        found = [torch.zeros(0, 2, self.model.width, device=run.device)]
        states: list[State | None] = []
        try:
            for piece in split(batch, update.micro_batches):
                size = len(piece[-1])
                if not size:  # a short last batch may leave a process nothing
                    continue
                states += [keyed.random_state(run.device), *[None] * (size - 1)]
                with torch.no_grad():
                    found.append(update.accumulation.forward(self.embedded, piece))
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not update.accumulation.can_split(error, batch):
                raise
            update.accumulation.split_further()
            raise Recut from None
        return torch.cat(found), states

    def contrast(self, run: Run, pairs: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Compare all pairs of all processes.

        Returns:
            The losses (B,) of this process' pairs, and (B, 2, H) the gradient of the sum of all
            losses by their embeddings.
        """
        sizes: list[int] = run.processes.gather(len(keys))
        start = sum(sizes[: run.processes.rank])
        mine = slice(start, start + len(keys))
        everyone = [gathered(rows, run.processes, mine, sum(sizes)) for rows in (pairs, keys)]
        losses, gradient = self.losses.cached(*everyone)
        return losses[mine], gradient[mine]

    def surrogate(
        self,
        processes: Processes,
        batch: Batch,
        gradient: Tensor,
        losses: Tensor,
        states: list[State | None],
    ) -> Loss:
        """Return a loss of a piece with its true value, and its part of the batch's gradient.

        Raises:
            Recut: The piece does not begin where one that was embedded began.
        """
        state = states[0]
        if state is not None:
            keyed.set_random_state(state, processes.device)
        elif processes.size == 1:
            raise Recut
        inner = (self.embedded(*batch) * gradient).sum()
        return Loss(losses.sum() + inner - inner.detach(), len(losses))

    def embedded(self, first: Texts, second: Texts, keys: Tensor) -> Tensor:  # noqa: ARG002 - a batch
        """Return the embeddings of pairs: (B, 2, H)."""
        return embedded(self.model, first, second)


def gathered(rows: Tensor, processes: Processes, place: slice, size: int) -> Tensor:
    """Return the rows of all processes, one process after the other: (N, ...).

    Args:
        rows: (B, ...) this process' share.
        processes: Who has the others.
        place: Where the share stands.
        size: N.
    """
    if processes.size == 1:
        return rows
    whole = rows.new_zeros(size, *rows.shape[1:])
    whole[place] = rows
    with exchange():
        dist.all_reduce(whole)  # shares differ in size, and zeros change nothing
    return whole


def check_settings(config: TextConfig) -> None:
    """Refuse what leaves no negatives, and what calls the loss in another way.

    Raises:
        ConfigError: Names the key.
    """
    if config.batch_size < 2 and config.batching in ("random", "buckets"):
        raise ConfigError(
            "a batch of one pair has no others to tell it from",
            where="batch_size",
            hint="Set it to 2 or more; the more, the harder the task.",
        )
    for key, is_set in (
        ("update.compile", config.update.compile),
        ("update.optimizer.name", config.update.optimizer.name.lower() == "lbfgs"),
    ):
        if is_set:
            raise ConfigError(
                "the loop 'contrastive' computes each piece twice, with equal dropout and weights",
                where=key,
                hint="Leave the key out.",
            )
