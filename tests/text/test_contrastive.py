"""Pairs of texts: cached gradients are those of the one batch, and partners are found by rank."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rondel import OptimizerConfig, Run, UpdateConfig, keyed
from rondel.batch import split
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError, DataError, RondelError
from rondel.settings import RunConfig
from rondel.update import Update
from rondel_text import contrast
from rondel_text.baselines import tfidf_ranks
from rondel_text.build import build
from rondel_text.bundle import TextBundle
from rondel_text.config import TextConfig
from rondel_text.contrast import Contrast
from rondel_text.data.pair_set import keys_of
from rondel_text.inspection import inspect
from rondel_text.loops.contrastive import Batch, Contrastive
from rondel_text.metrics.retrieval import PairRetrieval
from rondel_text.models.small import BagOfPieces
from rondel_text.models.transformer import TransformerModel

DATA = Path(__file__).parent / "tiny" / "pairs.csv"
BAG = ("model.buckets=512", "model.width=8")
BERT = (
    *("model.name=bert", "model.width=16", "model.layers=1", "model.heads=2"),
    *("model.vocabulary=300", "max_length=24"),
)
MODELS = {"bag": BAG, "bert": BERT}
SIZE = 11


def built(*words: str, data: Path = DATA) -> Contrastive:
    words = (f"data={data}", "task=pairs", "contrastive.symmetric=false", *words)
    keyed.reseed(0)
    loop = build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)
    assert isinstance(loop, Contrastive)
    return loop


def batch_of(loop: Contrastive, size: int = SIZE) -> Batch:
    return Batch(*loop.material.train.batch_of(torch.arange(size)))


def still(run: Run, loop: Contrastive, pieces: int) -> Update:
    """Return an update that leaves its gradient where it is, and moves nothing."""
    config = UpdateConfig(optimizer=OptimizerConfig(name="sgd", lr=1e-30), micro_batches=pieces)
    return run.update("model", loop.model, config)


def learnt(loop: Contrastive, folder: Path, pieces: int) -> tuple[list[Tensor], float, int]:
    """Return the gradient and the loss of a batch, and how many pieces it was computed in."""
    with Run(folder, seed=3, settings=RunConfig(device="cpu")) as run:
        run.print_with(lambda _: None)
        update = still(run, loop, pieces)
        keyed.reseed(5)
        loop.learn(run, update, batch_of(loop))
        gradients = [p.grad for p in loop.model.parameters() if p.grad is not None]
        return gradients, update.last.item(), update.micro_batches


# -- the loss, written out -------------------------------------------------------------------------


def naive_losses(pairs: Tensor, keys: Tensor, temperature: float, symmetric: bool) -> list[Tensor]:
    """Return -log(exp(s_ii / t) / sum of exp(s_ij / t)), term by term; equal texts are left out."""
    found = []
    for i in range(len(pairs)):
        terms = []
        for one, other in ((0, 1), (1, 0)) if symmetric else ((0, 1),):
            scores = [
                torch.exp(pairs[i, one].dot(pairs[j, other]) / temperature)
                for j in range(len(pairs))
                if j == i or (keys[i, 0] != keys[j, 0] and keys[i, 1] != keys[j, 1])
            ]
            own = torch.exp(pairs[i, one].dot(pairs[i, other]) / temperature)
            terms.append(-torch.log(own / torch.stack(scores).sum()))
        found.append(torch.stack(terms).mean())
    return found


def naive_gradient(
    loop: Contrastive, pieces: int, *, symmetric: bool = False
) -> tuple[list[Tensor], float]:
    """Embed piece by piece with a graph, and differentiate the loss of the whole batch at once."""
    keyed.reseed(5)
    batch = batch_of(loop)
    rows = []
    for first, second, _ in split(batch, pieces):
        sides = [loop.model(texts) for texts in (first, second)]
        rows.append(torch.stack([side / side.norm(dim=1, keepdim=True) for side in sides], 1))
    losses = naive_losses(torch.cat(rows), batch.keys, 0.05, symmetric)
    mean = torch.stack(losses).mean()
    grads = torch.autograd.grad(mean, list(loop.model.parameters()), allow_unused=True)
    return [grad for grad in grads if grad is not None], mean.item()


def assert_equal(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
    assert max(grad.abs().max().item() for grad in expected) > 1e-3


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("pieces", [1, 2, 4, SIZE])
@pytest.mark.parametrize("model", MODELS)
def test_pieces_give_the_gradient_of_the_whole_batch(
    tmp_path: Path, model: str, pieces: int, symmetric: bool
) -> None:
    told = ("contrastive.symmetric=true",) if symmetric else ()
    loop = built(*MODELS[model], "model.dropout=0", *told)
    loop.model.double()
    expected, value = naive_gradient(loop, 1, symmetric=symmetric)
    found, mean, _ = learnt(loop, tmp_path / "run", pieces)
    assert_equal(found, expected)
    assert mean == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("model", MODELS)
def test_dropout_is_the_same_with_and_without_a_graph(
    tmp_path: Path, model: str, pieces: int
) -> None:
    loop = built(*MODELS[model])
    loop.model.double()
    expected, value = naive_gradient(loop, pieces)
    found, mean, _ = learnt(loop, tmp_path / "run", pieces)
    assert_equal(found, expected)
    assert mean == pytest.approx(value, rel=1e-12)


def test_dropout_that_is_not_repeated_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = built(*BAG)
    loop.model.double()
    expected, _ = naive_gradient(loop, 3)
    monkeypatch.setattr(keyed, "set_random_state", lambda *_: None)
    found, _, _ = learnt(loop, tmp_path / "run", 3)
    with pytest.raises(AssertionError):
        assert_equal(found, expected)


@pytest.mark.parametrize("model", MODELS)
def test_embeddings_in_half_precision_are_the_same_with_and_without_a_graph(
    tmp_path: Path, model: str
) -> None:
    loop, seen = built(*MODELS[model]), []
    embedded = loop.embedded
    loop.embedded = lambda *batch: (seen.append(embedded(*batch)), seen[-1])[1]  # type: ignore[method-assign, func-returns-value]
    settings = RunConfig(device="cpu", precision="bf16")
    with Run(tmp_path / "run", seed=3, settings=settings) as run:
        loop.learn(run, still(run, loop, 3), batch_of(loop))
    assert [each.requires_grad for each in seen] == [False] * 3 + [True] * 3
    for before, after in zip(seen[:3], seen[3:], strict=True):
        assert before.dtype == torch.float32
        assert torch.equal(before, after)


def hungry(loop: Contrastive, most: int, *, graph: bool) -> Callable[..., Tensor]:
    """Return the loop's embedding of pairs, for which memory lasts for so many."""
    embedded = loop.embedded

    def limited(*batch: Any) -> Tensor:
        if torch.is_grad_enabled() == graph and len(batch[-1]) > most:
            raise torch.OutOfMemoryError
        return embedded(*batch)

    return limited


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_memory_that_runs_out_changes_no_more_than_the_pieces(
    tmp_path: Path, model: str, graph: bool
) -> None:
    loop = built(*MODELS[model])
    loop.model.double()
    expected, value = naive_gradient(loop, 4)
    loop.embedded = hungry(loop, 3, graph=graph)  # type: ignore[method-assign]
    found, mean, pieces = learnt(loop, tmp_path / "run", 1)
    assert pieces == 4
    assert_equal(found, expected)
    assert mean == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("graph", [True, False])
