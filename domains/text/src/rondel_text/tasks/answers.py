"""Answers to questions, cut out of a context (Devlin et al., 2019: BERT, sections 4.2 and 4.3).

Letters: B windows, N windows of a set.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from torch import Tensor

from rondel import Baseline, Loss, Metric, Watch
from rondel.errors import DataError
from rondel.metric import MeanMetric, merged
from rondel_text.baselines import first_words, nearest_sentences
from rondel_text.config import TextConfig
from rondel_text.data.batch import Texts
from rondel_text.data.columns import Columns, cells
from rondel_text.data.faults import Fault
from rondel_text.data.passages import NONE, Window, passages, places_of
from rondel_text.data.questions import Found, answer_faults, answers_of
from rondel_text.data.rows import Rows
from rondel_text.data.text_set import TextSet
from rondel_text.metrics.spans import BestSpans, Candidate
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import sequence
from rondel_text.tasks.answer_rules import Rules, check_windows
from rondel_text.tasks.spans import candidates, span_logits, span_losses
from rondel_text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from rondel_text.tokenizers.subwords import SubwordTokenizer


class SpanScores:
    """Loss of windows, exact match and F1 of questions."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._loss, self.spans = MeanMetric(), BestSpans(rules.threshold)
        self.by_name: Mapping[str, Metric] = {"loss": self._loss, "": self.spans}

    def update(self, model: TextModel, texts: Texts, *targets: Any) -> None:
        """Measure a model on a batch that `Answers.judged` made."""
        starts, ends, offsets, windows = targets
        logits = span_logits(model, texts).float()
        self._loss.update(span_losses(logits, starts, ends))
        found = candidates(logits, offsets, windows, self._rules.longest)
        self.spans.update(found, [window.accepted for window in windows])


