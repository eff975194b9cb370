"""A text for each text. Letters: B texts, M tokens of the longest target, V tokens that there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from rondel import Baseline, Loss, Metric, Watch
from rondel.errors import DataError
from rondel.metric import MeanMetric, merged
from rondel.sample import taken
from rondel_text.baselines import nearest
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.data.columns import Columns, cells
from rondel_text.data.faults import Fault, empty_texts
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.metrics.language import Perplexity
from rondel_text.metrics.summary import rouge_l
from rondel_text.metrics.translation import Bleu, Chrf
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import sequence
from rondel_text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from rondel_text.models.seq2seq import Seq2SeqModel
    from rondel_text.tokenizers.subwords import SubwordTokenizer


class Writing:
    """How good written texts are: BLEU, chrF, ROUGE-L and the share that is equal."""

    def __init__(self) -> None:
        self._bleu, self._chrf = Bleu(), Chrf()
        self._rouge_l, self._exact = MeanMetric(), MeanMetric()
        self.by_name: Mapping[str, Metric] = {
            "bleu": self._bleu,
            "chrf": self._chrf,
            "rougeL": self._rouge_l,
            "exact_match": self._exact,
        }

    def add(self, written: Sequence[str], targets: Sequence[str]) -> None:
        """Measure written texts by their targets."""
        pairs = [(one.strip(), other.strip()) for one, other in zip(written, targets, strict=True)]
        ours, theirs = [one for one, _ in pairs], [[other] for _, other in pairs]
        self._bleu.update(ours, theirs)
        self._chrf.update(ours, theirs)
        self._rouge_l.update(torch.tensor([rouge_l(other, one) for one, other in pairs]))
        self._exact.update(torch.tensor([float(one == other) for one, other in pairs]))


class Seq2SeqScores:
    """Loss per target token, perplexity and bits per byte; and what `Writing` says of texts.

    Args:
        task: Writes them.
    """

    def __init__(self, task: TextToText) -> None:
        self._task = task
        self._loss, self._perplexity, self._writing = MeanMetric(), Perplexity(), Writing()
        told: Mapping[str, Metric] = {"loss": self._loss, "": self._perplexity}
        self.by_name: Mapping[str, Metric] = {**told, **self._writing.by_name}

    def update(self, model: TextModel, texts: Texts, *targets: Any) -> None:
        """Measure a model on a batch.

        Args:
            model: Writes.
            texts: The sources.
            targets: (B, M) tokens; a list of B targets; (B,) bool, which texts are to be written.
        """
        tokens, references, chosen = targets
        counted = tokens != IGNORED
        losses = F.cross_entropy(
            model(texts, tokens).flatten(0, 1).float(),
            tokens.flatten(),
            ignore_index=IGNORED,
            reduction="none",
        ).view_as(tokens)
        sizes = torch.tensor([len(text.encode()) for text in references])
        self._loss.update(losses[counted])
        self._perplexity.update(losses, counted, size_bytes=sizes.to(losses.device))
        rows = chosen.nonzero()[:, 0]
        if len(rows):
            written = self._task.written(model, taken(texts, rows))
            self._writing.add(written, [references[row] for row in rows.tolist()])


class TextToText:
    """A text for each text: a translation, a summary, a description.

    Args:
        columns: Where text and target stand.
        tokenizer: Of sources and targets; a task that only reads rows needs none.
        smoothing: Share of a token's target that is given to all tokens (Szegedy et al., 2016).
        beams: Of the search; 1 takes the likeliest token.
        longest: Most tokens of a target, and of a text that is written.
        generated: How many texts are written at an evaluation, the first ones; None is all.
    """

    kind: ClassVar[str] = "seq2seq"
    head: ClassVar[str] = "seq2seq"
    watch = Watch("chrf", "max")

    def __init__(
        self,
        columns: Columns,
        *,
        tokenizer: Tokenizer | None = None,
        smoothing: float = 0.0,
        beams: int = 1,
        longest: int = 0,
        generated: int | None = None,
    ) -> None:
        self.columns = columns
        self.smoothing = smoothing
        self.beams, self.longest, self.generated = beams, longest, generated
        self._tokenizer = tokenizer

    @property
    def outputs(self) -> int:
        """None: the model answers with tokens."""
        return 0

    @property
    def tokenizer(self) -> SubwordTokenizer:
        """Of sources and targets."""
        assert self._tokenizer is not None, "with_tokenizer comes first"
        return cast("SubwordTokenizer", self._tokenizer)

    def with_tokenizer(self, tokenizer: Tokenizer) -> TextToText:
        """Return the task for a tokenizer."""
        return TextToText(
            self.columns,
            tokenizer=tokenizer,
            smoothing=self.smoothing,
            beams=self.beams,
            longest=self.longest,
            generated=self.generated,
        )

    @classmethod
    def learnt(cls, rows: Rows, columns: Columns) -> TextToText:  # noqa: ARG003 - no classes
        """Make the task; the tokenizer is told by `with_tokenizer`."""
        return cls(columns)

    @classmethod
    def faults(cls, rows: Rows, columns: Columns) -> Iterator[Fault]:
        """Yield the rows without a text or a target."""
        yield from sequence.text_faults(rows, columns)
        yield from empty_texts(columns.label, cells(rows, columns.label, "label"))

    def strangers(self, rows: Rows) -> Iterator[Fault]:
        """Yield the rows whose target has more tokens than are written."""
        if self._tokenizer is None:
            return
        made = self.tokenizer.encode_targets(cells(rows, self.columns.label, "label"))
        for row, length in enumerate(made.lengths.tolist()):
            if length > self.longest:
                what = f"the target has {length} tokens, {self.longest} are written at most"
                yield Fault(row, self.columns.label, f"{what} (seq2seq.longest)")

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode texts with their targets.

        Raises:
            DataError: A target has more tokens than are written.
        """
        for fault in self.strangers(rows):
            raise DataError(fault.what, where=f"{rows.where(fault.row)}, column {fault.column!r}")
        targets = self.tokenizer.encode_targets(cells(rows, self.columns.label, "label"))
        return TextSet(sequence.encoded(rows, self.columns, tokenizer), rows, (targets,))

    def encode_inputs(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode texts alone."""
        return sequence.inputs(rows, self.columns, tokenizer)

    def judged(self, texts: TextSet) -> TextSet:
        """Return texts with their targets as they stand, and which of them are written."""
        references = self.references(texts.rows)
        chosen = torch.arange(len(texts)) < (self.generated or len(texts))
        return TextSet(texts.encoded, texts.rows, (*texts.targets, references, chosen))

    def references(self, rows: Rows) -> list[str]:
        """Return the targets of rows."""
        return [str(cell) for cell in cells(rows, self.columns.label, "label")]

    def loss(self, model: TextModel, texts: Texts, *targets: Tensor) -> Loss:
        """Return the cross-entropy of the target tokens; its count is theirs."""
        (tokens,) = targets
        total = F.cross_entropy(
            model(texts, tokens).flatten(0, 1),
            tokens.flatten(),
            ignore_index=IGNORED,
            reduction="sum",
            label_smoothing=self.smoothing,
        )
        return Loss(total, (tokens != IGNORED).sum())

    def scores(self) -> Seq2SeqScores:
        """Return empty metrics."""
        return Seq2SeqScores(self)

    def written(self, model: TextModel, texts: Texts) -> list[str]:
        """Let a model write a text for each text."""
        writer = cast("Seq2SeqModel", model)
        tokens = writer.write(texts, beams=self.beams, longest=self.longest)
        return [self.tokenizer.decode(row).strip() for row in tokens]

    def predictions(self, model: TextModel, texts: Texts) -> list[dict[str, Any]]:
        """Return the text that is written for each text."""
        return [{"text": text} for text in self.written(model, texts)]

    def baselines(self, train: Rows, valid: Rows) -> Sequence[Baseline]:
        """Measure the target of the training text that is nearest, and the text itself."""
        some = valid.take(range(min(len(valid), self.generated or len(valid))))
        known, sources = (sequence.joined(rows, self.columns) for rows in (train, some))
        targets = self.references(train)
        found = [targets[row] for row in nearest(known, sources)]
        answers = {"target of the nearest text (TF-IDF)": found, "the text itself": sources}
        made = []
        for name, written in answers.items():
            writing = Writing()
            writing.add(written, self.references(some))
            made.append(Baseline(name, merged(writing.by_name, [])))
        return sorted(made, key=lambda baseline: -baseline.values[self.watch.metric])

    def to_facts(self) -> dict[str, Any]:
        """Return columns, and how texts are written."""
        return {
            "kind": self.kind,
            "columns": self.columns.to_facts(),
            "beams": self.beams,
            "longest": self.longest,
            "generated": self.generated,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> TextToText:
        """Make the task again."""
        settings = {name: facts[name] for name in ("beams", "longest", "generated")}
        return cls(Columns(**facts["columns"]), **settings)
