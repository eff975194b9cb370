"""Which way to run a model is faster on a batch: measured once, at the start of a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rondel_text.models.unpadded.encoder import Encoder, Padded, encoder_for

ROUNDS = 3


@dataclass(frozen=True)
class Choice:
    """The faster encoder, and a sentence that says why."""

    encoder: Encoder
    reason: str


def choose(
    model: PreTrainedModel,
    ids: Tensor,
    lengths: Tensor,
    *,
    token_types: Tensor | None = None,
    head: bool = False,
) -> Choice:
    """Return the faster way to run a model, forward and backward, on batches like this one.

    Gradients and random generators are left as they were. A run that must be repeated bit by bit
    should store the choice: the two differ by rounding.

    Args:
        model: Of transformers; of a model with a head, the base model is run.
        ids: (B, L) of a typical batch.
        lengths: (B,).
        token_types: (B, L), for models with segments.
        head: Run the head too.
    """
    encoder = encoder_for(model, head=head)
    if isinstance(encoder, Padded):
        return Choice(encoder, f"padded: {encoder.reason}")
    encoders: list[Encoder] = [encoder, Padded(model, head=head, reason="faster")]
    with torch.random.fork_rng(devices=[ids.device] if ids.is_cuda else []):
        times_s = measured(encoders, ids, lengths, token_types)
    padding = 1 - float(lengths.double().mean() / lengths.max())
    unpadded, padded = (f"{time_s * 1000:.1f} ms" for time_s in times_s)
    numbers = f"{unpadded} without padding, {padded} with it, on a batch with {padding:.0%} padding"
    faster = min(range(2), key=lambda i: times_s[i])
    return Choice(encoders[faster], f"{('unpadded', 'padded')[faster]}: {numbers}")


def measured(
    encoders: Sequence[Encoder], ids: Tensor, lengths: Tensor, token_types: Tensor | None
) -> list[float]:
    """Return the best time of each encoder over alternating rounds, after one to warm up."""
    best = [float("inf")] * len(encoders)
    for number in range(ROUNDS + 1):
        for i, encoder in enumerate(encoders):
            time_s = timed(encoder, ids, lengths, token_types)
            if number:
                best[i] = min(best[i], time_s)
    return best


def timed(encoder: Encoder, ids: Tensor, lengths: Tensor, token_types: Tensor | None) -> float:
    """Return the seconds of a forward and backward pass; the gradients are thrown away."""
    parameters = [p for p in encoder.model.parameters() if p.requires_grad]
    synchronize(ids)
    start = time.perf_counter()
    with torch.enable_grad():
        loss = encoder(ids, lengths, token_types=token_types).flat.float().square().sum()
        if parameters:
            torch.autograd.grad(loss, parameters, allow_unused=True)
    synchronize(ids)
    return time.perf_counter() - start


def synchronize(tensor: Tensor) -> None:
    """Wait for a device."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
