"""What ``rondel text inspect`` says of texts, without training anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rondel.config import parse_overrides, resolve
from rondel_text.config import TextConfig
from rondel_text.data import excerpt
from rondel_text.data.source import gather
from rondel_text.inspection import inspect
from rondel_text.language import languages


def text_of(folder: Path, rows: Sequence[Mapping[str, Any]], *words: str) -> list[str]:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    words = (f"data={path}", *words)
    found = inspect(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)
    return found.splitlines()


def split(rows: Sequence[Mapping[str, Any]], valid: int) -> list[dict[str, Any]]:
    """Let the first rows be those to evaluate on."""
    return [{**row, "split": "dev" if i < valid else "train"} for i, row in enumerate(rows)]


def labelled(count: int = 20) -> list[dict[str, Any]]:
    return [{"text": f"text number {i}", "label": "ab"[i % 2]} for i in range(count)]


def test_sizes_columns_task_and_lengths_are_told(tmp_path: Path) -> None:
    lines = text_of(tmp_path, split(labelled(), 4))
    assert lines[:5] == [
        "rows.jsonl: 16 rows to learn from, 4 to evaluate on",
        "columns: text, label, split",
        "task: classification",
        "",
        "length         median     90 %     99 %  longest",
    ]
    assert lines[5].split() == ["words", "3", "3", "3", "3"]
    assert lines[6].split() == ["characters", "14", "14", "14", "14"]


def test_labels_are_counted_on_both_sides(tmp_path: Path) -> None:
    rows = split([*labelled(), {"text": "z", "label": "a"}], 5)
    lines = text_of(tmp_path, rows)
    start = lines.index(f"{'label':24}{'learn':>9}{'evaluate':>10}")
    assert [line.split() for line in lines[start + 1 : start + 3]] == [
        ["a", "8", "3"],
        ["b", "8", "2"],
    ]


def test_a_label_that_is_only_evaluated_was_never_learnt(tmp_path: Path) -> None:
    rows = split(labelled(), 4)
    rows[0]["label"] = "rare"
    (line,) = [line for line in text_of(tmp_path, rows) if line.startswith("rare")]
    assert line.split() == ["rare", "0", "1", "never", "learnt"]


def test_many_labels_are_not_all_shown(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": f"class {i}"} for i in range(45)]
    assert "and 25 more" in text_of(tmp_path, split([*rows, *rows], 45))


def test_repeated_texts_are_told_within_and_across(tmp_path: Path) -> None:
    rows = split([*labelled(), *labelled(2), *labelled(2), {"text": "new", "label": "a"}], 3)
    lines = text_of(tmp_path, rows)
    assert "2 texts to learn from repeat another one there" in lines
    assert "2 texts stand on both sides, such as 'text number 0': scores will flatter" in lines
    assert not any("repeat" in line for line in text_of(tmp_path, split(labelled(), 3)))


def test_rows_that_cannot_be_learnt_from_are_named_and_nothing_stops(tmp_path: Path) -> None:
    rows = split(labelled(), 4)
    rows[6]["text"], rows[7]["label"] = "", None
    lines = text_of(tmp_path, rows)
    place = lines.index("2 rows cannot be learnt from (bad_rows=drop):")
    assert lines[place + 1].endswith("rows.jsonl:7, column 'text': the text is empty")
    assert lines[place + 2].endswith("rows.jsonl:8, column 'label': there is no label")


def test_numbers_are_summarised_and_what_is_none_is_named(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": f"text {i}", "label": i} for i in range(60)]
    lines = text_of(tmp_path, split(rows, 10))
    assert "task: regression" in lines
    assert "numbers from 10 to 59, mean 34.5" in lines
    rows[20]["label"] = "many"
    lines = text_of(tmp_path, split(rows, 10), "task=regression")
    assert any(line.endswith("column 'label': 'many' is no number") for line in lines)
    rows = [{**row, "label": None} for row in rows]
    assert text_of(tmp_path, split(rows, 10), "task=regression")


def test_lists_of_labels_are_counted_one_by_one(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "labels": ["x", "y"] if i % 2 else ["x"]} for i in range(20)]
    lines = text_of(tmp_path, split(rows, 4))
    assert "task: multilabel" in lines
    assert ["x", "16", "4"] in [line.split() for line in lines]
    assert ["y", "8", "2"] in [line.split() for line in lines]


def test_words_and_tags_are_counted(tmp_path: Path) -> None:
    rows = [{"words": [f"w{i}", "x", "y"], "tags": ["A", "B", "B"]} for i in range(10)]
    lines = text_of(tmp_path, split(rows, 2))
    assert "task: tokens" in lines
    assert ["B", "16", "4"] in [line.split() for line in lines]
    assert ["words", "3", "3", "3", "3"] in [line.split() for line in lines]


def test_bad_spans_are_named_and_nothing_stops(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "spans": [[0, 4, "X"]]} for i in range(10)]
    rows[5]["spans"] = [[0, 99, "X"]]
    lines = text_of(tmp_path, split(rows, 2))
    assert "1 rows were dropped:" in lines
    assert any(":6, column 'spans': the span [0, 99, 'X'] is outside" in line for line in lines)
    assert ["B-X", "7", "2"] in [line.split() for line in lines]


def test_text_alone_has_no_labels(tmp_path: Path) -> None:
    lines = text_of(tmp_path, [{"text": f"text {i}"} for i in range(20)])
    assert "task: causal" in lines
    assert not any(line.startswith("label") for line in lines)


def test_pairs_are_measured_together(tmp_path: Path) -> None:
    rows = [{**row, "other": "one two"} for row in labelled()]
    lines = text_of(tmp_path, split(rows, 4), "pair=other")
    assert ["words", "5", "5", "5", "5"] in [line.split() for line in lines]


def test_what_a_terminal_would_obey_is_not_printed(tmp_path: Path) -> None:
    rows = split(labelled(), 4)
    rows[8]["label"] = "\x1b[31mred"
    text = "\n".join(text_of(tmp_path, rows))
    assert "\x1b" not in text
    assert "\N{REPLACEMENT CHARACTER}[31mred" in text


def test_the_embedded_set_is_inspected_without_data() -> None:
    found = inspect(resolve(TextConfig, [parse_overrides(TextConfig, ["dataset=code"])]).config)
    assert found.startswith("code: ")
    assert "task: tokens" in found


def test_the_languages_are_guessed_of_long_texts() -> None:
    english = ["The weather will be fine tomorrow, they say."] * 9
    german = ["Morgen soll das Wetter überall schön werden."]
    assert list(languages([*english, *german, "ok"])) == [
        "language: en 90%, de 10% (guessed of 10 texts)"
    ]
    assert list(languages(["ok", "", "12345678901234567890 1234567890"])) == []


def test_without_the_package_no_language_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    (line,) = languages(["The weather will be fine tomorrow, they say."])
    assert 'pip install "rondel-text[language]"' in line


# -- large data ------------------------------------------------------------------------------------


def large(monkeypatch: pytest.MonkeyPatch, characters: int = 2000) -> None:
    """Take all data for large."""
    monkeypatch.setattr(excerpt, "LARGE_BYTES", 10)
    monkeypatch.setattr(excerpt, "MOST_CHARACTERS", characters)


def test_of_large_data_a_sample_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(monkeypatch)
    first, second, *_ = text_of(tmp_path, labelled(400))
    kept = [int(word) for word in first.replace(",", "").split() if word.isdigit()]
    assert second == f"a sample: {sum(kept)} of 400 rows, taken from all over the data"
    assert 10 <= sum(kept) <= 20  # of 2,000 characters, each takes 100 beside its own


def test_a_sample_of_large_data_is_from_all_over_it_and_has_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"{number},a" for number in range(1000)]
    path.write_text("\n".join(["text,label", *lines]))
    config = resolve(TextConfig, [parse_overrides(TextConfig, [f"data={path}"])]).config
    with pytest.MonkeyPatch.context() as patch:
        large(patch, characters=30_000)
        made = excerpt.excerpt(config)
    assert made is not None
    whole, few = gather(config), made[0]
    assert 200 < len(few.train) + len(few.valid) < 320
    assert set(few.train["text"]) <= set(whole.train["text"])  # no row changes sides
    assert set(few.valid["text"]) <= set(whole.valid["text"])
    tenths = {int(text) // 100 for text in few.train["text"]}
    assert tenths == set(range(10))


def test_large_data_that_fits_is_described_as_if_it_were_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = text_of(tmp_path, labelled(40))
    large(monkeypatch, characters=1 << 20)
    first, second, *others = text_of(tmp_path, labelled(40))
    assert second == "a sample: 40 of 40 rows, taken from all over the data"
    assert [first, *others] == plain


def test_a_file_to_evaluate_on_is_sampled_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("\n".join(map(json.dumps, labelled(30))))
    large(monkeypatch, characters=1 << 20)
    lines = text_of(tmp_path, labelled(40), f"validation={other}")
    assert lines[0] == "rows.jsonl: 40 rows to learn from, 30 to evaluate on"
    assert lines[1].startswith("a sample: 70 of 70 rows")


def test_large_data_of_a_format_that_is_read_as_a_whole_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large(monkeypatch)
    path = Path(__file__).parent / "tiny" / "questions.json"
    config = resolve(TextConfig, [parse_overrides(TextConfig, [f"data={path}"])]).config
    assert "sample" not in inspect(config).splitlines()[1]
