"""The models by name, each with the tokenizer that it reads.

What needs transformers is loaded when it is asked for: that takes longer than a small model trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from rondel.errors import ConfigError
from rondel_text.config import ModelConfig
from rondel_text.models.small import Bag, BagOfPieces, ByteLanguage, WordTagger, small_model
from rondel_text.models.text_model import TextModel
from rondel_text.tokenizers import ByteTokenizer, PieceTokenizer, Tokenizer, WordTokenizer

if TYPE_CHECKING:
    from rondel_text.tokenizers.subwords import SubwordTokenizer

SMALL = {"sequence": "pieces", "tokens": "words", "causal": "bytes", "embedding": "pieces"}
"""The tokenizer of the small model for each kind of answer."""
LONGEST = {"pieces": 4096, "words": 256, "bytes": 256}
"""Default of ``max_length``."""
WINDOW = 384
"""The same, of windows of a context (Devlin et al., 2019, and everyone since)."""


def make_tokenizer(
    config: ModelConfig,
    head: str,
    texts: Sequence[Any],
    *,
    max_length: int | None,
    pairs: bool = False,
) -> Tokenizer:
    """Make the tokenizer of a model, or learn one of the training texts.

    Args:
        config: The model.
        head: What it answers.
        texts: The training texts; lists of words for a tagger.
        max_length: Most tokens of a text.
        pairs: Texts come in pairs.

    Raises:
        ConfigError: The model cannot do that.
        DataError: Its folder lacks a tokenizer.
    """
    if is_small(config, head, pairs=pairs):
        refuse_adapters(config)
        kind = SMALL[head]
        longest = max_length or LONGEST[kind]
        if kind == "pieces":
            return PieceTokenizer(config.buckets, longest)
        if kind == "bytes":
            return ByteTokenizer(longest)
        return WordTokenizer.trained(texts, longest=longest)
    from rondel_text.models import pretrained

    return pretrained.make_tokenizer(
        config,
        texts,
        max_length=max_length,
        writes=head == "seq2seq",
        usual=WINDOW if head == "answers" else pretrained.LONGEST,
    )


def refuse_adapters(config: ModelConfig) -> None:
    """Refuse LoRA for a small model.

    Raises:
        ConfigError: It was asked for.
    """
    if config.lora.rank:
        raise ConfigError(
            "the small models have no adapters: all of them is trained",
            where="model.lora.rank",
            hint="Leave it out, or choose model.name=minilm or a folder of transformers.",
        )


def is_small(config: ModelConfig, head: str, *, pairs: bool = False) -> bool:
    """Tell whether a model is one of the small ones.

    Raises:
        ConfigError: It was asked for, and there is none for the task.
    """
    if config.name == "small" and (head not in SMALL or pairs):
        lacking = {"seq2seq": "texts that are written"}.get(head, "hidden tokens")
        raise ConfigError(
            f"there is no small model for {'pairs of texts' if pairs else lacking}",
            where="model.name",
            hint=f"Choose model.name={'bart' if head == 'seq2seq' else 'bert'}, or a folder of "
            "transformers.",
        )
    return config.name == "small" or (config.name == "auto" and head in SMALL and not pairs)


def make_model(
    config: ModelConfig, head: str, tokenizer: Tokenizer, *, outputs: int, names: Sequence[str] = ()
) -> TextModel:
    """Build a model, or load it from its folder.

    Args:
        config: Which one.
        head: What it answers.
        tokenizer: What it reads.
        outputs: C.
        names: Of the classes, for transformers.

    Raises:
        ConfigError: The model cannot do the task.
        DataError: Its folder cannot be read.
    """
    left_out = {} if config.dropout is None else {"dropout": config.dropout}
    if isinstance(tokenizer, PieceTokenizer):
        of_pieces = {} if config.dropout is None else {"piece_dropout": config.dropout}
        if head == "embedding":
            width = config.width or 128
            return BagOfPieces(buckets=tokenizer.buckets, width=width, **of_pieces)
        width = config.width or 32
        return Bag(classes=outputs, buckets=tokenizer.buckets, width=width, **left_out, **of_pieces)
    if isinstance(tokenizer, WordTokenizer):
        of_words = {} if config.dropout is None else {"word_dropout": config.dropout}
        sizes = {"words": tokenizer.size, "characters": tokenizer.characters, "tags": outputs}
        return WordTagger(**sizes, width=config.width or 96, **left_out, **of_words)
    if isinstance(tokenizer, ByteTokenizer):
        return ByteLanguage(width=config.width or 160, **left_out)
    from rondel_text.models import pretrained

    read = cast("SubwordTokenizer", tokenizer)
    return pretrained.make_model(config, head, read, outputs=outputs, names=names)


def rebuilt(facts: Mapping[str, Any]) -> TextModel:
    """Build the model of a bundle, with any weights."""
    if facts["kind"] == "seq2seq":
        from rondel_text.models.seq2seq import seq2seq_of

        return seq2seq_of(facts)
    if facts["kind"] == "shared":
        from rondel_text.models.shared import shared_of

        return shared_of(facts)
    if facts["kind"] != "transformer":
        return small_model(facts)
    from rondel_text.models.transformer import transformer_of

    return transformer_of(facts)
