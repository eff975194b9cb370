"""The streams that the loops draw from, and all else that they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rondel import Baseline, DataManifest, Stream
from rondel.batcher import Batcher, FixedSize, LengthBuckets, Packed, TokenBudget
from rondel.keyed import seeds
from rondel_text.config import TextConfig
from rondel_text.data.text_set import TextSet
from rondel_text.tasks import Answers, Masked, Task, TextToText
from rondel_text.tokenizers import Tokenizer


@dataclass(frozen=True)
class Material:
    """What the loops of this package learn from and are measured on.

    Args:
        config: Batch sizes.
        task: What is learnt.
        tokenizer: What the model reads.
        train: Encoded texts to learn from.
        valid: Encoded texts to evaluate on.
        manifest: What the data was.
        notes: What was left out of it.
        baselines: What simple models reach on ``valid``, the best one first.
        remarks: How the data was brought here, a sentence each, for the log.
    """

    config: TextConfig
    task: Task
    tokenizer: Tokenizer
    train: TextSet
    valid: TextSet
    manifest: DataManifest
    notes: tuple[str, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    remarks: tuple[str, ...] = ()

    @cached_property
    def training(self) -> Stream:
        """Texts to learn from, in batches as the config says."""
        return self.stream(self.train, self.task)

    @cached_property
    def validation(self) -> Stream:
        """Texts to evaluate on, in their order."""
        task = self.task
        judged = Masked | TextToText | Answers
        texts = task.judged(self.valid) if isinstance(task, judged) else self.valid
        return Stream(texts, name="valid", batch_size=self.config.batch_size, shuffle=False)

    def stream(self, texts: TextSet, task: Task, *, name: str = "train") -> Stream:
        """Return a stream of texts for a task; one that hides tokens gets seeds for it."""
        noise = seeds if isinstance(task, Masked) else None
        return Stream(texts, name=name, batcher=self.batcher(texts), noise=noise)

    def batcher(self, texts: TextSet) -> Batcher:
        """Return what puts texts into batches."""
        config = self.config
        if config.batching == "budget":
            return TokenBudget(texts.lengths, config.tokens)
        if config.batching == "packed":
            return Packed(texts.lengths, config.tokens)
        if config.batching == "buckets":
            return LengthBuckets(texts.lengths, config.batch_size)
        return FixedSize(config.batch_size)