def test_memory_that_no_piece_fits_into_is_an_error(tmp_path: Path, graph: bool) -> None:
    loop = built(*BAG)
    loop.embedded = hungry(loop, 0, graph=graph)  # type: ignore[method-assign]
    with pytest.raises(torch.OutOfMemoryError):
        learnt(loop, tmp_path / "run", 1)


def test_what_the_generators_draw_goes_on_behind_a_batch(tmp_path: Path) -> None:
    loop = built(*BAG)
    naive_gradient(loop, 3)
    expected = torch.rand(())
    learnt(loop, tmp_path / "run", 3)
    assert torch.equal(torch.rand(()), expected)


# -- negatives -------------------------------------------------------------------------------------


def pairs_of(size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return (size, 2, 5) embeddings, and keys of which some are equal."""
    draw = torch.Generator().manual_seed(seed)
    pairs = torch.randn(size, 2, 5, generator=draw, dtype=torch.float64)
    keys = torch.randint(size // 2, (size, 2), generator=draw)
    return torch.nn.functional.normalize(pairs, dim=2), keys


@pytest.mark.parametrize("symmetric", [False, True])
def test_losses_in_chunks_are_those_of_the_formula(
    symmetric: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contrast, "CHUNK", 4)
    pairs, keys = pairs_of(13)
    leaf = pairs.clone().requires_grad_()
    expected = torch.stack(naive_losses(leaf, keys, 0.3, symmetric))
    losses, gradient = Contrast(0.3, symmetric).cached(pairs, keys)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), leaf)[0])


def test_pairs_that_share_a_text_are_no_negatives() -> None:
    pairs, _ = pairs_of(3)
    for keys in ([[0, 0], [1, 0], [2, 0]], [[0, 0], [0, 1], [0, 2]], [[0, 0], [0, 0], [0, 0]]):
        losses, gradient = Contrast(0.1, symmetric=True).cached(pairs, torch.tensor(keys))
        assert not losses.any()
        assert not gradient.any()
    losses, _ = Contrast(0.1, symmetric=True).cached(pairs, torch.tensor([[0, 0], [1, 1], [2, 0]]))
    assert (losses > 0).all()


def test_texts_that_differ_in_blanks_or_capitals_have_one_key() -> None:
    assert keys_of(["a b", "A  b\n", "ab", "a b"]).tolist() == [0, 0, 1, 0]


def test_equal_partners_of_a_file_have_equal_keys() -> None:
    material = built(*BAG).material
    _, _, keys = material.train.batch_of(torch.arange(len(material.train)))
    partners = material.train.rows["pair"]
    equal = [[one == other for other in partners] for one in partners]
    assert ((keys[:, None, 1] == keys[None, :, 1]) == torch.tensor(equal)).all()
    assert torch.tensor(equal).sum() > len(partners)


# -- measuring -------------------------------------------------------------------------------------


def naive_ranks(pairs: Tensor, keys: Tensor) -> list[int]:
    """Return for each distinct first text the rank of its best partner among distinct ones."""
    best: dict[int, int] = {}
    partners = {int(key): pairs[row, 1] for row, key in enumerate(keys[:, 1])}
    for row, (one, other) in enumerate(keys.tolist()):
        own = pairs[row, 0].dot(partners[other])
        rank = 1 + sum(
            int(pairs[row, 0].dot(vector) >= own)
            for key, vector in partners.items()
            if key != other
        )
        best[one] = min(best.get(one, 10**9), rank)
    return list(best.values())


def same_texts(size: int) -> tuple[Tensor, Tensor]:
    """Return pairs of which equal keys have equal embeddings, as they have in evaluation."""
    pairs, keys = pairs_of(size)
    return torch.stack([pairs[keys[:, side], side] for side in (0, 1)], 1), keys


def test_ranks_are_those_of_a_hand_written_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rondel_text.metrics.retrieval.CHUNK", 7)
    pairs, keys = same_texts(40)
    found = PairRetrieval(Contrast(0.3, symmetric=True)).update(pairs, keys).compute()
    ranks = naive_ranks(pairs, keys)
    losses = naive_losses(pairs, keys, 0.3, symmetric=True)
    assert found == pytest.approx(
        {
            "loss": sum(losses).item() / len(losses),  # type: ignore[union-attr]
            "recall@1": sum(rank <= 1 for rank in ranks) / len(ranks),
            "recall@10": sum(rank <= 10 for rank in ranks) / len(ranks),
            "mrr": sum(1 / rank for rank in ranks) / len(ranks),
        }
    )
    assert max(ranks) > 1


def test_shares_merge_to_the_whole_whatever_their_sizes() -> None:
    pairs, keys = same_texts(30)
    whole, *shares = [PairRetrieval(Contrast(0.3, symmetric=False)) for _ in range(4)]
    whole.update(pairs, keys)
    shares[0].update(pairs[:9], keys[:9]).update(pairs[9:12], keys[9:12])
    shares[1].update(pairs[12:], keys[12:])
    for first, *others in (shares, shares[::-1]):  # one of them has no pair at all
        total = PairRetrieval(Contrast(0.3, symmetric=False))
        for share in (first, *others):
            total.merge(share.state_dict())
        assert total.compute() == pytest.approx(whole.compute(), rel=1e-12)


def test_nothing_measured_is_no_number() -> None:
    found = PairRetrieval(Contrast(0.3, symmetric=False)).compute()
    assert list(found) == ["loss", "recall@1", "recall@10", "mrr"]
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize("unit", ["word", "piece"])
def test_the_baseline_ranks_by_the_cosine_of_tfidf(unit: str) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    known = ["the red apple", "a hammer and a saw", "red saws", "the cloud"]
    queries, candidates = ["red", "a saw", "clouds", "?"], ["the saw", "red cloud", "hammers"]
    positives = torch.tensor([1, 0, 1, 2])
    found = tfidf_ranks(known, queries, candidates, positives, unit=unit, chunk=3)
    settings: dict[str, Any] = (
        {"token_pattern": r"\w+"}
        if unit == "word"
        else {"analyzer": "char_wb", "ngram_range": (2, 5)}
    )
    vectorizer = TfidfVectorizer(sublinear_tf=True, **settings).fit(known)
    scores = vectorizer.transform(queries).toarray() @ vectorizer.transform(candidates).toarray().T
    for row, place in enumerate(positives.tolist()):
        assert found[row] == sum(score >= scores[row][place] - 1e-12 for score in scores[row])
    assert found[3] == 3  # nothing is known of it: all are equal, and it stands last
    assert tfidf_ranks(["?"], queries, candidates, positives, unit="word").tolist() == [3.0] * 4


# -- from a config to a bundle ---------------------------------------------------------------------


def test_two_columns_of_texts_are_pairs_for_a_small_model() -> None:
    loop = build(resolve(TextConfig, [parse_overrides(TextConfig, [f"data={DATA}"])]).config)
    assert isinstance(loop, Contrastive)
    assert isinstance(loop.model, BagOfPieces)
    assert loop.watch is not None
    assert (loop.watch.metric, loop.watch.mode) == ("mrr", "max")
    first, second = (baseline.values["mrr"] for baseline in loop.material.baselines)
    assert loop.baseline is loop.material.baselines[0]
    assert 1 >= first >= second > 0


def test_both_texts_are_counted_where_they_are_cut(tmp_path: Path) -> None:
    loop, told = built(*BAG, "max_length=12"), list[str]()
    with Run(tmp_path / "run", settings=RunConfig(device="cpu")) as run:
        run.print_with(told.append)
        loop.introduce(run)
    size = len(loop.material.train)
    assert f"of {2 * size} texts are longer than 12 tokens" in " ".join(told)
    assert int(loop.material.train.lengths.max()) == 12
    assert len(loop.material.train.lengths) == size


def test_a_transformer_is_given_by_its_mean_state() -> None:
    model = built(*BERT, "model.dropout=0").model
    assert isinstance(model, TransformerModel)
    loop = built(*BERT, "model.dropout=0")
    texts = batch_of(loop).first
    found = model(texts)
    assert found.shape == (SIZE, model.width)
    for row, length in enumerate(texts.lengths.tolist()):
        states = model.model(input_ids=texts.ids[row : row + 1, :length]).last_hidden_state
        torch.testing.assert_close(found[row], states[0].mean(0), rtol=1e-4, atol=1e-5)


REFUSED = {
    "batch_size=1": (
        "batch_size: a batch of one pair has no others to tell it from. Set it to 2 or more; the "
        "more, the harder the task."
    ),
    "update.compile=true": (
        "update.compile: the loop 'contrastive' computes each piece twice, with equal dropout and "
        "weights. Leave the key out."
    ),
    "update.optimizer.name=lbfgs": (
        "update.optimizer.name: the loop 'contrastive' computes each piece twice, with equal "
        "dropout and weights. Leave the key out."
    ),
    "loop=finetune": (
        "loop: the loop 'finetune' does not fit the task 'pairs'. contrastive is for task=pairs, "
        "and nothing else is."
    ),
    "task=causal": (
        "loop: the loop 'contrastive' does not fit the task 'causal'. contrastive is for "
        "task=pairs, and nothing else is."
    ),
}


@pytest.mark.parametrize("word", REFUSED)
def test_a_setting_that_does_not_fit_is_refused(word: str) -> None:
    words = [*BAG, "loop=contrastive", word] if word == "task=causal" else [*BAG, word]
    with pytest.raises(ConfigError) as caught:
        built(*words)
    assert str(caught.value) == REFUSED[word]


def refused(rows: Sequence[dict[str, Any]], folder: Path, *words: str) -> str:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(RondelError) as caught:
        built(*BAG, *words, data=path)
    assert isinstance(caught.value, DataError)
    return str(caught.value)


def test_what_is_wrong_with_pairs_is_told(tmp_path: Path) -> None:
    rows = [{"text": f"question {i}", "pair": f"answer {i}"} for i in range(20)]
    assert "there is no column 'reply'" in refused(rows, tmp_path, "pair=reply")
    told = refused([{**row, "pair": "a"} for row in rows], tmp_path)
    assert "column 'pair' holds the same text in all" in told
    assert "nothing to tell apart" in told
    told = refused([*rows[:-1], {"text": "question", "pair": " "}], tmp_path)
    assert "column 'pair': the text is empty" in told


class Made:
    """A bundle that was trained for a moment, saved and loaded."""

    def __init__(self, folder: Path, model: str) -> None:
        loop = built(*MODELS[model], "epochs=1", "contrastive.symmetric=true")
        with Run(folder / model, settings=loop.config.run) as run:
            loop.train(run)
        self.values = run.evaluations["evaluation"]
        self.before = loop.bundle()
        self.after = TextBundle.load(self.before.save(folder / model / "bundle"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    folder = tmp_path_factory.mktemp("pairs")
    return {model: Made(folder, model) for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_a_bundle_embeds_texts_and_compares_pairs(made: dict[str, Made], model: str) -> None:
    bundle = made[model].after
    texts = ["the apple falls", "apple, going down", "a saw"]
    embeddings = [torch.tensor(row["embedding"]) for row in bundle.predict(texts)]
    assert [len(each) for each in embeddings] == [bundle.model.width] * 3
    assert all(each.norm().item() == pytest.approx(1, abs=1e-5) for each in embeddings)
    pairs = [(texts[0], texts[1]), (texts[0], texts[2])]
    for found, (i, j) in zip(bundle.predict(pairs), ((0, 1), (0, 2)), strict=True):
        assert set(found) == {"similarity"}
        assert found["similarity"] == pytest.approx(
            (embeddings[i] @ embeddings[j]).item(), abs=1e-5
        )
    assert bundle.predict(pairs) == made[model].before.predict(pairs)


@pytest.mark.parametrize("model", MODELS)
def test_a_bundle_measures_what_the_run_measured(made: dict[str, Made], model: str) -> None:
    found = made[model].after.evaluate(None)
    assert found == pytest.approx(made[model].values, rel=1e-5)
    assert set(found) == {"loss", "recall@1", "recall@10", "mrr"}


def test_files_are_predicted_for_with_and_without_partners(
    made: dict[str, Made], tmp_path: Path
) -> None:
    bundle = made["bag"].after
    rows = [json.loads(line) for line in bundle.predict_files([str(DATA)], None).splitlines()]
    assert set(rows[0]) == {"row", "text", "similarity"}
    alone = tmp_path / "texts.csv"
    alone.write_text("text\nthe apple\na saw\n")
    rows = [json.loads(line) for line in bundle.predict_files([str(alone)], None).splitlines()]
    assert [len(row["embedding"]) for row in rows] == [8, 8]
    bundle.predict_files([str(alone)], tmp_path / "out.csv")
    assert "embedding" in (tmp_path / "out.csv").read_text().splitlines()[0]


def test_a_transformer_is_exported_without_a_head(made: dict[str, Made], tmp_path: Path) -> None:
    from transformers import AutoModel

    folder = made["bert"].after.export(tmp_path / "folder", "transformers")
    again, bundle = AutoModel.from_pretrained(folder).eval(), made["bert"].after
    ids = bundle.tokenizer.encode(["the apple falls"]).ids[0][None]
    with torch.no_grad():
        state = nn.functional.normalize(again(input_ids=ids).last_hidden_state.mean(1), dim=1)
    found = torch.tensor([bundle.predict("the apple falls")[0]["embedding"]])
    torch.testing.assert_close(state, found, rtol=1e-4, atol=1e-5)


def test_pairs_can_be_inspected() -> None:
    words = [f"data={DATA}", "task=pairs"]
    found = inspect(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)
    assert "task: pairs" in found
    assert "cannot be learnt from" not in found
