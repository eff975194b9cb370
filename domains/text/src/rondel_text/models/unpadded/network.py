"""A transformers model as a function of tensors: over a padded batch, or over one row of tokens.

B texts, L longest text, T tokens, H width.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rondel.errors import UsageError
from rondel_text.models.unpadded.attention import calling
from rondel_text.models.unpadded.blocks import Blocks
from rondel_text.models.unpadded.implementation import configs_of
from rondel_text.models.unpadded.layout import Layout


@dataclass(frozen=True)
class Batch:
    """Texts that are padded at their ends.

    Args:
        ids: (B, L) int64.
        layout: Of the texts.
        token_types: (B, L) int64, for models with segments.
    """

    ids: Tensor
    layout: Layout
    token_types: Tensor | None = None

    @classmethod
    def of(cls, ids: Tensor, lengths: Tensor, token_types: Tensor | None = None) -> Batch:
        """Lay out a batch.

        Raises:
            UsageError: The lengths do not fit the ids.
        """
        layout = Layout.of(lengths, device=ids.device)
        if ids.ndim != 2 or len(layout) != len(ids) or layout.longest > ids.shape[1]:
            raise UsageError(
                f"ids {tuple(ids.shape)} with {len(layout)} lengths up to {layout.longest}",
                hint="Give ids (B, L) and the number of tokens of each of the B texts.",
            )
        return cls(ids, layout, token_types)


@dataclass(frozen=True)
class Network:
    """The part of a model that is run, and what its signature and configs say.

    Args:
        model: What is run.
        configs: That the model and its parts read.
        caches: It would keep keys and values if it were not told otherwise.
        width: Channels.
    """

    model: PreTrainedModel
    configs: tuple[Any, ...]
    caches: bool
    width: int

    @classmethod
    def of(cls, model: PreTrainedModel, *, head: bool) -> Network:
        """Return the base of a model, or with its head the whole of it."""
        run = model if head else model.base_model
        caches = "use_cache" in inspect.signature(run.forward).parameters
        width = getattr(run.config.get_text_config(), "hidden_size", 512)
        return cls(run, configs_of(run), caches, int(width))

    def padded(self, batch: Batch) -> Tensor:  # (B, longest, H)
        """Run the padded batch, cut to its longest text."""
        width = batch.layout.longest
        types = batch.token_types
        output = self._call(
            input_ids=batch.ids[:, :width],
            attention_mask=batch.layout.mask(width),
            token_type_ids=None if types is None else types[:, :width],
        )
        return per_token(output, len(batch.layout), width)

    def row(self, batch: Batch, blocks: Blocks, *, position_offset: int) -> Tensor:  # (T, H)
        """Run the tokens alone, in the order of the blocks; `select` the model before."""
        texts, positions = batch.layout.texts[blocks.tokens], batch.layout.positions[blocks.tokens]
        types = batch.token_types
        with calling(blocks, self.configs):
            output = self._call(
                input_ids=batch.ids[texts, positions][None],
                # without a mask, transformers looks for the texts itself, and waits for the device
                attention_mask=torch.ones_like(positions)[None],
                position_ids=(positions + position_offset)[None],
                token_type_ids=None if types is None else types[texts, positions][None],
            )
        return per_token(output, 1, batch.layout.tokens)[0]

    def _call(self, **inputs: Tensor | None) -> Tensor:
        given: dict[str, Any] = {name: t for name, t in inputs.items() if t is not None}
        if self.caches:
            given["use_cache"] = False
        # the first output: the last hidden states, or of a head its logits
        output: Tensor = self.model(**given)[0]
        return output


def per_token(output: Tensor, texts: int, width: int) -> Tensor:
    """Return the output of a model that has one state per token.

    Raises:
        UsageError: It has not.
    """
    if output.ndim != 3 or output.shape[:2] != (texts, width):
        raise UsageError(
            f"the model returns {tuple(output.shape)} for {texts} x {width} tokens",
            hint="A head that makes one row of a text takes hidden.first(), outside of the model.",
        )
    return output
