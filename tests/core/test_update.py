"""Updates: exact gradients, owned parameters, precision, and what is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rondel.errors import ConfigError, DivergedError, LossError, StateError
from rondel.gradient import seed
from rondel.joint import Joint
from rondel.loss import Loss, counted
from rondel.processes import Processes
from rondel.settings import OptimizerConfig, UpdateConfig
from rondel.update import Update

SGD = OptimizerConfig(name="sgd", lr=0.1)
DTYPES = [(torch.float64, 1e-12), (torch.float32, 1e-6)]


class Engine:
    """What an update needs of a run, without one."""

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        self.processes = Processes(0, 1, torch.device("cpu"))
        self.replaying = False
        self.batch_size = 0
        self.dtype = dtype
        self.said: list[str] = []

    def autocast(self) -> AbstractContextManager[Any] | None:
        return None if self.dtype is None else torch.autocast("cpu", dtype=self.dtype)

    def make_scaler(self) -> torch.amp.GradScaler | None:
        half = self.dtype is torch.float16
        return torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2) if half else None

    def updated(self, update: Update) -> None:
        self.latest = update

    def describe_batch(self) -> str:
        return "; samples 3, 1, 4"

    def share_buffers(self) -> None:
        """One process has nobody to share them with."""

    def say(self, message: str) -> None:
        self.said.append(message)


def make(
    module: nn.Module, engine: Engine | None = None, *, name: str = "model", **config: Any
) -> Update:
    config.setdefault("optimizer", SGD)
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    return Update(
        name,
        named,
        modules=[module],
        config=UpdateConfig(**config),
        engine=engine or Engine(),
        total=None,
        log_every=10,
    )


def network(dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)


def samples(size: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(size, 4, generator=draw, dtype=dtype), torch.randint(
        3, (size,), generator=draw
    )


def grads_of(module: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in module.parameters() if p.grad is not None]


def weights_of(module: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def assert_same(ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine - other).norm() <= tolerance * other.norm().clamp(min=1e-30)


def cross_entropy(module: nn.Module) -> Callable[[Tensor, Tensor], Loss]:
    def loss(x: Tensor, y: Tensor) -> Loss:
        return Loss(F.cross_entropy(module(x), y, reduction="sum"), len(x))

    return loss


# -- exact accumulation ----------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("pieces", [1, 2, 3, 8, 40])
def test_pieces_give_the_gradient_of_the_batch(
    pieces: int, dtype: torch.dtype, tolerance: float
) -> None:
    x, y = samples(13, dtype)
    oracle = network(dtype)
    mean = F.cross_entropy(oracle(x), y)
    torch.autograd.backward(mean)
    module = network(dtype)
    returned = make(module, micro_batches=pieces)(cross_entropy(module), x, y)
    assert_same(grads_of(module), grads_of(oracle), tolerance)
    assert returned.item() == pytest.approx(mean.item(), rel=tolerance)
    assert not returned.requires_grad


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("pieces", [2, 8])
def test_tokens_are_averaged_over_tokens_not_over_pieces(
    pieces: int, dtype: torch.dtype, tolerance: float, as_tensor: bool
) -> None:
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(8, 6, 4, generator=draw, dtype=dtype)
    y = torch.randint(3, (8, 6), generator=draw)
    for row, length in enumerate([6, 1, 2, 6, 0, 3, 1, 0]):
        y[row, length:] = -100
    oracle = network(dtype)
    torch.autograd.backward(
        F.cross_entropy(oracle(x).flatten(0, 1), y.flatten(), ignore_index=-100)
    )
    module = network(dtype)

    def loss(x: Tensor, y: Tensor) -> Loss:
        total = F.cross_entropy(
            module(x).flatten(0, 1), y.flatten(), ignore_index=-100, reduction="sum"
        )
        tokens = (y != -100).sum()
        return Loss(total, tokens if as_tensor else int(tokens))

    make(module, micro_batches=pieces)(loss, x, y)
    assert_same(grads_of(module), grads_of(oracle), tolerance)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 12), pieces=st.integers(1, 14), masked=st.data())
def test_any_split_of_any_mask_gives_the_same_gradient(
    size: int, pieces: int, masked: st.DataObject
) -> None:
    keep = torch.tensor(masked.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    x, y = samples(size, torch.float64)

    def gradient(count: int) -> list[Tensor]:
        module = network(torch.float64)

        def loss(x: Tensor, y: Tensor, keep: Tensor) -> Loss:
            each = F.cross_entropy(module(x), y, reduction="none")
            return Loss((each * keep).sum(), keep.sum())

        make(module, micro_batches=count)(loss, x, y, keep)
        return grads_of(module)

    for one, many in zip(gradient(1), gradient(pieces), strict=True):
        torch.testing.assert_close(many, one, rtol=1e-12, atol=1e-15)


def weighted_loss(module: nn.Module) -> Callable[..., Loss]:
    @counted(lambda x, y: {"positive": (y > 0).sum(), "all": len(x)})
    def loss(x: Tensor, y: Tensor) -> Loss:
        each = F.cross_entropy(module(x), y, reduction="none")
        return Loss.weighted(
            {
                "positive": Loss(each[y > 0].sum(), (y > 0).sum()),
                "all": Loss(module(x).square().sum(), len(x)),
            },
            {"positive": 2.0},
        )

    return loss


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("pieces", [1, 2, 8])
def test_weighted_parts_are_divided_by_the_counts_of_the_whole(
    pieces: int, dtype: torch.dtype, tolerance: float
) -> None:
    x, y = samples(11, dtype)
    oracle = network(dtype)
    each = F.cross_entropy(oracle(x), y, reduction="none")
    torch.autograd.backward(2 * each[y > 0].mean() + oracle(x).square().sum() / 11)
    module = network(dtype)
    update = make(module, micro_batches=pieces)
    update(weighted_loss(module), x, y)
    assert_same(grads_of(module), grads_of(oracle), tolerance)
    logged = update.window.drain()
    assert logged["loss.positive"] == pytest.approx(each[y > 0].mean().item(), rel=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("pieces", [1, 2, 8])
def test_a_penalty_alone_is_exact_and_differentiated_twice(
    pieces: int, dtype: torch.dtype, tolerance: float
) -> None:
    """The R1 penalty of Mescheder et al. (2018)."""
    x, _ = samples(9, dtype)

    def squares(module: nn.Module, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(module(x).sum(), x, create_graph=True)
        return slope.square().sum()

    oracle, module = network(dtype), network(dtype)
    torch.autograd.backward(squares(oracle, x) / 9)
    make(module, micro_batches=pieces)(lambda x: Loss(squares(module, x), len(x)), x)
    assert_same(grads_of(module), grads_of(oracle), tolerance)
    assert len(grads_of(module)) == 3  # the last bias has no part in it, and no gradient


def test_a_plain_mean_in_several_pieces_is_an_error() -> None:
    module = network()
    update = make(module, micro_batches=2)
    before = weights_of(module)
    with pytest.raises(LossError, match="a mean without its count"):
        update(lambda x, y: F.cross_entropy(module(x), y), *samples(4))
    assert_same(weights_of(module), before, 0.0)


def test_a_weighted_loss_in_pieces_needs_its_counts() -> None:
    module = network()
    loss = partial(weighted_loss(module))  # the partial hides the declared counts
    with pytest.raises(LossError) as caught:
        make(module, micro_batches=2)(loss, *samples(4))
    assert str(caught.value) == (
        "update 'model': a weighted loss of several pieces or processes needs the counts of the "
        "whole batch. Declare them on the loss function: @rondel.counted(lambda *inputs: {...})."
    )


@pytest.mark.parametrize("pieces", [1, 4])
def test_a_batch_in_which_nothing_counts_moves_nothing(pieces: int) -> None:
    module = network()
    before = weights_of(module)
    update = make(module, micro_batches=pieces)
    loss = update(lambda x: Loss(module(x).sum() * 0.0, torch.tensor(0)), samples(4)[0])
    assert loss.item() == 0.0
    assert_same(weights_of(module), before, 0.0)


def test_counts_beyond_what_bfloat16_can_hold_are_exact() -> None:
    x = torch.ones(257, 1, dtype=torch.bfloat16)
    module = nn.Linear(1, 1).to(torch.bfloat16)
    update = make(module, micro_batches=2)
    update(lambda x: Loss(module(x).sum(), torch.tensor(514)), x)
    # 128 + 129 rows; each piece counts 514: 257 / 1028, where bfloat16 makes 256 / 1024 of it
    assert module.bias.grad is not None
    expected = (torch.tensor(256.0) / 1028).to(torch.bfloat16)
    assert module.bias.grad.item() == expected.item() != 0.25


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_the_gradient_of_a_batch_moves_nothing(pieces: int) -> None:
    x, y = samples(7, torch.float64)
    oracle, module = network(torch.float64), network(torch.float64)
    torch.autograd.backward(F.cross_entropy(oracle(x), y))
    update, before = make(module, micro_batches=pieces), weights_of(module)
    found = update.gradient(cross_entropy(module), x, y)
    assert_same(found, grads_of(oracle), 1e-12)
    assert_same(weights_of(module), before, 0.0)
    assert update.updates == 0
    assert not grads_of(module)
    update(cross_entropy(module), x, y)  # is not the sum of both
    assert_same(grads_of(module), found, 1e-12)


def test_the_gradient_of_what_a_loss_does_not_reach_is_zero() -> None:
    module = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 2)])
    found = make(module).gradient(lambda x: module[0](x).sum(), samples(3)[0])
    assert [gradient.abs().sum().item() > 0 for gradient in found] == [True, True, False, False]
    assert [gradient.shape for gradient in found] == [p.shape for p in module.parameters()]


def test_the_gradient_in_half_precision_is_not_scaled() -> None:
    x, y = samples(7)
    oracle, module = network(), network()
    torch.autograd.backward(F.cross_entropy(oracle(x), y))
    found = make(module, Engine(torch.float16)).gradient(cross_entropy(module), x, y)
    assert_same(found, grads_of(oracle), 1e-2)


@pytest.mark.parametrize("pieces", [1, 4])
def test_gather_adds_gradients_and_steps_once(pieces: int) -> None:
    x, y = samples(8, torch.float64)
    oracle, module = network(torch.float64), network(torch.float64)
    torch.autograd.backward(F.cross_entropy(oracle(x), y) + oracle(x).square().mean())
    update = make(module, micro_batches=pieces)
    before = weights_of(module)
    with update.gather():
        update(cross_entropy(module), x, y)
        assert_same(weights_of(module), before, 0.0)
        update(lambda x: Loss(module(x).square().sum(), module(x).numel()), x)
    assert update.updates == 1
    assert_same(grads_of(module), grads_of(oracle), 1e-12)
    stepped = [b - 0.1 * g for b, g in zip(before, grads_of(oracle), strict=True)]
    assert_same(weights_of(module), stepped, 1e-12)
    expected = F.cross_entropy(oracle(x), y) + oracle(x).square().mean()
    assert update.last.item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_gather_that_fails_or_stays_empty_steps_nothing() -> None:
    module = network()
    update, before = make(module), weights_of(module)
    with update.gather():
        pass
    with pytest.raises(ZeroDivisionError), update.gather():  # noqa: PT012
        update(cross_entropy(module), *samples(4))
        raise ZeroDivisionError
    assert update.updates == 0
    assert_same(weights_of(module), before, 0.0)
    update(cross_entropy(module), *samples(4))
    assert update.updates == 1


@pytest.mark.parametrize("pieces", [(1, 1), (4, 1), (1, 4), (2, 4)])
def test_joint_computes_both_gradients_before_either_steps(pieces: tuple[int, int]) -> None:
    x, _ = samples(8, torch.float64)

    def pair() -> tuple[nn.Module, nn.Module]:
        torch.manual_seed(3)
        return nn.Linear(4, 4).double(), nn.Linear(4, 1).double()

    def losses(first: nn.Module, second: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        score = second(first(x))
        return score.sum(), (score - 1).square().sum()

    a, b = pair()
    low, high = losses(a, b, x)
    grads_a = torch.autograd.grad(low / 8, list(a.parameters()), retain_graph=True)
    grads_b = torch.autograd.grad(high / 8, list(b.parameters()))
    c, d = pair()
    engine = Engine()
    first = make(c, engine, name="first", micro_batches=pieces[0])
    second = make(d, engine, name="second", micro_batches=pieces[1])
    joint = Joint([first, second])
    returned = joint(lambda x: tuple(Loss(s, len(x)) for s in losses(c, d, x)), x)
    assert_same(grads_of(c), list(grads_a), 1e-12)
    assert_same(grads_of(d), list(grads_b), 1e-12)
    assert [r.item() for r in returned] == pytest.approx([low.item() / 8, high.item() / 8])
    assert (first.updates, second.updates) == (1, 1)
    assert first.micro_batches == second.micro_batches == max(pieces)


def test_joint_updates_may_not_share_a_parameter() -> None:
    module = network()
    with pytest.raises(StateError) as caught:
        Joint([make(module, name="a"), make(module, name="b")])
    assert str(caught.value) == (
        "'a' + 'b': two of the updates own the same parameter. Let one update own it, or call the "
        "updates one after the other."
    )


def test_a_joint_function_returns_one_loss_for_each() -> None:
    a, b = network(), network()
    with pytest.raises(LossError, match="'a' \\+ 'b': a joint loss function returned Loss"):
        Joint([make(a, name="a"), make(b, name="b")])(cross_entropy(a), *samples(4))


# -- ownership -------------------------------------------------------------------------------------


def test_a_step_touches_nothing_that_it_does_not_own() -> None:
    torch.manual_seed(0)
    generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
    update = make(generator)
    noise, before = torch.randn(6, 2), weights_of(critic)
    for _ in range(3):
        update(lambda z: Loss(-critic(generator(z)).sum(), len(z)), noise)
    assert all(p.grad is None for p in critic.parameters())
    assert_same(weights_of(critic), before, 0.0)
    assert update.updates == 3


def test_gradients_that_others_keep_stay_as_they_are() -> None:
    generator, critic = nn.Linear(2, 4), nn.Linear(4, 1)
    critic.weight.grad = torch.full_like(critic.weight, 7.0)
    make(generator)(lambda z: Loss(critic(generator(z)).sum(), len(z)), torch.randn(6, 2))
    assert torch.equal(critic.weight.grad, torch.full_like(critic.weight, 7.0))


def test_two_updates_may_own_one_parameter_in_turn() -> None:
    body, heads = nn.Linear(2, 2), [nn.Linear(2, 1), nn.Linear(2, 1)]
    updates = [make(nn.Sequential(body, head), name=str(i)) for i, head in enumerate(heads)]
    oracle = body.weight.detach().clone()
    x = torch.randn(4, 2)
    for head, update in zip(heads, updates, strict=True):
        weight = oracle.clone().requires_grad_()
        out = F.linear(F.linear(x, weight, body.bias.detach().clone()), head.weight)
        torch.autograd.backward(out.sum() / 4)
        assert weight.grad is not None
        oracle = oracle - 0.1 * weight.grad
        update(lambda x, head=head: Loss(head(body(x)).sum(), len(x)), x)
        torch.testing.assert_close(body.weight.detach(), oracle, rtol=1e-6, atol=1e-7)


def test_frozen_parameters_stay() -> None:
    module = network()
    module[0].weight.requires_grad_(False)
    frozen = module[0].weight.clone()
    make(module, optimizer=OptimizerConfig(name="adamw", weight_decay=0.5))(
        cross_entropy(module), *samples(4)
    )
    assert torch.equal(module[0].weight, frozen)
    assert module[0].weight.grad is None


def test_a_loss_of_somebody_elses_parameters_is_an_error() -> None:
    module, other = network(), network()
    with pytest.raises(LossError) as caught:
        make(module)(cross_entropy(other), *samples(4))
    assert str(caught.value) == (
        "update 'model': the loss depends on no parameter that the update owns. Does it run "
        "through another module, or through detached outputs?"
    )


def test_a_loss_without_a_graph_is_an_error() -> None:
    module = network()
    with pytest.raises(LossError, match="Was it computed under no_grad, or from detached outputs"):
        make(module)(lambda x: module(x).detach().mean(), samples(4)[0])


def test_a_sum_that_was_never_added_up_is_an_error() -> None:
    module = network()
    with pytest.raises(LossError) as caught:
        make(module)(lambda x: Loss(module(x).sum(1), len(x)), samples(4)[0])
    assert str(caught.value) == (
        "update 'model': the loss has the shape (4,). Add it up: "
        "rondel.Loss(losses.sum(), count=losses.numel())."
    )


def test_a_parameter_that_is_the_loss_does_not_change_the_seed_of_gradients() -> None:
    module = nn.ParameterList([nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.ones(3))])
    update = make(module, clip_norm=0.01)
    for _ in range(3):
        update(lambda: module[0] + module[1].square().sum())
    assert seed(torch.float32, torch.device("cpu")).item() == 1.0
    assert module[0].item() == pytest.approx(2.0, abs=0.01)


# -- out of memory ---------------------------------------------------------------------------------


def limited(loss: Callable[..., Any], most: int, sizes: list[int]) -> Callable[..., Any]:
    def run(x: Tensor, *rest: Any) -> Any:
        sizes.append(len(x))
        if len(x) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return loss(x, *rest)

    return run


def test_a_batch_that_does_not_fit_is_split_with_the_same_result() -> None:
    x, y = samples(12, torch.float64)
    oracle, module = network(torch.float64), network(torch.float64)
    torch.autograd.backward(F.cross_entropy(oracle(x), y))
    engine, sizes = Engine(), list[int]()
    update = make(module, engine)
    function = limited(cross_entropy(module), 3, sizes)
    update(function, x, y)
    assert_same(grads_of(module), grads_of(oracle), 1e-12)
    said = "Update 'model' ran out of memory: batches are computed in {} pieces from now on. "
    assert engine.said == [f"{said.format(n)}The gradient stays the same." for n in (2, 4)]
    assert sizes == [12, 6, 3, 3, 3, 3]
    sizes.clear()
    update(function, x, y)
    assert sizes == [3, 3, 3, 3]  # kept
    assert len(engine.said) == 2
    again = make(network(torch.float64))
    again.load_state_dict(update.state_dict())
    assert again.micro_batches == 4


def test_parts_of_a_failed_attempt_are_not_logged() -> None:
    x = torch.arange(8.0)[:, None].expand(8, 4)
    module = network()

    def loss(x: Tensor) -> Loss:
        if len(x) > 2 and bool(x[0, 0] >= 4):
            raise torch.OutOfMemoryError
        return Loss(module(x).sum(), len(x), parts={"rows": x[:, 0].sum()})

    update = make(module, micro_batches=2)
    update(loss, x)
    assert update.window.drain()["loss.rows"] == pytest.approx(28 / 8)


def test_a_failed_attempt_is_freed_before_the_next() -> None:
    module, alive = network(), list[Any]()

    class Activations(Tensor):
        pass

    import weakref

    def loss(x: Tensor) -> Loss:
        assert not [1 for held in alive if held() is not None]
        held = x.clone().as_subclass(Activations)
        alive.append(weakref.ref(held))
        if len(x) > 2:
            raise torch.OutOfMemoryError
        return Loss(module(x).sum(), len(x))

    make(module)(loss, samples(8)[0])
    assert len(alive) == 1 + 1 + 4


def test_memory_that_suffices_for_no_sample_is_an_error() -> None:
    module = network()
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        make(module)(limited(cross_entropy(module), 0, []), *samples(4))


def test_other_errors_are_not_answered_by_splitting() -> None:
    module = network()
    update = make(module)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        update(cross_entropy(module), torch.zeros(4, 3), torch.zeros(4, dtype=torch.long))
    assert update.micro_batches == 1


@pytest.mark.parametrize("joint", [False, True])
def test_memory_runs_out_in_gather_and_joint_as_well(joint: bool) -> None:
    x, y = samples(8, torch.float64)
    oracle, module, other = (network(torch.float64) for _ in range(3))
    torch.autograd.backward(F.cross_entropy(oracle(x), y))
    update = make(module)
    if joint:
        second = make(other, name="other")
        both = limited(
            lambda x, y: (cross_entropy(module)(x, y), cross_entropy(other)(x, y)), 4, []
        )
        Joint([update, second])(both, x, y)
        assert_same(grads_of(other), grads_of(oracle), 1e-12)
        assert second.micro_batches == 2
    else:
        with update.gather():
            update(limited(cross_entropy(module), 4, []), x, y)
    assert_same(grads_of(module), grads_of(oracle), 1e-12)
    assert (update.updates, update.micro_batches) == (1, 2)


# -- clipping, averages, schedules -----------------------------------------------------------------


@pytest.mark.parametrize("limit", [0.01, 1e6])
def test_clipping_is_torchs(limit: float) -> None:
    x, y = samples(8)
    oracle, module = network(), network()
    optimizer = torch.optim.SGD(oracle.parameters(), lr=0.1)
    torch.autograd.backward(F.cross_entropy(oracle(x), y))
    norm = nn.utils.clip_grad_norm_(oracle.parameters(), limit)
    optimizer.step()
    update = make(module, clip_norm=limit)
    update(cross_entropy(module), x, y)
    assert_same(weights_of(module), weights_of(oracle), 1e-6)
    assert update.window.drain()["gradient_norm"] == pytest.approx(norm.item(), rel=1e-6)


def test_the_first_update_has_the_first_rate_of_the_schedule() -> None:
    module = network()
    update = make(module, schedule={"name": "linear", "total": 3, "final": 0.5})
    rates = []
    for _ in range(4):
        update(cross_entropy(module), *samples(4))
        rates.append(update.learning_rate)
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.05])


def test_a_schedule_by_samples_counts_the_whole_batch() -> None:
    module, engine = network(), Engine()
    update = make(
        module, engine, schedule={"name": "step", "unit": "samples", "every": 10, "gamma": 0.5}
    )
    rates = []
    for size in [6, 6, 6]:
        update(cross_entropy(module), *samples(size))
        rates.append(update.learning_rate)
    assert rates == pytest.approx([0.1, 0.1, 0.05])
    engine.batch_size = 100  # of all processes together
    update(cross_entropy(module), *samples(6))
    assert update.samples == 118


# -- precision -------------------------------------------------------------------------------------


def test_bfloat16_is_the_arithmetic_of_the_forward_pass_only() -> None:
    module, seen = network(), list[torch.dtype]()

    def loss(x: Tensor) -> Loss:
        out = module(x)
        seen.append(out.dtype)
        return Loss(out.float().square().sum(), len(x))

    make(module, Engine(torch.bfloat16))(loss, samples(4)[0])
    make(module, Engine(torch.bfloat16), micro_batches=2)(loss, samples(4)[0])
    assert seen == [torch.bfloat16] * 3
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")


def test_fp16_scales_and_unscales() -> None:
    x, y = samples(8)
    oracle, module = network(), network()
    make(oracle, Engine(torch.bfloat16))(cross_entropy(oracle), x, y)
    update = make(module, Engine(torch.float16), clip_norm=100.0)
    update(cross_entropy(module), x, y)
    assert_same(grads_of(module), grads_of(oracle), 0.03)
    assert update.state_dict()["scaler"]["scale"] == 1024.0
    update(cross_entropy(module), x, y)
    assert update.state_dict()["scaler"]["scale"] == 2048.0
    again = make(network(), Engine(torch.float16))
    again.load_state_dict(update.state_dict())
    assert again.state_dict()["scaler"] == update.state_dict()["scaler"]


class Explosive(torch.autograd.Function):
    """Passes its input on, and an infinite or broken gradient back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


