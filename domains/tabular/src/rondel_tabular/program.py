"""What an export computes, as one torch program: from the numbers of a row to what `predict` says.

Shapes: N rows, I numbers that are read, P numeric features, K categories, C copies of k members, O
outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rondel_tabular.data import cells
from rondel_tabular.data.column import FARTHEST, Column, NumericPart
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.target import Target
from rondel_tabular.losses import all_together
from rondel_tabular.models.stacked import Stacked

MOST_ROUNDING = 1e-6
"""How far a float32 input may move a scaled number near the median; above it, it is a double."""
HALF_STEP = 2.0**-24
"""The largest relative error of a float32."""
FIRST_PARTS = {"datetime": "days", "text": "0"}
"""What tells that a cell is missing, where no part of it is of use."""

Array = NDArray[Any]


class Input(NamedTuple):
    """A number that the program reads."""

    name: str
    column: Column
    part: NumericPart

    @property
    def type(self) -> str:
        """The numpy name of its type."""
        rounding = HALF_STEP * abs(self.part.center) * self.part.slope
        return "float64" if rounding > MOST_ROUNDING else "float32"


def numbers_of(column: Column) -> list[Input]:
    """Return the numbers that are read of a column."""
    parts = column.parts
    if not parts and column.optional and column.kind in FIRST_PARTS:
        parts = (NumericPart(FIRST_PARTS[column.kind], 0.0, 0.0),)
    named = ((f"{column.name}.{part.name}" if part.name else column.name, part) for part in parts)
    return [Input(name, column, part) for name, part in named]


def numbers_read(schema: Schema) -> list[Input]:
    """Return the I numbers that a schema reads."""
    return [each for column in schema.columns for each in numbers_of(column)]


def categories_read(schema: Schema) -> list[Column]:
    """Return the K categories that a schema reads."""
    return [column for column in schema.columns if column.kind == "category"]


def inputs_of(schema: Schema, frame: pd.DataFrame) -> dict[str, Array]:  # (N, 1) each
    """Return a table as the inputs of the program; columns that are absent are missing."""
    found: dict[str, Array] = {}
    for column in schema.columns:
        cells_there = frame.get(column.name)
        if column.kind == "category":
            texts = (
                pd.Series([""] * len(frame)) if cells_there is None else cells.texts(cells_there)
            )
            found[column.name] = texts.fillna("").to_numpy(dtype=object)[:, None]
            continue
        values = column.read(cells_there, len(frame))
        for each in numbers_of(column):
            numbers = values.get(each.part.name, values[next(iter(values))])
            found[each.name] = numbers.astype(each.type)[:, None]
    return found


def output_names(target: Target, *, alone: bool) -> list[str]:
    """Return the outputs of a target: those of a number have the names of `predict`."""
    if target.head == "classes":
        return [name if alone else f"{target.name}_{name}" for name in ("probability", "label")]
    names = {"gaussian": ["deviation"], "quantiles": [f"{q:g}" for q in target.quantiles]}
    return [target.name, *(f"{target.name}_{name}" for name in names.get(target.head, []))]


class Program(nn.Module):
    """Scaling, the network, and what its members say together.

    Args:
        schema: How columns become inputs.
        targets: What is predicted.
        network: It is not changed.
    """

    centers: Tensor  # (I,) double
    slopes: Tensor  # (I,) double
    truths: Tensor  # (I,) whether it is a boolean
    order: Tensor  # (P,) places among the I scaled numbers, then the I indicators of them

    def __init__(self, schema: Schema, targets: Sequence[Target], network: nn.Module) -> None:
        super().__init__()
        self.targets, self.network = tuple(targets), network
        read = numbers_read(schema)
        centers = [each.part.center for each in read]
        slopes = [each.part.slope for each in read]
        order: list[int] = []
        for column in schema.columns:
            mine = [place for place, each in enumerate(read) if each.column is column]
            order += mine if column.parts else []
            order += [len(read) + mine[0]] if mine and column.optional else []
        self.register_buffer("centers", torch.tensor(centers, dtype=torch.float64))
        self.register_buffer("slopes", torch.tensor(slopes, dtype=torch.float64))
        self.register_buffer("truths", torch.tensor([e.column.kind == "boolean" for e in read]))
        self.register_buffer("order", torch.tensor(order, dtype=torch.int64))

    def forward(
        self,
        numbers: Tensor | None = None,  # (N, I) double; None where there are none
        levels: Tensor | None = None,  # (N, K) int64
    ) -> list[Tensor]:
        """Return the outputs of all targets, in the order of `output_names`."""
        given = numbers if numbers is not None else levels
        assert given is not None
        none = given.new_zeros(len(given), 0)
        features = none.float() if numbers is None else self.features(numbers)
        outputs = self.network(features, none.int() if levels is None else levels.int())
        said = all_together(self.targets, outputs)
        found: list[Tensor] = []
        for target, told in zip(self.targets, said, strict=True):
            found += answers(target, told)
        return found

    def features(self, numbers: Tensor) -> Tensor:  # (N, I) -> (N, P)
        """Return scaled numbers and the indicators for 'missing', as `Column.features` does."""
        missing = numbers.isnan()
        values = torch.where(self.truths & ~missing, (numbers != 0).double(), numbers)
        moved = (values - self.centers) * self.slopes
        scaled = moved / (1 + (moved / FARTHEST).square()).sqrt()
        both = torch.cat([torch.where(missing, 0.0, scaled), missing.double()], dim=1)
        return both.index_select(1, self.order).float()


def answers(target: Target, told: Tensor) -> list[Tensor]:  # (N, O)
    """Return what `predict` makes of the outputs for a target."""
    if target.head == "classes":
        shares = (told / target.temperature).softmax(1)
        return [shares, shares.argmax(1)]
    found = [target.in_unit(target.point(told))]
    if target.head == "gaussian":
        found.append(told[:, 1].double().exp() * target.scale)
    if target.head == "quantiles":
        found += target.in_unit(told.sort(1).values).unbind(1)
    return found


class Copies(nn.Module):
    """The networks of a `Stacked`, one after the other: what a tracer can follow.

    Args:
        stacked: It is not changed.
    """

    def __init__(self, stacked: Stacked) -> None:
        super().__init__()
        self.networks = nn.ModuleList(copy.deepcopy(stacked.each) for _ in range(stacked.copies))
        for place, network in enumerate(self.networks):
            for name, parameter in stacked.each.named_parameters():
                owner, _, leaf = name.rpartition(".")
                mine = nn.Parameter(parameter.detach()[place].clone())
                setattr(network.get_submodule(owner), leaf, mine)

    def forward(self, numbers: Tensor, levels: Tensor) -> Tensor:  # -> (N, C * k, O)
        """Return the outputs of all members."""
        return torch.cat([network(numbers, levels) for network in self.networks], dim=1)


def plain(network: nn.Module) -> nn.Module:
    """Return a copy of a network on the CPU that can be traced, in evaluation mode."""
    found = Copies(network) if isinstance(network, Stacked) else copy.deepcopy(network)
    return found.cpu().eval()
