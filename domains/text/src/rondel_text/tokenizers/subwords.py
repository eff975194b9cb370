"""Texts as the subwords of a tokenizer of transformers, read from a folder or trained here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from tokenizers import Tokenizer as Engine
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from rondel_text.data.ragged import Ragged
from rondel_text.tokenizers.tokenizer import Encoded

MARKS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
BYTES = 256
CHUNK = 512
"""Pairs that are aligned at a time: offsets are many small objects until they are a tensor."""
SPECIAL = (*MARKS, "bos_token", "eos_token")


class Aligned(NamedTuple):
    """A pair of texts as tokens that know where they come from, none cut off."""

    ids: Tensor  # (T,) int64
    types: Tensor | None  # (T,) int64
    sides: Tensor  # (T,) int64: 0 in the first text, 1 in the second, -1 for marks
    offsets: Tensor  # (T, 2) int64: start and end in the text of its side, in characters


class SubwordTokenizer:
    """Subwords with the marks that a model of transformers expects around a text.

    Args:
        fast: The tokenizer of transformers.
        longest: Most tokens of a text, marks among them.
    """

    kind: ClassVar[str] = "subwords"

    def __init__(self, fast: PreTrainedTokenizerFast, longest: int) -> None:
        self.fast = fast
        self.longest = longest
        self.typed = "token_type_ids" in fast.model_input_names

    @classmethod
    def trained(
        cls,
        texts: Iterable[str],
        *,
        vocabulary: int,
        longest: int,
        typed: bool = True,
        writes: bool = False,
    ) -> SubwordTokenizer:
        """Learn pairs of bytes (Sennrich et al., 2016; Radford et al., 2019), in lower case.

        The same texts give the same tokens. (The trainer of WordPiece breaks ties at random, so
        that a resumed run would read other tokens than it was begun with.)

        Args:
            texts: What they are learnt from.
            vocabulary: Most of them.
            longest: Most tokens of a text.
            typed: The model is told which text of a pair a token belongs to.
            writes: The model writes texts: case and accents are kept, and a text has no mark in
                front, so that the first token that is written is one of the text.
        """
        engine = Engine(models.BPE())
        if not writes:
            engine.normalizer = normalizers.BertNormalizer()
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        engine.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=max(vocabulary, len(MARKS) + BYTES),
            special_tokens=list(MARKS.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        engine.train_from_iterator(texts, trainer)
        sides = [(mark, engine.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
        front = "" if writes else "[CLS] "
        engine.post_processor = processors.TemplateProcessing(
            single=f"{front}$A [SEP]", pair=f"{front}$A [SEP] $B:1 [SEP]:1", special_tokens=sides
        )
        inputs = ["input_ids", *(["token_type_ids"] if typed else []), "attention_mask"]
        fast = PreTrainedTokenizerFast(tokenizer_object=engine, model_input_names=inputs, **MARKS)
        return cls(fast, longest)

    @property
    def mask(self) -> int | None:
        """The token that hides another, if there is one."""
        found: int | None = self.fast.mask_token_id
        return found

    @property
    def special(self) -> Sequence[int]:
        """The tokens that stand for no text."""
        found: list[int] = self.fast.all_special_ids
        return found

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self.fast)

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Encode texts, or pairs of texts, of which the longer one is cut."""
        whole = self._called(list(texts), None if pairs is None else list(pairs), cut=False)
        ids, sides = whole["input_ids"], whole.get("token_type_ids")
        cut = [max(0, len(tokens) - self.longest) for tokens in ids]
        long = [row for row, beyond in enumerate(cut) if beyond]
        if long:
            some = [[side[row] for row in long] for side in (texts, pairs or texts)]
            shorter = self._called(some[0], None if pairs is None else some[1])
            for place, row in enumerate(long):
                ids[row] = shorter["input_ids"][place]
                if sides is not None:
                    sides[row] = shorter["token_type_ids"][place]
        types = Ragged.of(sides) if pairs is not None and sides is not None else None
        return Encoded(Ragged.of(ids), torch.tensor(cut), types=types)

    def encode_targets(self, texts: Sequence[str]) -> Ragged:
        """Encode texts that are to be written, whole."""
        found = self.fast(text_target=list(texts), return_attention_mask=False, verbose=False)
        return Ragged.of(found["input_ids"])

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Encoded:
        """Encode lists of words; a word may become several tokens."""
        found = self._called([list(words) for words in sentences], None, words=True)
        firsts, cut = [], []
        for row, words in enumerate(sentences):
            place: dict[int, int] = {}
            for token, word in enumerate(found.word_ids(row)):
                if word is not None:
                    place.setdefault(word, token)
            firsts.append([place.get(word, -1) for word in range(len(words))])
            cut.append(sum(first < 0 for first in firsts[-1]))
        return Encoded(Ragged.of(found["input_ids"]), torch.tensor(cut), firsts=Ragged.of(firsts))

    def aligned(self, firsts: Sequence[str], seconds: Sequence[str]) -> Iterator[Aligned]:
        """Encode pairs of texts whole, each token with its place in its text."""
        for start in range(0, len(firsts), CHUNK):
            some = [list(side[start : start + CHUNK]) for side in (firsts, seconds)]
            found = self.fast(
                *some, return_attention_mask=False, return_offsets_mapping=True, verbose=False
            )
            types = found.get("token_type_ids")
            for row, ids in enumerate(found["input_ids"]):
                sides = [-1 if side is None else side for side in found.sequence_ids(row)]
                yield Aligned(
                    torch.tensor(ids),
                    None if types is None else torch.tensor(types[row]),
                    torch.tensor(sides),
                    torch.tensor(found["offset_mapping"][row]).view(-1, 2),
                )

    def _called(
        self, texts: list[Any], pairs: list[str] | None, *, cut: bool = True, words: bool = False
    ) -> Any:
        limits = {"truncation": True, "max_length": self.longest} if cut else {}
        return self.fast(
            texts, pairs, is_split_into_words=words, return_attention_mask=False, verbose=False,
            **limits,
        )  # fmt: skip

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens."""
        return str(self.fast.decode(list(ids), skip_special_tokens=True))

    def save(self, folder: Path) -> None:
        """Write it for transformers, which then cut texts where they were cut in training."""
        self.fast.backend_tokenizer.no_truncation()
        self.fast.model_max_length = self.longest
        self.fast.save_pretrained(folder)

    def to_facts(self) -> dict[str, Any]:
        """Return the whole tokenizer as plain values."""
        self.fast.backend_tokenizer.no_truncation()  # set by every call, so no fact
        named = {name: getattr(self.fast, name) for name in SPECIAL}
        return {
            "kind": self.kind,
            "engine": self.fast.backend_tokenizer.to_str(),
            "marks": {name: mark for name, mark in named.items() if mark is not None},
            "inputs": list(self.fast.model_input_names),
            "cut": self.fast.truncation_side,
            "longest": self.longest,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> SubwordTokenizer:
        """Make the tokenizer again."""
        fast = PreTrainedTokenizerFast(
            tokenizer_object=Engine.from_str(facts["engine"]),
            model_input_names=list(facts["inputs"]),
            truncation_side=facts["cut"],
            **facts["marks"],
        )
        return cls(fast, facts["longest"])
