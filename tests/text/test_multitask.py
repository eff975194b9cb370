"""Several tasks on one encoder: order, gradients, metrics, settings, bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rondel import Run, Watch, keyed
from rondel.batch import split
from rondel.batcher import FixedSize
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError, DataError, RondelError, UsageError
from rondel.metric import MeanMetric, merged
from rondel_text.build import build
from rondel_text.bundle import TextBundle
from rondel_text.config import TextConfig
from rondel_text.data.batch import IGNORED
from rondel_text.data.mixture import MixedBatches, Part, apportioned
from rondel_text.heads import MultitaskBundle
from rondel_text.inspection import inspect
from rondel_text.loops.multitask import Multitask
from rondel_text.metrics.together import Together
from rondel_text.models.shared import SharedModel
from rondel_text.predictions import table_of

SMALL = (
    *("model.width=16", "model.layers=1", "model.heads=2", "model.vocabulary=400", "epochs=1"),
    *("max_length=24", "batch_size=8", "model.dropout=0"),
)
FRUIT, TOOLS = ("apple", "pear", "plum"), ("hammer", "saw", "file")


def rows_of(kind: str, count: int) -> list[dict[str, Any]]:
    found = []
    for i in range(count):
        words = [f"{kind}{i}", "the", (FRUIT if i % 2 else TOOLS)[i % 3], *["big"] * (i % 4)]
        text = " ".join(words)
        rows: dict[str, dict[str, Any]] = {
            "class": {"text": text, "label": "fruit" if i % 2 else "tool"},
            "many": {"body": text, "labels": ["thing", *["odd"] * (i % 2)]},
            "number": {"text": text, "stars": 2.0 * (i % 2) + 0.25 * (i % 4) + i / 100},
            "pair": {"text": text, "other": f"a {words[2]}", "label": "yn"[i % 2]},
            "tags": {"words": words, "tags": ["O", "O", f"B-{'XY'[i % 2]}", *["O"] * (i % 4)]},
        }
        found.append(rows[kind])
    return found


COLUMNS: Mapping[str, tuple[str, ...]] = {
    "many": ("text=body", "task=multilabel"),
    "number": ("label=stars", "task=regression"),
    "pair": ("pair=other",),
}


def words_of(folder: Path, sizes: Mapping[str, int], *more: str) -> tuple[str, ...]:
    """Write the data of each task; return the settings that name it."""
    words: list[str] = []
    for kind, size in sizes.items():
        path = folder / f"{kind}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows_of(kind, size))))
        settings = (f"data={path}", *COLUMNS.get(kind, ()))
        words += [f"multitask.tasks.{kind}.{setting}" for setting in settings]
    return (*words, *SMALL, *more)


def loop_of(words: tuple[str, ...]) -> Multitask:
    keyed.reseed(0)
    loop = build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)
    assert isinstance(loop, Multitask)
    return loop


ALL = {"class": 50, "many": 40, "number": 30, "pair": 30, "tags": 40}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Multitask:
    return loop_of(words_of(tmp_path_factory.mktemp("tasks"), ALL))


# -- order -----------------------------------------------------------------------------------------


def drawn(loop: Multitask, number: int = 0, seed: int = 0) -> list[tuple[str, list[int]]]:
    """Return task and texts of each batch of a pass."""
    found = []
    for indices in loop.training.plan(seed, number):
        name, texts, *_ = loop.mixture.batch_of(indices)
        start = loop.mixture.starts[list(loop.lessons).index(name)]
        assert len(texts.ids) == len(indices)
        found.append((name, (indices - start).tolist()))
    return found


def test_every_text_comes_once_in_a_pass(made: Multitask) -> None:
    seen: dict[str, list[int]] = {name: [] for name in ALL}
    batches = drawn(made)
    for name, rows in batches:
        seen[name] += rows
    for name, rows in seen.items():
        assert sorted(rows) == list(range(len(made.lessons[name].material.train)))
    names = [name for name, _ in batches]
    assert names != sorted(names, key=list(ALL).index)  # they are shuffled, not one by one


def test_a_batch_has_the_texts_and_targets_of_one_task(made: Multitask) -> None:
    for indices in made.training.plan(0, 0):
        name, texts, *targets = made.mixture.batch_of(indices)
        start = made.mixture.starts[list(ALL).index(name)]
        own = made.lessons[name].material.train.batch_of(indices - start)
        assert torch.equal(texts.ids, own[0].ids)
        assert len(targets) == 1
        assert torch.equal(targets[0], own[1])
        said = made.training.describe(int(indices[0]))
        assert f"{name}, " in said
        assert f"{name}.jsonl:" in said


def test_the_order_is_a_function_of_seed_and_pass(made: Multitask) -> None:
    assert drawn(made) == drawn(made)
    assert drawn(made, 1) != drawn(made)
    assert drawn(made, 0, seed=1) != drawn(made)


@pytest.mark.parametrize("batching", ["random", "buckets", "budget"])
def test_the_shares_of_a_pass_are_the_ratios(tmp_path: Path, batching: str) -> None:
    ratios = {"class": 3, "number": 1, "tags": 2}
    words = words_of(tmp_path, {"class": 60, "number": 60, "tags": 60}, f"batching={batching}")
    ratio = tuple(f"multitask.tasks.{name}.ratio={share}" for name, share in ratios.items())
    plain, loop = loop_of(words), loop_of((*words, *ratio, "tokens=64"))
    if batching != "budget":
        assert len(drawn(loop)) == len(drawn(plain))
    for number in range(2):
        names = [name for name, _ in drawn(loop, number)]
        for name, share in ratios.items():
            assert names.count(name) == pytest.approx(len(names) * share / 6, abs=1)


def test_the_ratio_of_a_small_task_lets_its_texts_come_again(tmp_path: Path) -> None:
    words = words_of(tmp_path, {"class": 20, "tags": 140})
    ratio = ("multitask.tasks.class.ratio=1", "multitask.tasks.tags.ratio=1")
    loop = loop_of((*words, *ratio))
    size = len(loop.lessons["class"].material.train)
    rows = [row for name, rows in drawn(loop) if name == "class" for row in rows]
    counts = [rows.count(row) for row in range(size)]
    assert min(counts) >= 2
    assert max(counts) - min(counts) <= 1
    other = [row for name, rows in drawn(loop) if name == "tags" for row in rows]
    assert len(other) == len(set(other)) < len(loop.lessons["tags"].material.train)


def test_a_temperature_brings_the_shares_together() -> None:
    """Raffel et al. (2020), section 3.5.2: rates to the power of 1 / T, then normalised."""
    sizes, total = (900, 90, 10), 1000
    for temperature in (1.0, 2.0, 4.0):
        rates = torch.tensor([size / 1000 for size in sizes]).double() ** (1 / temperature)
        expected = total * rates / rates.sum()
        found = apportioned(total, sizes, temperature=temperature)
        assert sum(found) == total
        assert max(abs(torch.tensor(found) - expected)) < 1
    assert apportioned(999, sizes, temperature=1e9) == [333, 333, 333]
    assert apportioned(3, (1000, 1, 1)) == [3, 1, 1]  # none is forgotten


def test_a_temperature_changes_the_batches_of_a_pass(tmp_path: Path) -> None:
    words = words_of(tmp_path, {"class": 20, "tags": 140})
    counts = []
    for temperature in ("1", "100"):
        names = [
            name for name, _ in drawn(loop_of((*words, f"multitask.temperature={temperature}")))
        ]
        counts.append((names.count("class"), names.count("tags")))
    (small, large), (more, less) = counts
    assert small < large
    assert small + large == more + less
    assert abs(more - less) <= 1


def test_batches_keep_their_order_without_a_generator() -> None:
    parts = (Part(5, FixedSize(2), 3), Part(2, FixedSize(2), 2))
    plan = MixedBatches(parts).plan(7, None)
    assert [indices.tolist() for indices in plan] == [[0, 1], [2, 3], [4], [5, 6], [5, 6]]


def test_a_process_without_a_share_gets_an_empty_batch(made: Multitask) -> None:
    name, texts, targets = made.mixture.batch_of(torch.zeros(0, dtype=torch.int64))
    assert name == "class"
    assert len(texts.ids) == len(targets) == 0


# -- gradients -------------------------------------------------------------------------------------


def by_hand(loop: Multitask, task: str, batch: tuple[Any, ...]) -> Tensor:
    """The loss of a task, from a padded call of transformers and the weights of its head."""
    model = loop.model
    assert isinstance(model, SharedModel)
    texts, targets = batch
    length = int(texts.lengths.max())
    there = torch.arange(length) < texts.lengths[:, None]
    more = {} if texts.types is None else {"token_type_ids": texts.types[:, :length]}
    bert: Any = model.encoder.model
    states = bert(input_ids=texts.ids[:, :length], attention_mask=there.long(), **more)[0]
    head = model.heads[list(loop.lessons).index(task)]
    assert isinstance(head, nn.Linear)
    if task == "tags":
        tags = targets[:, :length]
        return F.cross_entropy(
            (states @ head.weight.T + head.bias)[tags != IGNORED], tags[tags >= 0]
        )
    pooled = torch.stack([row[kept].mean(0) for row, kept in zip(states, there, strict=True)])
    logits = pooled @ head.weight.T + head.bias
    if task == "number":
        return F.mse_loss(logits[:, 0], targets)
    if task == "many":
        return F.binary_cross_entropy_with_logits(logits, targets)
    return F.cross_entropy(logits, targets)


def test_training_is_the_loop_of_the_paper_written_by_hand(tmp_path: Path) -> None:
    """MT-DNN, algorithm 1: merge and shuffle the batches; step by the loss of each one's task."""
    plain = (
        *("update.optimizer.name=sgd", "update.optimizer.lr=0.01", "update.clip_norm=none"),
        *("update.optimizer.weight_decay=0", "update.schedule.name=constant", "epochs=2"),
        *("multitask.tasks.tags.weight=0.5", "multitask.tasks.number.weight=3"),
    )
    words = words_of(tmp_path, ALL, *plain)
    mine, theirs = (double(loop_of(words)) for _ in range(2))
    with Run(tmp_path / "run", settings=mine.config.run) as run:
        run.print_with(lambda _: None)
        mine.train(run)
        weights = {"tags": 0.5, "number": 3.0}
        optimizer = torch.optim.SGD(theirs.model.parameters(), lr=0.01)
        for number in range(2):
            for indices in theirs.training.plan(run.settings.seed, number):
                task, *batch = theirs.mixture.batch_of(indices)
                optimizer.zero_grad()
                loss = weights.get(task, 1.0) * by_hand(theirs, task, tuple(batch))
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
    found, expected = mine.model.state_dict(), theirs.model.state_dict()
    moved = double(loop_of(words)).model.state_dict()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-8, atol=1e-10)
        if "pooler" not in name and tensor.is_floating_point() and "position" not in name:
            assert not torch.equal(tensor, moved[name]), name