def exploding(module: nn.Module, factor: float) -> Callable[[Tensor], Loss]:
    return lambda x: Loss(Explosive.apply(module(x), factor).square().sum(), len(x))


@pytest.mark.parametrize("name", ["sgd", "muon"])
def test_an_overflow_of_fp16_steps_no_optimizer_and_is_not_counted(name: str) -> None:
    module = network()
    update = make(
        module,
        Engine(torch.float16),
        optimizer=OptimizerConfig(name=name, lr=0.1),
        schedule={"name": "linear", "total": 3},
        ema=0.5,
    )
    before = weights_of(module)
    update(
        lambda x: Loss(Explosive.apply(module[0].weight, math.inf).sum() + module(x).sum(), 1),
        samples(4)[0],
    )
    assert (update.updates, update.skipped) == (0, 1)
    assert update.average is not None
    assert update.average.updates == 0
    assert_same(weights_of(module), before, 0.0)
    assert update.state_dict()["scaler"]["scale"] == 512.0
    assert all(math.isfinite(v) for v in update.window.drain().values())
    update(cross_entropy(module), *samples(4))
    assert (update.updates, update.learning_rate) == (1, 0.1)


def test_a_gradient_that_no_scale_can_help_ends_the_run() -> None:
    module = network()
    update = make(module, Engine(torch.float16))
    with pytest.raises(DivergedError, match="however small the scale of fp16; the gradient of '0"):  # noqa: PT012
        for _ in range(100):
            update(exploding(module, math.nan), samples(4)[0])
    assert 20 < update.skipped < 40


