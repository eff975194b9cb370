"""Build torch optimizers by name: parameter groups by pattern, fused kernels where they exist."""

from __future__ import annotations

import difflib
import fnmatch
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from rondel.errors import ConfigError
from rondel.settings import GroupConfig, OptimizerConfig

Named = Sequence[tuple[str, nn.Parameter]]
FUSED = {
    "Adam": {"cpu", "cuda"},
    "AdamW": {"cpu", "cuda"},
    "SGD": {"cpu", "cuda"},
    "Adagrad": {"cpu"},
}
"""Optimizers with a fused kernel, and the devices on which every supported torch has it."""
FUSED_DTYPES = {torch.float32, torch.float64, torch.float16, torch.bfloat16}


def make_optimizers(config: OptimizerConfig, named: Named, *, where: str) -> list[Optimizer]:
    """Return the optimizers for named parameters: one, or two where one cannot own them all.

    Muon updates matrices only; with ``name='muon'`` everything else goes to AdamW.

    Raises:
        ConfigError: Unknown optimizer, an option it does not take, or a pattern without a match.
    """
    kind = optimizer_class(config.name, where=where)
    check_patterns(config, named, where=where)
    if kind.__name__ != "Muon":
        return [make_optimizer(kind, config, named, where=where)]
    matrices = [(name, p) for name, p in named if p.ndim == 2]
    others = [(name, p) for name, p in named if p.ndim != 2]
    made = [make_optimizer(kind, config, matrices, where=where)] if matrices else []
    if others:
        rest = OptimizerConfig(lr=config.lr, weight_decay=config.weight_decay, groups=config.groups)
        made.append(make_optimizer(torch.optim.AdamW, rest, others, where=where))
    return made


def make_optimizer(
    kind: type[Optimizer], config: OptimizerConfig, named: Named, *, where: str
) -> Optimizer:
    """Build one optimizer over groups that share learning rate and weight decay."""
    options = {"lr": config.lr, **checked_options(kind, config, where=where)}
    devices = FUSED.get(kind.__name__, set())
    if all(p.device.type in devices and p.dtype in FUSED_DTYPES for _, p in named):
        options["fused"] = True
    groups = parameter_groups(config, named, kind)
    if kind.__name__ == "LBFGS" and len(groups) > 1:
        raise ConfigError(
            f"LBFGS takes one group of parameters, not {len(groups)}",
            where=f"{where}.groups",
            hint="Leave the groups out, or use another optimizer.",
        )
    return kind(groups, **options)


def optimizer_class(name: str, *, where: str) -> type[Optimizer]:
    """Find a class of ``torch.optim`` by its name in any case.

    Raises:
        ConfigError: There is none; the message names the nearest.
    """
    classes = {
        key.lower(): value
        for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    }
    wanted = name.lower().replace("_", "")
    if wanted in classes:
        return classes[wanted]
    near = difflib.get_close_matches(wanted, classes, n=1)
    raise ConfigError(
        f"torch.optim has no optimizer {name!r}",
        where=f"{where}.name",
        hint=f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(sorted(classes))}.",
    )


def checked_options(
    kind: type[Optimizer], config: OptimizerConfig, *, where: str
) -> dict[str, Any]:
    """Return the options that were set, after checking that the optimizer takes them."""
    accepted = inspect.signature(kind).parameters
    options = config.options()
    decays = [config.weight_decay, *(group.weight_decay for group in config.groups)]
    for key in [*options, *(["weight_decay"] if any(decays) else [])]:
        if key not in accepted:
            takes = [name for name in accepted if name in OptimizerConfig.model_fields]
            raise ConfigError(
                f"{kind.__name__} takes no {key!r}",
                where=f"{where}.{key}",
                hint=f"It takes {', '.join(takes)}.",
            )
    return options


def check_patterns(config: OptimizerConfig, named: Named, *, where: str) -> None:
    """Raise if a pattern of a group matches no parameter."""
    unused = {
        group.match
        for group in config.groups
        if not any(fnmatch.fnmatchcase(name, group.match) for name, _ in named)
    }
    if unused:
        raise ConfigError(
            f"no parameter matches {sorted(unused)}",
            where=f"{where}.groups",
            hint=f"The first parameters are {', '.join(name for name, _ in named[:5])}.",
        )


def parameter_groups(
    config: OptimizerConfig, named: Named, kind: type[Optimizer]
) -> list[dict[str, Any]]:
    """Sort parameters into groups of equal learning rate and weight decay.

    The first pattern that matches a name decides. Norms and biases (fewer than two dimensions, or
    named so where several lie in one tensor) are not decayed unless ``decay_all`` says so.
    """
    decays = "weight_decay" in inspect.signature(kind).parameters
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        fitting = (g for g in config.groups if fnmatch.fnmatchcase(name, g.match))
        match = next(fitting, GroupConfig(match=""))
        decay = config.weight_decay if match.weight_decay is None else match.weight_decay
        if (parameter.ndim < 2 or name.endswith("bias")) and not config.decay_all:
            decay = 0.0
        groups.setdefault((config.lr * match.lr_scale, decay), []).append(parameter)
    return [
        {"params": members, "lr": lr} | ({"weight_decay": decay} if decays else {})
        for (lr, decay), members in groups.items()
    ]
