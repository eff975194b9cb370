"""What the report of a text model shows: baselines, classes, surest mistakes, lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from rondel import Run, Section, Table
from rondel.metric import merged
from rondel.report.confusion import confusion_png
from rondel_text.data.columns import cells
from rondel_text.data.labels import Labels
from rondel_text.data.passages import places_of
from rondel_text.loops.material import Material
from rondel_text.metrics.answers import AnswerScores
from rondel_text.metrics.spans import BestSpans
from rondel_text.models.text_model import TextModel
from rondel_text.pictures import lengths_picture
from rondel_text.tasks import Classification
from rondel_text.tasks.answers import SpanScores
from rondel_text.tasks.task import Scores

EXAMPLES = 12
SHOWN = 220


def explain(model: TextModel, material: Material, run: Run, scores: Scores) -> Sequence[Section]:
    """Look at a model's best state once more, on the validation texts."""
    found = [baseline_section(material, run, scores)]
    if isinstance(material.task, Classification):
        found += classes(model, material, material.task, run)
    if isinstance(scores, SpanScores):
        found.append(questions_section(material, scores.spans))
    found += [lengths_section(material)]
    if material.notes:
        found.append(Section("Left out", text="\n\n".join(material.notes)))
    return found


def baseline_section(material: Material, run: Run, scores: Scores) -> Section:
    """Put the model beside simple ones, metric by metric."""
    mine = merged({name: run.merged(metric) for name, metric in scores.by_name.items()}, [])
    names = [name for name in mine if "." not in name]
    rows = [("this model", *(mine[name] for name in names))]
    rows += [
        (baseline.name, *(baseline.values.get(name) for name in names))
        for baseline in material.baselines
    ]
    return Section("Beside simple models", table=Table(("model", *names), rows))


def classes(
    model: TextModel, material: Material, task: Classification, run: Run
) -> Iterator[Section]:
    """Show which classes are confused, and the mistakes that the model was surest of."""
    count = len(task.labels)
    matrix = torch.zeros(count, count, dtype=torch.int64)
    mistakes: list[tuple[float, int, int, int]] = []
    start = 0
    if run.processes.size > 1:
        return  # every process has a share only; the tables above are of all
    for texts, *targets in run.batches(material.validation):
        shares, best = model(texts).double().softmax(1).max(1)
        for row, (true, told, share) in enumerate(
            zip(targets[0].tolist(), best.tolist(), shares.tolist(), strict=True), start
        ):
            matrix[true, told] += 1
            if true != told:
                mistakes.append((share, row, true, told))
        start += len(best)
    yield class_section(matrix, task.labels)
    if count <= 40:
        picture = confusion_png(matrix.numpy(), task.labels.names)
        yield Section("Confusions", picture=picture)
    yield mistakes_section(material, task, sorted(mistakes, reverse=True)[:EXAMPLES])


def questions_section(material: Material, spans: BestSpans) -> Section:
    """List questions with the given and the true answers, wrong ones first."""
    rows, column = material.valid.rows, material.task.columns.pair
    assert column is not None, "a question stands in a column of its own"
    _, sources = places_of(material.valid.encoded)
    windows = {source: window for window, source in enumerate(sources)}
    right = {
        row: AnswerScores().update([spans.answer(row)], [spans.accepted[row]]).compute()
        for row in windows
    }
    shown = sorted(windows, key=lambda row: (right[row]["f1"], row))
    half = EXAMPLES // 2
    lines = [
        (
            rows.where(windows[row]),
            shortened(str(rows[column][windows[row]])),
            spans.answer(row) or "(no answer)",
            " / ".join(dict.fromkeys(spans.accepted[row])) or "(no answer)",
            right[row]["f1"],
        )
        for row in (*shown[:half], *shown[half:][-half:])
    ]
    heads = ("row", "question", "given", "true", "F1")
    about = "The questions that were answered worst, then some of those answered best."
    return Section("Questions", text=about, table=Table(heads, lines))


def class_section(matrix: torch.Tensor, labels: Labels) -> Section:
    """Return precision, recall and F1 of each class."""
    hits, true, told = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    rows = [
        (
            name,
            int(true[i]),
            (hits[i] / told[i]).item() if told[i] else None,
            (hits[i] / true[i]).item() if true[i] else None,
            (2 * hits[i] / (true[i] + told[i])).item() if true[i] + told[i] else None,
        )
        for i, name in enumerate(labels.names)
    ]
    return Section("Classes", table=Table(("class", "texts", "precision", "recall", "F1"), rows))


def mistakes_section(
    material: Material, task: Classification, mistakes: Sequence[tuple[float, int, int, int]]
) -> Section:
    """List the mistakes that the model was surest of: often the label is wrong."""
    rows_of_data = material.valid.rows
    texts = cells(rows_of_data, task.columns.text, "text")
    names = task.labels.names
    rows = [
        (rows_of_data.where(row), names[true], names[told], share, shortened(str(texts[row])))
        for share, row, true, told in mistakes
    ]
    heads = ("row", "label", "predicted", "probability", "text")
    about = "The mistakes that the model was surest of; often it is the label that is wrong."
    return Section("Surest mistakes", text=about, table=Table(heads, rows))


def lengths_section(material: Material) -> Section:
    """Show how long the texts are, and what is cut off."""
    encoded = material.train.encoded
    lengths, cut = encoded.ids.lengths + encoded.cut, encoded.cut > 0
    # torch refuses to find quantiles of more than 16 million numbers
    quantiles = np.quantile(lengths.numpy(), [0.5, 0.9, 0.99]).tolist()
    facts: Mapping[str, Any] = {
        "texts": len(encoded),
        "tokens": int(lengths.sum()),
        "median": quantiles[0],
        "90 %": quantiles[1],
        "99 %": quantiles[2],
        "longest": int(lengths.max()),
        "limit": material.tokenizer.longest,
        "share that is cut": cut.double().mean().item(),
    }
    picture = lengths_picture(lengths, material.tokenizer.longest)
    table = Table(tuple(facts), (tuple(facts.values()),))
    return Section("Lengths in tokens", table=table, picture=picture)


def shortened(text: str) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]} ..."
