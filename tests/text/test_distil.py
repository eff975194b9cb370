"""Students and teachers: each loss and each loop beside the same one written out by hand."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rondel import Run, keyed
from rondel.checkpoint import list_checkpoints, read_checkpoint
from rondel.config import parse_overrides, resolve
from rondel.errors import DataError, Interrupted
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.loops.distil import Distil, told
from rondel_text.loops.text_loop import TextLoop
from rondel_text.soft_targets import DISTANT, SOFTENED

BERT = (
    *("model.name=bert", "model.width=16", "model.layers=4", "model.heads=2"),
    *("model.vocabulary=400", "max_length=24"),
)
BAG = ("model.buckets=512", "model.width=8")
KINDS: Mapping[str, tuple[str, ...]] = {
    "classification": BAG,
    "multilabel": (*BAG, "label=labels"),
    "regression": (*BAG, "label=number"),
    "tokens": ("model.width=8",),
    "classification bert": BERT,
    "tokens bert": BERT,
}
DISTIL = ("loop=distil", "epochs=2", "batch_size=8")
PLAIN = (
    *("update.optimizer.name=sgd", "update.optimizer.lr=0.5", "update.optimizer.weight_decay=0"),
    *("update.schedule.name=constant", "update.clip_norm=none", "update.optimizer.betas=none"),
)
"""An update that is written by hand in a line; a clipped gradient would hide a factor."""


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


def built(folder: Path, name: str, *words: str) -> TextLoop:
    kind = name.split(maxsplit=1)[0]
    path = folder / f"{kind}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows_of(kind))))
    words = (f"data={path}", f"task={kind}", *words)
    keyed.reseed(0)
    return build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)


def student(folder: Path, name: str, *words: str) -> Distil:
    loop = built(folder, name, *DISTIL, *words)
    assert isinstance(loop, Distil)
    return loop


def saved_teacher(folder: Path, name: str, *words: str) -> str:
    """Save a teacher that was trained a little, so that its answers differ from text to text."""
    loop = built(folder, name, *KINDS[name], "epochs=2", "batch_size=8", *words)
    with torch.no_grad():
        for parameter in loop.model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    bundle = loop.bundle()
    return str(bundle.save(folder / f"teacher-{name.replace(' ', '-')}"))


def taught(folder: Path, name: str, *words: str) -> Distil:
    teacher = f"distil.teacher={saved_teacher(folder, name)}"
    return student(folder, name, teacher, *KINDS[name], *words)


def batch_of(loop: TextLoop, size: int = 7) -> tuple[Texts, list[Tensor]]:
    texts, *targets = loop.material.train.batch_of(torch.arange(size))
    return texts, targets


def train(loop: TextLoop, folder: Path, **settings: Any) -> Run:
    with Run(folder, settings=loop.config.run, **settings) as run:
        run.print_with(lambda _: None)
        loop.train(run)
    return run


# -- the distances, in float64 ---------------------------------------------------------------------

ANSWERS = torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
TAUGHT = 2 * torch.randn(3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
TAGS = torch.tensor([[0, 1, IGNORED, 2, IGNORED], [IGNORED] * 5, [3, 3, 3, 3, 3]])


def shares(logits: Tensor, temperature: float) -> list[float]:
    """Return q_i = exp(z_i / T) / sum exp(z_j / T) (Hinton et al., 2015, eq. 1)."""
    powers = [math.exp(z / temperature) for z in logits.tolist()]
    return [power / sum(powers) for power in powers]


def naive_divergence(answer: Tensor, taught: Tensor, temperature: float) -> float:
    q, p = shares(answer, temperature), shares(taught, temperature)
    kl = sum(pi * (math.log(pi) - math.log(qi)) for pi, qi in zip(p, q, strict=True))
    return temperature**2 * kl


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def naive_labels(answer: Tensor, taught: Tensor, temperature: float) -> float:
    losses = []
    for z, v in zip(answer.tolist(), taught.tolist(), strict=True):
        q, p = sigmoid(z / temperature), sigmoid(v / temperature)
        losses.append(-p * math.log(q) - (1 - p) * math.log(1 - q))
    return temperature**2 * sum(losses) / len(losses)


def counted_pairs() -> list[tuple[Tensor, Tensor]]:
    places = [(b, i) for b in range(3) for i in range(5) if TAGS[b, i] != IGNORED]
    return [(ANSWERS[b, i], TAUGHT[b, i]) for b, i in places]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_softened_answers_are_compared_by_the_formulas(temperature: float) -> None:
    answers, told = ANSWERS[:, 0], TAUGHT[:, 0]
    pairs = list(zip(answers, told, strict=True))
    found = SOFTENED["classification"](answers, told, temperature)
    assert found.item() == pytest.approx(sum(naive_divergence(a, t, temperature) for a, t in pairs))
    found = SOFTENED["multilabel"](answers, told, temperature)
    assert found.item() == pytest.approx(sum(naive_labels(a, t, temperature) for a, t in pairs))
    found = SOFTENED["tokens"](ANSWERS, TAUGHT, temperature, TAGS)
    naive = sum(naive_divergence(a, t, temperature) for a, t in counted_pairs())
    assert found.item() == pytest.approx(naive)
    found = SOFTENED["regression"](answers[:, :1], told[:, :1], temperature)
    assert found.item() == pytest.approx(sum((a - t)[0].item() ** 2 for a, t in pairs))


def test_probabilities_are_compared_by_squared_distances() -> None:
    def apart(
        pairs: Sequence[tuple[Tensor, Tensor]], share: Callable[[Tensor], list[float]]
    ) -> float:
        return sum((p - q) ** 2 for a, t in pairs for p, q in zip(share(a), share(t), strict=True))

    answers, told = ANSWERS[:, 0], TAUGHT[:, 0]
    pairs = list(zip(answers, told, strict=True))
    soft = lambda logits: shares(logits, 1.0)  # noqa: E731
    assert DISTANT["classification"](answers, told).item() == pytest.approx(apart(pairs, soft))
    found = DISTANT["tokens"](ANSWERS, TAUGHT, TAGS).item()
    assert found == pytest.approx(apart(counted_pairs(), soft))
    labels = apart(pairs, lambda logits: [sigmoid(z) for z in logits.tolist()]) / 4
    assert DISTANT["multilabel"](answers, told).item() == pytest.approx(labels)


def test_the_gradient_does_not_shrink_with_the_temperature() -> None:
    """T (q - p), which is (z - v) / C for large T (Hinton et al., 2015, eq. 2 to 4)."""
    answers = (ANSWERS[:, 0] - ANSWERS[:, 0].mean(1, keepdim=True)).requires_grad_()
    told = TAUGHT[:, 0] - TAUGHT[:, 0].mean(1, keepdim=True)
    for temperature in (1.0, 3.0):
        found = SOFTENED["classification"](answers, told, temperature)
        (gradient,) = torch.autograd.grad(found, answers)
        q, p = ((each / temperature).softmax(1) for each in (answers, told))
        torch.testing.assert_close(gradient, temperature * (q - p))
    (gradient,) = torch.autograd.grad(SOFTENED["classification"](answers, told, 1e4), answers)
    torch.testing.assert_close(gradient, (answers - told).detach() / 4, rtol=0, atol=1e-3)


def test_a_piece_with_shorter_texts_is_compared_in_its_part() -> None:
    whole = SOFTENED["tokens"](ANSWERS[:1, :4], TAUGHT[:1, :4], 2.0, TAGS[:1, :4])
    assert SOFTENED["tokens"](ANSWERS[:1, :4], TAUGHT[:1], 2.0, TAGS[:1]) == whole
    whole = DISTANT["tokens"](ANSWERS[:1, :4], TAUGHT[:1, :4], TAGS[:1, :4])
    assert DISTANT["tokens"](ANSWERS[:1, :4], TAUGHT[:1], TAGS[:1]) == whole


# -- a frozen teacher ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_the_loss_is_that_of_the_labels_and_the_teacher(tmp_path: Path, name: str) -> None:
    loop = taught(tmp_path, name, "distil.alpha=0.7")
    loop.model.eval()
    texts, targets = batch_of(loop)
    found = loop.taught_loss(texts, *targets)
    own = loop.task.loss(loop.model, texts, *targets)
    answer, told = loop.model(texts), loop.teacher(texts)
    soft = SOFTENED[loop.task.kind](answer, told, 2.0, *targets)
    torch.testing.assert_close(found.sum, 0.3 * own.sum + 0.7 * soft)
    assert int(found.count) == int(own.count)
    assert soft > 1e-3
    assert found.parts is not None
    torch.testing.assert_close(found.parts["labels"], own.sum)
    torch.testing.assert_close(found.parts["teacher"], soft)
    assert not told.requires_grad


def test_a_temperature_alone_changes_what_it_says(tmp_path: Path) -> None:
    teacher = f"distil.teacher={saved_teacher(tmp_path, 'classification')}"
    for temperature in (1.0, 4.0):
        words = (teacher, f"distil.temperature={temperature}", "distil.alpha=1", *BAG)
        loop = student(tmp_path, "classification", *words)
        loop.model.eval()
        texts, targets = batch_of(loop)
        answer, told = loop.model(texts), loop.teacher(texts)
        naive = [naive_divergence(a, t, temperature) for a, t in zip(answer, told, strict=True)]
        found = loop.taught_loss(texts, *targets).sum.item()
        assert found == pytest.approx(sum(naive), rel=1e-5)


def test_a_student_is_trained_as_a_loop_by_hand_does(tmp_path: Path) -> None:
    words = ("distil.alpha=0.9", "model.dropout=0")
    loop = taught(tmp_path, "classification", *PLAIN, *words)
    model = copy.deepcopy(loop.model)
    step = torch.optim.SGD(model.parameters(), lr=0.5, fused=True)
    for texts, labels in batches_of(loop):
        z, v = model(texts), loop.teacher(texts)
        kl = F.kl_div((z / 2).log_softmax(1), (v / 2).softmax(1), reduction="batchmean")
        descend(step, 0.1 * F.cross_entropy(z, labels) + 0.9 * 4 * kl)
    train(loop, tmp_path / "run")
    assert_same(loop.model, model, exact=False)


def descend(step: torch.optim.Optimizer, loss: Tensor) -> None:
    step.zero_grad()
    torch.autograd.backward(loss)
    step.step()


def batches_of(loop: TextLoop) -> list[tuple[Any, ...]]:
    stream, train = loop.material.training, loop.material.train
    plans = [stream.plan(loop.config.run.seed, epoch) for epoch in range(loop.config.epochs)]
    return [tuple(train.batch_of(rows)) for plan in plans for rows in plan]


def assert_same(found: nn.Module, expected: nn.Module, *, exact: bool = True) -> None:
    for one, other in zip(found.parameters(), expected.parameters(), strict=True):
        if exact:
            assert torch.equal(one, other)
        else:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_teacher_stays_as_it_is_and_in_no_checkpoint(tmp_path: Path) -> None:
    loop = taught(tmp_path, "classification")
    before, weights = loop.teacher.fingerprint(), copy.deepcopy(loop.model.state_dict())
    train(loop, tmp_path / "run")
    assert loop.teacher.fingerprint() == before
    assert any(not torch.equal(weights[k], v) for k, v in loop.model.state_dict().items())
    info = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    root = read_checkpoint(info.path)[1]["course"]["cursors"]["states"]
    assert [name for name in root if name.startswith("module/")] == ["module/model"]


def test_answers_that_are_remembered_are_those_that_are_asked_for(tmp_path: Path) -> None:
    for name in ("classification", "tokens", "tokens bert"):
        loops = [
            taught(tmp_path, name, "model.dropout=0", f"distil.keep_answers={kept}", *PLAIN)
            for kept in ("false", "true")
        ]
        for number, loop in enumerate(loops):
            train(loop, tmp_path / f"{name}-{number}")
        assert_same(loops[0].model, loops[1].model, exact=False)


def test_a_remembering_student_asks_once(tmp_path: Path) -> None:
    loop = taught(tmp_path, "classification", "distil.keep_answers=true")
    calls: list[int] = []
    loop.teacher.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0].ids)))
    train(loop, tmp_path / "run")
    assert sum(calls) == len(loop.material.train) + len(loop.material.valid)


def test_a_run_goes_on_with_its_own_teacher_only(tmp_path: Path) -> None:
    loop = taught(tmp_path, "classification")
    with pytest.raises(Interrupted):
        train(loop, tmp_path / "run", stop_at=3)
    other = taught(tmp_path, "classification")
    with torch.no_grad():
        next(other.teacher.parameters()).add_(1e-3)
    with pytest.raises(DataError) as caught:
        train(other, tmp_path / "run", resume=True)
    assert "the teacher is no longer the one that the run was started with" in str(caught.value)
    assert "teacher-classification" in str(caught.value)
    assert "Put it back, or start a new run." in str(caught.value)


def test_the_teacher_is_told_of_and_stands_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = taught(tmp_path, "classification", "epochs=1")
    with Run(tmp_path / "run", settings=loop.config.run) as run:
        loop.train(run)
        run.finish()
        sections = {section.title: section for section in run.examine(loop.sections)}
    logits, labels = answers_on_validation(loop.teacher, loop)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    sizes = [sum(p.numel() for p in each.parameters()) for each in (loop.teacher, loop.model)]
    line = (
        f"The teacher: {sizes[0]:,} parameters, accuracy {accuracy:.4g}. "
        f"The student: {sizes[1]:,} parameters."
    )
    assert line in capsys.readouterr().err
    table = sections["Student and teacher"].table
    assert table is not None
    rows = {str(row[0]): dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert rows["teacher"]["accuracy"] == pytest.approx(accuracy)
    assert rows["teacher"]["speed ratio"] == 1
    assert rows["student"]["accuracy"] == pytest.approx(run.evaluations["evaluation"]["accuracy"])
    assert [rows[name]["parameters"] for name in ("teacher", "student")] == sizes
    rows_of_log = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "speed" not in rows_of_log
    assert "second" not in rows_of_log


@torch.no_grad()
def answers_on_validation(model: nn.Module, loop: TextLoop) -> tuple[Tensor, Tensor]:
    valid = loop.material.valid
    texts, labels = valid.batch_of(torch.arange(len(valid)))
    return model(texts), labels


# -- the average, and a peer -------------------------------------------------------------------------


def naive_terms(name: str, z: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Return the loss of the labels, and what it counts."""
    if name == "multilabel":
        losses = F.binary_cross_entropy_with_logits(z, targets, reduction="none")
        return losses.mean(1).sum(), len(z)
    if name == "tokens":
        flat = z.flatten(0, 1), targets[:, : z.shape[1]].flatten()
        total = F.cross_entropy(*flat, ignore_index=IGNORED, reduction="sum")
        return total, int((targets != IGNORED).sum())
    return F.cross_entropy(z, targets, reduction="sum"), len(z)