# -- what is not finite ----------------------------------------------------------------------------


def test_a_nan_loss_stops_and_names_everything() -> None:
    module = network()
    update = make(module, micro_batches=2)
    x, y = samples(8)
    update(cross_entropy(module), x, y)
    with torch.no_grad():
        module[2].bias[1] = math.nan

    def loss(x: Tensor, y: Tensor) -> Loss:
        total = F.cross_entropy(module(x), y, reduction="sum")
        return Loss(total, len(x), parts={"sound": torch.tensor(1.0), "entropy": total})

    with pytest.raises(DivergedError) as caught:
        update(loss, x, y)
    assert str(caught.value) == (
        "update 'model', number 2: the loss is nan; part 'entropy' is nan; parameter '2.bias' is "
        "not finite; samples 3, 1, 4. Lower optimizer.lr, set clip_norm, or look at the samples "
        "named here; the last checkpoint is sound."
    )
    assert caught.value.exit_code == 5
    assert update.updates == 1


def test_the_part_that_broke_is_named_whatever_piece_it_was_in() -> None:
    module = network()
    x = torch.ones(4, 4)
    x[0] = math.inf

    def loss(x: Tensor) -> Loss:
        total = module(x).sum() * x.sum()
        return Loss(total, len(x), parts={"product": total})

    with pytest.raises(DivergedError, match="part 'product' is"):
        make(module, micro_batches=4)(loss, x)


