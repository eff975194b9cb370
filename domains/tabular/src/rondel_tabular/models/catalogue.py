"""Networks by name, with fresh weights, for a schema."""

from __future__ import annotations

from torch import nn

from rondel.errors import ConfigError
from rondel_tabular.config import MEMBERS, NetworkConfig, TabularConfig
from rondel_tabular.data.schema import Schema
from rondel_tabular.models.backbones import MLPBackbone, ResNetBackbone
from rondel_tabular.models.ft_transformer import FTTransformer
from rondel_tabular.models.inputs import Categories, Inputs
from rondel_tabular.models.members import Network, Scaling, SharedBackbone
from rondel_tabular.models.numbers import PeriodicNumbers, PiecewiseNumbers, PlainNumbers
from rondel_tabular.models.stacked import Stacked


def make_network(schema: Schema, outputs: int, config: TabularConfig) -> nn.Module:
    """Make the network of a config: one, or a stack of one for each fold of each repeat.

    It takes numbers and levels, and returns the outputs of each of its members, (N, k, outputs).

    Raises:
        ConfigError: A setting does not fit the network.
    """
    check(config.network)
    if config.copies == 1:
        return one_network(schema, outputs, config)
    return Stacked([one_network(schema, outputs, config) for _ in range(config.copies)])


def one_network(schema: Schema, outputs: int, config: TabularConfig) -> nn.Module:
    """Make one network."""
    network, members = config.network, config.members
    if network.name == "ft_transformer":
        return FTTransformer(
            numbers_of(schema, network, network.width),
            schema.levels,
            width=network.width,
            layers=network.layers,
            heads=network.heads,
            dropout=network.dropout,
            outputs=outputs,
        )
    inputs = Inputs(
        numbers_of(schema, network, network.number_width), categories_of(schema, network)
    )
    scaled = network.name in MEMBERS and members > 1
    return Network(
        inputs,
        backbone_of(network, inputs.width, members),
        members=members,
        outputs=outputs,
        scaling=Scaling(members, inputs.widths) if scaled else None,
    )


def numbers_of(schema: Schema, network: NetworkConfig, width: int) -> nn.Module | None:
    """Make what numbers become."""
    if not schema.numbers:
        return None
    if network.numbers == "piecewise":
        return PiecewiseNumbers(schema.edges, width)
    if network.numbers == "periodic":
        return PeriodicNumbers(schema.numbers, width, frequency=network.frequency)
    return PlainNumbers(schema.numbers)


def categories_of(schema: Schema, network: NetworkConfig) -> Categories | None:
    """Make what categories become."""
    if not schema.levels:
        return None
    return Categories(schema.levels, one_hot=network.one_hot, width=network.category_width)


def backbone_of(network: NetworkConfig, inputs: int, members: int) -> nn.Module:
    """Make the hidden layers."""
    sizes = (inputs, network.width, network.layers)
    kept = {"activation": network.activation, "dropout": network.dropout}
    if network.name == "resnet":
        return ResNetBackbone(*sizes, **kept)  # type: ignore[arg-type]
    if network.name == "tabm" and members > 1:
        return SharedBackbone(*sizes, members=members, **kept)  # type: ignore[arg-type]
    return MLPBackbone(*sizes, **kept)  # type: ignore[arg-type]


def check(network: NetworkConfig) -> None:
    """Refuse settings that do not fit a network.

    Raises:
        ConfigError: Names the key.
    """
    if network.name not in MEMBERS and (network.members or 1) > 1:
        raise ConfigError(
            f"{network.name!r} is one network, without members",
            where="network.members",
            hint=f"Choose network.name={' or '.join(MEMBERS)}, or leave it out.",
        )
    if network.name == "ft_transformer" and network.width % network.heads:
        raise ConfigError(
            f"{network.heads} heads do not divide a width of {network.width}",
            where="network.heads",
            hint="Choose a width that is a multiple of it.",
        )
    if network.name == "ft_transformer" and network.numbers == "plain":
        raise ConfigError(
            "a transformer needs numbers that are as wide as its tokens",
            where="network.numbers",
            hint="Choose piecewise or periodic.",
        )