def naive_consistency(name: str, z: Tensor, told: Tensor, targets: Tensor) -> Tensor:
    if name == "multilabel":
        return (z.sigmoid() - told.sigmoid()).square().mean(1).sum()
    apart = (z.softmax(-1) - told.softmax(-1)).square()
    if name == "tokens":
        return (apart.sum(-1) * (targets[:, : z.shape[1]] != IGNORED)).sum()
    return apart.sum()


@pytest.mark.parametrize("name", ["classification", "multilabel", "tokens"])
def test_the_average_teaches_as_a_loop_by_hand_does(tmp_path: Path, name: str) -> None:
    """Bit for bit, with dropout (Tarvainen and Valpola, 2017, section 2)."""
    words = ("distil.kind=ema", "distil.weight=3", "update.ema=0.5", *KINDS[name], *PLAIN)
    loop = student(tmp_path, name, *words)
    model, teacher = copy.deepcopy(loop.model), copy.deepcopy(loop.model).eval()
    step = torch.optim.SGD(model.parameters(), lr=0.5, fused=True)
    keyed.reseed(keyed.key(loop.config.run.seed, "run", 0))
    for number, (texts, targets) in enumerate(batches_of(loop)):
        with torch.no_grad():
            told = teacher(texts)
        z = model(texts)
        own, count = naive_terms(name, z, targets)
        descend(step, (own + 3 * naive_consistency(name, z, told, targets)) / count)
        decay = min(0.5, (1 + number) / (10 + number))
        with torch.no_grad():
            for mean, present in zip(teacher.parameters(), model.parameters(), strict=True):
                mean.lerp_(present, 1 - decay)
    run = train(loop, tmp_path / "run")
    assert_same(loop.model, model)
    with run.averaged():
        assert_same(loop.model, teacher)
        assert any(not torch.equal(a, b) for a, b in pairs_of(loop.model, model))


