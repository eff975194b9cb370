"""Whether a model may run without padding: found out by numbers, not by its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rondel_text.models.unpadded.blocks import Blocks, Cost
from rondel_text.models.unpadded.implementation import restored, select
from rondel_text.models.unpadded.network import Batch, Network

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}
"""Distance over norm up to which states count as equal."""
LENGTHS = (5, 3, 7)
"""Of the texts of the probe: neither sorted nor equal."""
COST = Cost(call=30, copy=0)
"""Puts 7 and 5 into one block with padding, and 3 into another."""


@dataclass(frozen=True)
class Verdict:
    """What the probe of a model found; true if it may run without padding.

    Args:
        position_offset: The position of a first token, or None if the model needs padding.
        reason: A sentence for the user.
    """

    position_offset: int | None
    reason: str

    def __bool__(self) -> bool:
        """Whether the model may run without padding."""
        return self.position_offset is not None


def supports(model: PreTrainedModel) -> bool:
    """Tell whether a model gives the same states without padding; `probe` says why not."""
    return bool(probe(model))


@torch.no_grad()
def probe(model: PreTrainedModel, *, head: bool = False) -> Verdict:
    """Run a model on three short texts with and without padding, and compare the states.

    The model is left as it was: its mode, its attention implementation, the random generators.

    Args:
        model: Of transformers; of a model with a head, the base model is run.
        head: Run the head too.
    """
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        stack.enter_context(full_precision())
        stack.enter_context(restored(model))
        try:
            network, batch = Network.of(model, head=head), texts(model)
            padded = network.padded(batch)
            select(model)
            return compared(network, batch, batch.layout.flatten(padded))
        except Exception as error:  # noqa: BLE001 - a foreign model may fail in any way
            return Verdict(None, f"{type(error).__name__}: {error}")


def compared(network: Network, batch: Batch, expected: Tensor) -> Verdict:
    """Find the offset of positions with which the states are the expected ones."""
    blocks = Blocks.of(batch.layout, COST)
    tolerance = TOLERANCE.get(expected.dtype, TOLERANCE[torch.bfloat16])
    nearest = float("inf")
    for offset in offsets(network.model):
        rows = network.row(batch, blocks, position_offset=offset)
        difference = distance(rows[blocks.rows], expected)
        nearest = min(nearest, difference)
        if difference <= tolerance:
            dtype = str(expected.dtype).removeprefix("torch.")
            return Verdict(offset, f"states equal the padded ones within {tolerance:.0e} ({dtype})")
    return Verdict(None, f"states differ from the padded ones by {nearest:.0e} of their norm")


def offsets(model: PreTrainedModel) -> tuple[int, ...]:
    """Return where positions may start: at 0, or behind the padding id as in RoBERTa."""
    padding = getattr(model.config.get_text_config(), "pad_token_id", None)
    return (0,) if padding is None else (0, padding + 1)


def distance(states: Tensor, expected: Tensor) -> float:
    """Return the distance of two tensors over the norm of the second."""
    return float((states.double() - expected.double()).norm() / expected.double().norm())


def texts(model: PreTrainedModel) -> Batch:
    """Return texts of different tokens, none of them padding."""
    config = model.config.get_text_config()
    shape = (len(LENGTHS), max(LENGTHS))
    ids = torch.arange(shape[0] * shape[1]).view(shape) * 7 % (config.vocab_size - 1)
    padding = getattr(config, "pad_token_id", None)
    if padding is not None:
        ids += ids >= padding
    return Batch.of(ids.to(next(model.parameters()).device), torch.tensor(LENGTHS))


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Switch dropout off, and each module back to its mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply float32 exactly: with TF32, equal computations differ by more than faults do."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
