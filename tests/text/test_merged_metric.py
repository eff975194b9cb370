"""All text metrics: shares of several processes make the whole, and nothing makes NaN."""

from __future__ import annotations

import importlib
import math
import pkgutil
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import rondel_text.metrics
from rondel import Watch
from rondel.metric import ConfusionMatrix, Metric, Scores, SumMetric, merged
from rondel.tree import from_bytes, to_bytes
from rondel_text.contrast import Contrast
from rondel_text.metrics.answers import AnswerScores
from rondel_text.metrics.calibration import CalibrationError
from rondel_text.metrics.classification import ClassScores, LabelScores, RocAuc
from rondel_text.metrics.correlation import Pearson, Spearman
from rondel_text.metrics.entities import EntityScores
from rondel_text.metrics.language import Perplexity
from rondel_text.metrics.means import Means
from rondel_text.metrics.ranking import RetrievalScores
from rondel_text.metrics.retrieval import PairRetrieval
from rondel_text.metrics.spans import BestSpans, Candidate
from rondel_text.metrics.summary import RougeScores
from rondel_text.metrics.together import Together
from rondel_text.metrics.translation import Bleu, Chrf

SIZE = 60
DRAW = torch.Generator().manual_seed(0)
LOGITS = torch.randn(SIZE, 3, generator=DRAW)
LABELS = torch.randint(0, 3, (SIZE,), generator=DRAW)
MARKS = LOGITS + torch.randn(SIZE, 3, generator=DRAW) > 0
RANKS = torch.randint(1, 8, (SIZE,), generator=DRAW)
X, Y = LOGITS[:, 0], LOGITS[:, 0] + LOGITS[:, 1]
_random = random.Random(0)
TEXTS = [" ".join(_random.choices("bcdefg", k=8)) for _ in range(2 * SIZE)]
TEXTS[SIZE::6] = TEXTS[:SIZE:6]  # some are right
TAGS = [_random.choices(["O", "B-X", "I-X", "B-Y", "I-Y"], k=6) for _ in range(2 * SIZE)]


def texts(metric: Any, rows: slice) -> Any:
    return metric.update(TEXTS[:SIZE][rows], [[text] for text in TEXTS[SIZE:][rows]])


