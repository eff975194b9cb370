"""Journals: the same rows give the same bytes, and a checkpoint can cut them back."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from rondel.errors import CheckpointError, DirectoryError
from rondel.journal import Journal, read_rows

ROW = {"step": 1, "event": "update", "phase": None, "values": {"loss": 0.31, "lr": 1e-5}}


def test_a_row_is_one_compact_line_in_the_given_order(tmp_path: Path) -> None:
    path = tmp_path / "тест.jsonl"
    with Journal(path) as journal:
        journal.append(ROW | {"text": 'é "quoted"\n', "list": [1, (True,)]})
    assert path.read_text(encoding="utf-8") == (
        '{"step":1,"event":"update","phase":null,"values":{"loss":0.31,"lr":1e-05},'
        '"text":"é \\"quoted\\"\\n","list":[1,[true]]}\n'
    )


def test_numbers_that_json_lacks_become_words(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with Journal(path) as journal:
        journal.append({"values": {"a": math.nan, "b": [math.inf, -math.inf], "c": -0.0}})
    assert path.read_text() == '{"values":{"a":"nan","b":["inf","-inf"],"c":-0.0}}\n'


def test_any_text_survives(tmp_path: Path) -> None:
    row = {"text": "\ud800 \udcff \u2028 \0 \x1f 測試 \\ud800"}
    with Journal(tmp_path / "rows.jsonl") as journal:
        journal.append(row)
    assert read_rows(journal.path) == [row]


def test_rows_reach_other_readers_with_flush(tmp_path: Path) -> None:
    with Journal(tmp_path / "rows.jsonl") as journal:
        journal.append(ROW)
        assert read_rows(journal.path) == []
        journal.flush()
        assert read_rows(journal.path) == [ROW]


def test_many_rows_do_not_wait_for_the_end(tmp_path: Path) -> None:
    with Journal(tmp_path / "rows.jsonl") as journal:
        for _ in range(2000):
            journal.append(ROW)
        assert len(read_rows(journal.path)) > 500


def test_sync_returns_the_length_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    with Journal(tmp_path / "rows.jsonl") as journal:
        assert journal.sync() == 0
        journal.append(ROW)
        assert journal.sync() == journal.path.stat().st_size == synced[-1] > 0


def test_a_longer_file_is_cut_back_and_goes_on_identically(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with Journal(path) as journal:
        journal.append({"step": 1})
        length = journal.sync()
        journal.append({"step": 2})
    straight = path.read_bytes()
    with Journal(path) as journal:
        journal.append({"step": "lost with the crash"})
        journal.truncate(length)
        journal.append({"step": 2})
    assert path.read_bytes() == straight
    with Journal(path) as journal:
        journal.truncate(0)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("length", [1000, 3], ids=["beyond the end", "within a row"])
def test_a_file_that_does_not_fit_the_checkpoint_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"step":1}\n')
    with Journal(path) as journal, pytest.raises(CheckpointError) as caught:
        journal.truncate(length)
    assert str(caught.value) == (
        f"{path}: does not fit the checkpoint, which expects rows up to byte {length} of 11. "
        "Something else changed this file. Put the old one back, or start a new run."
    )
    assert path.read_bytes() == b'{"step":1}\n'


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("torn", ["{", '{"text":"' + "x" * 200_000], ids=["short", "long"])
def test_a_torn_row_is_ignored_and_dropped(tmp_path: Path, rows: int, torn: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step":1}\n' * rows + torn)
    assert read_rows(path) == [{"step": 1}] * rows
    with Journal(path) as journal:
        journal.append({"step": 2})
    assert read_rows(path) == [{"step": 1}] * rows + [{"step": 2}]


def test_a_last_line_of_garbage_is_ignored_one_before_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"step":1}\n\0\0\0\n')
    assert read_rows(path) == [{"step": 1}]
    path.write_bytes(b'{"step":1}\n\0\0\0\n{"step":2}\n')
    with pytest.raises(DirectoryError) as caught:
        read_rows(path)
    assert str(caught.value) == (
        f"{path}:2: is not a row of JSON. Remove the line, or resume the run from a checkpoint."
    )


def test_a_missing_journal_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "absent.jsonl") == []


def test_a_full_disk_loses_no_row(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "rows.jsonl")
    journal.append({"step": 1})
    length = journal.sync()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length + 5, hard))
    try:
        journal.append({"step": 2})
        with pytest.raises(DirectoryError, match="File too large; it needs 11 bytes, ") as caught:
            journal.flush()
        assert "continue the run with --resume; nothing written before is lost" in str(caught.value)
        assert journal.path.read_bytes() == b'{"step":1}\n'
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    journal.close()
    assert read_rows(journal.path) == [{"step": 1}, {"step": 2}]


def test_a_journal_that_cannot_be_opened_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(
        DirectoryError, match=r"absent/rows\.jsonl: cannot be written: No such file"
    ):
        Journal(tmp_path / "absent" / "rows.jsonl")


def test_a_failing_fsync_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Journal(tmp_path / "rows.jsonl") as journal:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(DirectoryError, match="cannot be written: Input/output error"):
            journal.sync()


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "rows.jsonl")
    journal.close()
    journal.close()


def test_rows_read_back_as_plain_json(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [ROW, {"step": 2, "values": {}}]
    with Journal(tmp_path / "rows.jsonl") as journal:
        for row in rows:
            journal.append(row)
    assert read_rows(journal.path) == rows
    assert [json.loads(line) for line in journal.path.read_text().splitlines()] == rows
