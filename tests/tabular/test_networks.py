"""The networks are what their papers say, and members and copies share what they should."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.column import Column, NumericPart
from rondel_tabular.data.schema import Schema
from rondel_tabular.models.catalogue import make_network
from rondel_tabular.models.numbers import PiecewiseNumbers
from rondel_tabular.models.stacked import Stacked

SCHEMA = Schema(
    (
        Column("age", "number", True, parts=(NumericPart("", 40.0, 0.1, (-2.0, -1.0, 0.5, 2.0)),)),
        Column("size", "number", False, parts=(NumericPart("", 0.0, 1.0, (-1.0, 1.0)),)),
        Column("colour", "category", False, levels=("red", "green")),
        Column("town", "category", False, levels=tuple(f"town {n}" for n in range(30))),
    )
)


def network_of(*items: str, outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    small = ("network.width=16", "network.number_width=4", *items)
    config = resolve(TabularConfig, [parse_overrides(TabularConfig, small)]).config
    return make_network(SCHEMA, outputs, config).double().eval()


def rows(*shape: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    numbers = torch.randn(*shape, 3, generator=draw, dtype=torch.float64)
    levels = torch.stack(
        [torch.randint(0, size, shape, generator=draw) for size in SCHEMA.levels], dim=-1
    )
    return numbers, levels.int()


@pytest.mark.parametrize("name", ["mlp", "resnet", "ft_transformer", "tabm", "tabm_mini"])
@pytest.mark.parametrize("numbers", ["plain", "piecewise", "periodic"])
def test_every_network_gives_the_outputs_of_every_member(name: str, numbers: str) -> None:
    if name == "ft_transformer" and numbers == "plain":
        with pytest.raises(ConfigError, match="as wide as its tokens"):
            network_of(f"network.name={name}", f"network.numbers={numbers}")
        return
    network = network_of(f"network.name={name}", f"network.numbers={numbers}")
    assert network(*rows(5)).shape == (5, network.members, 3)
    assert network.members == (8 if "tabm" in name else 1)


@pytest.mark.parametrize("name", ["tabm", "tabm_mini"])
def test_a_member_with_rows_of_its_own_says_what_it_says_of_rows_for_all(name: str) -> None:
    network = network_of(f"network.name={name}", "network.members=3")
    numbers, levels = rows(6)
    for_all = network(numbers, levels)
    own = network(
        torch.stack([numbers, numbers.flip(0), numbers.roll(1, 0)], dim=1),
        torch.stack([levels, levels.flip(0), levels.roll(1, 0)], dim=1),
    )
    torch.testing.assert_close(own[:, 0], for_all[:, 0])
    torch.testing.assert_close(own[:, 1].flip(0), for_all[:, 1])
    torch.testing.assert_close(own[:, 2].roll(-1, 0), for_all[:, 2])


@pytest.mark.parametrize("name", ["tabm", "tabm_mini"])
def test_the_loss_of_a_member_leaves_the_others_adapters_and_heads_alone(name: str) -> None:
    network = network_of(f"network.name={name}", "network.members=3")
    network(*rows(6))[:, 1].sum().backward()
    own = [p for p in network.parameters() if p.ndim > 1 and len(p) == 3 and p.grad is not None]
    own = [p for p in own if not p.grad[1].eq(0).all() and p.grad[0].eq(0).all()]
    assert len(own) >= (3 if name == "tabm_mini" else 4)  # scaling, heads; those of each layer
    for parameter in own:
        assert parameter.grad is not None
        assert parameter.grad[2].eq(0).all()


def test_numbers_between_edges_are_encoded_as_in_the_paper() -> None:
    edges = [(-2.0, -1.0, 0.5, 2.0), (0.0, 1.0)]
    layer = PiecewiseNumbers(edges, 4).double()
    nn.init.normal_(layer.bend)
    numbers = torch.tensor([[-3.0, 0.25], [-1.5, 2.0], [0.75, -1.0], [5.0, 1.0]]).double()
    found = layer(numbers).view(4, 2, 4)
    for row in range(4):
        for place, ends in enumerate(edges):
            x = numbers[row, place]
            expected = x * layer.weight[place] + layer.bias[place]
            for bin_, (low, high) in enumerate(itertools.pairwise(ends)):
                share = min(max((float(x) - low) / (high - low), 0.0), 1.0)
                expected = expected + share * layer.bend[place, bin_]
            torch.testing.assert_close(found[row, place], expected)


COPIES: Any = pytest.mark.parametrize("name", ["mlp", "tabm", "tabm_mini", "ft_transformer"])


@COPIES
def test_copies_side_by_side_are_separate_networks(name: str) -> None:
    """Outputs and gradients of a stack are those of its networks, each by itself."""
    alone = [network_of(f"network.name={name}", "network.dropout=0") for _ in range(3)]
    for number, network in enumerate(alone):
        for parameter in network.parameters():
            parameter.data += 0.1 * number
    stacked = Stacked([copy.deepcopy(network) for network in alone])
    numbers, levels = rows(7, 3)  # rows of its own for each copy
    found = stacked.outputs_of_copies(numbers, levels)
    expected = [net(numbers[:, n], levels[:, n]) for n, net in enumerate(alone)]
    torch.testing.assert_close(found, torch.stack(expected, dim=1))
    found.square().sum().backward()
    torch.stack(expected).square().sum().backward()
    of_stack = dict(stacked.each.named_parameters())
    for number, network in enumerate(alone):
        for key, parameter in network.named_parameters():
            torch.testing.assert_close(of_stack[key].grad[number], parameter.grad)


@COPIES
def test_a_stack_says_of_rows_for_all_what_each_copy_says(name: str) -> None:
    alone = [network_of(f"network.name={name}") for _ in range(2)]
    for parameter in alone[1].parameters():
        parameter.data *= 0.5
    stacked = Stacked([copy.deepcopy(network) for network in alone]).eval()
    found = stacked(*rows(4))
    assert stacked.members == found.shape[1]
    torch.testing.assert_close(found, torch.cat([network(*rows(4)) for network in alone], dim=1))


def test_a_stack_is_kept_by_the_names_of_one_network() -> None:
    stacked = Stacked([network_of() for _ in range(2)])
    names = set(network_of().state_dict())
    assert {name.removeprefix("each.") for name in stacked.state_dict()} == names


def test_an_mlp_with_members_is_refused() -> None:
    with pytest.raises(ConfigError, match="without members"):
        network_of("network.name=mlp", "network.members=4")


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 heads do not divide a width of 16"):
        network_of("network.name=ft_transformer", "network.heads=3")
