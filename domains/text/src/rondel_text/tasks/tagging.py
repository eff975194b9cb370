"""A tag for each word. Letters: B texts, L tokens of the longest, C tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from rondel import Baseline, Loss, Metric, Watch
from rondel.errors import DataError
from rondel.metric import MeanMetric, merged
from rondel_text.baselines import usual_tags
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.data.columns import Columns, cells
from rondel_text.data.faults import Fault
from rondel_text.data.labels import Labels
from rondel_text.data.ragged import Ragged
from rondel_text.data.rows import Rows
from rondel_text.data.tagged import TAGS, WORDS, wrong_words
from rondel_text.data.text_set import TextSet
from rondel_text.metrics.entities import EntityScores, spans_of
from rondel_text.models.text_model import TextModel
from rondel_text.tasks.labelled import Labelled
from rondel_text.tokenizers import Encoded, Tokenizer


class TagScores:
    """Accuracy of the words that were not cut off, and of entities where tags are B-, I- and O.

    Args:
        labels: The tags.
    """

    def __init__(self, labels: Labels) -> None:
        self._names = labels.names
        self._loss, self._accuracy = MeanMetric(), MeanMetric()
        self._entities = EntityScores() if marks_entities(labels) else None
        found: dict[str, Metric] = {"loss": self._loss, "accuracy": self._accuracy}
        if self._entities is not None:
            found[""] = self._entities
        self.by_name: Mapping[str, Metric] = found

    def update(self, model: TextModel, texts: Texts, *targets: Tensor) -> None:
        """Measure a model on a batch; the target is (B, L), `IGNORED` where no word begins."""
        (tags,) = targets
        logits = model(texts)
        tags = tags[:, : logits.shape[1]]
        counted = tags != IGNORED
        self._loss.update(F.cross_entropy(logits[counted].float(), tags[counted], reduction="none"))
        predicted = logits.argmax(2)
        self._accuracy.update((predicted[counted] == tags[counted]).double())
        if self._entities is not None:
            self._entities.update(self._named(predicted, counted), self._named(tags, counted))

    def add(self, predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> None:
        """Measure the tags of texts."""
        hits = [
            float(ours == theirs)
            for pair in zip(predicted, true, strict=True)
            for ours, theirs in zip(*pair, strict=True)
        ]
        self._accuracy.update(torch.tensor(hits))
        if self._entities is not None:
            self._entities.update(predicted, true)

    def _named(self, tags: Tensor, counted: Tensor) -> list[list[str]]:
        return [
            [self._names[tag] for tag in row[there].tolist()]
            for row, there in zip(tags.cpu(), counted.cpu(), strict=True)
        ]


class Tagging(Labelled):
    """A tag for each word of a text.

    Args:
        labels: The tags.
        columns: Unused: words and tags stand in the columns of that name.
    """

    kind: ClassVar[str] = "tokens"
    head: ClassVar[str] = "tokens"

    def __init__(self, labels: Labels, columns: Columns) -> None:
        super().__init__(labels, columns)
        self.watch = Watch("f1" if marks_entities(labels) else "accuracy", "max")

    @classmethod
    def learnt(cls, rows: Rows, columns: Columns) -> Tagging:
        """Find the tags.

        Raises:
            DataError: There are fewer than two.
        """
        found = cells(rows, TAGS, "format")
        labels = Labels.found(tag for tags in found for tag in tags or ())
        if len(labels) < 2:
            raise DataError(
                f"the texts have {len(labels)} different tags",
                where=rows.files[0],
                hint="A tagger needs two or more.",
            )
        return cls(labels, columns)

    @classmethod
    def faults(cls, rows: Rows, columns: Columns) -> Iterator[Fault]:  # noqa: ARG003 - words, tags
        """Yield the rows without words, or without a tag for each of them."""
        pairs = zip(cells(rows, WORDS, "format"), cells(rows, TAGS, "format"), strict=True)
        for row, (words, tags) in enumerate(pairs):
            wrong = wrong_words(words)
            if wrong is not None:
                yield Fault(row, WORDS, wrong)
            elif tags is None or len(tags) != len(words):
                count = 0 if tags is None else len(tags)
                yield Fault(row, TAGS, f"{count} tags for {len(words)} words")
            elif None in tags:
                yield Fault(row, TAGS, f"word {tags.index(None) + 1} has no tag")

    def strangers(self, rows: Rows) -> Iterator[Fault]:
        """Yield the rows with a label that was never learnt."""
        found = cells(rows, TAGS, "format")
        yield from self.labels.strangers(TAGS, (tags or () for tags in found))

    def encode(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode words with their tags; a tag stands at the first token of its word.

        Raises:
            DataError: A tag is unknown.
        """
        made = tokenizer.encode_words(rows[WORDS])
        targets = Ragged(torch.full_like(made.ids.flat, IGNORED), made.ids.ends)
        for row, tags in enumerate(rows[TAGS]):
            places = self._firsts(made, row)
            where = f"{rows.where(row)}, column {TAGS!r}"
            numbers = torch.tensor([self.labels.number(tag, where) for tag in tags])
            there = places >= 0
            targets[row][places[there]] = numbers[there]
        return TextSet(made, rows, (targets,))

    def encode_inputs(self, rows: Rows, tokenizer: Tokenizer) -> TextSet:
        """Encode words; the target is the place of each word's first token."""
        made = tokenizer.encode_words(rows[WORDS])
        assert made.firsts is not None, "a tokenizer of words tells where they begin"
        return TextSet(made, rows, (made.firsts,))

    def _firsts(self, made: Encoded, row: int) -> Tensor:
        assert made.firsts is not None, "a tokenizer of words tells where they begin"
        return made.firsts[row]

    def loss(self, model: TextModel, texts: Texts, *targets: Tensor) -> Loss:
        """Return the cross-entropy of the tags; its count is that of the words."""
        logits, tags = model(texts), targets[0]
        tags = tags[:, : logits.shape[1]]
        total = F.cross_entropy(
            logits.flatten(0, 1), tags.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return Loss(total, (tags != IGNORED).sum())

    def scores(self) -> TagScores:
        """Return empty metrics."""
        return TagScores(self.labels)

    def predictions(self, model: TextModel, texts: Texts, *extra: Tensor) -> list[dict[str, Any]]:
        """Return the tag of each word; of a word that was cut off, None."""
        (firsts,) = extra
        tags = model(texts).argmax(2)
        return [self._prediction(row, places) for row, places in zip(tags, firsts, strict=True)]

    def _prediction(self, tags: Tensor, places: Tensor) -> dict[str, Any]:
        kept = [place for place in places.tolist() if place != IGNORED]
        found = [self.labels.names[int(tags[place])] if place >= 0 else None for place in kept]
        answer: dict[str, Any] = {"tags": found}
        if marks_entities(self.labels):
            spans = spans_of([tag or "O" for tag in found])
            answer["entities"] = [[span.start, span.end, span.type] for span in spans]
        return answer

    def baselines(self, train: Rows, valid: Rows) -> Sequence[Baseline]:
        """Measure the usual tag of each word, and the most frequent tag."""
        seen = list(zip(train[WORDS], train[TAGS], strict=True))
        usual = usual_tags(seen, valid[WORDS])
        most = usual_tags([(["" for _ in words], tags) for words, tags in seen], valid[WORDS])
        return [
            self._measured("usual tag of each word", usual, valid[TAGS]),
            self._measured("most frequent tag", most, valid[TAGS]),
        ]

    def _measured(
        self, name: str, predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]
    ) -> Baseline:
        scores = self.scores()
        scores.add(predicted, true)
        values = merged(scores.by_name, [])
        return Baseline(name, {key: value for key, value in values.items() if key != "loss"})


def marks_entities(labels: Labels) -> bool:
    """Tell whether tags mark entities: O, B-X, I-X and the like."""
    return "O" in labels.names and all(
        name == "O" or name[:2] in ("B-", "I-", "E-", "S-", "L-", "U-") for name in labels.names
    )
