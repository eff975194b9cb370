"""Randomness that is a function of where it is used, not of what was drawn before.

Order, augmentation and noise are keyed by (seed, stream, pass, position). They need no saved
state and do not depend on the number of workers or processes. What a loss draws for a sample is a
function of the sample's own seed, so that it does not depend on the pieces of a batch.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

Part = int | str


def key(*parts: Part) -> int:
    """Mix words and numbers into a seed of 63 bits."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: Part) -> torch.Generator:
    """Return a CPU generator of its own, seeded by a key."""
    made = torch.Generator()
    made.manual_seed(key(*parts))
    return made


def reseed(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch's CPU.

    ``torch.manual_seed`` also visits every accelerator, at fifty times the cost of this.
    """
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.default_generator.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every generator that a training step may draw from."""
    state = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.default_generator.get_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put the state of every generator back."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.default_generator.set_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def apart(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """Run a block with randomness of its own; what is drawn inside changes nothing outside."""
    state = random_state(device)
    if seed is not None:
        reseed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
    try:
        yield
    finally:
        set_random_state(state, device)


def uniform(seeds: Tensor, count: int, stream: int = 0) -> Tensor:
    """Return random numbers in [0, 1) that are a function of (seed, stream, position).

    The same whatever the batch, its pieces and the process a sample is in; no generator is used,
    and the device is not waited for. Two rounds of a multiply-xorshift hash (splitmix64).

    Args:
        seeds: (B,) int64, one for each sample: see `seeds`.
        count: Numbers per seed.
        stream: Tells several uses of one seed apart.

    Returns:
        (B, count) float32.
    """
    position = torch.arange(count, device=seeds.device, dtype=torch.int64)
    # constants of splitmix64 (Steele, Lea and Flood, 2014) as signed 64-bit numbers
    mixed = (seeds ^ (stream << 48))[:, None] - 7046029254386353131 * (position + 1)
    mixed = (mixed ^ _shifted(mixed, 30)) * -4658895280553007687
    mixed = (mixed ^ _shifted(mixed, 27)) * -7723592293110705685
    mixed = mixed ^ _shifted(mixed, 31)
    return _shifted(mixed, 40).to(torch.float32) * 2.0**-24


def seeds(size: int, generator: torch.Generator) -> Tensor:
    """Draw a seed for each sample of a batch: ``Stream(noise=keyed.seeds)``, then `uniform`.

    Returns:
        (B,) int64.
    """
    return torch.randint(1 << 62, (size,), generator=generator)


def _shifted(values: Tensor, bits: int) -> Tensor:
    """Shift right without a sign: torch has signed 64-bit numbers only."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)
