"""Randomness that is a function of where it is used, not of what was drawn before.

Order, augmentation and noise are keyed by (seed, stream, pass, position). They need no saved
state and do not depend on the number of workers or processes.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

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