def pairs_of(one: nn.Module, other: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return list(zip(one.parameters(), other.parameters(), strict=True))


def test_a_process_without_texts_asks_nobody(tmp_path: Path) -> None:
    loop = student(tmp_path, "classification bert", "distil.kind=ema", *BERT)
    texts, *_ = loop.material.train.batch_of(torch.arange(0))
    assert len(loop.own_answer(texts)) == 0


def test_the_average_is_what_is_kept(tmp_path: Path) -> None:
    loop = student(tmp_path, "classification", "distil.kind=ema", *BAG)
    run = train(loop, tmp_path / "run")
    (update,) = run.updates()
    assert update.average is not None
    assert update.average.decay == 0.99
    with run.averaged():
        logits, labels = answers_on_validation(loop.model.eval(), loop)
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    assert run.evaluations["evaluation"]["accuracy"] == pytest.approx(accuracy)


def test_an_average_of_another_memory_is_taken(tmp_path: Path) -> None:
    loop = student(tmp_path, "classification", "distil.kind=ema", "update.ema=0.5", *BAG)
    (update,) = train(loop, tmp_path / "run").updates()
    assert update.average is not None
    assert update.average.decay == 0.5


@pytest.mark.parametrize("name", ["classification", "tokens"])
def test_peers_learn_from_each_other_as_a_loop_by_hand_does(tmp_path: Path, name: str) -> None:
    """Bit for bit, with dropout (Zhang et al., 2018, algorithm 1 and eq. 2 to 4)."""
    loop = student(tmp_path, name, "distil.kind=mutual", *KINDS[name], *PLAIN)
    models = [copy.deepcopy(each) for each in (loop.model, loop.peer)]
    assert any(not torch.equal(a, b) for a, b in pairs_of(*models))
    steps = [torch.optim.SGD(each.parameters(), lr=0.5, fused=True) for each in models]
    keyed.reseed(keyed.key(loop.config.run.seed, "run", 0))
    for texts, targets in batches_of(loop):
        for learner, peer, step in zip(models, reversed(models), steps, strict=True):
            with torch.no_grad():
                p = peer.eval()(texts).log_softmax(-1)
            peer.train()
            z = learner(texts)
            own, count = naive_terms(name, z, targets)
            apart = (p.exp() * (p - z.log_softmax(-1))).sum(-1)  # KL(peer, learner)
            if name == "tokens":
                apart = apart * (targets[:, : z.shape[1]] != IGNORED)
            descend(step, (own + apart.sum()) / count)
    train(loop, tmp_path / "run")
    assert_same(loop.model, models[0])
    assert_same(loop.peer, models[1])


def test_the_peer_stands_in_the_report(tmp_path: Path) -> None:
    loop = student(tmp_path, "classification", "distil.kind=mutual", "epochs=1", *BAG)
    with Run(tmp_path / "run", settings=loop.config.run) as run:
        run.print_with(lambda _: None)
        loop.train(run)
        run.finish()
        tables = {s.title: s.table for s in run.examine(loop.sections)}
    table = tables["Student and teacher"]
    assert table is not None
    assert [row[0] for row in table.rows] == ["student", "peer"]


def test_what_is_told_has_no_dropout_and_leaves_the_mode(tmp_path: Path) -> None:
    loop = student(tmp_path, "classification", "distil.kind=mutual", "model.dropout=0.9", *BAG)
    texts, _ = batch_of(loop)
    assert loop.peer.training
    first, again = told(loop.peer, texts), told(loop.peer, texts)
    assert loop.peer.training
    assert torch.equal(first, again)
    assert not first.requires_grad
    assert not torch.equal(loop.peer(texts), first)
