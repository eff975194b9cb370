"""Tasks: losses add up over pieces, metrics over processes; predictions and baselines are honest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rondel import keyed
from rondel.batch import split
from rondel.config import parse_overrides, resolve
from rondel.metric import merged
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.data.batch import Texts
from rondel_text.data.columns import Columns
from rondel_text.data.labels import Labels
from rondel_text.data.ragged import Ragged
from rondel_text.data.rows import Rows
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import Masked, Regression, Tagging, task_of
from rondel_text.tasks.tagging import marks_entities

BERT = (
    *("model.name=bert", "model.width=16", "model.layers=1", "model.heads=2"),
    "model.vocabulary=400",
)
GPT2 = ("model.name=gpt2", *BERT[1:])
SMALL = ("model.buckets=4096", "model.width=16")
FRUIT, TOOLS = ("apple", "pear", "plum"), ("hammer", "saw", "file")


def rows_of(count: int = 40) -> list[dict[str, Any]]:
    """Texts of different lengths; what is said of them follows from their words."""
    found = []
    for i in range(count):
        names = FRUIT if i % 2 else TOOLS
        words = [f"the {names[(i + j) % 3]} number {i}" for j in range(1 + i % 4)]
        found.append(
            {
                "text": " and ".join(words),
                "label": "fruit" if i % 2 else "tool",
                "labels": ["thing", *(["odd"] if i % 2 else []), *(["long"] if i % 4 > 1 else [])],
                "number": 10.0 * (i % 2) + (i % 4),
            }
        )
    return found


def tagged_rows(count: int = 30) -> list[dict[str, Any]]:
    found = []
    for i in range(count):
        name = (FRUIT if i % 2 else TOOLS)[i % 3]
        words = [f"a{i}", "big", name, *["or", name] * (i % 3)]
        kind = "FRUIT" if i % 2 else "TOOL"
        tags = ["O", f"B-{kind}", f"I-{kind}", *["O", f"B-{kind}"] * (i % 3)]
        found.append({"words": words, "tags": tags})
    return found


KINDS: Mapping[str, tuple[str, ...]] = {
    "classification": (*SMALL, "smoothing=0"),
    "multilabel": (*SMALL, "label=labels"),
    "regression": (*SMALL, "label=number"),
    "tokens": ("model.width=8",),
    "causal": ("model.width=16", "max_length=24", "context=4"),
    "masked": (*BERT, "max_length=16"),
    "classification bert": (*BERT, "smoothing=0"),
    "tokens bert": BERT,
    "causal gpt2": (*GPT2, "max_length=16"),
}
KEYS = {
    "classification": {"label", "probabilities"},
    "multilabel": {"labels", "probabilities"},
    "regression": {"value"},
    "tokens": {"tags", "entities"},
    "causal": {"loss", "tokens"},
    "masked": {"tokens"},
}


def loop_of(path: Path, name: str, *words: str) -> TextLoop:
    kind = name.split(maxsplit=1)[0]
    rows = tagged_rows() if kind == "tokens" else rows_of()
    path.write_text("\n".join(map(json.dumps, rows)))
    words = (f"data={path}", f"task={kind}", *KINDS[name], *words)
    keyed.reseed(0)
    return build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, TextLoop]:
    folder = tmp_path_factory.mktemp("tasks")
    made = {name: loop_of(folder / f"{name}.jsonl", name) for name in KINDS}
    for loop in made.values():
        loop.model.eval()
    return made


def batch_of(loop: TextLoop, count: int = 9) -> tuple[Any, ...]:
    texts = loop.material.training.data
    batch = texts.batch_of(torch.arange(min(count, len(texts))))
    if loop.task.kind == "masked":
        batch = (*batch, keyed.seeds(len(batch[0].ids), keyed.generator(1)))
    return tuple(batch)


@pytest.mark.parametrize("name", KINDS)
def test_the_losses_of_pieces_add_up_to_that_of_the_batch(
    loops: Mapping[str, TextLoop], name: str
) -> None:
    loop, batch = loops[name], batch_of(loops[name])
    with torch.no_grad():
        whole = loop.loss(*batch)
        pieces = [loop.loss(*piece) for piece in split(batch, 3)]
    assert len(pieces) == 3
    assert int(whole.count) == sum(int(piece.count) for piece in pieces) > 0
    found = sum((piece.sum for piece in pieces), torch.zeros(()))
    torch.testing.assert_close(found, whole.sum, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_the_mean_that_is_learnt_is_the_one_that_is_measured(
    loops: Mapping[str, TextLoop], name: str
) -> None:
    loop, batch = loops[name], batch_of(loops[name])
    scores = loop.task.scores()
    with torch.no_grad():
        mean = loop.loss(*batch).mean.item()
        scores.update(loop.model, *batch)
    values, task = merged(scores.by_name, []), loop.task
    if isinstance(task, Regression):
        assert (values["rmse"] / task.spread) ** 2 == pytest.approx(mean, rel=1e-5)
    else:
        assert values["loss"] == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_the_scores_of_shares_merge_to_those_of_the_whole(
    loops: Mapping[str, TextLoop], name: str
) -> None:
    loop, batch = loops[name], batch_of(loops[name])
    whole, *parts = [loop.task.scores() for _ in range(3)]
    with torch.no_grad():
        whole.update(loop.model, *batch)
        for part, piece in zip(parts, split(batch, 2), strict=True):
            part.update(loop.model, *piece)
    states = {name: metric.state_dict() for name, metric in parts[1].by_name.items()}
    found, expected = merged(parts[0].by_name, [states]), merged(whole.by_name, [])
    assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)
    if loop.watch is not None:
        assert loop.watch.metric in found


@pytest.mark.parametrize("name", KINDS)
def test_predictions_have_their_keys_and_do_not_depend_on_their_batch(
    loops: Mapping[str, TextLoop], name: str
) -> None:
    loop = loops[name]
    made = loop.task.encode_inputs(loop.material.valid.rows, loop.material.tokenizer)
    together, alone = [], []
    with torch.no_grad():
        texts, *extra = made.batch_of(torch.arange(5))
        together = loop.task.predictions(loop.model, texts, *extra)
        for row in range(5):
            texts, *extra = made.batch_of(torch.tensor([row]))
            alone += loop.task.predictions(loop.model, texts, *extra)
    assert len(together) == 5
    json.dumps(together)
    for one, other in zip(together, alone, strict=True):
        assert set(one) == KEYS[loop.task.kind]
        for key, value in one.items():
            if isinstance(value, float | dict):
                assert value == pytest.approx(other[key], rel=1e-4, abs=1e-5)
            else:
                assert value == other[key]


def test_probabilities_say_which_label_is_meant(loops: Mapping[str, TextLoop]) -> None:
    loop = loops["classification"]
    made = loop.task.encode_inputs(loop.material.valid.rows, loop.material.tokenizer)
    for found in loop.task.predictions(loop.model, *made.batch_of(torch.arange(4))):
        shares = found["probabilities"]
        assert list(shares) == ["fruit", "tool"]
        assert sum(shares.values()) == pytest.approx(1)
        assert shares[found["label"]] == max(shares.values())


def test_numbers_are_predicted_in_the_unit_of_the_data() -> None:
    class Zero(TextModel):
        def forward(self, texts: Texts) -> Tensor:
            return torch.tensor([[0.0], [1.0]])

    texts = Texts(torch.ones(2, 1, dtype=torch.int64), torch.ones(2, dtype=torch.int64))
    task = Regression(100.0, 20.0, Columns())
    assert task.predictions(Zero(), texts) == [{"value": 100.0}, {"value": 120.0}]
    scores = task.scores()
    scores.update(Zero(), texts, torch.tensor([0.5, 1.0]))
    assert merged(scores.by_name, [])["mae"] == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("name", "metric", "better"),
    [
        ("classification", "accuracy", 1),
        ("multilabel", "micro_f1", 1),
        ("regression", "rmse", -1),
        ("tokens", "f1", 1),
        ("causal", "bits_per_byte", 0),
    ],
)
def test_the_first_baseline_is_not_below_chance(
    loops: Mapping[str, TextLoop], name: str, metric: str, better: int
) -> None:
    best, *others = loops[name].material.baselines
    assert loops[name].baseline is best
    assert best.values[metric] > 0
    for other in others:
        assert better * best.values[metric] >= better * other.values[metric]


def test_nothing_is_compared_with_hidden_tokens(loops: Mapping[str, TextLoop]) -> None:
    assert loops["masked"].material.baselines == ()


@pytest.mark.parametrize("name", KINDS)
def test_a_task_is_made_again_of_its_facts(loops: Mapping[str, TextLoop], name: str) -> None:
    facts = json.loads(json.dumps(loops[name].task.to_facts()))
    again = task_of(facts)
    assert again.to_facts() == loops[name].task.to_facts()
    assert again.watch == loops[name].task.watch
    assert again.outputs == loops[name].task.outputs


def test_windows_to_evaluate_on_repeat_their_context(loops: Mapping[str, TextLoop]) -> None:
    material = loops["causal"].material
    assert loops["causal"].task.to_facts()["context"] == 4
    for texts, repeats in ((material.train, False), (material.valid, True)):
        following, _ = texts.targets
        assert isinstance(following, Ragged)
        told = torch.tensor(
            [int((row >= 0).sum()) for row in map(following.__getitem__, range(len(texts)))]
        )
        assert bool((told < texts.lengths - 1).any()) is repeats


# -- hidden tokens ---------------------------------------------------------------------------------


def hidden(count: int = 64, length: int = 100) -> tuple[Masked, Texts, Tensor]:
    task = Masked(Columns(), mask=4, size=1000, special=[0, 1, 2, 3, 4])
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 1000, (count, length), generator=draw)
    ids[:, 0], ids[:, 50] = 2, 3
    lengths = torch.randint(60, length + 1, (count,), generator=draw)
    return task, Texts(ids, lengths), keyed.seeds(count, draw)


def test_only_tokens_of_the_text_are_hidden_and_no_marks() -> None:
    task, texts, seeds = hidden()
    changed, chosen = task.hide(texts, seeds)
    beyond = torch.arange(100) >= texts.lengths[:, None]
    assert not chosen[beyond].any()
    assert not chosen[:, [0, 50]].any()
    assert torch.equal(changed.ids[~chosen], texts.ids[~chosen])
    assert torch.equal(changed.lengths, texts.lengths)


def test_fifteen_in_a_hundred_are_hidden_eight_of_ten_by_the_mask() -> None:
    task, texts, seeds = hidden(400)
    changed, chosen = task.hide(texts, seeds)
    allowed = int(texts.lengths.sum()) - 2 * 400
    assert int(chosen.sum()) / allowed == pytest.approx(0.15, abs=0.01)
    masked = (changed.ids == 4)[chosen].double().mean().item()
    kept = (changed.ids == texts.ids)[chosen].double().mean().item()
    assert masked == pytest.approx(0.8, abs=0.02)
    assert kept == pytest.approx(0.1, abs=0.02)


def test_what_is_hidden_depends_on_the_text_alone() -> None:
    task, texts, seeds = hidden(8)
    changed, chosen = task.hide(texts, seeds)
    for row in range(8):
        length = int(texts.lengths[row])
        alone = Texts(texts.ids[row : row + 1, :length], texts.lengths[row : row + 1])
        ids, there = task.hide(alone, seeds[row : row + 1])
        assert torch.equal(ids.ids[0], changed.ids[row, :length])
        assert torch.equal(there[0], chosen[row, :length])
    assert not torch.equal(task.hide(texts, seeds + 1)[1], chosen)


def test_the_same_tokens_are_hidden_at_every_evaluation(loops: Mapping[str, TextLoop]) -> None:
    material = loops["masked"].material
    first, second = (material.task.judged(material.valid) for _ in range(2))  # type: ignore[attr-defined]
    assert torch.equal(first.targets[0], second.targets[0])
    assert material.validation.noise is None


# -- tags ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "marks"),
    [
        (("B-X", "I-X", "O"), True),
        (("B-X", "O", "S-X"), True),
        (("NOUN", "VERB"), False),
        (("B-X", "I-X"), False),
        (("O", "NOUN"), False),
    ],
)
def test_tags_of_entities_are_recognised(names: tuple[str, ...], marks: bool) -> None:
    assert marks_entities(Labels(names)) is marks
    assert Tagging(Labels(names), Columns()).watch.metric == ("f1" if marks else "accuracy")


class Told(TextModel):
    """Answers with given tags (B, L) of the tokens."""

    def __init__(self, tags: Sequence[Sequence[int]], count: int) -> None:
        super().__init__()
        self.tags, self.count = torch.tensor(tags), count

    def forward(self, texts: Texts) -> Tensor:
        return torch.nn.functional.one_hot(self.tags, self.count).float() * 9


def test_entities_are_scored_as_a_whole(loops: Mapping[str, TextLoop]) -> None:
    task = Tagging(Labels(("B-X", "I-X", "O")), Columns())
    rows = Rows.of({"words": [["a", "b", "c"]], "tags": [["B-X", "I-X", "O"]]}, name="x")
    made = task.encode(rows, loops["tokens"].material.tokenizer)
    for told, f1, accuracy in (([0, 1, 2], 1.0, 1.0), ([0, 2, 2], 0.0, 2 / 3)):
        scores = task.scores()
        scores.update(Told([told], 3), *made.batch_of(torch.tensor([0])))
        values = merged(scores.by_name, [])
        assert values["f1"] == f1
        assert values["accuracy"] == pytest.approx(accuracy)


def test_a_word_that_was_cut_off_has_no_tag(loops: Mapping[str, TextLoop]) -> None:
    task = Tagging(Labels(("B-X", "I-X", "O")), Columns())
    tokenizer = loops["tokens"].material.tokenizer
    longest, tokenizer.longest = tokenizer.longest, 2
    try:
        rows = Rows.of({"words": [["a", "b", "c"], ["d"]]}, name="x")
        made = task.encode_inputs(rows, tokenizer)
    finally:
        tokenizer.longest = longest
    texts, firsts = made.batch_of(torch.arange(2))
    found = task.predictions(Told([[0, 1], [2, 2]], 3), texts, firsts)
    assert found[0] == {"tags": ["B-X", "I-X", None], "entities": [[0, 2, "X"]]}
    assert found[1] == {"tags": ["O"], "entities": []}


@pytest.mark.parametrize("name", ["tokens", "tokens bert"])
def test_a_tag_stands_at_the_first_token_of_its_word(
    loops: Mapping[str, TextLoop], name: str
) -> None:
    material, task = loops[name].material, loops[name].task
    assert isinstance(task, Tagging)
    targets, firsts = material.train.targets[0], material.train.encoded.firsts
    assert firsts is not None
    for row in range(6):
        found = targets[row][firsts[row]]
        tags = material.train.rows["tags"][row]
        assert [task.labels.names[number] for number in found.tolist()] == tags
        assert int((targets[row] >= 0).sum()) == len(tags)
