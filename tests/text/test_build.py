"""From a config to a loop: what is learnt is guessed, and what is wrong with the data is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rondel import keyed
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError, DataError, RondelError, UsageError
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.data.columns import name_of, names_in, number_of
from rondel_text.data.labels import Labels
from rondel_text.data.source import gather, task_of_rows
from rondel_text.lesson import lesson_of
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.small import Bag, WordTagger
from rondel_text.models.transformer import TransformerModel

BERT = (
    *("model.name=bert", "model.width=16", "model.layers=1", "model.heads=2"),
    "model.vocabulary=400",
)
SMALL = ("model.buckets=4096", "model.width=16")
GOOD = [{"text": f"{'good' if i % 2 else 'bad'} day {i}", "label": "ab"[i % 2]} for i in range(30)]


def config_of(path: Path, *words: str) -> TextConfig:
    words = (f"data={path}", *words)
    return resolve(TextConfig, [parse_overrides(TextConfig, words)]).config


def built(path: Path, *words: str) -> TextLoop:
    keyed.reseed(0)
    return build(config_of(path, *words))


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def csv(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def refused(
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    *words: str,
    kind: type[RondelError] = DataError,
) -> str:
    """Return what a user is told; all rows are learnt from, and evaluated on by good ones."""
    path = jsonl(folder / "train.jsonl", rows)
    with pytest.raises(kind) as caught:
        built(path, *SMALL, *words)
    return str(caught.value)


def changed(index: int, **cells: Any) -> list[dict[str, Any]]:
    """Return sound rows of which one has other cells."""
    rows = [dict(row) for row in GOOD]
    rows[index].update(cells)
    return rows


# -- what is to be learnt --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "words", "kind"),
    [
        (GOOD, (), "classification"),
        ([{"text": f"t {i}", "label": i % 5} for i in range(60)], (), "classification"),
        ([{"text": f"t {i}", "label": i / 7} for i in range(60)], (), "regression"),
        ([{"text": f"t {i}", "label": f"{i}x"} for i in range(60)], (), "classification"),
        ([{"text": f"t {i}", "labels": ["a"]} for i in range(9)], (), "multilabel"),
        ([{"text": f"t {i}", "label": ["a"]} for i in range(9)], (), "multilabel"),
        ([{"words": [f"t{i}"], "tags": ["X"]} for i in range(9)], (), "tokens"),
        ([{"text": f"ab{i}", "spans": [[0, 1, "X"]]} for i in range(9)], (), "tokens"),
        ([{"text": f"t {i}"} for i in range(9)], (), "causal"),
        (
            [{"body": f"t {i}", "stars": i % 2} for i in range(9)],
            ("label=stars",),
            "classification",
        ),
    ],
)
def test_the_columns_tell_what_is_learnt(
    tmp_path: Path, rows: list[dict[str, Any]], words: tuple[str, ...], kind: str
) -> None:
    config = config_of(jsonl(tmp_path / "rows.jsonl", rows), "text=body" if words else "text=text")
    config = config.model_copy(update={"label": "stars"} if words else {})
    assert task_of_rows(config, gather(config).train) == kind


def test_a_csv_with_a_label_becomes_a_small_classifier(tmp_path: Path) -> None:
    lines = ["text,label", *(f"{row['text']},{row['label']}" for row in GOOD)]
    loop = built(csv(tmp_path / "a.csv", lines), *SMALL)
    assert isinstance(loop.model, Bag)
    assert loop.task.kind == "classification"
    assert type(loop).__name__ == "Finetune"
    assert loop.watch is not None
    assert loop.watch.metric == "accuracy"
    assert len(loop.material.train) + len(loop.material.valid) == 30


def test_words_and_tags_become_a_small_tagger(tmp_path: Path) -> None:
    rows = [{"words": [f"w{i}", "x"], "tags": ["A", "B"]} for i in range(20)]
    assert isinstance(built(jsonl(tmp_path / "a.jsonl", rows)).model, WordTagger)


def test_pairs_of_texts_become_a_transformer(tmp_path: Path) -> None:
    rows = [{**row, "other": "a day"} for row in GOOD]
    path = jsonl(tmp_path / "a.jsonl", rows)
    loop = built(path, "pair=other", "model.name=auto", *BERT[1:])
    assert isinstance(loop.model, TransformerModel)
    assert loop.material.train.encoded.types is not None
    with pytest.raises(ConfigError, match="there is no small model for pairs of texts"):
        built(path, "pair=other", "model.name=small")


def test_what_nothing_tells_is_asked(tmp_path: Path) -> None:
    rows = [{"text": f"t {i}", "stars": 1} for i in range(9)]
    told = refused(rows, tmp_path, kind=ConfigError)
    assert told == (
        "task: what is to be learnt? The columns are 'text', 'stars'. Say which column holds the "
        "label: label=..., or task=causal for the text itself."
    )


def test_equal_texts_stay_on_one_side(tmp_path: Path) -> None:
    rows = [{"text": f"day {i % 15}", "label": "ab"[i % 2]} for i in range(60)]
    parts = gather(config_of(jsonl(tmp_path / "a.jsonl", rows)))
    assert not set(parts.train["text"]) & set(parts.valid["text"])
    assert len(parts.train) + len(parts.valid) == 60


def test_a_column_named_split_is_obeyed(tmp_path: Path) -> None:
    names = ["train", "dev", "test"]
    rows = [{**row, "split": names[i % 3]} for i, row in enumerate(GOOD)]
    parts = gather(config_of(jsonl(tmp_path / "a.jsonl", rows)))
    assert set(parts.train["split"]) == {"train"}
    assert set(parts.valid["split"]) == {"dev"}


def test_names_of_files_are_splits_too(tmp_path: Path) -> None:
    jsonl(tmp_path / "train.jsonl", GOOD[:20])
    jsonl(tmp_path / "test.jsonl", GOOD[20:])
    parts = gather(config_of(tmp_path))
    assert (len(parts.train), len(parts.valid)) == (20, 10)


# -- what is wrong with rows -----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_an_empty_text_is_named_by_row_and_column(tmp_path: Path, text: str | None) -> None:
    told = refused(changed(4, text=text), tmp_path, f"validation={tmp_path / 'train.jsonl'}")
    assert told == (
        "1 of 30 rows cannot be learnt from:\n"
        f"  {tmp_path / 'train.jsonl'}:5, column 'text': the text is empty. "
        "Repair them, or leave them out by bad_rows=drop."
    )


def valid_is_train(folder: Path) -> str:
    return f"validation={folder / 'train.jsonl'}"


@pytest.mark.parametrize(
    ("cells", "words", "what"),
    [
        ({"label": None}, (), "column 'label': there is no label"),
        ({"label": " "}, (), "column 'label': there is no label"),
        ({"text": 7}, (), "column 'text': 7 is no text"),
        (
            {"label": ["a"]},
            ("task=classification",),
            "column 'label': ['a'] is no class; see task=multilabel",
        ),
        ({"label": None}, ("task=multilabel",), "column 'label': nobody has labelled it"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(
    tmp_path: Path, cells: dict[str, Any], words: tuple[str, ...], what: str
) -> None:
    told = refused(changed(4, **cells), tmp_path, valid_is_train(tmp_path), *words)
    assert f"train.jsonl:5, {what}" in told
    assert told.endswith("Repair them, or leave them out by bad_rows=drop.")


@pytest.mark.parametrize("cell", ["many", None, "nan", "inf", [1.0]])
def test_what_is_no_number_is_named(tmp_path: Path, cell: Any) -> None:
    rows: list[dict[str, Any]] = [{"text": f"day {i}", "label": i / 3} for i in range(30)]
    rows[7]["label"] = cell
    told = refused(rows, tmp_path, valid_is_train(tmp_path), "task=regression")
    assert f"train.jsonl:8, column 'label': {cell!r} is no number" in told


def test_equal_numbers_are_nothing_to_learn(tmp_path: Path) -> None:
    rows = [{"text": f"day {i}", "label": 3} for i in range(30)]
    told = refused(rows, tmp_path, valid_is_train(tmp_path), "task=regression")
    assert "the 30 numbers of column 'label' are all the same" in told


def test_one_class_is_nothing_to_learn(tmp_path: Path) -> None:
    rows = [{"text": f"day {i}", "label": "a"} for i in range(30)]
    told = refused(rows, tmp_path, valid_is_train(tmp_path))
    assert told == (
        f"{tmp_path / 'train.jsonl'}: column 'label' holds one class only: 'a'. A classifier needs "
        "two or more; is this the column that you meant?"
    )


def test_no_label_at_all_is_refused(tmp_path: Path) -> None:
    rows = [{"text": f"day {i}", "labels": []} for i in range(30)]
    told = refused(rows, tmp_path, valid_is_train(tmp_path))
    assert "column 'labels' holds no label at all" in told


TAGGED = [{"words": [f"w{i}", "x"], "tags": ["A", "B"]} for i in range(20)]


@pytest.mark.parametrize(
    ("rows", "good", "what"),
    [
        (changed(3, label="aa"), GOOD, "column 'label': the label 'aa' was never learnt."),
        (
            [{"text": "x", "labels": ["a", "c"]}],
            [{"text": f"t{i}", "labels": ["a", "b"]} for i in range(9)],
            "column 'labels': the label 'c' was never learnt. Known are 'a', 'b'.",
        ),
        (
            [{"words": ["w"], "tags": ["C"]}],
            TAGGED,
            "column 'tags': the label 'C' was never learnt. Known are 'A', 'B'.",
        ),
    ],
)
def test_a_label_that_was_never_learnt_is_named_and_can_be_dropped(
    tmp_path: Path, rows: list[dict[str, Any]], good: list[dict[str, Any]], what: str
) -> None:
    other = jsonl(tmp_path / "other.jsonl", [*rows, good[0]])
    told = refused(good, tmp_path, f"validation={other}")
    line = 4 if len(rows) > 1 else 1
    assert f"{other}:{line}, {what}" in told
    loop = built(tmp_path / "train.jsonl", *SMALL, f"validation={other}", "bad_rows=drop")
    assert len(loop.material.valid) == len(rows)
    assert any(what in note for note in loop.material.notes)


@pytest.mark.parametrize(
    ("spans", "what"),
    [
        ([[0, 99, "X"]], "column 'spans': the span [0, 99, 'X'] is outside of the text of 8"),
        ([[0, 4, "X"], [2, 6, "Y"]], "overlap. A token has one tag"),
        ([[0, 0, "X"]], "the span [0, 0, 'X'] is empty in the text"),
        ([[0, "X"]], "[0, 'X'] is no span. A span is [start, end, \"LABEL\"]"),
    ],
)
def test_bad_spans_are_named_and_can_be_dropped(
    tmp_path: Path, spans: list[Any], what: str
) -> None:
    rows = [{"text": f"big day {i}", "spans": [[0, 3, "S"]]} for i in range(30)]
    rows[6] = {"text": "good day", "spans": spans}
    told = refused(rows, tmp_path, valid_is_train(tmp_path))
    assert f"{tmp_path / 'train.jsonl'}:7, " in told
    assert what in told
    assert told.endswith("bad_rows=drop.")
    loop = built(tmp_path / "train.jsonl", valid_is_train(tmp_path), "bad_rows=drop")
    assert len(loop.material.train) == len(loop.material.valid) == 29
    assert what in "\n".join(loop.material.notes)


def test_spans_become_tags_of_words(tmp_path: Path) -> None:
    rows = [{"text": f"big day, {i}", "spans": [[0, 7, "S"]]} for i in range(30)]
    loop = built(jsonl(tmp_path / "a.jsonl", rows))
    train = loop.material.train.rows
    assert train["words"][0][:3] == ["big", "day", ","]
    assert train["tags"][0] == ["B-S", "I-S", "O", "O"]
    assert loop.watch is not None
    assert loop.watch.metric == "f1"


def test_tags_that_do_not_fit_the_words_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [dict(row) for row in TAGGED]
    rows[2] = {"words": ["a", "b", "c"], "tags": ["A", "B"]}
    rows[3] = {"words": [], "tags": []}
    rows[4] = {"words": ["a"], "tags": None}
    rows[5] = {"words": ["a", 2], "tags": ["A", "B"]}
    rows[6] = {"words": ["a", ""], "tags": ["A", "B"]}
    rows[7] = {"words": ["a", "b"], "tags": ["A", None]}
    path = jsonl(tmp_path / "train.jsonl", rows)
    monkeypatch.setattr("rondel_text.data.faults.NAMED", 9)
    with pytest.raises(DataError) as caught:
        built(path, valid_is_train(tmp_path))
    told = str(caught.value)
    assert "6 of 20 rows cannot be learnt from:" in told
    assert ":3, column 'tags': 2 tags for 3 words\n" in told
    assert ":4, column 'words': there are no words\n" in told
    assert ":5, column 'tags': 0 tags for 1 words\n" in told
    assert ":6, column 'words': ['a', 2] is no list of words\n" in told
    assert ":7, column 'words': a word is empty\n" in told
    assert ":8, column 'tags': word 2 has no tag" in told


def test_numbers_of_tags_are_names(tmp_path: Path) -> None:
    rows = [{"words": [f"w{i}", "x"], "tags": [0, 11 if i % 2 else 2]} for i in range(20)]
    loop = built(jsonl(tmp_path / "a.jsonl", rows))
    assert loop.task.to_facts()["labels"] == ["0", "2", "11"]


def test_one_tag_is_nothing_to_learn(tmp_path: Path) -> None:
    rows = [{"words": ["a"], "tags": ["O"]} for _ in range(9)]
    told = refused(rows, tmp_path, valid_is_train(tmp_path))
    assert "the texts have 1 different tags. A tagger needs two or more." in told


def test_more_faults_than_are_shown_are_counted(tmp_path: Path) -> None:
    rows = [*GOOD, *[{"text": "", "label": "a"}] * 12]
    told = refused(rows, tmp_path, valid_is_train(tmp_path))
    assert "12 of 42 rows cannot be learnt from:" in told
    assert "\n  and 7 more" in told


def test_bad_rows_are_dropped_and_noted(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "train.jsonl", changed(4, text=""))
    loop = built(path, *SMALL, valid_is_train(tmp_path), "bad_rows=drop")
    assert len(loop.material.train) == 29
    assert loop.material.notes[:2] == (
        "1 rows were dropped:",
        f"  {path}:5, column 'text': the text is empty",
    )


def test_no_row_left_is_refused(tmp_path: Path) -> None:
    rows = [{"text": "", "label": "a"}] * 5
    told = refused(rows, tmp_path, valid_is_train(tmp_path), "bad_rows=drop")
    assert told.startswith("no row is left to learn from:\n")
    assert "train.jsonl:1, column 'text': the text is empty" in told


def test_nothing_to_evaluate_on_is_refused(tmp_path: Path) -> None:
    told = refused([{**row, "split": "train"} for row in GOOD[:1]], tmp_path)
    assert f"{tmp_path / 'train.jsonl'}: none of 1 rows is left to" in told
    assert "validation=FILE" in told


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            ("text=txet",),
            "there is no column 'txet'; there are 'text', 'label'. Did you mean text=text?",
        ),
        (
            ("label=lable", "task=classification"),
            "there is no column 'lable'; there are 'text', 'label'. Did you mean label=label?",
        ),
        (
            ("label=stars", "task=classification"),
            "there is no column 'stars'; there are 'text', 'label'. Say which is meant: label=...",
        ),
        (("pair=other",), "there is no column 'other'; there are 'text', 'label'."),
        (("task=tokens",), "there is no column 'tags'; there are 'text', 'label', 'words'."),
    ],
)
def test_an_unknown_column_is_answered_with_the_nearest(
    tmp_path: Path, words: tuple[str, ...], what: str
) -> None:
    told = refused(GOOD, tmp_path, *words)
    assert told.startswith(f"{tmp_path / 'train.jsonl'}: {what}")


# -- what does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["pretrain"])
def test_a_loop_without_labels_is_refused_for_a_task_with_labels(tmp_path: Path, loop: str) -> None:
    told = refused(GOOD, tmp_path, f"loop={loop}", kind=ConfigError)
    assert told == (
        "loop: the loop 'pretrain' does not fit the task 'classification'. pretrain is for "
        "task=causal and masked, all others are for tasks with labels."
    )


@pytest.mark.parametrize("loop", ["finetune", "gradual", "pretrain_then_finetune"])
def test_a_loop_with_labels_is_refused_for_the_text_alone(tmp_path: Path, loop: str) -> None:
    told = refused(GOOD, tmp_path, f"loop={loop}", "task=causal", kind=ConfigError)
    assert told.startswith(f"loop: the loop '{loop}' does not fit the task 'causal'.")


def test_the_first_phase_needs_a_token_that_hides(tmp_path: Path) -> None:
    told = refused(GOOD, tmp_path, "loop=pretrain_then_finetune", kind=ConfigError)
    assert "hides tokens, and this model's tokenizer cannot. Choose model.name=bert" in told


def test_the_small_models_hide_no_tokens(tmp_path: Path) -> None:
    told = refused(GOOD, tmp_path, "task=masked", "model.name=small", kind=ConfigError)
    assert "there is no small model for hidden tokens" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("model.name=bert", "model.width=18", "model.heads=4"),
            "model.heads: 4 heads cannot share a width of 18. Choose a model.width that is",
        ),
        (
            ("model.name=gpt2", "task=masked"),
            "model.name: 'gpt2' reads from left to right and tells no hidden tokens. Choose",
        ),
    ],
)
def test_a_transformer_that_cannot_be_is_refused(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    assert refused(GOOD, tmp_path, *words, kind=ConfigError).startswith(told)


def test_a_gpt2_from_scratch_knows_the_marks_of_its_tokenizer(tmp_path: Path) -> None:
    loop = built(jsonl(tmp_path / "a.jsonl", GOOD), "model.name=gpt2", *BERT[1:])
    model, tokenizer = loop.model, loop.material.tokenizer
    assert isinstance(model, TransformerModel)
    for mark in ("pad", "bos", "eos"):
        assert 0 <= getattr(model.model.config, f"{mark}_token_id") < tokenizer.size


def test_windows_that_tell_nothing_new_are_refused(tmp_path: Path) -> None:
    told = refused(GOOD, tmp_path, "task=causal", "max_length=8", "context=8", kind=ConfigError)
    assert told == (
        "context: windows of 8 tokens that repeat 8 tell nothing new. Lower it to half of "
        "max_length or less."
    )


def test_a_model_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    told = refused(GOOD, tmp_path, f"model.name={tmp_path / 'gone'}", kind=ConfigError)
    assert f"model.name: '{tmp_path / 'gone'}' is no model: there is no such folder" in told
    assert "Choose small, bert, gpt2, bart, t5, minilm, or a folder" in told


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of transformers with model and tokenizer."""
    home = tmp_path_factory.mktemp("saved")
    loop = built(jsonl(home / "a.jsonl", GOOD), *BERT)
    return loop.bundle().export(home / "model", "transformers")


