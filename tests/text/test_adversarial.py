"""Labels against an adversary: each formula beside the same one written out text by text."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, kl_divergence
from torch.func import functional_call

from rondel import OptimizerConfig, Run, UpdateConfig, keyed
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError
from rondel.settings import RunConfig
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.loops.adversarial import Adversarial, direction
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.perturbation import Embedded, embedded, is_reachable
from rondel_text.models.small import Bag
from rondel_text.models.text_model import TextModel
from rondel_text.models.transformer import TransformerModel

BERT = (
    *("model.name=bert", "model.width=16", "model.layers=1", "model.heads=2"),
    "model.vocabulary=400",
)
BAG = ("model.buckets=512", "model.width=8")
KINDS: Mapping[str, tuple[str, ...]] = {
    "classification": (*BAG, "smoothing=0.1"),
    "multilabel": (*BAG, "label=labels"),
    "regression": (*BAG, "label=number"),
    "tokens": ("model.width=8",),
    "classification bert": BERT,
    "classification padded": (*BERT, "model.padding=padded"),
    "tokens bert": BERT,
}
SIZE = 7


def rows_of(kind: str, count: int = 40) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for i in range(count):
        words = f"the {('apple', 'hammer', 'cloud')[i % 3]} number {i}".split() * (1 + i % 4)
        if kind == "tokens":
            tags = ["B-X" if word in ("apple", "cloud") else "O" for word in words]
            found.append({"words": words, "tags": tags})
            continue
        labels = ["a", *["b"] * (i % 2), *["c"] * (i % 3)]
        row = {"text": " ".join(words), "label": "abc"[i % 3], "labels": labels, "number": i / 3}
        found.append(row)
    return found


def built(folder: Path, name: str, *words: str, loop: str = "adversarial") -> TextLoop:
    kind = name.split(maxsplit=1)[0]
    path = folder / f"{kind}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows_of(kind))))
    usual = ("epochs=2", "batch_size=8")
    words = (f"data={path}", f"task={kind}", f"loop={loop}", *usual, *KINDS[name], *words)
    keyed.reseed(0)
    return build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)


def precise(folder: Path, name: str, *words: str) -> Adversarial:
    loop = built(folder, name, *words)
    assert isinstance(loop, Adversarial)
    loop.model.double()
    return loop


def batch_of(loop: TextLoop, size: int = SIZE) -> tuple[Any, ...]:
    texts, *targets = loop.material.train.batch_of(torch.arange(size))
    return (texts, *[t.double() if t.is_floating_point() else t for t in targets])


def assert_equal(found: Sequence[Tensor | None], expected: Sequence[Tensor | None]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
    assert max(grad.abs().max().item() for grad in expected if grad is not None) > 1e-3


def gradients(model: nn.Module, value: Tensor) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(value, list(model.parameters()), allow_unused=True)


# -- texts that are moved --------------------------------------------------------------------------


def alone(batch: tuple[Any, ...], row: int) -> tuple[Texts, list[Tensor]]:
    """Return one text of a batch without padding, and its targets."""
    texts, *targets = batch
    length = int(texts.lengths[row])
    cut = [t[row : row + 1, :length] if t is not None else None for t in (texts[0], *texts[2:])]
    short = [t[row : row + 1, :length] if t.ndim == 2 else t[row : row + 1] for t in targets]
    of_tokens = targets[0].dtype == torch.int64 and targets[0].ndim == 2
    whole = [target[row : row + 1] for target in targets]
    alone = Texts(cut[0], texts.lengths[row : row + 1], *cut[1:])  # type: ignore[arg-type]
    return alone, short if of_tokens else whole


def naive_moved_texts(loop: Adversarial, size: float, weight: float) -> Tensor:
    """Return the loss of each text by itself: each of its tokens has a vector of its own."""
    model, batch = loop.model, batch_of(loop)
    assert model.embedding is not None
    tables = {
        name: table
        for name, table in model.named_parameters()
        if table is model.embedding.weight or name.endswith("network.weights.weight")
    }
    (vectors_name,) = [name for name in tables if tables[name] is model.embedding.weight]
    total = torch.zeros((), dtype=torch.float64)
    for row in range(SIZE):
        texts, targets = alone(batch, row)
        ids = F.pad(texts.ids[0], (1, 0))  # numbers from 1: 0 is padding to some models
        own = texts._replace(ids=torch.arange(1, len(ids))[None])

        def loss(moved: Mapping[str, Tensor], own: Texts = own, targets: Any = targets) -> Tensor:
            def view(given: Texts) -> Any:
                return functional_call(model, dict(moved), (given,))

            return loop.task.loss(cast(TextModel, view), own, *targets).sum

        looked_up = {name: table[ids] for name, table in tables.items()}
        clean = loss(looked_up)
        (g,) = torch.autograd.grad(clean, looked_up[vectors_name], retain_graph=True)
        r = size * g / g.square().sum().sqrt()
        total = total + clean
        total = total + weight * loss({**looked_up, vectors_name: looked_up[vectors_name] + r})
    return total


@pytest.mark.parametrize("name", KINDS)
def test_each_text_is_moved_along_the_gradient_of_its_own_loss(tmp_path: Path, name: str) -> None:
    words = ("adversary.size=0.7", "adversary.weight=0.4", "model.dropout=0")
    loop = precise(tmp_path, name, *words)
    expected = naive_moved_texts(loop, 0.7, 0.4)
    found = loop.loss_beside(*batch_of(loop))
    torch.testing.assert_close(found.sum, expected, rtol=1e-10, atol=1e-10)
    assert int(found.count) == int(loop.loss(*batch_of(loop)).count)
    assert_equal(gradients(loop.model, found.sum), gradients(loop.model, expected))
    clean = loop.loss(*batch_of(loop)).sum
    assert found.parts is not None
    torch.testing.assert_close(found.parts["clean"], clean)
    assert found.parts["adversarial"] > clean


@pytest.mark.parametrize("name", ["classification", "classification bert", "classification padded"])
def test_the_norm_of_each_text_is_the_size(tmp_path: Path, name: str) -> None:
    loop = precise(tmp_path, name, "model.dropout=0")
    texts, *targets = batch_of(loop)
    with embedded(loop.model) as found:
        loss = loop.loss(texts, *targets).sum
    (gradient,) = torch.autograd.grad(loss, found[0].vectors)
    moved = found[0].along(gradient, 3.0).square().sum(-1)
    lengths = texts.lengths.tolist()
    if found[0].bounds is None:
        norms = [row.sum().sqrt().item() for row in moved]
    else:
        assert name == "classification bert"
        assert sorted(lengths, reverse=True) == found[0].bounds.diff().tolist()
        ends = found[0].bounds.tolist()
        norms = [moved[0, a:b].sum().sqrt().item() for a, b in pairwise(ends)]
    assert norms == pytest.approx([3.0] * SIZE)


def test_a_text_without_a_gradient_stays_where_it_is() -> None:
    vectors = torch.ones(2, 3, 4)
    gradient = torch.zeros(2, 3, 4)
    gradient[1, 0, 0] = -5.0
    for layout in (Embedded(vectors, None), Embedded(vectors, torch.tensor([0, 3, 6]).int())):
        rows = gradient if layout.bounds is None else gradient.view(1, 6, 4)
        moved = layout.along(rows, 2.0).view(2, 3, 4)
        assert not moved[0].any()
        assert moved[1, 0, 0] == -2.0
        assert moved.abs().sum() == 2.0


def test_frozen_vectors_are_moved_as_well(tmp_path: Path) -> None:
    loop = precise(tmp_path, "classification bert", "model.dropout=0")
    expected = gradients(loop.model, loop.loss_beside(*batch_of(loop)).sum)
    assert loop.model.embedding is not None
    loop.model.embedding.requires_grad_(False)
    found = loop.loss_beside(*batch_of(loop)).sum
    pairs = zip(loop.model.named_parameters(), expected, strict=True)
    trained = {name: grad for (name, weight), grad in pairs if weight.requires_grad}
    weights = [weight for weight in loop.model.parameters() if weight.requires_grad]
    assert len(weights) < len(expected)
    grads = torch.autograd.grad(found, weights, allow_unused=True)
    assert_equal(grads, list(trained.values()))


def test_a_model_is_left_without_hooks(tmp_path: Path) -> None:
    loop = precise(tmp_path, "classification", "model.dropout=0")
    before = loop.loss(*batch_of(loop)).sum
    loop.loss_beside(*batch_of(loop))
    assert torch.equal(loop.loss(*batch_of(loop)).sum, before)
    assert not any(part._forward_hooks for part in loop.model.modules())


# -- weights that are moved ------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("name", ["classification", "regression", "tokens", "classification bert"])
def test_the_step_is_the_gradient_at_the_moved_weights(
    tmp_path: Path, name: str, pieces: int
) -> None:
    words = ("adversary.kind=awp", "adversary.size=0.05", "model.dropout=0")
    loop = precise(tmp_path, name, *words)
    batch, worse = batch_of(loop), copy.deepcopy(loop.model)
    towards = gradients(worse, loop.task.loss(worse, *batch).mean)
    with torch.no_grad():
        for w, g in zip(worse.parameters(), towards, strict=True):
            if w.ndim >= 2 and g is not None:
                w.add_(0.05 * w.norm() * g / g.norm())
    expected = gradients(worse, loop.task.loss(worse, *batch).mean)
    before = {key: tensor.clone() for key, tensor in loop.model.state_dict().items()}
    config = UpdateConfig(optimizer=OptimizerConfig(name="sgd"), micro_batches=pieces)
    with Run(tmp_path / "run", settings=RunConfig(device="cpu")) as run:
        update = run.update("model", loop.model, config)
        update.stand_still()
        weights = loop.uphill(update.owned, update.gradient(loop.loss, *batch))
        update(lambda *batch: loop.loss_at(weights, *batch), *batch)
        assert update.last.item() == pytest.approx(loop.task.loss(worse, *batch).mean.item())
    assert_equal([p.grad for p in loop.model.parameters()], expected)
    assert not torch.equal(
        torch.stack([g.sum() for g in expected if g is not None]), torch.zeros(())
    )
    for key, tensor in loop.model.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    assert loop.loss(*batch).mean < loop.task.loss(worse, *batch).mean


def test_an_overflown_gradient_has_no_direction() -> None:
    assert direction(torch.tensor([3.0, 4.0])).tolist() == pytest.approx([0.6, 0.8])
    for wrong in (0.0, float("inf"), float("nan")):
        assert not direction(torch.tensor([[wrong, wrong]])).any()


# -- two draws of dropout --------------------------------------------------------------------------


def naive_divergence(kind: str, one: Tensor, other: Tensor, targets: Sequence[Tensor]) -> Tensor:
    """Return the mean of both divergences, summed text by text and token by token."""
    total = torch.zeros((), dtype=torch.float64)
    for row in range(SIZE):
        a, b = one[row], other[row]
        if kind == "regression":
            total = total + (a[0] - b[0]) ** 2
        elif kind == "multilabel":
            p, q = Bernoulli(logits=a), Bernoulli(logits=b)
            total = total + ((kl_divergence(p, q) + kl_divergence(q, p)) / 2).mean()
        else:
            places = range(len(a)) if kind == "tokens" else [slice(None)]
            for place in places:
                if kind == "tokens" and targets[0][row, place] == IGNORED:
                    continue
                u, v = Categorical(logits=a[place]), Categorical(logits=b[place])
                total = total + (kl_divergence(u, v) + kl_divergence(v, u)) / 2
    return total


@pytest.mark.parametrize("name", KINDS)
def test_two_draws_have_to_agree(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = precise(tmp_path, name, "adversary.kind=r_drop", "adversary.weight=2.5")
    monkeypatch.setattr(Tensor, "float", Tensor.double)  # logits are compared in float32 else
    batch = texts, *targets = batch_of(loop)
    keyed.reseed(9)
    one, other = loop.model(texts), loop.model(texts)
    apart = naive_divergence(loop.task.kind, one, other, targets)
    clean = torch.zeros((), dtype=torch.float64)
    for logits in (one, other):
        given: Any = lambda _, logits=logits: logits  # noqa: E731
        clean = clean + loop.task.loss(given, *batch).sum / 2
    expected = clean + 2.5 * apart
    keyed.reseed(9)
    found = loop.loss_twice(*batch)
    torch.testing.assert_close(found.sum, expected, rtol=1e-10, atol=1e-10)
    assert int(found.count) == int(loop.loss(*batch).count)
    assert_equal(gradients(loop.model, found.sum), gradients(loop.model, expected))
    assert apart > 1e-6
    assert found.parts is not None
    assert set(found.parts) == {"clean", "divergence"}


# -- when ------------------------------------------------------------------------------------------


def trained(loop: TextLoop, folder: Path) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """Return the weights after a run, and the rows of its updates."""
    settings = RunConfig(device="cpu", log_every=1)
    with Run(folder, seed=4, settings=settings) as run:
        run.print_with(lambda _: None)
        loop.train(run)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    weights = [parameter.detach().clone() for parameter in loop.model.parameters()]
    return weights, [row for row in rows if row["event"] == "update"]


@pytest.mark.parametrize("kind", ["fgm", "awp", "r_drop"])
def test_an_adversary_that_comes_later_changes_nothing_before(tmp_path: Path, kind: str) -> None:
    plain, expected = trained(
        built(tmp_path, "classification", loop="finetune"), tmp_path / "plain"
    )
    never = built(tmp_path, "classification", f"adversary.kind={kind}", "adversary.start_epoch=2")
    weights, _ = trained(never, tmp_path / "never")
    assert all(torch.equal(one, other) for one, other in zip(weights, plain, strict=True))
    later = built(tmp_path, "classification", f"adversary.kind={kind}", "adversary.start_epoch=1")
    weights, rows = trained(later, tmp_path / "later")
    assert not all(torch.equal(one, other) for one, other in zip(weights, plain, strict=True))
    first = [row["values"]["loss"] for row in rows if row["epoch"] == 0]
    assert first == [row["values"]["loss"] for row in expected if row["epoch"] == 0]
    second = [row["values"]["loss"] for row in rows if row["epoch"] == 1]
    assert second != [row["values"]["loss"] for row in expected if row["epoch"] == 1]
    named = {key for row in rows if row["epoch"] == 1 for key in row["values"]}
    parts = {"fgm": ("clean", "adversarial"), "awp": (), "r_drop": ("clean", "divergence")}
    assert {key for key in named if "." in key} == {f"loss.{part}" for part in parts[kind]}


# -- what does not fit -----------------------------------------------------------------------------

REFUSED = {
    ("adversary.kind=r_drop", "adversary.size=1"): (
        "adversary.size: the adversary 'r_drop' has no size. Leave it out."
    ),
    ("adversary.kind=awp", "adversary.weight=1"): (
        "adversary.weight: the adversary 'awp' has no weight. Leave it out."
    ),
    ("update.compile=true",): (
        "update.compile: the adversary 'fgm' takes a gradient within the step, which is not "
        "compiled. Leave it out, or choose adversary.kind=r_drop."
    ),
    ("adversary.kind=r_drop", "model.dropout=0"): (
        "adversary.kind: the model leaves nothing out, so that two answers of it are the same. Set "
        "model.dropout above 0, or choose fgm or awp."
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_setting_that_does_nothing_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        built(tmp_path, "classification", *words)
    assert str(caught.value) == REFUSED[words]


@pytest.mark.parametrize("name", KINDS)
def test_dropout_is_found_wherever_it_is(tmp_path: Path, name: str) -> None:
    built(tmp_path, name, "adversary.kind=r_drop", "model.dropout=0.001")
    with pytest.raises(ConfigError, match="the model leaves nothing out"):
        built(tmp_path, name, "adversary.kind=r_drop", "model.dropout=0")


def test_a_model_whose_vectors_cannot_be_reached_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bag, "embedding", None)
    with pytest.raises(ConfigError) as caught:
        built(tmp_path, "classification")
    assert str(caught.value) == (
        "adversary.kind: the model does not look its tokens up in one place, where they could be "
        "moved. Choose awp or r_drop."
    )
    built(tmp_path, "classification", "adversary.kind=awp")


class Twice(Bag):
    """Looks its pieces up once more."""

    def forward(self, texts: Texts) -> Tensor:
        self.network.vectors(texts.ids)
        return super().forward(texts)


def test_a_model_that_looks_tokens_up_twice_or_elsewhere_is_not_reachable(tmp_path: Path) -> None:
    texts = batch_of(built(tmp_path, "classification"))[0]
    settings = {"classes": 3, "buckets": 512, "width": 8}
    assert is_reachable(Bag(**settings), texts)
    assert not is_reachable(Twice(**settings), texts)
    elsewhere = Bag(**settings)
    elsewhere.network.output.register_forward_pre_hook(lambda *_: None)
    Elsewhere = type("Elsewhere", (Bag,), {"embedding": property(lambda self: self.network.output)})
    assert not is_reachable(Elsewhere(**settings), texts)


def test_tasks_without_labels_are_refused(tmp_path: Path) -> None:
    rows = [{"text": f"a text of number {i}", "pair": f"and another {i}"} for i in range(20)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    for task in ("causal", "pairs"):
        words = (f"data={path}", f"task={task}", "loop=adversarial")
        with pytest.raises(
            ConfigError, match=f"the loop 'adversarial' does not fit the task '{task}'"
        ):
            build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)


def test_a_model_from_a_folder_leaves_values_out(tmp_path: Path) -> None:
    first = built(tmp_path, "classification bert", loop="finetune")
    folder = first.bundle().export(tmp_path / "folder", "transformers")
    loop = built(tmp_path, "classification", f"model.name={folder}", "adversary.kind=r_drop")
    assert isinstance(loop.model, TransformerModel)
    assert all(part.training for part in loop.model.modules())
