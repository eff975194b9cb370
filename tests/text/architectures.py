"""Small models of transformers, one of each family that runs without padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers as hf

VOCABULARY = 61
# a wide initialisation: with the usual one, attention to the wrong tokens changes little
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

UNPADDED: dict[str, Callable[[], Any]] = {
    "bert": lambda: hf.BertConfig(**SIZES),
    "bert decoder": lambda: hf.BertConfig(**SIZES, is_decoder=True),
    "roberta": lambda: hf.RobertaConfig(**SIZES),
    "xlm-roberta": lambda: hf.XLMRobertaConfig(**SIZES),
    "camembert": lambda: hf.CamembertConfig(**SIZES),
    "distilbert": lambda: hf.DistilBertConfig(
        vocab_size=VOCABULARY,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
        max_position_embeddings=64,
        initializer_range=0.2,
    ),
    "electra": lambda: hf.ElectraConfig(**SIZES, embedding_size=16),
    "albert": lambda: hf.AlbertConfig(**SIZES, embedding_size=16),
    "modernbert": lambda: hf.ModernBertConfig(
        **SIZES, **SPECIAL, cls_token_id=1, sep_token_id=2, local_attention=6
    ),
    "gpt2": lambda: hf.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=64,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.2,
    ),
    "opt": lambda: hf.OPTConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=48,
        max_position_embeddings=64,
        word_embed_proj_dim=32,
        init_std=0.2,
    ),
    "llama": lambda: hf.LlamaConfig(**GROUPED),
    "qwen2": lambda: hf.Qwen2Config(**GROUPED),
    "gpt-neox": lambda: hf.GPTNeoXConfig(**SIZES),
    "mistral": lambda: hf.MistralConfig(**GROUPED, sliding_window=4),
    "gemma3": lambda: hf.Gemma3TextConfig(**GROUPED, pad_token_id=0, head_dim=8, sliding_window=4),
}