def test_a_model_of_a_folder_is_trained_on(tmp_path: Path, saved: Path) -> None:
    loop = built(jsonl(tmp_path / "a.jsonl", GOOD), f"model.name={saved}")
    assert isinstance(loop.model, TransformerModel)
    assert loop.model.model.config.id2label == {0: "a", 1: "b"}
    assert loop.config.update.optimizer.lr == 1e-4
    assert loop.material.tokenizer.longest == 128
    assert all(part.training for part in loop.model.modules())  # transformers loads it to evaluate


def test_more_tokens_than_the_model_reads_are_refused(tmp_path: Path, saved: Path) -> None:
    words = (f"model.name={saved}", "max_length=513")
    told = refused(GOOD, tmp_path, *words, kind=ConfigError)
    assert told == (
        "max_length: 513 is more than the 512 tokens that the model can read. Set max_length=512 "
        "or lower."
    )


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, saved: Path) -> None:
    rows = [{"text": f"x{i} y{i * 7}", "label": "ab"[i % 2]} for i in range(200)]
    many = (*BERT[:-1], "model.vocabulary=400")
    other = built(jsonl(tmp_path / "a.jsonl", rows), *many)
    folder = tmp_path / "mixed"
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    other.material.tokenizer.save(folder)  # type: ignore[attr-defined]
    told = refused(GOOD, tmp_path, f"model.name={folder}")
    assert f"{folder}: the tokenizer has " in told
    assert "They do not belong together: put the model's own tokenizer into its folder." in told


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path, saved: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((saved / name).read_bytes())
    told = refused(GOOD, tmp_path, f"model.name={folder}")
    assert told == (
        f"{folder}: holds no tokenizer that transformers can read: it knows no word. Save model "
        "and tokenizer into the same folder by save_pretrained."
    )


