"""A model of transformers as the loops see it: its own head, on states that had no padding.

Letters: B texts, L tokens of the longest, C outputs, K chosen tokens, H width.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from rondel_text.data.batch import Texts
from rondel_text.models.text_model import TextModel
from rondel_text.models.unpadded import Encoder, Hidden, Padded, encoder_for

HEADS: Mapping[str, Any] = {
    "sequence": AutoModelForSequenceClassification,
    "tokens": AutoModelForTokenClassification,
    "masked": AutoModelForMaskedLM,
    "causal": AutoModelForCausalLM,
    "seq2seq": AutoModelForSeq2SeqLM,
}


class Given(nn.Module):
    """Stands in the place of a base model and returns states that were computed before."""

    states: Tensor
    pooled: Tensor | None = None

    @property
    def decoder(self) -> Given:
        """What some heads (of OPT) ask for the states, instead of the base model."""
        return self

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """Return the states."""
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=cast(Any, self.states), pooler_output=cast(Any, self.pooled)
        )


class TransformerModel(TextModel):
    """A model of transformers with a head.

    The base model runs over the tokens alone where that gives the same numbers; the head is the
    model's own, so that what is saved gives the same logits in transformers.

    Args:
        model: With the head of the task.
        head: As in `rondel_text.tasks.task.Task`.
        unpadded: Run without padding where that is exact.
    """

    def __init__(self, model: PreTrainedModel, head: str, *, unpadded: bool = True) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self.encoder: Encoder = (
            encoder_for(model) if unpadded else Padded(model, reason="padding=padded")
        )
        kind = "padded" if isinstance(self.encoder, Padded) else "without padding"
        self.reading = f"{kind}: {self.encoder.reason}"

    @property
    def base(self) -> PreTrainedModel:
        """The model without its head."""
        return cast(PreTrainedModel, self.model.base_model)

    def hidden(self, texts: Texts) -> Hidden:
        """Compute the states of all tokens."""
        return self.encoder(texts.ids, texts.lengths, token_types=texts.types)

    def forward(self, texts: Texts) -> Tensor:
        """Return logits (B, C) or (B, L, C), L that of the longest text."""
        states = self.hidden(texts).padded()
        length = states.shape[1]
        mask = torch.arange(length, device=states.device) < texts.lengths[:, None]
        # some heads look for the last token that is no padding
        ids = texts.ids[:, :length].masked_fill(~mask, self.model.config.pad_token_id or 0)
        return self._headed(states, input_ids=ids, attention_mask=mask.long())

    def at(self, texts: Texts, chosen: Tensor) -> Tensor:
        """Return logits (K, V) of the chosen tokens: the head computes no others."""
        hidden = self.hidden(texts)
        there = hidden.layout.flatten(chosen)
        return self._headed(hidden.flat[there][None])[0]

    def _headed(self, states: Tensor, **inputs: Tensor) -> Tensor:
        """Run the model's own head on given states."""
        given = Given()
        given.states = states
        given.pooled = pooled(self.base, states) if self.head == "sequence" else None
        view = copy.copy(self.model)
        view.__dict__["_modules"] = {**self.model._modules, self.model.base_model_prefix: given}
        logits: Tensor = view(**inputs, return_dict=True).logits
        return logits

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """Return the head, then the layers from the last to the first, then the embeddings."""
        prefix = self.model.base_model_prefix
        head = [part for name, part in self.model.named_children() if name != prefix]
        pooler = getattr(self.base, "pooler", None)
        layers = layers_of(self.base)
        inside = {id(part) for layer in layers for part in layer.modules()}
        inside |= {id(part) for part in (pooler.modules() if pooler is not None else ())}
        rest = [
            part
            for part in self.base.modules()
            if id(part) not in inside and not list(part.children()) and list(part.parameters())
        ]
        first = [*head, *([pooler] if pooler is not None else [])]
        return [first, *([layer] for layer in reversed(layers)), rest]

    def to_facts(self) -> dict[str, Any]:
        """Return the config of transformers."""
        config = json.loads(self.model.config.to_json_string(use_diff=False))
        unpadded = not isinstance(self.encoder, Padded)
        return {"kind": "transformer", "head": self.head, "config": config, "unpadded": unpadded}


def pooled(base: nn.Module, states: Tensor) -> Tensor | None:
    """Return (B, H) what a base model makes of its first state, if it makes anything of it."""
    pooler = getattr(base, "pooler", None)
    if pooler is None:
        return None
    if isinstance(pooler, nn.Linear):  # of ALBERT, whose activation stands beside it
        made: Tensor = base.pooler_activation(pooler(states[:, 0]))
        return made
    found: Tensor = pooler(states)
    return found


def layers_of(base: nn.Module) -> list[nn.Module]:
    """Return the layers of a base model: its longest list of modules."""
    lists = [part for part in base.modules() if isinstance(part, nn.ModuleList)]
    longest = max(lists, key=len, default=None)
    return [] if longest is None else list(longest)


def transformer_of(facts: Mapping[str, Any]) -> TransformerModel:
    """Build a model of its facts, with any weights."""
    config = AutoConfig.for_model(**facts["config"])
    model = HEADS[facts["head"]].from_config(config)
    return TransformerModel(model, facts["head"], unpadded=facts["unpadded"])