class Answers:
    """A span of the context as the answer to a question; or none, if questions without one occur.

    Args:
        columns: Where context, question and answers stand.
        rules: What may be an answer.
        unanswerable: Some questions of the training rows have no answer.
    """

    kind: ClassVar[str] = "answers"
    head: ClassVar[str] = "answers"
    watch = Watch("f1", "max")

    def __init__(self, columns: Columns, rules: Rules | None = None, *, unanswerable: bool) -> None:
        self.columns = columns
        self.rules = rules or Rules()
        self.unanswerable = unanswerable

    @property
    def outputs(self) -> int:
        """Two for each token: whether an answer starts there, and whether it ends there."""
        return 2

    @classmethod
    def learnt(cls, rows: Rows, columns: Columns) -> Answers:
        """Find out whether every question has an answer.

        Raises:
            DataError: None has.
        """
        has_answer = [bool(found.answers) for found in answers_of(rows, columns)]
        if not any(has_answer):
            raise DataError(
                f"none of {len(rows)} questions has an answer",
                where=rows.files[0],
                hint=f"Is {columns.label!r} the column that you meant? See label=...",
            )
        return cls(columns, unanswerable=not all(has_answer))

    def with_rules(self, config: TextConfig, longest: int) -> Answers:
        """Return the task with settings of the config, for windows of so many tokens.

        Raises:
            ConfigError: They are too short, or repeat too much.
        """
        check_windows(longest, config.context)
        threshold = config.answers.threshold if self.unanswerable else None
        rules = Rules(config.answers.longest, threshold, config.context)
        return Answers(self.columns, rules, unanswerable=self.unanswerable)

    @classmethod
    def faults(cls, rows: Rows, columns: Columns) -> Iterator[Fault]:
        """Yield the rows without context or question, and those whose answers do not fit."""
        empty = list(sequence.text_faults(rows, columns))
        yield from empty
        known = {fault.row for fault in empty}
        yield from (fault for fault in answer_faults(rows, columns) if fault.row not in known)

    def strangers(self, rows: Rows) -> Iterator[Fault]:  # noqa: ARG002 - there are no classes
        """Yield nothing."""
        yield from ()

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Cut contexts into windows, each with the first and last token of its answer, (N,) each.

        Raises:
            DataError: An answer does not stand in its context.
        """
        found = answers_of(rows, self.columns)
        stretches = [(f.answers[0].start, f.answers[0].end) if f.answers else None for f in found]
        made = passages(
            *self._texts(rows),
            cast("SubwordTokenizer", tokenizer),
            overlap=self.rules.overlap,
            answers=stretches,
        )
        _, sources = places_of(made.encoded)
        kept = {row for row, end in zip(sources, made.ends.tolist(), strict=True) if end != NONE}
        notes = tuple(remarks(found, kept))
        return TextSet(made.encoded, rows.take(sources), (made.starts, made.ends), notes)

    def encode_inputs(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Cut contexts into windows to predict for."""
        tokens = cast("SubwordTokenizer", tokenizer)
        made = passages(*self._texts(rows), tokens, overlap=self.rules.overlap).encoded
        offsets, sources = places_of(made)
        contexts = cells(rows, self.columns.text, "text")
        windows = [Window(source, contexts[source]) for source in sources]
        return TextSet(made, rows.take(sources), (offsets, windows))

    def judged(self, texts: TextSet) -> TextSet:
        """Return windows of `encode` with all that an evaluation needs."""
        offsets, sources = places_of(texts.encoded)
        contexts = cells(texts.rows, self.columns.text, "text")
        found = [each.texts for each in answers_of(texts.rows, self.columns)]
        windows = [Window(*cells) for cells in zip(sources, contexts, found, strict=True)]
        return TextSet(texts.encoded, texts.rows, (*texts.targets, offsets, windows))

    def check(self, texts: TextSet) -> None:
        """Refuse training windows of which none holds a whole answer.

        Raises:
            DataError: The share is named.
        """
        if not bool((cast(Tensor, texts.targets[1]) != NONE).any()):
            raise DataError(
                "100 % of the answers are cut: no window holds a whole one",
                hint="Raise max_length or context (the tokens that windows repeat).",
            )

    def _texts(self, rows: Rows) -> tuple[Sequence[str], Sequence[str]]:
        """Return questions and contexts."""
        pair = self.columns.pair
        assert pair is not None, "a question stands in a column of its own"
        return cells(rows, pair, "pair"), cells(rows, self.columns.text, "text")

    def loss(self, model: TextModel, texts: Texts, *targets: Tensor) -> Loss:
        """Return the mean cross-entropy of first and last token; its count is that of windows."""
        starts, ends = targets
        losses = span_losses(span_logits(model, texts), starts, ends)
        return Loss(losses.sum(), len(losses))

    def scores(self) -> SpanScores:
        """Return empty metrics."""
        return SpanScores(self.rules)

    def predictions(self, model: TextModel, texts: Texts, *extra: Any) -> list[dict[str, Any]]:
        """Return what each window offers as an answer; `answered` makes answers of it."""
        offsets, windows = extra
        logits = span_logits(model, texts).double()
        return [vars(found) for found in candidates(logits, offsets, windows, self.rules.longest)]

    def answered(self, windows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the best answer of each question, over all of its windows.

        ``score`` is what the span scores above 'no answer'; an ``answer`` that is not given is
        empty and stands nowhere.
        """
        spans = BestSpans(self.rules.threshold)
        spans.update(Candidate(**found) for found in windows)
        return [told(spans, row) for row in sorted(spans.best)]

    def baselines(self, train: Rows, valid: Rows) -> Sequence[Baseline]:
        """Measure the nearest sentence, the first words, and 'no answer'."""
        accepted = [found.texts for found in answers_of(valid, self.columns)]
        lengths = sorted(
            len(found.texts[0].split())
            for found in answers_of(train, self.columns)
            if found.answers
        )
        usual = lengths[len(lengths) // 2]
        questions, contexts = self._texts(valid)
        known = [str(text) for text in self._texts(train)[1]]
        answers = {
            "sentence nearest by TF-IDF": nearest_sentences(known, contexts, questions),
            f"first {usual} words": [first_words(context, usual) for context in contexts],
        }
        if self.unanswerable:
            answers["no answer"] = [""] * len(valid)
        made = [measured(name, told, accepted) for name, told in answers.items()]
        return sorted(made, key=lambda baseline: -baseline.values["f1"])

    def to_facts(self) -> dict[str, Any]:
        """Return columns and rules."""
        return {
            "kind": self.kind,
            "columns": self.columns.to_facts(),
            "rules": vars(self.rules),
            "unanswerable": self.unanswerable,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Answers:
        """Make the task again."""
        rules, unanswerable = Rules(**facts["rules"]), facts["unanswerable"]
        return cls(Columns(**facts["columns"]), rules, unanswerable=unanswerable)


def told(spans: BestSpans, row: int) -> dict[str, Any]:
    """Return the answer to a question as plain values."""
    best, answer = spans.best[row], spans.answer(row)
    place = (best.start, best.start + len(answer)) if answer else (None, None)
    score = best.margin() if best.text else None
    return {"answer": answer, "start": place[0], "end": place[1], "score": score}


def remarks(found: Sequence[Found], kept: Container[int]) -> Iterator[str]:
    """Yield what is not learnt of answers, or not as the data says.

    Args:
        found: The answers of each row.
        kept: The rows of which a window holds the answer.
    """
    answered = sum(bool(each.answers) for each in found)
    lost = sum(bool(each.answers) and row not in kept for row, each in enumerate(found))
    if lost:
        yield (
            f"{lost:,} of {answered:,} answers ({lost / answered:.1%}) stand whole in no window and "
            "are not learnt: raise max_length or context."
        )
    moved, guessed = sum(each.moved for each in found), sum(each.guessed for each in found)
    if moved:
        yield f"{moved:,} answers do not stand where the data says; each stands at one other place."
    if guessed:
        yield (
            f"{guessed:,} answers stand at several places, and the data does not say at which "
            "(answer_start): the first was taken."
        )


def measured(name: str, told: Sequence[str], accepted: Sequence[Sequence[str]]) -> Baseline:
    """Measure guesses."""
    spans = BestSpans()
    spans.update((Candidate(row, 0.0, 0, text, 0.0) for row, text in enumerate(told)), accepted)
    return Baseline(name, merged({"": spans}, []))
