"""Which parameters an update owns, what they are called, and whether a checkpoint holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from rondel.errors import StateError

Owned = nn.Module | Sequence[nn.Module] | Iterable[nn.Parameter]
Named = list[tuple[str, nn.Parameter]]


def as_items(owned: Owned) -> list[Any]:
    """Return the modules or parameters that an update was given, as a list."""
    return [owned] if isinstance(owned, nn.Module) else list(owned)


def named_parameters(
    items: Sequence[Any], registered: Mapping[str, nn.Module], *, update: str
) -> Named:
    """Name the parameters of an update that are trained, each once.

    Parameters of the only module of an update have the names that the module gives them, others
    the name of the registered module in front.

    Args:
        items: Modules or parameters.
        registered: The modules that checkpoints hold, by name.
        update: The name of the update, for messages.

    Raises:
        StateError: None of them is trained, or one belongs to no registered module.
    """
    wanted: dict[int, nn.Parameter] = {}
    for item in items:
        members = item.parameters() if isinstance(item, nn.Module) else [item]
        wanted.update((id(p), p) for p in members if p.requires_grad)
    if not wanted:
        raise StateError(
            "owns no parameter that is trained",
            where=f"update '{update}'",
            hint="Are all of them frozen (requires_grad=False)?",
        )
    names = names_of(items, registered)
    lost = [tuple(p.shape) for key, p in wanted.items() if key not in names]
    if lost:
        raise StateError(
            f"owns {len(lost)} parameters of no registered module, the first of shape {lost[0]}",
            where=f"update '{update}'",
            hint="They would be lost on resume: run.track('model', model) before the update.",
        )
    return [(names[key], parameter) for key, parameter in wanted.items()]


def names_of(items: Sequence[Any], registered: Mapping[str, nn.Module]) -> dict[int, str]:
    """Return the name of every registered parameter, by its identity."""
    only = items[0] if len(items) == 1 and isinstance(items[0], nn.Module) else None
    sources = {"": only} if only is not None else registered
    plain = only is not None or len(registered) == 1
    return {
        id(parameter): name if plain else f"{prefix}.{name}"
        for prefix, module in sources.items()
        for name, parameter in module.named_parameters()
    }


@contextmanager
def training_only(module: nn.Module, trained: Iterable[nn.Parameter]) -> Iterator[None]:
    """Keep gradients, and the activations they need, of these parameters only for a while.

    An update leaves other parameters alone anyway; this saves what their gradients would cost.
    """
    wanted = {id(parameter) for parameter in trained}
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    for parameter, needed in before:
        parameter.requires_grad_(needed and id(parameter) in wanted)
    try:
        yield
    finally:
        for parameter, needed in before:
            parameter.requires_grad_(needed)