def test_a_broken_gradient_of_a_sound_loss_is_found() -> None:
    module = network()
    with pytest.raises(
        DivergedError, match=r"the gradient norm is nan; the gradient of '0\.weight'"
    ):
        make(module, clip_norm=1.0)(exploding(module, math.nan), samples(4)[0])
    update = make(module)
    for _ in range(5):
        update(cross_entropy(module), *samples(4))
    # looked at every tenth time, and the loss always
    with pytest.raises(DivergedError):  # noqa: PT012
        for _ in range(6):
            update(exploding(module, math.nan), samples(4)[0])


def test_skipping_leaves_everything_as_it_was_and_says_so() -> None:
    module, engine = network(), Engine()
    update = make(
        module, engine, non_finite="skip", max_skips=2, ema=0.9,
        optimizer=OptimizerConfig(name="adamw"), schedule={"name": "linear", "total": 9},
    )  # fmt: skip
    x, y = samples(4)
    update(cross_entropy(module), x, y)
    before = weights_of(module)
    state = update.optimizers[0].state_dict()["state"][0]["step"].item()
    for _ in range(3):  # two bad ones in a row are allowed, again and again
        update(
            lambda x, y: Loss(module(x).sum() * math.nan, 4, parts={"bad": x.sum() * math.nan}),
            x,
            y,
        )
        update(exploding(module, math.inf), x)
        assert_same(weights_of(module), before, 0.0)
        assert update.optimizers[0].state_dict()["state"][0]["step"].item() == state
        update(cross_entropy(module), x, y)
        before, state = weights_of(module), state + 1
    assert (update.updates, update.skipped) == (4, 6)
    assert engine.said[0] == "Update 'model' 2 was skipped: the loss is nan."
    assert engine.said[1] == "Update 'model' 2 was skipped: the gradient norm is nan."
    assert all(math.isfinite(value) for value in update.window.drain().values())
    with pytest.raises(DivergedError, match="number 5"):  # noqa: PT012
        for _ in range(3):
            update(exploding(module, math.nan), x)


