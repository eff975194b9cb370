"""Attention within each text of a row, as an implementation that transformers can select.

The layout travels as the attention mask: transformers asks for a mask once per forward pass and
hands it to every layer, so no layer needs to look anything up, and a layer that is recomputed
in the backward pass (gradient checkpointing) still has it. Without a layout, both functions are
transformers' SDPA, so a model that uses them can also be called as usual.

N texts of a block, L its longest text, T tokens, A attention heads, D width of a head.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from rondel.errors import UsageError
from rondel_text.models.unpadded.blocks import Block, Blocks
from rondel_text.models.unpadded.layout import on
from rondel_text.models.unpadded.rows import spread, take

NAME = "rondel_unpadded"
HARMLESS = {"sliding_window", "deterministic", "position_ids", "cache_position", "is_causal"}
"""Arguments of attention functions that the mask already says, or that change no number."""

Allowed = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Transformers' mask function: whether (batch, head, query, key), given by index, may attend."""


@dataclass(frozen=True)
class Call:
    """The forward pass that is going on: its blocks, and the configs of the model it belongs to."""

    blocks: Blocks
    configs: tuple[Any, ...]


CURRENT: ContextVar[Call | None] = ContextVar("rondel_unpadded_call", default=None)


@contextmanager
def calling(blocks: Blocks, configs: Sequence[Any]) -> Iterator[None]:
    """Let the models with these configs see the blocks; nests, and is private to a thread."""
    token = CURRENT.set(Call(blocks, tuple(configs)))
    try:
        yield
    finally:
        CURRENT.reset(token)


def register() -> None:
    """Offer both functions to transformers under `NAME`."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, mask)


# -- the mask --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BlockMask:
    """Who attends to whom in a block: causal, or where the mask says (everywhere if None)."""

    causal: bool
    allowed: Tensor | None  # (N or 1, 1, L or 1, L) bool


@dataclass(frozen=True)
class RowMask:
    """Who attends to whom in a row of texts: one mask for each block."""

    blocks: Blocks
    masks: tuple[BlockMask, ...]

    @property
    def plain(self) -> bool:
        """Whether no block needs more than its texts' lengths and causality."""
        return all(m.allowed is None or m.allowed.shape[2] == 1 for m in self.masks)


def mask(*args: Any, **settings: Any) -> Any:
    """Return the mask of a row of texts; of any other batch, what SDPA needs.

    Args:
        args: Transformers passes none.
        settings: What transformers tells every mask function.
    """
    call = CURRENT.get()
    if call is None or not any(settings.get("config") is config for config in call.configs):
        return AttentionMaskInterface()["sdpa"](*args, **settings)
    if settings.get("use_vmap"):
        raise UsageError(
            "the model has an attention mask that is no function of positions alone",
            hint="Call it padded.",
        )
    return RowMask(call.blocks, tuple(block_mask(b, settings) for b in call.blocks.blocks))


def block_mask(block: Block, settings: dict[str, Any]) -> BlockMask:
    """Return the mask of one block, by the rule of transformers' own SDPA mask.

    A window (or chunk) that no text of the block reaches the end of is none.
    """
    window = settings.get("local_size")
    if window is None or block.longest < window:
        if settings.get("allow_is_causal_skip"):
            # padding stands behind its text, so no token of the text looks at it
            return BlockMask(causal=True, allowed=None)
        if settings.get("allow_is_bidirectional_skip"):
            keys = None if block.tight else is_token(block, settings["device"])[:, None, None]
            return BlockMask(causal=False, allowed=keys)
    return BlockMask(causal=False, allowed=evaluated(block, settings))


def evaluated(block: Block, settings: dict[str, Any]) -> Tensor:  # (N or 1, 1, L, L)
    """Ask the mask function of the model about each pair of positions in a text."""
    device = settings["device"]
    index, zero = torch.arange(block.longest, device=device), torch.zeros(1, 1, 1, 1, device=device)
    allowed: Allowed = settings["mask_function"]
    pairs = allowed(zero.long(), zero.long(), index[None, None, :, None], index[None, None, None])
    pairs = pairs.expand(1, 1, block.longest, block.longest)
    if block.tight:
        return pairs
    token = is_token(block, device)
    # padding attends to itself: a row without any key is not a number, also in the backward pass
    itself = torch.eye(block.longest, dtype=torch.bool, device=device) & ~token[:, :, None]
    return (pairs & token[:, None, None]) | itself[:, None]


