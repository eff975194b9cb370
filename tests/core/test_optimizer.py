"""Optimizers by name: all of torch's, with groups, kernels and messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import rondel
from rondel.errors import ConfigError
from rondel.optimizer import make_optimizers, optimizer_class
from rondel.settings import GroupConfig, OptimizerConfig, RunConfig, ScheduleConfig, UpdateConfig
from rondel.tree import from_bytes, to_bytes

NAMES = [
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "asgd", "lbfgs", "muon",
    "nadam", "radam", "rmsprop", "rprop", "sgd", "sparseadam",
]  # fmt: skip


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2))


def embedding() -> nn.Module:
    torch.manual_seed(0)
    return nn.Embedding(9, 3, sparse=True)


def built(config: OptimizerConfig, module: nn.Module) -> list[torch.optim.Optimizer]:
    return make_optimizers(config, list(module.named_parameters()), where="model.optimizer")


def loss_of(module: nn.Module) -> Any:
    if isinstance(module, nn.Embedding):
        return lambda x: rondel.Loss(module(x[:, 0].abs().long() % 9).square().sum(), len(x))
    return lambda x: rondel.Loss((module(x) - 1).square().sum(), len(x))


def test_the_list_of_names_is_torchs() -> None:
    classes = [v for v in vars(torch.optim).values() if isinstance(v, type)]
    assert {c.__name__.lower() for c in classes} - {"optimizer"} == set(NAMES)


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_steps_and_continues_exactly(
    name: str, pieces: int, tmp_path: Path
) -> None:
    searches = name == "lbfgs"
    clips: dict[str, Any] = {} if searches else {"clip_norm": 0.5, "non_finite": "skip"}
    config = UpdateConfig(
        optimizer=OptimizerConfig(name=name, lr=0.05, max_iter=3 if searches else None),
        micro_batches=pieces,
        **clips,
    )
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)) * 5
    make = embedding if name == "sparseadam" else network
    with rondel.Run(tmp_path / "run", settings=RunConfig(device="cpu")) as run:
        module = make()
        update = run.update("straight", module, config)
        start, first = to_bytes(module.state_dict()), None
        for step in range(4):
            update(loss_of(module), x)
            update.check_finite()
            if step == 1:
                first = to_bytes([module.state_dict(), update.state_dict()])
        assert first is not None
        assert to_bytes(module.state_dict()) != start
        weights, state = from_bytes(first)
        again = make()
        resumed = run.update("resumed", again, config)
        again.load_state_dict(weights)
        resumed.load_state_dict(state)
        for _ in range(2):
            resumed(loss_of(again), x)
        assert to_bytes(again.state_dict()) == to_bytes(module.state_dict())
        assert resumed.updates == update.updates == 4


def test_fused_kernels_are_used_where_torch_has_them() -> None:
    for name in NAMES:
        module = embedding() if name == "sparseadam" else network()
        for optimizer in built(OptimizerConfig(name=name), module):
            fused = bool(optimizer.defaults.get("fused"))
            assert fused == (type(optimizer).__name__ in {"Adam", "AdamW", "SGD", "Adagrad"}), name


def test_complex_parameters_do_without_a_fused_kernel() -> None:
    module = nn.ParameterList([nn.Parameter(torch.zeros(2, 2, dtype=torch.complex64))])
    (optimizer,) = built(OptimizerConfig(), module)
    assert not optimizer.defaults.get("fused")


def test_norms_and_biases_are_not_decayed() -> None:
    module = network()
    (optimizer,) = built(OptimizerConfig(weight_decay=0.1), module)
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    assert decayed == {id(module[0].weight), id(module[2].weight)}
    (optimizer,) = built(OptimizerConfig(weight_decay=0.1, decay_all=True), module)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.1]


def test_no_decay_is_none_whatever_torchs_default_says() -> None:
    for name in ["adamw", "muon"]:
        for optimizer in built(OptimizerConfig(name=name), network()):
            assert {g["weight_decay"] for g in optimizer.param_groups} == {0.0}


def test_the_first_pattern_that_matches_decides() -> None:
    module = network()
    groups = (
        GroupConfig(match="0.bias", lr_scale=0.0),
        GroupConfig(match="0.*", lr_scale=0.1, weight_decay=0.5),
    )
    (optimizer,) = built(OptimizerConfig(lr=1.0, weight_decay=0.01, groups=groups), module)
    rates = {
        id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]
    }
    assert rates[id(module[0].bias)] == (0.0, 0.0)
    assert rates[id(module[0].weight)] == (0.1, 0.5)
    assert rates[id(module[2].weight)] == (1.0, 0.01)
    assert len(rates) == len(list(module.parameters()))


def test_each_group_keeps_its_share_of_a_scheduled_rate(tmp_path: Path) -> None:
    module = network()
    config = UpdateConfig(
        optimizer=OptimizerConfig(lr=1e-3, groups=(GroupConfig(match="0.*", lr_scale=0.1),)),
        schedule=ScheduleConfig(name="linear", total=3),
    )
    with rondel.Run(tmp_path / "run", settings=RunConfig(device="cpu")) as run:
        update = run.update("model", module, config)
        seen = []
        for _ in range(3):
            update(loss_of(module), torch.randn(4, 4))
            seen.append([g["lr"] for o in update.optimizers for g in o.param_groups])
    assert [rates[0] for rates in seen] == pytest.approx([1e-4, 5e-5, 0.0])
    assert [rates[1] for rates in seen] == pytest.approx([1e-3, 5e-4, 0.0])


def test_muon_takes_the_matrices_and_adamw_the_rest() -> None:
    module = network()
    groups = (GroupConfig(match="0.weight", lr_scale=0.5), GroupConfig(match="1.*", lr_scale=2))
    config = OptimizerConfig(name="muon", lr=0.02, momentum=0.9, groups=groups)
    muon, adamw = built(config, module)
    assert isinstance(muon, torch.optim.Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    assert {p.ndim for g in muon.param_groups for p in g["params"]} == {2}
    assert {p.ndim for g in adamw.param_groups for p in g["params"]} == {1}
    assert sorted(g["lr"] for g in muon.param_groups) == [0.01, 0.02]
    assert sorted(g["lr"] for g in adamw.param_groups) == [0.02, 0.04]
    assert muon.defaults["momentum"] == 0.9
    assert [
        type(o).__name__ for o in built(config.model_copy(update={"groups": ()}), nn.LayerNorm(3))
    ] == ["AdamW"]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_pattern_without_a_match_is_refused(name: str) -> None:
    config = OptimizerConfig(name=name, groups=(GroupConfig(match="backbone.*"),))
    with pytest.raises(ConfigError) as caught:
        built(config, network())
    assert str(caught.value) == (
        "model.optimizer.groups: no parameter matches ['backbone.*']. "
        "The first parameters are 0.weight, 0.bias, 1.weight, 1.bias, 2.weight."
    )


def test_names_are_found_in_any_case() -> None:
    assert optimizer_class("AdamW", where="x") is torch.optim.AdamW
    assert optimizer_class("sparse_adam", where="x") is torch.optim.SparseAdam


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        built(OptimizerConfig(name="adamv"), network())
    assert str(caught.value).startswith(
        "model.optimizer.name: torch.optim has no optimizer 'adamv'. Did you mean 'adam"
    )
    with pytest.raises(ConfigError, match="It has adadelta, adafactor, adagrad, adam,"):
        built(OptimizerConfig(name="zzz"), network())


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"name": "adamw", "momentum": 0.9}, "momentum"),
        ({"name": "lbfgs", "weight_decay": 0.1}, "weight_decay"),
        ({"name": "rprop", "groups": ({"match": "0.*", "weight_decay": 0.1},)}, "weight_decay"),
    ],
)
def test_options_that_a_class_does_not_take_are_refused(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"model.optimizer.{key}: .* takes no '{key}'. It takes"):
        built(OptimizerConfig(**options), network())


def test_lbfgs_refuses_groups() -> None:
    config = OptimizerConfig(name="lbfgs", groups=(GroupConfig(match="0.*", lr_scale=0.1),))
    with pytest.raises(ConfigError, match="LBFGS takes one group of parameters, not 2"):
        built(config, network())


def test_options_reach_the_class() -> None:
    config = OptimizerConfig(name="sgd", lr=0.3, momentum=0.9, nesterov=True)
    (optimizer,) = built(config, network())
    assert (optimizer.defaults["momentum"], optimizer.defaults["nesterov"]) == (0.9, True)
    module, oracle = network(), network()
    (ours,) = built(OptimizerConfig(name="adamw", lr=0.01, betas=(0.8, 0.9), eps=1e-4), module)
    theirs = torch.optim.AdamW(
        oracle.parameters(), lr=0.01, betas=(0.8, 0.9), eps=1e-4, weight_decay=0.0
    )
    for m, o in [(module, ours), (oracle, theirs)]:
        for _ in range(3):
            o.zero_grad()
            torch.autograd.backward(F.mse_loss(m(torch.ones(2, 4)), torch.zeros(2, 2)))
            o.step()
    torch.testing.assert_close(module[0].weight, oracle[0].weight, rtol=1e-5, atol=1e-6)