def test_skips_in_a_row_survive_a_resume() -> None:
    module = network()
    update = make(module, non_finite="skip", max_skips=2)
    for _ in range(2):
        update(exploding(module, math.nan), samples(4)[0])
    again = make(module, non_finite="skip", max_skips=2)
    again.load_state_dict(update.state_dict())
    with pytest.raises(DivergedError):
        again(exploding(module, math.nan), samples(4)[0])


def test_no_checkpoint_holds_a_nan() -> None:
    layer, norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
    module = nn.Sequential(layer, norm)
    update = make(module)
    update.check_finite()
    module.register_buffer("mask", torch.full((2, 2), -math.inf))
    with torch.no_grad():
        layer.weight.fill_(3e30)  # finite, though the sum of its squares is not
    update.check_finite()
    with torch.no_grad():
        layer.weight[1, 2] = math.inf
    with pytest.raises(DivergedError) as caught:
        update.check_finite()
    assert str(caught.value) == (
        "update 'model', after number 0: parameter '0.weight' is not finite. "
        "Lower optimizer.lr or set clip_norm; the last checkpoint is sound."
    )
    with torch.no_grad():
        layer.weight.zero_()
    assert norm.running_mean is not None
    norm.running_mean[0] = math.nan
    with pytest.raises(DivergedError, match=r"buffer '1\.running_mean' is not finite"):
        update.check_finite()


