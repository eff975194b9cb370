"""Recall and reciprocal ranks by hand and against scikit-learn; ranks against a full matrix."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sklearn.metrics import label_ranking_average_precision_score, top_k_accuracy_score
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rondel.errors import UsageError
from rondel_text.metrics.ranking import RetrievalScores, ranks_of


def drawn(seed: int, queries: int = 70, candidates: int = 90) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    pool = torch.randn(candidates, 8, generator=draw)
    positives = torch.randint(0, candidates, (queries,), generator=draw)
    return pool[positives] + torch.randn(queries, 8, generator=draw), pool, positives


def test_recall_and_mrr_of_a_small_example() -> None:
    metric = RetrievalScores((1, 3)).update(torch.tensor([1, 2])).update(torch.tensor([4, 1]))
    expected = {"recall@1": 0.5, "recall@3": 0.75, "mrr": (1 + 1 / 2 + 1 / 4 + 1) / 4}
    assert metric.compute() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_ranks_and_scores_are_those_of_the_full_matrix(chunk: int) -> None:
    queries, candidates, positives = drawn(0)
    scores = queries.double() @ candidates.double().T
    ranks = ranks_of(queries, candidates, positives, chunk=chunk)
    own = scores[torch.arange(70), positives]
    assert ranks.tolist() == (scores >= own[:, None]).sum(1).tolist()
    values = RetrievalScores((1, 5)).update(ranks).compute()
    for k in (1, 5):
        expected = top_k_accuracy_score(positives, scores, k=k, labels=range(90))
        assert values[f"recall@{k}"] == pytest.approx(expected, abs=1e-12)
    truth = torch.nn.functional.one_hot(positives, 90)
    expected = label_ranking_average_precision_score(truth, scores)  # of one positive: MRR
    assert values["mrr"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_constant_embeddings_get_the_last_rank(dtype: torch.dtype) -> None:
    constant = torch.randn(1, 384, generator=torch.Generator().manual_seed(0)).to(dtype)
    queries, candidates = constant.expand(33, -1), constant.expand(101, -1).contiguous()
    ranks = ranks_of(queries, candidates, torch.arange(33), chunk=16)
    assert ranks.tolist() == [101] * 33
    assert RetrievalScores((10,)).update(ranks).compute()["recall@10"] == 0.0


def test_a_duplicate_of_the_positive_stands_before_it() -> None:
    candidates = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    ranks = ranks_of(torch.tensor([[1.0, 0.1], [0.1, 1.0]]), candidates, torch.tensor([0, 2]))
    assert ranks.tolist() == [2, 1]


def test_nan_embeddings_are_never_found() -> None:
    queries, candidates, positives = drawn(1, queries=3, candidates=4)
    queries[0] = math.nan
    ranks = ranks_of(queries, candidates, positives)
    assert ranks[0] == math.inf
    assert RetrievalScores((100,)).update(ranks[:1]).compute() == {"recall@100": 0.0, "mrr": 0.0}
    whole = ranks_of(queries, torch.full_like(candidates, math.nan), positives)
    assert whole.tolist() == [math.inf] * 3


def test_a_nan_candidate_costs_each_query_one_rank() -> None:
    queries, candidates, positives = drawn(2)
    before = ranks_of(queries, candidates, positives)
    broken = torch.cat([candidates, torch.full((1, 8), math.nan)])
    assert ranks_of(queries, broken, positives).tolist() == (before + 1).tolist()


@pytest.mark.parametrize("rank", [math.nan, 0.0, -1.0, math.inf])
def test_what_is_no_rank_is_not_found(rank: float) -> None:
    values = RetrievalScores((1, 5)).update(torch.tensor([rank])).compute()
    assert values == {"recall@1": 0.0, "recall@5": 0.0, "mrr": 0.0}


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the size of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.elements = max(self.elements, made.numel())
        return made


def test_the_matrix_of_all_scores_is_never_made() -> None:
    queries, candidates, positives = drawn(3, queries=200, candidates=300)
    with Largest() as seen:
        ranks_of(queries, candidates, positives, chunk=50)
    assert seen.elements <= 50 * 50
    with Largest() as seen:
        ranks_of(queries, candidates, positives, chunk=1000)
    assert seen.elements == 200 * 300  # the test sees a whole matrix if there is one


def test_no_queries_have_no_ranks() -> None:
    queries, candidates, positives = drawn(0)
    assert ranks_of(queries[:0], candidates, positives[:0]).shape == (0,)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        ranks_of(torch.zeros(2, 3), torch.zeros(5, 4), torch.zeros(2).long())
    assert str(caught.value) == (
        "a metric got the shapes queries (2, 3), candidates (5, 4), positives (2,). "
        "It takes queries (N, D), candidates (M, D), positives (N,)."
    )
    with pytest.raises(UsageError, match=r"positives \(3,\)"):
        ranks_of(torch.zeros(2, 3), torch.zeros(5, 3), torch.zeros(3).long())
    with pytest.raises(UsageError) as caught:
        RetrievalScores().update(torch.ones(2, 1))
    assert str(caught.value) == (
        "a metric got the shapes ranks (2, 1). It takes ranks (N,), one per query."
    )