def test_a_folder_without_weights_is_refused(tmp_path: Path, saved: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for file in saved.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    told = refused(GOOD, tmp_path, f"model.name={folder}")
    assert f"{folder}: transformers cannot read the model: " in told
    assert "It must be a folder that save_pretrained wrote, with safetensors." in told


def test_no_embedded_set_has_numbers() -> None:
    config = resolve(TextConfig, [parse_overrides(TextConfig, ["task=regression"])]).config
    with pytest.raises(ConfigError, match="no embedded set has the task 'regression'"):
        gather(config)


def test_a_refusal_of_the_tokenizer_is_a_usage_error(tmp_path: Path) -> None:
    rows = [{"words": [f"w{i}", "x"], "tags": ["A", "B"]} for i in range(20)]
    told = refused(rows, tmp_path, "loop=pretrain", kind=UsageError)
    assert "does not fit the task 'tokens'" in told


# -- what cells say --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        *[(1, "1"), (1.0, "1"), (1.5, "1.5"), ("1.0", "1.0"), (True, "true"), ("a b", "a b")],
        *[(None, None), ("", None), (" ", None), (float("nan"), None), (0, "0")],
    ],
)
def test_the_name_in_a_cell(cell: Any, name: str | None) -> None:
    assert name_of(cell) == name


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (["a", 2], ["a", "2"]),
        ("a|b, c", ["a", "b, c"]),
        ("a; b", ["a", "b"]),
        ("a,b,", ["a", "b"]),
        ("", []),
        (None, []),
        ("a", ["a"]),
    ],
)
def test_the_names_in_a_cell(cell: Any, names: list[str]) -> None:
    assert names_in(cell) == names


def test_numbers_are_finite() -> None:
    cells = ["1.5", 2, None, "x", "nan", "inf", [1]]
    assert [number_of(cell) for cell in cells] == [1.5, 2.0, None, None, None, None, None]


def test_labels_have_one_order_whatever_they_are_found_in() -> None:
    names = ["10", "9", "nan", "b", "-1", "NaN", "inf", "a"]
    expected = ("-1", "9", "10", "inf", "NaN", "a", "b", "nan")
    for turn in range(8):
        assert Labels.found(names[turn:] + names[:turn]).names == expected


def test_the_hint_of_an_unknown_label_names_the_nearest() -> None:
    labels = Labels(("sport", "music"))
    with pytest.raises(
        DataError, match=r"x:3: the label 'sports' is unknown. Did you mean 'sport'"
    ):
        labels.number("sports", "x:3")
    with pytest.raises(DataError, match=r"Known are 'sport', 'music'."):
        labels.number("zzz", "x:3")


def test_notes_of_reading_are_kept(tmp_path: Path) -> None:
    config = config_of(jsonl(tmp_path / "a.jsonl", GOOD), "bad_rows=drop")
    assert lesson_of(config, gather(config)).notes == ()
