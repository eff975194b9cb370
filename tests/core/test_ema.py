"""Averages: parameters averaged, buffers copied, swapped in and out without a trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rondel.ema import Average
from rondel.tree import from_bytes, to_bytes


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def averaged(module: nn.Module, decay: float) -> Average:
    return Average(list(module.parameters()), [module], decay)


def moved(module: Any, step: int) -> Tensor:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(float(step))
    module(torch.randn(5, 3, generator=torch.Generator().manual_seed(step)))
    weight: Tensor = module[0].weight.detach().clone()
    return weight


def test_the_average_is_the_formula_with_its_warm_up() -> None:
    module = network()
    average, expected = averaged(module, 0.3), module[0].weight.detach().clone()
    for step in range(6):
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * moved(module, step)
        average.update()
    with average.applied():
        torch.testing.assert_close(module[0].weight.detach(), expected, rtol=1e-6, atol=1e-6)
    assert average.updates == 6
    assert [min(0.3, (1 + n) / (10 + n)) for n in (0, 3)] == [0.1, 0.3]


def test_buffers_are_copied_whatever_their_type() -> None:
    module = network()
    average = averaged(module, 0.9)
    for step in range(3):
        moved(module, step)
        average.update()
    seen = {name: buffer.clone() for name, buffer in module.named_buffers()}
    moved(module, 3)
    with average.applied():
        assert module[1].num_batches_tracked.item() == 3
        for name, buffer in module.named_buffers():
            assert torch.equal(buffer, seen[name])
    assert module[1].num_batches_tracked.item() == 4


def test_the_parameters_come_back_after_any_end() -> None:
    module = network()
    average = averaged(module, 0.5)
    moved(module, 1)
    average.update()
    moved(module, 2)
    live = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    before = to_bytes(average.state_dict())
    with pytest.raises(ZeroDivisionError), average.applied():  # noqa: PT012
        assert not torch.equal(module[0].weight, live["0.weight"])
        raise ZeroDivisionError
    assert all(torch.equal(t, live[name]) for name, t in module.state_dict().items())
    assert to_bytes(average.state_dict()) == before


def test_an_average_in_place_stays_in_place_in_an_inner_block() -> None:
    module = network()
    average = averaged(module, 0.5)
    moved(module, 1)
    average.update()
    live = moved(module, 2)
    with average.applied():
        mean = module[0].weight.detach().clone()
        with pytest.raises(ZeroDivisionError), average.applied():  # noqa: PT012
            assert torch.equal(module[0].weight, mean)
            raise ZeroDivisionError
        assert torch.equal(module[0].weight, mean)
    assert torch.equal(module[0].weight, live)


def test_a_restored_average_continues_exactly() -> None:
    module, other = network(), network()
    straight, resumed = averaged(module, 0.9), averaged(other, 0.9)
    for step in range(3):
        moved(module, step)
        straight.update()
    resumed.load_state_dict(from_bytes(to_bytes(straight.state_dict())))
    other.load_state_dict(module.state_dict())
    for step in range(3, 5):
        for one, average in [(module, straight), (other, resumed)]:
            moved(one, step)
            average.update()
    assert to_bytes(resumed.state_dict()) == to_bytes(straight.state_dict())


def test_the_live_parameters_stay_the_same_objects() -> None:
    module = network()
    average, before = averaged(module, 0.9), [id(p) for p in module.parameters()]
    address = module[0].weight.data_ptr()
    with average.applied():
        pass
    assert [id(p) for p in module.parameters()] == before
    assert module[0].weight.data_ptr() == address
