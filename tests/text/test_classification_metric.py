"""F1, accuracy, correlation and ROC-AUC against scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn import metrics as oracle
from torch import Tensor

from rondel.errors import UsageError
from rondel_text.metrics.classification import ClassScores, LabelScores, RocAuc, log_odds


def drawn(seed: int, classes: int, size: int = 120) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (size,), generator=draw)
    logits = torch.randn(size, classes, generator=draw)
    logits[torch.arange(size), labels] += 1.0
    return logits, labels


@pytest.mark.parametrize("seed", range(3))
def test_class_scores_are_scikit_learns(seed: int) -> None:
    logits, labels = drawn(seed, 5)
    metric = ClassScores(5, background=0)
    values = metric.update(logits[:50], labels[:50]).update(logits[50:], labels[50:]).compute()
    y, p = labels.numpy(), logits.argmax(1).numpy()
    assert values == pytest.approx(
        {
            "accuracy": oracle.accuracy_score(y, p),
            "macro_f1": oracle.f1_score(y, p, average="macro"),
            "mcc": oracle.matthews_corrcoef(y, p),
            "micro_f1": oracle.f1_score(y, p, average="micro", labels=[1, 2, 3, 4]),
        },
        abs=1e-12,
    )


def test_micro_f1_is_reported_only_where_it_is_not_the_accuracy() -> None:
    assert list(ClassScores(3).update(*drawn(0, 3)).compute()) == ["accuracy", "macro_f1", "mcc"]


@pytest.mark.parametrize("broken", [0, 1])
def test_a_class_from_nan_is_never_right(broken: int) -> None:
    logits = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    logits[:, broken] = math.nan
    for label in (0, 1):
        values = ClassScores(2, background=0).update(logits, torch.full((2,), label)).compute()
        assert (values["accuracy"], values["macro_f1"], values["micro_f1"]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_label_scores_are_scikit_learns(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    targets = (torch.rand(90, 4, generator=draw) < 0.4).long()
    targets[:, 3] = 0
    logits = torch.randn(90, 4, generator=draw) + targets - 0.5
    logits[:, 3] = -1.0  # neither true nor predicted
    values = LabelScores(4).update(logits[:31], targets[:31]).update(logits[31:], targets[31:])
    y, p = targets.numpy(), (logits > 0).long().numpy()
    assert values.compute() == pytest.approx(
        {
            "micro_f1": oracle.f1_score(y, p, average="micro"),
            "macro_f1": oracle.f1_score(y, p, average="macro", zero_division=0.0),
            "subset_accuracy": oracle.accuracy_score(y, p),
        },
        abs=1e-12,
    )


@pytest.mark.parametrize("target", [0, 1])
def test_a_label_from_nan_is_never_right(target: int) -> None:
    logits, targets = torch.full((3, 2), math.nan), torch.full((3, 2), target)
    values = LabelScores(2).update(logits, targets).compute()
    assert values == {"micro_f1": 0.0, "macro_f1": 0.0, "subset_accuracy": 0.0}


@pytest.mark.parametrize("digits", [0, 6])
def test_roc_auc_of_two_classes_is_scikit_learns_with_ties(digits: int) -> None:
    logits, labels = drawn(digits, 2)
    logits = (logits * 10**digits).round()
    expected = oracle.roc_auc_score(labels, logits[:, 1] - logits[:, 0])
    metric = RocAuc(2).update(logits[:50], labels[:50]).update(logits[50:], labels[50:])
    assert metric.compute() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("classes", [3, 5])
def test_roc_auc_of_several_classes_is_scikit_learns(classes: int) -> None:
    logits, labels = drawn(classes, classes)
    expected = oracle.roc_auc_score(labels, logits.double().softmax(1), multi_class="ovr")
    metric = RocAuc(classes).update(logits[:50], labels[:50]).update(logits[50:], labels[50:])
    assert metric.compute() == pytest.approx(expected, abs=1e-12)


def test_log_odds_are_those_of_the_softmax() -> None:
    logits = drawn(0, 4)[0].double()
    torch.testing.assert_close(log_odds(logits), logits.softmax(1).logit(), rtol=0.0, atol=1e-12)


def test_sure_predictions_are_not_tied() -> None:
    logits, labels = torch.tensor([[0.0, 100.0], [0.0, 200.0]]), torch.tensor([0, 1])
    assert RocAuc(2).update(logits, labels).compute() == 1.0
    assert oracle.roc_auc_score(labels, logits.softmax(1)[:, 1]) == 0.5  # what the softmax makes


def test_roc_auc_of_a_class_that_never_occurs_is_left_out() -> None:
    logits, labels = drawn(0, 3)
    wider = torch.cat([logits, torch.full((len(logits), 1), -50.0)], dim=1)
    expected = RocAuc(3).update(logits, labels).compute()
    assert RocAuc(4).update(wider, labels).compute() == pytest.approx(expected, abs=1e-12)


def test_roc_auc_of_nan_is_nan() -> None:
    logits, labels = drawn(0, 3)
    logits[7, 1] = math.nan
    assert math.isnan(RocAuc(3).update(logits, labels).compute())


@pytest.mark.parametrize("metric", [ClassScores(3), LabelScores(3), RocAuc(3)])
@pytest.mark.parametrize("shape", [(4, 2), (4,)])
def test_logits_of_another_shape_are_refused(
    metric: ClassScores | LabelScores | RocAuc, shape: tuple[int, ...]
) -> None:
    with pytest.raises(UsageError) as caught:
        metric.update(torch.zeros(shape), torch.zeros(4))
    assert str(caught.value) == (
        f"a metric got the shapes logits {shape}. It takes logits (N, 3), one column per class."
    )


@pytest.mark.parametrize("metric", [ClassScores(3), RocAuc(3)])
def test_labels_of_another_shape_are_refused(metric: ClassScores | RocAuc) -> None:
    with pytest.raises(UsageError, match=r"targets of shape \(4, 1\)"):
        metric.update(torch.zeros(4, 3), torch.zeros(4, 1, dtype=torch.long))
    with pytest.raises(UsageError, match=r"targets of shape \(4,\)"):
        LabelScores(3).update(torch.zeros(4, 3), torch.zeros(4))