def double(loop: Multitask) -> Multitask:
    """Compute in float64: what the data holds as well."""
    loop.model.double()
    for lesson in loop.lessons.values():
        texts = lesson.material.train
        targets = tuple(
            target.double() if isinstance(target, Tensor) and target.is_floating_point() else target
            for target in texts.targets
        )
        object.__setattr__(texts, "targets", targets)
    return loop


def test_pieces_of_a_batch_give_its_gradient(tmp_path: Path) -> None:
    loop = double(loop_of(words_of(tmp_path, ALL)))
    for indices in loop.training.plan(0, 0)[:12]:
        batch = loop.mixture.batch_of(indices)
        whole = gradients(loop, loop.task_loss(*batch).mean)
        pieces = [loop.task_loss(*piece) for piece in split(batch, 3)]
        total = torch.stack([piece.sum for piece in pieces]).sum()
        parts = gradients(loop, total / sum(int(piece.count) for piece in pieces))
        assert parts.keys() == whole.keys()
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, rtol=1e-8, atol=1e-11)


def gradients(loop: Multitask, loss: Tensor) -> dict[str, Tensor]:
    loop.model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    named = loop.model.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def test_a_batch_moves_the_encoder_and_its_own_head_alone(made: Multitask) -> None:
    for indices in made.training.plan(0, 0)[:12]:
        task, *batch = made.mixture.batch_of(indices)
        found = gradients(made, made.task_loss(task, *batch).mean)
        heads = {name for name in found if name.startswith("heads.")}
        place = list(ALL).index(task)
        assert heads == {f"heads.{place}.weight", f"heads.{place}.bias"}
        assert any(name.startswith("encoder.") for name in found)


