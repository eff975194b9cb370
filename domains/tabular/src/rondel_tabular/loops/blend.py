"""The loop of blends: networks and boosted trees on the same folds, weighed by hill climbing.

Shapes: N rows, C copies (folds times repeats), H rows held out of a copy, O outputs, J kinds of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from rondel import Run, Section, Table
from rondel.errors import ConfigError, DataError
from rondel_tabular import trees
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.data.target import Target
from rondel_tabular.loops.folds import Folds
from rondel_tabular.losses import ROW_LOSSES
from rondel_tabular.metrics import measure
from rondel_tabular.mixture import NETWORKS, climb, mixed


class Blend(Folds):
    """Grow trees and train networks for the same folds, and weigh what they say together.

    The weights are those that say the rows best that neither has seen (Caruana et al., 2004). The
    trees come first, so that every evaluation is one of the blend, and decides when to stop.

    Raises:
        ConfigError: Trees cannot say what is asked for, or are not installed.
        DataError: A class is missing among the rows of a fold's training.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        check_targets(self)
        self.libraries = trees.libraries_of(self.config.blend.trees)
        self.grown: dict[str, list[Mapping[str, Any]]] = {name: [] for name in self.libraries}
        self.tree_said: dict[str, Tensor] = {}

    def train(self, run: Run) -> None:
        """Grow the trees of every fold, then train the networks, and evaluate both together."""
        run.once(self.introduce, run)
        for library in self.libraries:
            for fold in range(self.model.copies):
                self.grown[library].append(run.once(self.grow, library, fold, run))
            self.tree_said[library] = self.say_of_held_out(library)
        self.train_networks(run)

    def grow(self, library: str, fold: int, run: Run) -> dict[str, Any]:
        """Grow the trees of a fold until they say the rows that it holds out no better."""
        settings = self.config.blend
        growth = trees.Growth(settings.rounds, torch.get_num_threads(), self.config.run.seed)
        held = self.held_out[fold][self.held_out[fold] >= 0]
        parts = (self.rows_of(self.seen[fold]), self.rows_of(held))
        state = trees.grow(library, *parts, self.dataset.targets[0], growth)
        run.say(f"{library}, fold {fold + 1} of {self.model.copies}: {state['rounds']} rounds.")
        return state

    def rows_of(self, rows: Tensor) -> trees.Rows:
        """Return training rows as trees read them."""
        train = self.dataset.train
        return trees.Rows(
            self.table[rows.numpy()],
            train.levels.shape[1],
            train.values[rows, 0].double().numpy(),
            train.weights[rows].double().numpy(),
        )

    @cached_property
    def table(self) -> trees.Table:
        """All rows, as trees read them."""
        return trees.table_of(self.dataset.train.numbers, self.dataset.train.levels)

    def say_of_held_out(self, library: str) -> Tensor:  # (C, H, O)
        """Return what the trees of each fold say of the rows that it holds out."""
        said = torch.zeros(*self.held_out.shape, self.dataset.outputs)
        for fold, (rows, state) in enumerate(zip(self.held_out, self.grown[library], strict=True)):
            held = rows[rows >= 0]
            answer = trees.ask(library, state, self.table[held.numpy()], self.dataset.targets[0])
            said[fold, : len(held)] = answer
        return said

    def evaluate(self, run: Run) -> Mapping[str, Any]:
        """Keep the networks that got better, and measure what all models say together."""
        self.keep_better()
        told, train = self.told(), self.dataset.train
        run.log(**{f"weight_{name}": weight for name, weight in self.weights(told).items()})
        target, values = self.dataset.targets[0], train.values[:, 0]
        losses = {
            f"loss_{name}": mean_loss(target, said, values, train.weights)
            for name, said in told.items()
        }
        return {**measure(self.dataset.targets, self.said(), train, self.scales), **losses}

    def told(self) -> dict[str, Tensor]:  # (N, O) each
        """Return what networks and trees each say of the rows that they never saw."""
        told = {NETWORKS: self.out_of_fold()[0]}
        return told | {name: self.in_rows(said)[0] for name, said in self.tree_said.items()}

    def weights(self, told: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the weights with which the models say those rows best together."""
        train, steps = self.dataset.train, self.config.blend.steps
        target = self.dataset.targets[0]
        return climb(target, told, train.values[:, 0], train.weights, steps=steps)

    def said(self) -> list[Tensor]:  # (N, O)
        """Return what networks and trees say together of the rows that they never saw."""
        told = self.told()
        return [mixed(self.dataset.targets[0], told, self.weights(told))]

    def sections(self, run: Run) -> Sequence[Section]:
        """Show what each model weighs beside its loss alone, then what they say together."""
        found = super().sections(run)
        return (self.weights_section(), *found) if found else ()

    def weights_section(self) -> Section:
        """Return the weights as a table, with the loss of each model on rows it never saw."""
        target, train = self.dataset.targets[0], self.dataset.train
        told = self.told()
        weights = {**self.weights(told), "together": 1.0}
        told["together"] = self.said()[0]
        rows = [
            (name, weights[name], mean_loss(target, said, train.values[:, 0], train.weights))
            for name, said in told.items()
        ]
        text = "The weights were chosen on these rows, so that the last loss is a little too good."
        return Section("Blend", text=text, table=Table(("model", "weight", "loss"), rows))

    def bundle(self) -> TabularBundle:
        """Return networks and trees, with their weights."""
        bundle = super().bundle()
        bundle.facts["trees"] = {name: list(states) for name, states in self.grown.items()}
        bundle.facts["weights"] = self.weights(self.told())
        return bundle


def mean_loss(target: Target, said: Tensor, values: Tensor, weights: Tensor) -> float:
    """Return the mean loss of what is said of rows."""
    losses = ROW_LOSSES[target.head](target, said, values).double() * weights
    return float(losses.sum() / weights.sum().double())


def check_targets(loop: Folds) -> None:
    """Refuse what trees cannot say.

    Raises:
        ConfigError: Several targets, or more than a mean of a number.
        DataError: A class is missing among the rows of a fold's training.
    """
    targets = loop.dataset.targets
    if len(targets) > 1 or targets[0].head not in ("classes", "point"):
        raise ConfigError(
            "trees say one class or the mean of one number",
            where="targets" if len(targets) > 1 else "head",
            hint="Choose another loop, or a single target with head=point.",
        )
    if not targets[0].labels:
        return
    for rows in loop.seen:
        counts = torch.bincount(
            loop.dataset.train.values[rows, 0].long(), minlength=targets[0].outputs
        )
        if not counts.all():
            label = targets[0].labels[int((counts == 0).nonzero()[0])]
            raise DataError(
                f"the class {label!r} is in too few rows: one fold's training has none of it",
                where=f"column {targets[0].name!r}",
                hint="Leave out classes that are in a single row, or choose another loop.",
            )
