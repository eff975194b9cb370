"""Schedules against torch's, and against the formulas of the papers."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import lr_scheduler

from rondel.errors import ConfigError
from rondel.schedule import make_schedule
from rondel.settings import ScheduleConfig, ScheduleName


def ours(total: int, *, length: int | None = None, **keys: object) -> list[float]:
    factor = make_schedule(ScheduleConfig(**keys), total=length or total, where="schedule")  # type: ignore[arg-type]
    return [1.0 if factor is None else factor(count) for count in range(total)]


def torch_rates(make: object, total: int, lr: float = 1.0) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)  # type: ignore[operator]
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("total", [2, 3, 10, 101])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_is_torchs(total: int, final: float) -> None:
    oracle = torch_rates(
        lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=total - 1, eta_min=final), total
    )
    assert ours(total, name="cosine", final=final) == pytest.approx(oracle, abs=1e-12)


@pytest.mark.parametrize("total", [2, 10, 101])
def test_linear_is_torchs(total: int) -> None:
    oracle = torch_rates(lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=total - 1), total)
    assert ours(total, name="linear", final=0.2) == pytest.approx(oracle, abs=1e-12)


@pytest.mark.parametrize(("total", "share"), [(10, 0.3), (100, 0.3), (57, 0.45)])
def test_one_cycle_is_torchs(total: int, share: float) -> None:
    oracle = torch_rates(
        lambda o: lr_scheduler.OneCycleLR(
            o, max_lr=1.0, total_steps=total + 1, pct_start=share, final_div_factor=1e12
        ),
        total,
    )
    # torch counts one step more and puts its peak at share * total_steps - 1
    peak = (share * (total + 1) - 1) / total
    made = ours(total, length=total + 1, name="one_cycle", peak=peak)
    assert made == pytest.approx(oracle, abs=1e-9)
    assert made[0] == pytest.approx(1 / 25, abs=1e-12)


def test_steps_are_torchs() -> None:
    oracle = torch_rates(lambda o: lr_scheduler.StepLR(o, step_size=7, gamma=0.5), 30)
    assert ours(30, name="step", every=7, gamma=0.5) == pytest.approx(oracle, abs=1e-12)


@pytest.mark.parametrize("warmup", [1, 2, 10])
def test_the_warm_up_is_torchs(warmup: int) -> None:
    oracle = torch_rates(
        lambda o: lr_scheduler.LinearLR(o, 1 / warmup, 1.0, total_iters=warmup - 1), 20
    )
    assert ours(20, name="constant", warmup=warmup) == pytest.approx(oracle, abs=1e-12)


def test_a_warm_up_goes_before_the_shape() -> None:
    oracle = torch_rates(
        lambda o: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.LinearLR(o, 1 / 5, 1.0, total_iters=4),
                lr_scheduler.CosineAnnealingLR(o, T_max=14),
            ],
            milestones=[5],
        ),
        20,
    )
    made = ours(20, name="cosine", warmup=5)
    assert made == pytest.approx(oracle, abs=1e-12)
    assert made[4] == made[5] == 1.0


def test_the_slanted_triangle_is_that_of_the_paper() -> None:
    """Howard & Ruder, 2018, equation 3, with T = 100, cut_frac = 0.1, ratio = 32."""
    total, cut_frac, ratio = 100, 0.1, 32
    cut = math.floor(total * cut_frac)

    def paper(t: int) -> float:
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        return (1 + p * (ratio - 1)) / ratio

    made = ours(total + 1, name="slanted_triangle", peak=cut_frac)
    assert made == pytest.approx([paper(t) for t in range(total + 1)], abs=1e-12)


@pytest.mark.parametrize("name", ["cosine", "linear", "one_cycle"])
def test_a_schedule_ends_exactly_with_the_run_and_stays_there(name: ScheduleName) -> None:
    factor = make_schedule(ScheduleConfig(name=name, final=0.125), total=40, where="schedule")
    assert factor is not None
    assert factor(38) > 0.125 + 1e-6
    assert factor(39) == pytest.approx(0.125, abs=1e-12)
    assert factor(400) == pytest.approx(0.125, abs=1e-12)


def test_the_config_knows_the_length_better_than_the_loop() -> None:
    factor = make_schedule(ScheduleConfig(name="linear", total=9), total=1000, where="schedule")
    assert factor is not None
    assert factor(8) == 0.0


def test_a_run_of_one_update_has_a_whole_rate() -> None:
    assert ours(1, name="cosine") == [1.0]


def test_a_constant_rate_costs_nothing() -> None:
    assert make_schedule(ScheduleConfig(), total=None, where="schedule") is None


def test_a_shape_without_a_length_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        make_schedule(ScheduleConfig(name="cosine"), total=None, where="model.schedule")
    assert str(caught.value) == (
        "model.schedule: the schedule 'cosine' needs to know how long the run is. "
        "Set schedule.total, or give run.update(..., total=...)."
    )


def test_a_warm_up_longer_than_the_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="a warm-up of 10 is not shorter than the run of 10 upd"):
        make_schedule(ScheduleConfig(name="cosine", warmup=10), total=10, where="schedule")
