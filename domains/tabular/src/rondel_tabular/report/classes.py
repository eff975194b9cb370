"""The pages of a target of classes: confusions, ranking, thresholds, calibration.

Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rondel import Section, Table
from rondel.report.confusion import confusion_png
from rondel_tabular.calibration import CalibrationError, Reliability, fit_temperature
from rondel_tabular.losses import ROW_LOSSES
from rondel_tabular.metrics import Confusions
from rondel_tabular.ranking import Ranking
from rondel_tabular.report.class_pictures import ranking_png, reliability_png
from rondel_tabular.report.evidence import View

FEW_CLASSES = 8
"""Up to so many have a curve each."""
TABLE_CLASSES, DRAWN_CLASSES = 20, 40
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def class_sections(view: View) -> Iterator[Section]:
    """Show how well classes are told, and whether probabilities are met."""
    matrix = Confusions(view.target.outputs).update(
        view.outputs.argmax(1), view.classes, view.weights
    )["matrix"]
    yield confusion_section(view, matrix)
    yield class_table(view, matrix)
    if view.target.outputs <= FEW_CLASSES:
        yield from ranking_section(view)
    if view.target.outputs == 2 and len(torch.unique(view.classes)) == 2:
        yield threshold_section(view)
    yield calibration_section(view)


def confusion_section(view: View, matrix: Tensor) -> Section:
    """Show what was taken for what."""
    labels = [str(label) for label in view.target.labels]
    table, picture = None, None
    if len(labels) <= TABLE_CLASSES:
        rows = [
            (f"true {label}", *counts)
            for label, counts in zip(labels, matrix.tolist(), strict=True)
        ]
        table = Table(("", *(f"predicted {label}" for label in labels)), rows)
    if 2 < len(labels) <= DRAWN_CLASSES:
        picture = confusion_png(matrix.numpy(), labels)
    right, whole = float(matrix.diagonal().sum()), float(matrix.sum())
    text = f"{right / whole:.1%} of the validation rows are told rightly."
    return Section("Confusions", text=text, table=table, picture=picture)


def class_table(view: View, matrix: Tensor) -> Section:
    """Return precision, recall and F1 of each class."""
    hits, true, told = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    both = true + told
    rows = [
        (str(label), float(true[place]), *(share(hits[place], whole) for whole in wholes))
        for place, (label, *wholes) in enumerate(
            zip(view.target.labels, told, true, both / 2, strict=True)
        )
    ]
    return Section("Classes", table=Table(("class", "rows", "precision", "recall", "F1"), rows))


def share(some: Tensor, whole: Tensor) -> float | None:
    """Return a share; None of nothing."""
    return float(some / whole) if whole > 0 else None


def ranking_section(view: View) -> Iterator[Section]:
    """Show what every threshold on a probability would flag, each class against the others."""
    target, found, tempered = view.target, {}, view.outputs / view.target.temperature
    for place, label in enumerate(target.labels):
        inside = view.classes == place
        if inside.any() and not inside.all() and (place or target.outputs > 2):
            found[str(label)] = Ranking.of(log_odds(tempered, place), inside, view.weights)
    if not found:
        return
    rows = [(name, area(ranking), ranking.average_precision) for name, ranking in found.items()]
    against = "against the others" if target.outputs > 2 else f"against {target.labels[0]}"
    yield Section(
        "ROC and precision-recall curves",
        text=f"How well rows are ordered by the probability of a class {against}.",
        table=Table(("class", "ROC-AUC", "average precision"), rows),
        picture=ranking_png(found),
    )


def log_odds(outputs: Tensor, place: int) -> Tensor:  # (N, C) -> (N,)
    """Return the log-odds of a class: probabilities near 1 would round to ties."""
    rest = torch.arange(outputs.shape[1]) != place
    return outputs[:, place] - outputs[:, rest].logsumexp(1)


def area(ranking: Ranking) -> float:
    """Return the area under the ROC curve, by trapezoids."""
    start = torch.zeros(1).double()
    recall = torch.cat([start, ranking.recall])
    alarms = torch.cat([start, ranking.false_alarms])
    return float(torch.trapezoid(recall, alarms))


def threshold_section(view: View) -> Section:
    """Show what a decision at each threshold on the probability of the second class costs."""
    positive = view.target.labels[1]
    shares = view.target.probabilities(view.outputs)[:, 1]
    ranking = Ranking.of(shares, view.classes == 1, view.weights)
    heads = ("threshold", "flagged", "precision", "recall", "F1", "balanced accuracy", "best")
    text = (
        f"A row is flagged as {positive!r} where its probability is at least the threshold. The "
        "best thresholds are chosen on these rows, and so look a little too good."
    )
    return Section("Decision thresholds", text=text, table=Table(heads, threshold_rows(ranking)))


def threshold_rows(ranking: Ranking) -> list[tuple[object, ...]]:
    """Return what is flagged at round thresholds, and at the best ones."""
    best: dict[float, list[str]] = {threshold: [] for threshold in THRESHOLDS}
    for word, scores in (("F1", ranking.f1), ("balanced accuracy", ranking.balanced_accuracy)):
        place = int(scores.nan_to_num(-1.0).argmax())
        # between this score and the next one, so that rounding flags the same rows
        around = ranking.thresholds[place : place + 2]
        best.setdefault(float(around.mean()), []).append(word)
    rows: list[tuple[object, ...]] = []
    for threshold, words in sorted(best.items()):
        at = ranking.at(threshold)
        if at is None:
            rows.append((threshold, 0.0, None, 0.0, 0.0, 0.5, ""))
            continue
        columns = (
            ranking.flagged, ranking.precision, ranking.recall, ranking.f1,
            ranking.balanced_accuracy,
        )  # fmt: skip
        rows.append((threshold, *(float(column[at]) for column in columns), " and ".join(words)))
    return rows


def calibration_section(view: View) -> Section:
    """Show whether probabilities are met, before and after the temperature."""
    temperature = view.target.temperature
    plain = view.outputs
    rows = [("as the model says", *quality(view, plain))]
    curves = {"as the model says": reliability(view, plain)}
    text = "A prediction that is 80 % sure should be right in 80 % of the cases."
    if temperature != 1:
        tempered = plain / temperature
        rows.append(("with the temperature", *quality(view, tempered)))
        rows.append(("with one fitted on other rows", *quality(view, cross_fitted(view))))
        curves["with the temperature"] = reliability(view, tempered)
        sure = "too sure" if temperature > 1.02 else "not sure enough"
        if 0.98 <= temperature <= 1.02:
            sure = "about as sure as it should be"
        text += (
            f"\n\nThe model is {sure}: predictions divide its logits by {temperature:.3g}. This "
            "temperature was fitted on these very rows; the last line of the table is what one "
            "fitted on each half does for the other half. Metrics elsewhere on this page are of "
            "what the model says."
        )
    heads = ("probabilities", "log-loss", "expected calibration error")
    picture = reliability_png(curves)
    return Section("Calibration", text=text, table=Table(heads, rows), picture=picture)


def quality(view: View, logits: Tensor) -> tuple[float, float]:
    """Return log-loss and calibration error of logits (N, C)."""
    losses = ROW_LOSSES["classes"](view.target, logits, view.values)
    loss = float((losses * view.weights).sum() / view.weights.sum())
    return loss, CalibrationError().update(logits, view.classes, view.weights).compute()


def reliability(view: View, logits: Tensor) -> Reliability:
    """Return how often predictions are right, by how sure they are."""
    sure, told = logits.softmax(1).max(1)
    return Reliability.of(sure, told == view.classes, view.weights)


def cross_fitted(view: View) -> Tensor:  # (N, C)
    """Return the logits of each half of the rows, over the temperature of the other half."""
    halves = [torch.arange(len(view.rows)) % 2 == parity for parity in (0, 1)]
    logits = view.outputs.clone()
    for mine, other in (halves, halves[::-1]):
        if mine.any() and other.any():
            logits[mine] /= fit_temperature(
                view.outputs[other], view.classes[other], view.weights[other]
            )
    return logits