# -- replay, search, compile -----------------------------------------------------------------------


def test_a_replay_computes_nothing() -> None:
    module, engine = network(), Engine()
    update = make(module, engine)
    before = weights_of(module)
    engine.replaying = True

    def never(*_: Any) -> Loss:
        raise AssertionError

    update(never, *samples(4))
    Joint([update])(never, *samples(4))
    with update.gather():
        update(never, *samples(4))
    assert update.updates == 0
    assert_same(weights_of(module), before, 0.0)


@pytest.mark.parametrize("pieces", [1, 4])
def test_lbfgs_is_torchs_and_follows_schedule_and_average(pieces: int) -> None:
    x, y = samples(8, torch.float64)
    oracle, module = network(torch.float64), network(torch.float64)
    optimizer = torch.optim.LBFGS(oracle.parameters(), lr=0.5, max_iter=4)
    update = make(
        module,
        optimizer=OptimizerConfig(name="lbfgs", lr=0.5, max_iter=4),
        schedule={"name": "linear", "total": 3},
        ema=0.9,
        micro_batches=pieces,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(oracle(x), y)
        torch.autograd.backward(loss)
        return loss

    for rate in [0.5, 0.25]:
        optimizer.param_groups[0]["lr"] = rate
        first = optimizer.step(closure)  # type: ignore[no-untyped-call]
        last = update(cross_entropy(module), x, y)
        assert last.item() == pytest.approx(first.item(), rel=1e-9)
        assert update.learning_rate == rate
    assert_same(weights_of(module), weights_of(oracle), 1e-9)
    assert update.average is not None
    assert (update.updates, update.average.updates) == (2, 2)


@pytest.mark.parametrize(
    ("config", "key"),
    [({"clip_norm": 1.0}, "clip_norm"), ({"non_finite": "skip"}, "non_finite=skip")],
)
def test_settings_that_a_line_search_cannot_keep_are_refused(
    config: dict[str, Any], key: str
) -> None:
    with pytest.raises(ConfigError, match=f"update 'model': lbfgs cannot work with {key}. Its li"):
        make(network(), optimizer=OptimizerConfig(name="lbfgs"), **config)


def test_a_line_search_is_refused_in_gather_and_joint() -> None:
    module = network()
    update = make(module, optimizer=OptimizerConfig(name="lbfgs"))
    with pytest.raises(StateError, match="lbfgs cannot take part in gather"), update.gather():
        update(cross_entropy(module), *samples(4))
    with pytest.raises(StateError, match="update 'model': lbfgs cannot take part in gather"):
        Joint([update])


class Task:
    def __init__(self) -> None:
        self.module = network()

    def loss(self, x: Tensor, y: Tensor) -> Loss:
        return Loss(F.cross_entropy(self.module(x), y, reduction="sum"), len(x))


@pytest.mark.slow
def test_a_compiled_loss_equals_the_eager_one() -> None:
    eager, compiled = Task(), Task()
    for task, compile_it in [(eager, False), (compiled, True)]:
        update = make(task.module, compile=compile_it)
        for _ in range(3):
            update(task.loss, *samples(8))
    assert_same(weights_of(compiled.module), weights_of(eager.module), 1e-5)


def test_methods_of_two_objects_are_compiled_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    eager, tasks = Task(), [Task(), Task()]
    with torch.no_grad():
        tasks[1].module[2].bias.add_(1.0)
    shared = make(nn.ModuleList(task.module for task in tasks), compile=True)
    for task in tasks:
        last = shared(task.loss, *samples(8))
    with torch.no_grad():
        eager.module[2].bias.add_(1.0)
    assert last.item() == pytest.approx(eager.loss(*samples(8)).mean.item(), rel=1e-5)


def test_compiled_functions_are_kept_per_object_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = list[Any]()

    def compiled(function: Any) -> Any:
        made.append(function)
        return function

    monkeypatch.setattr(torch, "compile", compiled)
    module = network()
    update = make(module, compile=True)
    loss = cross_entropy(module)
    for _ in range(3):
        update(loss, *samples(4))
    assert made == [loss]
    for _ in range(40):
        update(cross_entropy(module), *samples(4))
    assert len(update.accumulation._compiled) <= 16
