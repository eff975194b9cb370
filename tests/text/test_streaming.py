"""Files that are read some rows at a time give the run that they give in memory."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import rondel
from rondel import keyed
from rondel.batch import leaves
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError, DataError, RondelError
from rondel.rehearsal import Rehearsal, differences
from rondel_text.build import build
from rondel_text.bundle import TextBundle
from rondel_text.config import TextConfig
from rondel_text.data import chunks as chunks_module
from rondel_text.data.chunks import Files, Sample, stamp
from rondel_text.data.reading import read_rows
from rondel_text.data.text_set import TextSet
from rondel_text.loops.text_loop import TextLoop
from rondel_text.streaming import survey as survey_module

TOPICS = Path(__file__).parent / "tiny" / "topics.csv"
BERT = (
    *("model.name=bert", "model.width=16", "model.layers=1", "model.heads=2"),
    *("model.vocabulary=400", "max_length=24"),
)
SMALL = ("batch_size=16", "run.log_every=2", "update.optimizer.lr=1e-2", "model.buckets=4096")
TASKS = {
    "classification": ("epochs=3", "batching=buckets"),
    "causal": (
        *("task=causal", "max_length=24", "context=8", "model.width=16", "epochs=2"),
        *("batching=budget", "tokens=384"),
    ),
    "masked": ("task=masked", *BERT, "epochs=2"),
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a cache of its own, and chunks of a few rows."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(chunks_module, "CHUNK_ROWS", 7)
    return tmp_path / "cache" / "rondel" / "text"


def config_of(path: Path, *words: str) -> TextConfig:
    return resolve(TextConfig, [parse_overrides(TextConfig, (f"data={path}", *words))]).config


def built(path: Path, *words: str) -> TextLoop:
    keyed.reseed(0)
    return build(config_of(path, *words))


def both(path: Path, *words: str) -> tuple[TextLoop, TextLoop]:
    return built(path, *words), built(path, *words, "streaming=true")


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def rows_of(count: int, **columns: Any) -> list[dict[str, Any]]:
    return [
        {"text": f"day {i} of {i % 7}", **{name: make(i) for name, make in columns.items()}}
        for i in range(count)
    ]


def told(path: Path, *words: str) -> str:
    """Return what a user is told, in memory or streamed."""
    with pytest.raises(RondelError) as caught:
        built(path, *words)
    return str(caught.value)


def assert_equal(first: TextSet, second: TextSet) -> None:
    assert len(first) == len(second)
    indices = torch.arange(len(first))
    for one, other in zip(
        *(leaves(each.batch_of(indices)) for each in (first, second)), strict=True
    ):
        assert (one is None and other is None) or torch.equal(one, other)
        assert one is None or one.dtype == other.dtype
    assert torch.equal(first.encoded.cut, second.encoded.cut)
    assert [first.describe(i) for i in range(len(first))] == [
        second.describe(i) for i in range(len(second))
    ]


def assert_same(memory: TextLoop, streamed: TextLoop) -> None:
    assert memory.task.to_facts() == streamed.task.to_facts()
    assert memory.material.tokenizer.to_facts() == streamed.material.tokenizer.to_facts()
    assert memory.material.baselines == streamed.material.baselines
    assert memory.material.notes == streamed.material.notes
    assert_equal(memory.material.train, streamed.material.train)
    assert_equal(memory.material.valid, streamed.material.valid)


# -- the run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_a_streamed_run_equals_the_one_in_memory(tmp_path: Path, task: str) -> None:
    ends: list[dict[str, Any]] = []
    for extra in ((), ("streaming=true",), ("streaming=true",)):  # the last finds all in the cache
        words = (*SMALL, *TASKS[task], *extra)
        config = config_of(TOPICS, *words)
        rehearsal = Rehearsal(lambda words=words: built(TOPICS, *words), config.run, tmp_path)  # type: ignore[misc]
        name = f"run-{len(ends)}"
        assert rehearsal.run(name) > 5
        ends.append(rehearsal.end(name))
    rows = [json.loads(line) for line in ends[0]["metrics"].splitlines()]
    assert any("loss" in str(row) for row in rows)
    assert not differences(ends[0], ends[1])
    assert not differences(ends[0], ends[2])


def test_a_run_from_the_cache_reads_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    chunks = Files.chunks

    def counted(self: Files, columns: Sequence[str] = ()) -> Iterator[Any]:
        opened.extend(self.paths)
        return chunks(self, columns)

    monkeypatch.setattr(Files, "chunks", counted)
    words = ("streaming=true", *SMALL)
    built(TOPICS, *words)
    assert opened == [TOPICS] * 3  # columns; labels and faults; texts
    built(TOPICS, *words)
    assert len(opened) == 3


def test_what_is_trained_can_be_measured_and_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "topics.csv"
    path.write_bytes(TOPICS.read_bytes())
    values: dict[str, Any] = {"data": str(path), "epochs": 2, "streaming": True, "quiet": True}
    result = rondel.train("text", out=tmp_path / "run", model={"buckets": 4096}, **values)
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "Encoded: 0." in log
    sections = json.loads((tmp_path / "run" / "sections.json").read_text())
    (mistakes,) = [section for section in sections if section["title"] == "Surest mistakes"]
    known = path.read_text().splitlines()
    for where, label, _, _, text in mistakes["table"]["rows"]:
        number = int(where.removeprefix(f"{path}:"))
        assert known[number - 1] == f"{text},{label}"
    bundle = TextBundle.load(tmp_path / "run" / "bundle")
    assert bundle.evaluate(None) == {
        name: value for name, value in result.metrics.items() if name in bundle.evaluate(None)
    }
    path.write_text(path.read_text().replace("pear", "plum"))
    with pytest.raises(DataError, match=r"no longer what the model was trained on: topics\.csv"):
        bundle.evaluate(None)


# -- what is read ----------------------------------------------------------------------------------

TEXT = "\ufeffone, \u2028 day\r\n\r\n  two\n\nthree\r\nlines\n \n\nZoë 🐸"
RECORDS = [{"text": f"a\n{i} \u2028", "label": None if i == 3 else i % 2} for i in range(20)]
CELLS = [
    "text,label",
    *(f'"a ""{i}""\r\n,b",x' if i % 3 else f"plain {i},y" for i in range(20)),
    "",
]


def written(folder: Path, name: str) -> Path:
    path = folder / name
    if path.suffix == ".parquet":
        pd.DataFrame(RECORDS).to_parquet(path, row_group_size=6)
    elif path.suffix == ".jsonl":
        jsonl(path, [*RECORDS, {"text": "later", "more": [1, 2]}])
    elif path.suffix == ".txt":
        path.write_bytes(TEXT.encode())
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        path.write_bytes("\r\n".join(line.replace(",", mark) for line in CELLS).encode())
    return path


@pytest.mark.parametrize(
    ("name", "documents"),
    [
        *[(f"a.{suffix}", "file") for suffix in ("csv", "tsv", "jsonl", "parquet")],
        *[("a.txt", "line"), ("a.txt", "blank")],
    ],
)
def test_rows_are_read_as_they_are_in_memory(tmp_path: Path, name: str, documents: Any) -> None:
    path = written(tmp_path, name)
    whole = read_rows(path, documents=documents)
    files = Files.of(config_of(path, f"documents={documents}"), path)
    found = [chunk.rows for chunk in files.chunks(tuple(whole.columns))]
    assert len(found) > 1 or name == "a.txt"
    rows = [row for chunk in found for row in chunk]
    assert list(map(str, rows)) == list(map(str, whole))  # a NaN is not equal to itself
    assert [chunk.where(row) for chunk in found for row in range(len(chunk))] == [
        whole.where(row) for row in range(len(whole))
    ]


def test_a_carriage_return_ends_a_line_of_a_table_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\rone,x\rtwo,y")
    (chunk,) = Files.of(config_of(path), path).chunks()
    assert list(chunk.rows) == list(read_rows(path))
    assert list(chunk.rows.numbers) == [2, 3]


FAULTY = {
    "latin.csv": b"text,label\nok,a\ncaf\xe9,b\n",
    "damaged.jsonl": '{"text": "é"}\n{"text": "caf\xff"}'.encode("latin-1").replace(
        b"\xe9", "é".encode()
    ),
    "zero.jsonl": b'{"text": "a"}\n{"text": "b\0"}\n',
    "empty.csv": b"",
    "blank.jsonl": b" \n\n",
    "zip.csv": b"PK\x03\x04abc\n",
    "cells.csv": b"text,label\na,b\nc\n",
    "quote.csv": b'text,label\na,b\n"c,d\n',
    "twins.csv": b"text,text\na,b\n",
    "header.csv": b"text,label\n",
    "list.jsonl": b'{"text": "a"}\n[1]\n',
    "cut.jsonl": b'{"text": "a"}\n{"text": \n',
    "broken.parquet": b"PAR1 and no more",
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_file_that_cannot_be_read_is_refused_in_the_same_words(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FAULTY[name])
    message = told(path, "task=causal", "streaming=true")
    expected = told(path, "task=causal")
    if name == "header.csv":
        message, expected = message.partition(".csv: ")[2][:11], "has no rows"
    assert message == expected


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"label": lambda i: "abc"[i % 3]}, ()),
        ({"label": lambda i: i / 7}, ()),
        ({"label": lambda i: i % 5}, ()),
        ({"label": lambda i: ["a", "b|c"][: 1 + i % 2]}, ()),
        ({"labels": lambda i: "a|b" if i % 3 else ""}, ()),
        ({}, ()),
        (
            {"label": lambda i: f"{i % 2}", "other": lambda i: f"word {i % 3}"},
            ("pair=other", *BERT),
        ),
        ({"label": lambda i: "ab"[i % 2], "split": lambda i: ["train", "test", "dev"][i % 3]}, ()),
        ({"label": lambda i: "ab"[i % 2], "split": lambda i: ["test", "", None][i % 3]}, ()),
    ],
)
def test_tasks_sides_and_targets_are_those_in_memory(
    tmp_path: Path, columns: dict[str, Any], words: tuple[str, ...]
) -> None:
    path = jsonl(tmp_path / "a.jsonl", rows_of(60, **columns))
    assert_same(*both(path, *SMALL, *words))


def test_a_folder_is_divided_by_the_names_of_its_files(tmp_path: Path) -> None:
    for number, name in enumerate(("dev", "test", "train-1", "train-2")):
        rows = rows_of(30, label=lambda i, number=number: f"{(i + number) % 2}")
        jsonl(tmp_path / "data" / f"{name}.jsonl", rows)
    memory, streamed = both(tmp_path / "data", *SMALL)
    assert_same(memory, streamed)
    assert streamed.material.valid.describe(0) == f"{tmp_path / 'data' / 'dev.jsonl'}:1"


def test_other_files_can_be_evaluated_on(tmp_path: Path) -> None:
    train = jsonl(tmp_path / "a.jsonl", rows_of(30, label=lambda i: f"{i % 2}"))
    other = jsonl(tmp_path / "b" / "b.jsonl", rows_of(9, label=lambda i: f"{i % 2}"))
    memory, streamed = both(train, *SMALL, f"validation={other}")
    assert_same(memory, streamed)
    assert streamed.material.valid.describe(8) == f"{other}:9"
    names = [part.name for part in streamed.material.manifest.files]
    assert names == ["a.jsonl", "validation/b.jsonl"]


# -- rows that nothing can be learnt from ----------------------------------------------------------


def faulty(folder: Path) -> Path:
    rows = rows_of(60, label=lambda i: "ab"[i % 2], split=lambda i: ["train", "dev"][i % 4 == 3])
    for number in (4, 12, 20, 28, 36, 44):
        rows[number]["text"] = " "
    rows[7]["label"], rows[11]["label"] = "stranger", None
    return jsonl(folder / "a.jsonl", rows)


def test_faulty_rows_stop_with_the_places_of_the_first(tmp_path: Path) -> None:
    path = faulty(tmp_path)
    message = told(path, *SMALL, "streaming=true")
    assert message == told(path, *SMALL)
    assert message.startswith("6 of 45 rows cannot be learnt from:\n")
    assert f"\n  {path}:5, column 'text': the text is empty\n" in message
    assert "\n  and 1 more. Repair them" in message


def test_faulty_rows_are_dropped_alike(tmp_path: Path) -> None:
    memory, streamed = both(faulty(tmp_path), *SMALL, "bad_rows=drop")
    assert_same(memory, streamed)
    assert "6 rows were dropped:" in memory.material.notes
    assert "2 rows were dropped:" in memory.material.notes


def test_a_label_that_was_never_learnt_stops(tmp_path: Path) -> None:
    rows = rows_of(30, label=lambda i: "ab"[i % 2], split=lambda i: ["train", "dev"][i % 2])
    rows[2]["label"], rows[29]["label"] = "b", "c"
    path = jsonl(tmp_path / "a.jsonl", rows)
    assert f"{path}:30, column 'label': the label 'c' was never learnt" in told(
        path, *SMALL, "streaming=true"
    )


def test_no_row_is_left_after_dropping(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": " ", "label": "a"}] * 9)
    words = (
        *SMALL,
        "bad_rows=drop",
        f"validation={jsonl(tmp_path / 'b.jsonl', rows_of(3, label=str))}",
    )
    message = told(path, *words, "streaming=true")
    assert message == told(path, *words)
    assert message.startswith("no row is left to learn from:\n")


def test_a_side_without_rows_is_refused(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", rows_of(3, label=lambda i: f"{i}", split=lambda i: "dev"))
    message = told(path, "streaming=true")
    assert message == told(path)
    assert "none of 3 rows is left to learn from" in message


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", rows_of(9, lable=str))
    message = told(path, "task=classification", "streaming=true")
    assert message == told(path, "task=classification")
    assert "Did you mean label=lable?" in message


# -- what cannot be streamed -----------------------------------------------------------------------


CONLL = "1\ta\ta\tX\t_\t_\t0\t_\t_\t_\n\n"


@pytest.mark.parametrize(
    ("name", "word", "what", "hint"),
    [
        (
            "a.jsonl",
            "task=tokens",
            "the task 'tokens' needs its rows in memory",
            "it is there for task=classification, multilabel, regression, causal, masked.",
        ),
        (
            "a.jsonl",
            "loop=contrastive",
            "the loop 'contrastive' needs its rows in memory",
            "it is there for loop=finetune, pretrain, gradual, pretrain_then_finetune.",
        ),
        (
            "a.txt",
            "documents=file",
            "a document of plain text is a whole file",
            "Say documents=line or documents=blank, or leave streaming out.",
        ),
        (
            "a.conllu",
            "format=conllu",
            "CoNLL-U is read as a whole",
            "Convert it to one of jsonl, csv, tsv, parquet, text, or leave streaming out.",
        ),
    ],
)
def test_what_cannot_be_streamed_is_refused(
    tmp_path: Path, name: str, word: str, what: str, hint: str
) -> None:
    path = tmp_path / name
    path.write_text(CONLL if name == "a.conllu" else '{"text": "a"}')
    message = told(path, "streaming=true", word)
    assert message.startswith(f"streaming: {what}. ")
    assert message.endswith(hint)


def test_embedded_sets_are_not_streamed() -> None:
    config = resolve(TextConfig, [parse_overrides(TextConfig, ("streaming=true",))]).config
    with pytest.raises(ConfigError) as caught:
        build(config)
    assert str(caught.value) == (
        "streaming: the embedded sets are in memory. Name data of your own, or leave streaming out."
    )


def test_a_task_that_is_guessed_is_refused_too(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"text": "ab", "spans": [[0, 1, "X"]]}] * 9)
    with pytest.raises(ConfigError, match="the task 'tokens' needs its rows in memory"):
        built(path, "streaming=true", "format=jsonl")


# -- what is kept ----------------------------------------------------------------------------------


def test_a_file_that_was_touched_is_read_but_not_encoded_again(tmp_path: Path, place: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", rows_of(60, label=lambda i: "ab"[i % 2]))
    words = (*SMALL, "streaming=true")
    first = built(path, *words)
    os.utime(path, (1, 1))
    assert_same(first, built(path, *words))
    assert len([entry for entry in place.iterdir() if entry.is_dir()]) == 3  # two surveys
    path.rename(tmp_path / "moved.jsonl")
    moved = built(tmp_path / "moved.jsonl", *words).material.train
    assert moved.describe(0).startswith(str(tmp_path / "moved.jsonl"))


@pytest.mark.parametrize(
    "word", ["max_length=5", "held_out=0.4", "model.buckets=512", "text=other", "bad_rows=drop"]
)
def test_what_depends_on_other_settings_is_not_taken_from_the_cache(
    tmp_path: Path, word: str
) -> None:
    rows = rows_of(60, label=lambda i: "ab"[i % 2], other=lambda i: f"night {i}")
    path = jsonl(tmp_path / "a.jsonl", rows)
    built(path, *SMALL, "streaming=true")
    assert_same(*both(path, *SMALL, word))


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(tmp_path / "a.jsonl", rows_of(60, label=lambda i: "ab"[i % 2]))
    chunks = Files.chunks

    def growing(self: Files, columns: Sequence[str] = ()) -> Iterator[Any]:
        yield from chunks(self, columns)
        with path.open("a") as file:
            file.write('\n{"text": "one more", "label": "a"}')

    monkeypatch.setattr(Files, "chunks", growing)
    assert told(path, *SMALL, "streaming=true") == (
        f"{path}: was changed while it was read. Start again when it is written."
    )


def test_a_stamp_tells_size_time_and_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    found = set()
    for content in (
        b"a" * 200_000,
        b"b" + b"a" * 199_999,
        b"a" * 199_999 + b"b",
        b"a" * 199_999,
        b"",
    ):
        path.write_bytes(content)
        os.utime(path, (1, 1))
        found.add(json.dumps(stamp(path)))
    os.utime(path, (2, 2))
    found.add(json.dumps(stamp(path)))
    assert len(found) == 6
    with pytest.raises(DataError, match="cannot be read: No such file"):
        stamp(tmp_path / "b.txt")


def test_a_sample_is_bounded_and_is_that_of_the_smallest_shares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks_module, "ROW_CHARACTERS", 0)
    shares = [random.Random(i).random() for i in range(1000)]
    sample, all_of_them = Sample(300), Sample(6000)
    for number, share in enumerate(shares):
        for each in (sample, all_of_them):
            each.add(share, number, characters=1 + 10 * (number % 2))
    kept = sample.rows()
    assert kept == sorted(kept)
    assert 270 < sum(1 + 10 * (number % 2) for number in kept) <= 300
    assert kept == sorted(sorted(range(1000), key=shares.__getitem__)[: len(kept)])
    assert not sample.is_whole
    assert all_of_them.is_whole
    assert all_of_them.rows() == list(range(1000))


def test_a_sample_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "SAMPLE_CHARACTERS", 2000)
    path = jsonl(tmp_path / "a.jsonl", rows_of(200, label=lambda i: "ab"[i % 2]))
    material = built(path, *SMALL, "streaming=true").material
    assert [baseline.name for baseline in material.baselines] == [
        "TF-IDF + logistic regression (on a sample)",
        "majority class (on a sample)",
    ]
    assert material.remarks[0].startswith(
        "A learnt tokenizer and the simple models saw a sample, at most 8.4 million characters of "
        "either side: 1"
    )


# -- memory ----------------------------------------------------------------------------------------

GROWN = """
import json, random, sys
from pathlib import Path
from rondel.config import parse_overrides, resolve
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.streaming import survey

def kibibytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

survey.SAMPLE_CHARACTERS = 1 << 16
path, count = Path(sys.argv[1]), int(sys.argv[2])
draw = random.Random(0)
words = ["".join(draw.choice("abcdefghij") for _ in range(5)) for _ in range(500)]
with path.open("w") as file:
    for number in range(count):
        text = " ".join(draw.choice(words) for _ in range(80))
        file.write(json.dumps({"text": text}) + chr(10))
layers = [parse_overrides(TextConfig, [f"data={path}", "task=causal", *sys.argv[3:]])]
config = resolve(TextConfig, layers).config
before = kibibytes("VmHWM")
material = build(config).material
built = kibibytes("VmHWM") - before
before, most = kibibytes("RssAnon"), 0
for indices in material.training.plan(0, 0):
    material.train.batch_of(indices)
    most = max(most, kibibytes("RssAnon") - before)
print(built, most)
"""


def grown(folder: Path, count: int, *words: str) -> tuple[int, int]:
    """Return the KiB that it takes to bring a file of ``count`` rows together, and to read it."""
    command = [sys.executable, "-c", GROWN, str(folder / f"{count}.jsonl"), str(count), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    built, read = map(int, done.stdout.split())
    return built, read


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing tells the memory")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    short, long = (grown(tmp_path, count, "streaming=true") for count in (2000, 8000))
    assert long[0] < 1.3 * short[0]
    assert long[1] < 4096  # a pass copies batches of some kilobytes
