"""The loop of folds: cross-validation as networks that are trained side by side.

Shapes: N rows, C copies (folds times repeats), k members of each, H rows held out of a copy (the
most of all), O outputs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from rondel import Run, Section, Stream, UpdateConfig
from rondel_tabular.bundle import TabularBundle, columns_of, harmless
from rondel_tabular.data.batches import OwnRows
from rondel_tabular.data.folds import grouped_folds, stratified_folds
from rondel_tabular.data.split import BINS
from rondel_tabular.loops.table_loop import TableLoop
from rondel_tabular.losses import all_together, row_losses
from rondel_tabular.metrics import measure
from rondel_tabular.models.stacked import Stacked

CHUNK_ROWS = 4096
OUT_OF_FOLD = "out_of_fold.csv"


class Folds(TableLoop):
    """Train a network for each fold on the rows of the others, all in one pass over the rows.

    The networks share nothing, so that what each says of the rows that it never saw is honest. Each
    is kept as it was when it said them best; together they are the model.
    """

    model: Stacked

    def train(self, run: Run) -> None:
        """Train all networks at once, and evaluate after every epoch."""
        run.once(self.introduce, run)
        self.train_networks(run)

    def train_networks(self, run: Run) -> None:
        """Train all networks at once, and write what they said of rows they never saw."""
        planned = self.own_batches.planned(self.config.epochs)
        fit = run.update("model", self.model, self.settings, total=planned)
        run.track("best", self.best)
        for _ in run.epochs(self.config.epochs):
            for batch in run.batches(self.own_batches):
                fit(self.loss, *batch)
            run.evaluate(self)
        run.once(self.write_out_of_fold, run)

    @property
    def settings(self) -> UpdateConfig:
        """The update of all networks, whose clipping is that of one.

        The loss is their mean, so that each has 1 / C of its gradient: what AdamW does with it is
        the same. The norm of all of them together is 1 / sqrt(C) of that of one.
        """
        settings = self.config.update
        if settings.clip_norm is None:
            return settings
        shared = settings.clip_norm / math.sqrt(self.model.copies)
        return settings.model_copy(update={"clip_norm": shared})

    @cached_property
    def folds(self) -> Tensor:
        """The fold of each row in each repeat, (repeats, N)."""
        settings, seed = self.config.folds, self.config.run.seed
        groups = self.dataset.groups
        deal = stratified_folds if groups is None else grouped_folds
        dealt = strata_of(self.dataset.train.values[:, 0]) if groups is None else groups
        found = [
            deal(dealt, settings.count, seed=seed, repeat=repeat)
            for repeat in range(settings.repeats)
        ]
        return torch.from_numpy(np.stack(found))

    @cached_property
    def own_batches(self) -> Stream:
        """Batches in which each network has rows of the other folds, each member its own."""
        return self.stream(OwnRows(self.model.members, self.batch_size, self.seen))

    @cached_property
    def seen(self) -> list[Tensor]:
        """The rows that each network learns from."""
        count = self.config.folds.count
        return [torch.nonzero(f != fold).flatten() for f in self.folds for fold in range(count)]

    @cached_property
    def held_out(self) -> Tensor:
        """The rows that each network never sees, (C, H); shorter ones end with -1."""
        count = self.config.folds.count
        rows = [torch.nonzero(f == fold).flatten() for f in self.folds for fold in range(count)]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)

    @cached_property
    def best(self) -> BestCopies:
        """Each network as it was when it said its held-out rows best."""
        return BestCopies(self.model, rows=self.held_out.shape[1], outputs=self.dataset.outputs)

    def evaluate(self, run: Run) -> Mapping[str, Any]:  # noqa: ARG002 - all processes do all of it
        """Keep the networks that got better, and measure what they say of rows they never saw."""
        self.keep_better()
        return measure(self.dataset.targets, self.out_of_fold(), self.dataset.valid, self.scales)

    def said(self) -> list[Tensor]:  # (N, O) each
        """Return what is said of each row by the best networks that never saw it, by target."""
        return self.out_of_fold()

    def sections(self, run: Run) -> Sequence[Section]:
        """Say that every row is told by networks that never saw it, and show what they say."""
        text = (
            "What this report says of a row is said by the networks that never saw it. Only the "
            "importance of columns and the partial dependence ask all networks, most of which have "
            "learnt the rows that are changed."
        )
        found = super().sections(run)
        return (Section("Out of fold", text=text), *found) if found else ()

    def keep_better(self) -> None:
        """Keep those networks that say the rows they never saw better than ever before."""
        said = self.say_held_out()
        self.best.take(self.model, said, self.held_out_losses(said))

    def say_held_out(self) -> Tensor:  # (C, H, O)
        """Return what each network says of the rows that it never saw."""
        train, device = self.dataset.train, next(self.model.parameters()).device
        found = []
        for rows in torch.split(self.held_out.clamp(min=0).T, CHUNK_ROWS):  # (B, C)
            numbers, levels = train.numbers[rows].to(device), train.levels[rows].to(device)
            outputs = self.model.outputs_of_copies(numbers, levels)  # (B, C, k, O)
            said = all_together(self.dataset.targets, outputs.flatten(0, 1))
            found.append(torch.cat(said, dim=1).view(*rows.shape, -1).cpu())
        return torch.cat(found).transpose(0, 1)

    def held_out_losses(self, said: Tensor) -> Tensor:  # (C, H, O) -> (C,)
        """Return the mean loss of each network over the rows that it never saw."""
        train, there = self.dataset.train, self.held_out >= 0
        values, weights = train.values[self.held_out], train.weights[self.held_out] * there
        losses = row_losses(self.dataset.targets, said, values, scales=self.scales)
        sums = torch.stack(losses).sum(0).double() * weights
        return sums.sum(1) / weights.sum(1).double()

    def out_of_fold(self) -> list[Tensor]:
        """Return what is said of each row by the best networks that never saw it, by target."""
        return self.in_rows(self.best.said)

    def in_rows(self, said: Tensor) -> list[Tensor]:  # (C, H, O) -> (N, O) of each target
        """Return what is said of held-out rows in the order of all rows, repeats together."""
        count, repeats = self.config.folds.count, self.config.folds.repeats
        found = torch.zeros(self.dataset.train.rows, repeats, self.dataset.outputs)
        for number, (held, mine) in enumerate(zip(self.held_out, said, strict=True)):
            there = held >= 0
            found[held[there], number // count] = mine[there]
        return all_together(self.dataset.targets, found)

    def write_out_of_fold(self, run: Run) -> None:
        """Write what is said of each row by networks that never saw it, as CSV in the run directory.

        Its column 'row' counts the rows of the table from 0; it is what blending needs.
        """
        path = run.directory_or_none
        if path is None or run.processes.rank:
            return
        columns: dict[str, Any] = {"row": self.dataset.train_rows}
        for number, folds in enumerate(self.folds.tolist()):
            columns["fold" if len(self.folds) == 1 else f"fold_{number}"] = folds
        said = self.out_of_fold()
        for target, outputs in zip(self.dataset.targets, said, strict=True):
            columns |= columns_of(target, outputs.double(), alone=len(said) == 1)
        harmless(pd.DataFrame(columns)).to_csv(path / OUT_OF_FOLD, index=False, lineterminator="\n")
        run.say(f"What each row was told by networks that never saw it: {OUT_OF_FOLD}.")

    def bundle(self) -> TabularBundle:
        """Return the best networks, with the schema and the targets."""
        return TabularBundle.of(self.best.model, self.calibrated(), self.config, self.data)

    def introduce(self, run: Run) -> None:
        """Say what was made of the table and into how many parts it is divided."""
        super().introduce(run)
        settings = self.config.folds
        repeats = f", {settings.repeats} times" if settings.repeats > 1 else ""
        run.say(
            f"{settings.count} folds{repeats}: {self.model.copies} networks side by side, "
            f"{self.model.members // self.model.copies} members each."
        )


class BestCopies:
    """The best state of each of several networks, and what it said of the rows it never saw.

    Args:
        model: The networks, as they are at the start.
        rows: H.
        outputs: O.
    """

    def __init__(self, model: Stacked, *, rows: int, outputs: int) -> None:
        self.model = copy.deepcopy(model)
        self.losses = torch.full((model.copies,), float("inf"), dtype=torch.float64)
        self.said = torch.zeros(model.copies, rows, outputs)

    @torch.no_grad()
    def take(self, model: Stacked, said: Tensor, losses: Tensor) -> None:
        """Keep those networks whose loss is lower than it ever was."""
        better = losses < self.losses  # NaN is not
        self.losses = torch.where(better, losses, self.losses)
        self.said = torch.where(better[:, None, None], said, self.said)
        for kept, present in zip(self.model.parameters(), model.parameters(), strict=True):
            chosen = better.to(present.device).reshape(-1, *[1] * (present.ndim - 1))
            kept.data = torch.where(chosen, present, kept.to(present.device))

    def state_dict(self) -> dict[str, Any]:
        """Return networks, losses and what was said."""
        return {"model": self.model.state_dict(), "losses": self.losses, "said": self.said}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put them back."""
        self.model.load_state_dict(state["model"])
        self.losses, self.said = state["losses"].clone(), state["said"].clone()


def strata_of(values: Tensor) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the stratum of each row: its class, or the range its number falls into.

    Args:
        values: (N,) of the first target; rows without one are a stratum of their own.
    """
    known = values.nan_to_num(-1.0).numpy()
    different = np.unique(known)
    if len(different) <= len(known) // 5:
        return np.searchsorted(different, known)
    ranks = known.argsort(kind="stable").argsort(kind="stable")
    return (ranks * BINS // len(ranks)).astype(np.int64)
