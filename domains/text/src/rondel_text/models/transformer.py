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
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from rondel.batch import to_device
from rondel_text.data.batch import Texts
from rondel_text.models.text_model import TextModel
from rondel_text.models.unpadded import Encoder, Hidden, Padded, choose, encoder_for
from rondel_text.models.unpadded.attention import CURRENT

HEADS: Mapping[str, Any] = {
    "sequence": AutoModelForSequenceClassification,
    "tokens": AutoModelForTokenClassification,
    "masked": AutoModelForMaskedLM,
    "causal": AutoModelForCausalLM,
    "answers": AutoModelForQuestionAnswering,
    "embedding": AutoModel,
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
        self.compute(padded=not unpadded)

    @property
    def base(self) -> PreTrainedModel:
        """The model without its head."""
        return cast(PreTrainedModel, self.model.base_model)

    def is_faster_padded(self, texts: Texts) -> bool:
        """Tell by a measurement on a batch whether padding costs less than doing without it."""
        device = next(self.model.parameters()).device
        ids, lengths, types, _ = to_device(texts, device)
        chosen = choose(self.model, ids, lengths, token_types=types)
        return isinstance(chosen.encoder, Padded)

    def compute(self, *, padded: bool) -> None:
        """Compute with padding from now on, or without where that is exact."""
        self.encoder: Encoder = (
            Padded(self.model, reason="as chosen") if padded else encoder_for(self.model)
        )
        kind = "padded" if isinstance(self.encoder, Padded) else "without padding"
        self.reading = f"{kind}: {self.encoder.reason}"

    @property
    def embedding(self) -> nn.Module:
        """What turns tokens into vectors."""
        return cast(nn.Module, self.base.get_input_embeddings())

    @property
    def bounds(self) -> Tensor | None:
        """While it is called: (B + 1,) where texts begin and end, if they stand in one row."""
        call = CURRENT.get()
        return None if call is None else call.blocks.bounds

    @property
    def width(self) -> int:
        """H, that of the states."""
        return int(self.base.config.get_text_config().hidden_size)

    def hidden(self, texts: Texts) -> Hidden:
        """Compute the states of all tokens."""
        return self.encoder(texts.ids, texts.lengths, token_types=texts.types)

    def forward(self, texts: Texts) -> Tensor:
        """Return logits (B, C) or (B, L, C), L that of the longest text; or mean states (B, H)."""
        if self.head == "embedding":
            return self.hidden(texts).mean()
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
        return logits_of(view(**inputs, return_dict=True))

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


def logits_of(output: Any) -> Tensor:
    """Return the logits of a head of transformers; of spans (B, L, 2), first and last token.

    Of a model without a head, the last states (B, L, H).
    """
    if "start_logits" in output:
        return torch.stack((output.start_logits, output.end_logits), -1)
    logits: Tensor = output.logits if "logits" in output else output.last_hidden_state
    return logits


def pooled(base: nn.Module, states: Tensor) -> Tensor | None:
    """Return (B, H) what a base model makes of its first state, if it makes anything of it."""
    pooler = getattr(base, "pooler", None)
    if pooler is None:
        return None
    if isinstance(pooler, nn.Linear):  # of ALBERT, whose activation stands beside it
        made: Tensor = cast(Any, base).pooler_activation(pooler(states[:, 0]))
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