# two windows for each question, some of them in the shares of two processes
WINDOWS = [
    Candidate(row // 2, X[row].item(), row, TEXTS[row], Y[row].item()) for row in range(SIZE)
]
ACCEPTED = [[TEXTS[SIZE + row // 2 * 2], TEXTS[row // 2 * 2]] for row in range(SIZE)]
PAIRS = torch.stack((LOGITS, LOGITS + torch.randn(SIZE, 3, generator=DRAW) / 4), 1).double()
PAIRS = torch.nn.functional.normalize(PAIRS, dim=2)
KEYS = torch.stack((torch.arange(SIZE) // 2, torch.arange(SIZE)), 1)


def together(rows: slice) -> Together:
    metrics: dict[str, dict[str, Metric]] = {
        "one": {"": ClassScores(3).update(LOGITS[rows], LABELS[rows])},
        "other": {"spearman": Spearman().update(X[rows], Y[rows])},
    }
    return Together(metrics, {"one": Watch("accuracy", "max"), "other": Watch("spearman", "min")})


@dataclass(frozen=True)
class Case:
    """How a metric of some rows is made, and whether its state holds counts alone."""

    made: Callable[[slice], Any]
    is_exact: bool = False


CASES = {
    "classes": Case(
        lambda rows: ClassScores(3, background=0).update(LOGITS[rows], LABELS[rows]), is_exact=True
    ),
    "labels": Case(lambda rows: LabelScores(3).update(LOGITS[rows], MARKS[rows]), is_exact=True),
    "roc_auc": Case(lambda rows: RocAuc(3).update(LOGITS[rows], LABELS[rows]), is_exact=True),
    "calibration": Case(lambda rows: CalibrationError(3).update(LOGITS[rows], LABELS[rows])),
    "entities": Case(
        lambda rows: EntityScores().update(TAGS[:SIZE][rows], TAGS[SIZE:][rows]), is_exact=True
    ),
    "answers": Case(lambda rows: texts(AnswerScores(), rows)),
    "perplexity": Case(
        lambda rows: Perplexity().update(
            LOGITS[rows].abs(), LOGITS[rows] > -1, size_bytes=RANKS[rows]
        )
    ),
    "pearson": Case(lambda rows: Pearson().update(X[rows], Y[rows])),
    "spearman": Case(lambda rows: Spearman().update(X[rows], Y[rows]), is_exact=True),
    "retrieval": Case(lambda rows: RetrievalScores((1, 2)).update(RANKS[rows])),
    "bleu": Case(lambda rows: texts(Bleu(), rows), is_exact=True),
    "chrf": Case(lambda rows: texts(Chrf(word_order=2), rows), is_exact=True),
    "rouge": Case(lambda rows: texts(RougeScores(), rows)),
    "spans": Case(lambda rows: BestSpans(0.0).update(WINDOWS[rows], ACCEPTED[rows])),
    "pairs": Case(
        lambda rows: PairRetrieval(Contrast(0.1, symmetric=True)).update(PAIRS[rows], KEYS[rows])
    ),
    "together": Case(together, is_exact=True),
}

PARTS = {2: [slice(0, 17), slice(17, SIZE)], 3: [slice(0, 40), slice(40, 40), slice(40, SIZE)]}


def sent(metric: Metric) -> Mapping[str, Any]:
    """The state as another process receives it: through JSON and tensors."""
    state: Mapping[str, Any] = from_bytes(to_bytes({"m": metric.state_dict()}))
    return state


def check_shares(made: Callable[[slice], Any], parts: Sequence[slice], is_exact: bool) -> None:
    whole = merged({"m": made(slice(0, SIZE))}, [])
    assert not any(map(math.isnan, whole.values()))
    assert 0 not in whole.values()  # a metric that sees nothing would pass
    shares = [made(rows) for rows in parts]
    states = [sent(share) for share in shares]
    for rank, share in enumerate(shares):
        others = [state for other, state in enumerate(states) if other != rank]
        values = merged({"m": share}, others)
        assert values == (whole if is_exact else pytest.approx(whole, rel=1e-12))


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("name", CASES)
def test_shares_of_processes_make_the_whole(name: str, parts: int) -> None:
    check_shares(CASES[name].made, PARTS[parts], CASES[name].is_exact)


def test_a_merge_that_forgets_is_noticed() -> None:
    class Forgetful(Bleu):
        def merge(self, state: Mapping[str, Any]) -> None:
            pass

    with pytest.raises(AssertionError):
        check_shares(lambda rows: texts(Forgetful(), rows), PARTS[2], is_exact=True)


def test_integers_stay_integers_on_the_way() -> None:
    for name in ("bleu", "chrf", "labels"):
        state = sent(CASES[name].made(slice(0, SIZE)))["m"]
        assert {tensor.dtype for tensor in state.values()} == {torch.int64}


@pytest.mark.parametrize("name", CASES)
def test_a_metric_of_nothing_is_nan(name: str) -> None:
    empty = CASES[name].made(slice(0, 0))
    assert isinstance(empty, Metric)
    values = merged({"m": empty}, [sent(CASES[name].made(slice(0, 0)))])
    assert values
    assert all(map(math.isnan, values.values()))


def test_every_metric_is_merged_here() -> None:
    package = rondel_text.metrics
    modules = [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    ]
    theirs = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    }
    metrics = {kind for kind in theirs if hasattr(kind, "merge") and kind is not Means}
    assert metrics == {type(case.made(slice(0, 0))) for case in CASES.values()}


# A tensor on the meta device has no values: reading one back raises. RocAuc keeps its scores on the
# CPU and ClassScores counts with bincount, both as the core does, so they are not here.
UNREAD: dict[str, Callable[[Tensor], Any]] = {
    "labels": lambda x: LabelScores(3).update(x, x),
    "calibration": lambda x: CalibrationError(3).update(x, x[:, 0]),
    "perplexity": lambda x: Perplexity().update(x, x, size_bytes=x[:, 0]),
    "pearson": lambda x: Pearson().update(x, x),
    "spearman": lambda x: Spearman().update(x, x),
    "retrieval": lambda x: RetrievalScores().update(x[:, 0]),
}


@pytest.mark.parametrize("name", UNREAD)
def test_an_update_reads_nothing_back(name: str) -> None:
    UNREAD[name](torch.zeros(4, 3, device="meta"))


def test_an_update_that_reads_is_noticed() -> None:
    for reads in (ConfusionMatrix(3), Scores()):
        with pytest.raises((RuntimeError, NotImplementedError)):
            reads.update(torch.zeros(4, device="meta"), torch.zeros(4, device="meta"))
    with pytest.raises(RuntimeError):
        SumMetric(total=torch.zeros((), device="meta")).state_dict()["total"].item()
