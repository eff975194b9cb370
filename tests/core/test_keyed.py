"""Keyed randomness: a function of where it is used."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from rondel import keyed

CPU = torch.device("cpu")


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_key_depends_on_every_part_and_its_kind() -> None:
    made = [keyed.key(1, "a"), keyed.key(1, "b"), keyed.key(2, "a"), keyed.key("1", "a")]
    keys = {*made, keyed.key(1, "a", 0)}
    assert len(keys) == 5
    assert all(0 <= k < 2**63 for k in keys)


def test_a_key_is_the_same_in_every_version() -> None:
    assert keyed.key(0, "train", "order", 0) == keyed.key(0, "train", "order", 0)
    assert keyed.key("train", 7) == 8315433132290055532


def test_reseeding_reaches_python_numpy_and_torch() -> None:
    with keyed.apart(CPU):
        keyed.reseed(5)
        first = draws()
        keyed.reseed(5)
        assert draws() == first
        keyed.reseed(6)
        assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_a_keyed_generator_draws_nothing_from_the_global_one() -> None:
    before = torch.default_generator.get_state()
    torch.rand(3, generator=keyed.generator(1, "x"))
    assert torch.equal(torch.default_generator.get_state(), before)


def test_what_is_drawn_apart_changes_nothing_outside() -> None:
    with keyed.apart(CPU):
        keyed.reseed(1)
        expected = draws()
        keyed.reseed(1)
        with keyed.apart(CPU, seed=9):
            inside = draws()
        assert draws() == expected
        with keyed.apart(CPU, seed=9):
            assert draws() == inside


def test_an_error_inside_gives_the_randomness_back() -> None:
    with keyed.apart(CPU):
        keyed.reseed(1)
        expected = draws()
        keyed.reseed(1)
        with pytest.raises(ZeroDivisionError), keyed.apart(CPU, seed=9):  # noqa: PT012
            draws()
            raise ZeroDivisionError
        assert draws() == expected


def test_a_saved_random_state_continues_where_it_was() -> None:
    with keyed.apart(CPU):
        keyed.reseed(3)
        draws()
        state = keyed.random_state(CPU)
        expected = draws()
        draws()
        keyed.set_random_state(state, CPU)
        assert draws() == expected


def test_numbers_of_a_sample_depend_on_its_seed_alone() -> None:
    seeds = keyed.seeds(6, keyed.generator(7, "train", "noise", 0, 0))
    whole = keyed.uniform(seeds, 1000)
    assert torch.equal(whole[2:4], keyed.uniform(seeds[2:4], 1000))
    assert torch.equal(whole[:, :10], keyed.uniform(seeds, 10))
    assert whole.min() >= 0
    assert whole.max() < 1
    assert abs(whole.double().mean().item() - 0.5) < 0.02
    rows = torch.cat([whole, keyed.uniform(seeds, 1000, stream=1)])
    correlations = torch.corrcoef(rows).fill_diagonal_(0)
    assert correlations.abs().max() < 0.12  # 1 in 30,000 at 1,000 numbers
