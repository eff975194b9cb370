"""Encoder and decoder of transformers as the loops see them: a text is read, another one written.

Letters: B texts, L tokens of the longest, M of the longest target, V tokens that there are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, BartConfig, PretrainedConfig, PreTrainedModel, T5Config

from rondel_text.config import ModelConfig
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.models.text_model import TextModel
from rondel_text.models.transformer import HEADS, layers_of
from rondel_text.tokenizers.subwords import SubwordTokenizer


class Seq2SeqModel(TextModel):
    """A model of transformers that writes a text for a text.

    Args:
        model: With its language-model head.
    """

    head = "seq2seq"
    reading = "padded: an encoder and a decoder"

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    @property
    def most(self) -> int | None:
        """Most tokens of a text that is read or written; None if there is no limit."""
        found: int | None = getattr(self.model.config, "max_position_embeddings", None)
        return found

    def forward(self, texts: Texts, *targets: Tensor) -> Tensor:
        """Return logits (B, M, V) of each target token, given those before it.

        This is teacher forcing (Williams and Zipser, 1989): the decoder reads the true tokens.

        Args:
            texts: The sources.
            targets: One tensor, (B, M) tokens, `IGNORED` behind the end of a target.
        """
        inputs = self.inputs(texts)
        logits: Tensor = self.model(
            **inputs, decoder_input_ids=self.shifted(targets[0]), use_cache=False
        ).logits
        return logits

    def inputs(self, texts: Texts) -> dict[str, Tensor]:
        """Return what the encoder reads: (B, L) tokens and which of them are no padding."""
        there = torch.arange(texts.ids.shape[1], device=texts.ids.device) < texts.lengths[:, None]
        ids = texts.ids.masked_fill(~there, self.model.config.pad_token_id)
        return {"input_ids": ids, "attention_mask": there.long()}

    def shifted(self, targets: Tensor) -> Tensor:
        """Return what the decoder reads: the mark that it starts from, then all tokens but one."""
        config = self.model.config
        before = targets.roll(1, 1)
        before[:, 0] = config.decoder_start_token_id
        return before.masked_fill(before == IGNORED, config.pad_token_id)

    def write(self, texts: Texts, *, beams: int, longest: int) -> list[list[int]]:
        """Return the tokens of a text for each text, marks and padding among them.

        Nothing is drawn: the likeliest token each time, or the best of some beams.
        """
        written: Tensor = self.model.generate(
            **self.inputs(texts), num_beams=beams, do_sample=False, max_new_tokens=longest
        )
        tokens: list[list[int]] = written.tolist()
        return tokens

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """Return the decoder's layers from the last to the first, the encoder's, then the rest."""
        parts = [self.model.get_decoder(), self.model.get_encoder()]
        layers = [layer for part in parts for layer in reversed(layers_of(part))]
        inside = {id(part) for layer in layers for part in layer.modules()}
        rest = [
            part
            for part in self.model.modules()
            if id(part) not in inside and not list(part.children()) and list(part.parameters())
        ]
        return [*([layer] for layer in layers), rest]

    def to_facts(self) -> dict[str, Any]:
        """Return the config of transformers, and how it writes."""
        return {
            "kind": self.head,
            "config": json.loads(self.model.config.to_json_string(use_diff=False)),
            "writing": self.model.generation_config.to_diff_dict(),
        }


def seq2seq_of(facts: Mapping[str, Any]) -> Seq2SeqModel:
    """Build a model of its facts, with any weights."""
    model = HEADS["seq2seq"].from_config(AutoConfig.for_model(**facts["config"]))
    model.generation_config.update(**facts["writing"])
    return Seq2SeqModel(cast(PreTrainedModel, model))


def fresh_config(config: ModelConfig, tokenizer: SubwordTokenizer, *, width: int) -> Any:
    """Describe an encoder and a decoder from scratch: BART (Lewis et al., 2020), or T5.

    Embeddings are scaled by the root of the width (Vaswani et al., 2017, section 3.4).
    """
    fast, positions = tokenizer.fast, max(tokenizer.longest, 512)
    marks = {
        "vocab_size": tokenizer.size,
        "pad_token_id": fast.pad_token_id,
        "eos_token_id": fast.sep_token_id,
        "decoder_start_token_id": fast.cls_token_id,
    }
    made: PretrainedConfig
    if config.name == "t5":
        return T5Config(
            **marks,
            d_model=width,
            d_kv=width // config.heads,
            d_ff=4 * width,
            num_layers=config.layers,
            num_heads=config.heads,
        )
    made = BartConfig(
        **marks,
        bos_token_id=fast.cls_token_id,
        forced_eos_token_id=None,
        d_model=width,
        encoder_layers=config.layers,
        decoder_layers=config.layers,
        encoder_attention_heads=config.heads,
        decoder_attention_heads=config.heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        max_position_embeddings=positions,
        # at BART's own 0.02 a narrow decoder learns to write long before it looks at the source
        init_std=0.64 / math.sqrt(width),
        scale_embedding=True,
    )
    return made
