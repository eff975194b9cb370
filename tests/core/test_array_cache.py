"""What was encoded once is read again: whole, by memory map, and only if nothing has changed."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rondel import array_cache
from rondel.array_cache import Cache, Draft, Entry, cache_in, key_of
from rondel.errors import DirectoryError

NUMBERS = np.arange(12, dtype=np.int64).reshape(6, 2)


def make(draft: Draft) -> None:
    draft.append("set.numbers", NUMBERS[:4])
    draft.append("set.numbers", NUMBERS[4:])
    draft.append("set.none", np.zeros((0, 3), np.float32))
    draft.facts = {"notes": ["one"], "share": 0.1}


def never(draft: Draft) -> None:
    raise AssertionError("it was made again")


def test_an_entry_is_made_once_and_mapped_read_only(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "below" / "cache")
    cache.entry("key", make)
    entry = cache.entry("key", never)
    assert entry.facts == {"notes": ["one"], "share": 0.1}
    found = entry.below("set")
    assert sorted(found) == ["none", "numbers"]
    assert isinstance(found["numbers"], np.memmap)
    assert not found["numbers"].flags.writeable
    assert np.array_equal(found["numbers"], NUMBERS)
    assert found["none"].shape == (0, 3)
    assert entry.size_bytes == NUMBERS.nbytes
    assert sorted(path.name for path in cache.folder.iterdir()) == ["key", "key.lock"]


def test_an_array_takes_the_widest_type_of_its_pieces(tmp_path: Path) -> None:
    pieces = [
        np.array([1, 2], np.int8),
        np.array([], np.int8),
        np.array([-100, 300], np.int16),
        np.array([5], np.int8),
        np.array([1 << 20], np.int32),
        np.array([-(1 << 40)], np.int64),
    ]

    def grow(draft: Draft) -> None:
        for piece in pieces:
            draft.append("a", piece)

    found = Cache(tmp_path).entry("key", grow).arrays["a"]
    assert found.dtype == np.int64
    assert found.tolist() == np.concatenate(pieces).tolist()


def truncate(folder: Path) -> None:
    path = folder / "set.numbers.npy"
    path.write_bytes(path.read_bytes()[:-8])


def lengthen(folder: Path) -> None:
    path = folder / "set.numbers.npy"
    path.write_bytes(path.read_bytes() + bytes(8))


def reshape(folder: Path) -> None:
    path = folder / "set.numbers.npy"
    path.write_bytes(path.read_bytes().replace(b"(6, 2)", b"(4, 3)"))


def pickle(folder: Path) -> None:
    np.save(folder / "set.numbers.npy", np.array([{}], dtype=object), allow_pickle=True)


def lose(folder: Path) -> None:
    (folder / "set.none.npy").unlink()


def change_header(folder: Path) -> None:
    path = folder / "header.json"
    path.write_text(path.read_text().replace("0.1", "0.2"))


def cut_header(folder: Path) -> None:
    path = folder / "header.json"
    path.write_text(path.read_text()[:-5])


def empty(folder: Path) -> None:
    (folder / "header.json").write_text("[]")


@pytest.mark.parametrize(
    "damage", [truncate, lengthen, reshape, pickle, lose, change_header, cut_header, empty]
)
def test_a_damaged_entry_is_noticed_and_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    cache = Cache(tmp_path)
    damage(cache.entry("key", make).folder)
    entry = cache.entry("key", make)
    assert capsys.readouterr().err == f"{tmp_path / 'key'} is damaged: it is made again.\n"
    assert np.array_equal(entry.arrays["set.numbers"], NUMBERS)
    assert cache.entry("key", never).facts == entry.facts


def test_an_entry_under_another_name_is_none(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.entry("key", make).folder.rename(tmp_path / "other")
    with pytest.raises(AssertionError, match="made again"):
        cache.entry("other", never)


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(draft: Draft) -> None:
        make(draft)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Cache(tmp_path).entry("key", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["key.lock"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "key.made-1-abc"
    left.mkdir()
    (left / "set.numbers.npy").write_bytes(b"half")
    Cache(tmp_path).entry("key", make)
    assert not left.exists()


TWICE = """
import sys, time
from pathlib import Path
import numpy as np
from rondel.array_cache import Cache

def make(draft):
    with Path(sys.argv[2]).open("a") as log:
        log.write("made\\n")
    draft.append("a", np.arange(1000))
    time.sleep(0.5)

Path(sys.argv[3]).touch()
while len(list(Path(sys.argv[2]).parent.glob("ready-*"))) < 2:
    time.sleep(0.01)
print(int(Cache(Path(sys.argv[1])).entry("key", make).arrays["a"].sum()))
"""


def test_two_processes_that_need_one_entry_make_it_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWICE, tmp_path / "cache", log, tmp_path / f"ready-{number}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    assert [process.communicate(timeout=120)[0] for process in processes] == ["499500\n"] * 2
    assert log.read_text() == "made\n"


def test_without_locks_the_faster_of_two_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def unlocked(path: Path) -> Any:
        yield False

    monkeypatch.setattr(array_cache, "locked", unlocked)
    cache, others = Cache(tmp_path), []

    def slow(draft: Draft) -> None:
        make(draft)
        others.append(cache.entry("key", make))

    assert cache.entry("key", slow).folder == others[0].folder
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path) -> None:
    def fill(draft: Draft) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DirectoryError) as caught:
        Cache(tmp_path).entry("key", fill)
    assert str(caught.value) == (
        f"{tmp_path}: cannot be written: No space left on device. "
        "Make room, or name another place: cache=FOLDER."
    )


def test_the_place_is_the_users_own_or_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/someone")
    places = [cache_in(setting, "text").folder for setting in ("auto", "~/texts", Path("here"))]
    assert places == [tmp_path / "rondel/text", Path("/home/someone/texts"), Path("here")]
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_in("auto", "tabular").folder == Path("/home/someone/.cache/rondel/tabular")


def test_a_key_depends_on_every_value() -> None:
    keys = {key_of(a=1, b=[2]), key_of(a=2, b=[2]), key_of(a=1, b=[3]), key_of(a=1, b=[2], c=None)}
    assert len(keys) == 4
    assert key_of(a=1, b=2) == key_of(b=2, a=1)


def test_an_entry_says_its_size(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    entry: Entry = cache.entry("key", make)
    (tmp_path / "other").write_bytes(bytes(5_000_000))
    assert cache.remark(entry) == (
        f"Encoded: 0.0 MB in {tmp_path / 'key'}; all that is kept in its folder has 5.0 MB, "
        "and may be deleted between runs."
    )