# -- metrics ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Multitask, Run, Path]:
    folder = tmp_path_factory.mktemp("trained")
    loop = loop_of(words_of(folder, ALL, "run.log_every=2"))
    with Run(folder / "run", settings=loop.config.run) as run:
        loop.train(run)
        loop.kept = run.examine(loop.sections)  # type: ignore[attr-defined]
    loop.bundle().save(folder / "bundle")
    return loop, run, folder


def test_every_task_is_measured_as_alone(trained: tuple[Multitask, Run, Path]) -> None:
    loop, run, _ = trained
    values = run.evaluations["evaluation"]
    marks = []
    for name, lesson in loop.lessons.items():
        lesson.model.eval()
        scores = lesson.task.scores()
        with torch.no_grad():
            whole = lesson.material.valid.batch_of(torch.arange(len(lesson.material.valid)))
            scores.update(lesson.model, *whole)
        alone = merged(scores.by_name, [])
        found = {key: values[f"{name}.{key}"] for key in alone}
        assert found == pytest.approx(alone, rel=1e-4, abs=1e-6, nan_ok=True)
        watch = lesson.task.watch
        marks.append(alone[watch.metric] * (1 if watch.mode == "max" else -1))
    assert values["mean"] == pytest.approx(sum(marks) / 5, rel=1e-4)
    assert loop.watch == Watch("mean", "max")