def is_token(block: Block, device: torch.device) -> Tensor:  # (N, L)
    """Tell tokens from padding."""
    lengths = on(device, torch.tensor(block.lengths))
    return torch.arange(block.longest, device=lengths.device) < lengths[:, None]


# -- attention -------------------------------------------------------------------------------------


def attend(  # noqa: PLR0917 - the signature is transformers'
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Attend within each text; the arguments are transformers'.

    Args:
        module: The attention layer.
        query: (1, A, T, D).
        key: (1, A or fewer, T, D).
        value: (1, A or fewer, T, D).
        attention_mask: A `RowMask`, or a tensor or None for a padded batch.
        dropout: Share of attention weights that is dropped.
        scaling: Of the scores.
        settings: What the model tells every attention function.

    Returns:
        (1, T, A, D), and no weights.

    Raises:
        UsageError: The model asks for something that changes the result and is not known here.
    """
    if not isinstance(attention_mask, RowMask):
        padded: tuple[Tensor, None] = AttentionInterface()["sdpa"](
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            **settings,
        )
        return padded
    refuse_unknown(settings)
    # (T, A, D): one row per token, heads repeated where several queries share a key
    count = query.shape[1]
    heads = [repeated(t.transpose(1, 2)[0], count) for t in (query, key, value)]
    if varlen_fits(heads[0], attention_mask, dropout):
        return varlen(heads, attention_mask, scaling)[None], None
    return blockwise(heads, attention_mask, dropout=dropout, scaling=scaling)[None], None


def refuse_unknown(settings: dict[str, Any]) -> None:
    """Raise if attention has an argument (a bias, a cap, a sink) that would have no effect."""
    for name, value in settings.items():
        if name not in HARMLESS and value is not None and value is not False:
            raise UsageError(
                f"the model's attention has the argument {name!r}", hint="Call it padded."
            )


def repeated(heads: Tensor, count: int) -> Tensor:  # (T, fewer, D) to (T, count, D)
    """Repeat the heads of keys or values, neighbours side by side, if they are fewer."""
    if heads.shape[1] == count:
        return heads
    return heads.repeat_interleave(count // heads.shape[1], dim=1)


def blockwise(
    heads: Sequence[Tensor], mask: RowMask, *, dropout: float, scaling: float | None
) -> Tensor:  # (T, A, D)
    """Attend block by block, one call of SDPA for each; heads are queries, keys, values."""
    arranged = mask.blocks
    if arranged.sources is not None and arranged.places is not None:
        heads = [spread(t, arranged.sources, arranged.places) for t in heads]
    # one split and one cat: a slice per block would fill a gradient of the whole row for each
    sizes = [block.places for block in arranged.blocks]
    pieces = zip(*(torch.split(t, sizes) for t in heads), strict=True)
    outputs = []
    for block, of_block, piece in zip(arranged.blocks, mask.masks, pieces, strict=True):
        query, key, value = (t.unflatten(0, (-1, block.longest)).transpose(1, 2) for t in piece)
        attended = scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=of_block.allowed,
            is_causal=of_block.causal,
            dropout_p=dropout,
            scale=scaling,
        )
        outputs.append(attended.transpose(1, 2).flatten(0, 1))
    output = torch.cat(outputs)
    return output if arranged.places is None else take(output, arranged.places)


# -- one kernel for all lengths; not tested on a device --------------------------------------------


@cache
def varlen_attention() -> Any:
    """Return torch's attention over texts of any length, or None if this torch has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    # the first versions could neither scale nor say 'causal' by a window
    known = inspect.signature(varlen_attn).parameters
    return varlen_attn if {"scale", "window_size"} <= known.keys() else None


def varlen_fits(query: Tensor, mask: RowMask, dropout: float) -> bool:
    """Tell whether the kernel computes this: half precision on CUDA, no dropout, no window."""
    return (
        query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and query.shape[-1] % 8 == 0
        and not dropout
        and mask.plain
        and varlen_attention() is not None
    )


def varlen(heads: Sequence[Tensor], mask: RowMask, scaling: float | None) -> Tensor:  # (T, A, D)
    """Attend within all texts by one kernel; heads are queries, keys, values."""
    bounds, longest = mask.blocks.bounds, mask.blocks.blocks[0].longest
    window = (-1, 0) if mask.masks[0].causal else (-1, -1)
    output: Tensor = varlen_attention()(
        *heads, bounds, bounds, longest, longest, scale=scaling, window_size=window
    )
    return output