def test_one_task_may_decide(tmp_path: Path) -> None:
    words = words_of(tmp_path, {"class": 20, "number": 20}, "multitask.watch=number")
    assert loop_of(words).watch == Watch("number.rmse", "min")


def test_the_log_has_the_loss_of_each_task(trained: tuple[Multitask, Run, Path]) -> None:
    lines = (trained[2] / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [row["values"] for row in map(json.loads, lines) if row["event"] == "update"]
    assert {f"loss.{name}" for name in ALL} <= {key for row in rows for key in row}


def test_the_mean_is_taken_after_the_shares_of_processes_are_merged() -> None:
    watched = {"a": Watch("x", "max"), "b": Watch("y", "min")}

    def shares(first: list[float], second: list[float]) -> Together:
        means = MeanMetric().update(torch.tensor(first)), MeanMetric().update(torch.tensor(second))
        return Together({"a": {"x": means[0]}, "b": {"y": means[1]}}, watched)

    one, other = shares([1.0, 0.0, 1.0], [4.0]), shares([0.0], [2.0, 0.0])
    one.merge(other.state_dict())
    assert one.compute() == {"a.x": 0.5, "b.y": 2.0, "mean": (0.5 - 2.0) / 2}


def test_the_model_is_compared_with_the_best_simple_model_of_each_task(made: Multitask) -> None:
    assert made.baseline is not None
    values = made.baseline.values
    marks = []
    for name, lesson in made.lessons.items():
        best, watch = lesson.material.baselines[0].values, lesson.task.watch
        assert values[f"{name}.{watch.metric}"] == best[watch.metric]
        marks.append(best[watch.metric] * (1 if watch.mode == "max" else -1))
    assert values["mean"] == pytest.approx(sum(marks) / 5)


def test_the_report_has_sections_of_each_task(trained: tuple[Multitask, Run, Path]) -> None:
    loop = trained[0]
    first, *others = loop.kept  # type: ignore[attr-defined]
    assert first.title == "Tasks"
    assert [row[0] for row in first.table.rows] == list(ALL)
    assert sum(row[3] for row in first.table.rows) == pytest.approx(1)
    titles = [section.title for section in others]
    assert len(titles) == len(set(titles))
    assert {f"{name}: Beside simple models" for name in ALL} <= set(titles)
    assert "class: Confusions" in titles


# -- bundle ----------------------------------------------------------------------------------------


def test_a_loaded_bundle_says_for_every_head_what_it_said_before(
    trained: tuple[Multitask, Run, Path],
) -> None:
    loop, _, folder = trained
    before, after = loop.bundle(), TextBundle.load(folder / "bundle")
    assert isinstance(after, MultitaskBundle)
    texts = ["the big apple", "a saw"]
    assert before.predict(texts) == after.predict(texts)
    for row, found in enumerate(after.predict(texts)):
        assert list(found) == ["class", "many", "number", "tags"]
        assert set(found["class"]) == {"label", "probabilities"}
        assert set(found["number"]) == {"value"}
        assert len(found["tags"]["tags"]) == len(texts[row].split())
        for name, said in found.items():
            (alone,) = after.heads[name].predict(texts[row])
            assert said == pytest.approx(alone) if name == "number" else said.keys() == alone.keys()
    assert after.predict("a saw") == after.predict(["a saw"])


def test_heads_for_pairs_answer_pairs(trained: tuple[Multitask, Run, Path]) -> None:
    bundle = TextBundle.load(trained[2] / "bundle")
    assert [list(found) for found in bundle.predict([("a saw", "a file")])] == [["pair"]]


def test_a_bundle_evaluates_to_what_the_run_measured(
    trained: tuple[Multitask, Run, Path],
) -> None:
    found = TextBundle.load(trained[2] / "bundle").evaluate(None)
    values = trained[1].evaluations["evaluation"]
    assert found == pytest.approx(values, rel=1e-4, abs=1e-6, nan_ok=True)


def test_a_file_is_for_the_tasks_that_find_their_columns(
    trained: tuple[Multitask, Run, Path], tmp_path: Path
) -> None:
    bundle = TextBundle.load(trained[2] / "bundle")
    path = tmp_path / "more.jsonl"
    path.write_text("\n".join(map(json.dumps, rows_of("number", 8))))
    found = bundle.evaluate(path)
    assert {name.split(".")[0] for name in found} == {"number", "mean"}
    assert found["mean"] == -found["number.rmse"]
    lines = [json.loads(line) for line in bundle.predict_files([str(path)], None).splitlines()]
    assert len(lines) == 8
    assert set(lines[0]) == {"row", "text", "class", "number", "tags"}
    path.write_text(json.dumps({"title": "x"}))
    told = r"no task finds its columns; there are 'title'\. class reads 'text'"
    with pytest.raises(DataError, match=told):
        bundle.predict_files([str(path)], None)
    with pytest.raises(DataError, match=told + ", 'label'"):
        bundle.evaluate(path)


def test_lines_are_read_by_every_head(
    trained: tuple[Multitask, Run, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", iter(["a saw\n", "\n", "the apple\n"]))
    bundle = TextBundle.load(trained[2] / "bundle")
    lines = [json.loads(line) for line in bundle.predict_files(["-"], None).splitlines()]
    assert [line["row"] for line in lines] == ["stdin:1", "stdin:3"]
    assert all({"class", "many", "number", "tags"} <= set(line) for line in lines)


def test_what_heads_say_stands_in_columns_of_their_own() -> None:
    answers = [{"row": "x:1", "topic": {"label": "a", "probabilities": {"a": 1.0}}, "n": {"v": 2}}]
    head, row = table_of(answers).splitlines()
    assert head == "row,topic_label,topic_probability_a,n_v"
    assert row == "x:1,a,1.0,2"


def test_changed_data_of_a_task_is_refused(tmp_path: Path) -> None:
    loop = loop_of(words_of(tmp_path, {"class": 20, "tags": 20}))
    bundle = TextBundle.load(loop.bundle().save(tmp_path / "bundle"))
    bundle.evaluate(None)
    (tmp_path / "tags.jsonl").write_text("\n".join(map(json.dumps, rows_of("tags", 21))))
    with pytest.raises(DataError, match="the data is no longer what the model was trained on"):
        bundle.evaluate(None)


def test_what_a_bundle_cannot_do_is_said(trained: tuple[Multitask, Run, Path]) -> None:
    bundle = TextBundle.load(trained[2] / "bundle")
    with pytest.raises(UsageError, match="a model with 5 heads cannot be exported as 'onnx'"):
        bundle.export(Path("x"), "onnx")
    with pytest.raises(UsageError, match="there are no texts to predict for"):
        bundle.predict([])
    with pytest.raises(DataError, match="the text is empty"):
        bundle.predict([" "])


def test_a_model_without_a_head_for_pairs_refuses_them(tmp_path: Path) -> None:
    loop = loop_of(words_of(tmp_path, {"class": 20}))
    with pytest.raises(UsageError, match="no head of the model reads pairs of texts"):
        loop.bundle().predict([("a", "b")])


# -- settings --------------------------------------------------------------------------------------


Change = Callable[[Path], tuple[str, ...]]
BAD: Mapping[str, tuple[tuple[str, ...], str]] = {
    "no task": (
        ("loop=multitask",),
        "multitask.tasks: there is no task. Name each with its data: multitask.tasks.topic.data=",
    ),
    "no data": (
        ("multitask.tasks.a.label=x",),
        "multitask.tasks.a.data: the task has no data. Name a file or a folder.",
    ),
    "ratio": (
        ("{class}", "multitask.tasks.class.ratio=0"),
        "multitask.tasks.class.ratio: got 0.0, expected a number > 0 or none",
    ),
    "negative ratio": (
        ("{class}", "multitask.tasks.class.ratio=-2"),
        "multitask.tasks.class.ratio: got -2.0, expected a number > 0 or none",
    ),
    "weight": (
        ("{class}", "multitask.tasks.class.weight=0"),
        "multitask.tasks.class.weight: got 0.0, expected a number > 0",
    ),
    "some ratios": (
        ("{class}", "{tags}", "multitask.tasks.class.ratio=2"),
        "multitask.tasks: of 2 tasks 1 have a ratio, 'tags' not. Give all of them one, or none",
    ),
    "unknown task": (
        ("{class}", "multitask.tasks.class.task=clasification"),
        (
            "multitask.tasks.class.task: got 'clasification', expected one of: auto, "
            "classification, multilabel, regression, tokens. Did you mean 'classification'?"
        ),
    ),
    "task of its own": (
        ("{class}", "multitask.tasks.class.task=seq2seq"),
        "multitask.tasks.class.task: got 'seq2seq', expected one of",
    ),
    "unknown key": (
        ("{class}", "multitask.tasks.class.lable=x"),
        "multitask.tasks.class.lable: unknown key. Did you mean 'label'?",
    ),
    "name": (("multitask.tasks.'a b'.data=x.csv",), "multitask.tasks: 'a b' is no name of a task."),
    "watch": (("{class}", "multitask.watch=stars"), "multitask.watch: 'stars' is no task. Choose"),
    "data for all": (("{class}", "data=x.csv"), "data: got 'x.csv', but several tasks are learnt."),
    "task for all": (
        ("{class}", "task=tokens"),
        "task: got 'tokens', but several tasks are learnt. Leave it out",
    ),
    "streaming": (("{class}", "streaming=true"), "streaming: several tasks are learnt of texts in"),
    "small": (("{class}", "model.name=small"), "model.name: the small models have one head."),
    "loop": (
        ("{class}", "loop=finetune"),
        "loop: the loop 'finetune' learns one task, and multitask.tasks names 1.",
    ),
    "missing file": (
        ("multitask.tasks.a.data=missing.csv",),
        "multitask.tasks.a: missing.csv: ",
    ),
    "missing column": (
        ("{class}", "multitask.tasks.class.label=kind", "multitask.tasks.class.task=regression"),
        "class.jsonl: there is no column 'kind'; there are 'text', 'label'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    given, told = BAD[name]
    words = [
        each
        for word in given
        for each in (words_of(tmp_path, {word[1:-1]: 12})[:1] if word[0] == "{" else (word,))
    ]
    with pytest.raises(RondelError) as caught:
        loop_of((*words, *SMALL))
    assert told in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        loop_of(("multitask.tasks.a.label=x", "multitask.watch=b", "data=x.csv"))
    assert "3 config problems" in str(caught.value)


def test_a_language_model_cannot_share(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"the text {i}"}) for i in range(9)))
    with pytest.raises(ConfigError) as caught:
        loop_of((f"multitask.tasks.a.data={path}", *SMALL))
    assert "multitask.tasks.a.task: the task 'causal' cannot share a model" in str(caught.value)


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    from rondel.config import read_recipe

    recipe = tmp_path / "two.toml"
    table = '[multitask.tasks.a]\ndata = "x.csv"\n'
    recipe.write_text(table + table)
    with pytest.raises(ConfigError, match="this table is opened twice"):
        read_recipe(recipe)


def test_the_tokenizer_knows_the_words_of_all_tasks(made: Multitask) -> None:
    tokenizer = made.lessons["class"].material.tokenizer
    assert all(lesson.material.tokenizer is tokenizer for lesson in made.lessons.values())
    for word in ("hammer", "big", *ALL):  # each text begins with the name of its task
        assert len(tokenizer.encode([word]).ids[0]) == 3


def test_settings_of_small_models_are_not_those_of_the_encoder(made: Multitask) -> None:
    assert made.config.update.optimizer.lr == 1e-3


def test_the_data_of_every_task_is_described(tmp_path: Path) -> None:
    words = words_of(tmp_path, {"class": 20, "tags": 20})
    text = inspect(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)
    for line in ("class\nclass.jsonl: ", "task: classification", "\n\ntags\ntags.jsonl: "):
        assert line in text


def test_parts_of_a_model_are_all_of_it_once(made: Multitask) -> None:
    parts = [p for stage in made.model.stages() for part in stage for p in part.parameters()]
    assert {id(p) for p in parts} == {id(p) for p in made.model.parameters()}
