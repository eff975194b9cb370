"""What was encoded once is read again: whole, by memory map, and only if nothing has changed."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rondel import keyed
from rondel.batch import leaves
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError, DirectoryError
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.data import cache as cache_module
from rondel_text.data.cache import Cache, Draft, Entry, cache_of, key_of
from rondel_text.data.ragged import Ragged
from rondel_text.data.stored import StoredRagged, StoredTexts, narrowed, tensor_of
from rondel_text.data.text_set import TextSet
from rondel_text.loops.text_loop import TextLoop

TINY = Path(__file__).parent / "tiny"
NUMBERS = np.arange(12, dtype=np.int64).reshape(6, 2)


def make(draft: Draft) -> None:
    draft.append("set.numbers", NUMBERS[:4])
    draft.append("set.numbers", NUMBERS[4:])
    draft.append("set.none", np.zeros((0, 3), np.float32))
    draft.facts = {"notes": ["one"], "share": 0.1}


def never(draft: Draft) -> None:
    raise AssertionError("it was made again")


def built(*words: str) -> TextLoop:
    keyed.reseed(0)
    return build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)


def assert_equal(first: TextSet, second: TextSet) -> None:
    assert len(first) == len(second)
    assert torch.equal(first.encoded.cut, second.encoded.cut)
    indices = torch.randperm(len(first), generator=torch.Generator().manual_seed(0))
    batches = [leaves(each.batch_of(indices)) for each in (first, second)]
    for one, other in zip(*batches, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)
        assert one is None or one.dtype == other.dtype
    places = [[each.describe(row) for row in range(len(each))] for each in (first, second)]
    assert places[0] == places[1]


# -- entries ---------------------------------------------------------------------------------------


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
    pieces = [[1, 2], [], [-100, 300], [5], [1 << 20], [-(1 << 40)]]

    def grow(draft: Draft) -> None:
        for piece in pieces:
            draft.append("a", narrowed(torch.tensor(piece, dtype=torch.int64)))

    found = Cache(tmp_path).entry("key", grow).arrays["a"]
    assert found.dtype == np.int64
    assert found.tolist() == [number for piece in pieces for number in piece]
    assert narrowed(torch.tensor([-128, 127])).dtype == np.int8
    assert narrowed(torch.tensor([128])).dtype == np.int16
    assert narrowed(torch.tensor([1 << 31])).dtype == np.int64


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
from rondel_text.data.cache import Cache

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

    monkeypatch.setattr(cache_module, "locked", unlocked)
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
    assert cache_of(None) is None
    places = [getattr(cache_of(setting), "folder", None) for setting in ("auto", "~/texts", "here")]
    assert places == [tmp_path / "rondel/text", Path("/home/someone/texts"), Path("here")]
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert getattr(cache_of("auto"), "folder", None) == Path("/home/someone/.cache/rondel/text")


def test_a_key_depends_on_every_value() -> None:
    keys = {key_of(a=1, b=[2]), key_of(a=2, b=[2]), key_of(a=1, b=[3]), key_of(a=1, b=[2], c=None)}
    assert len(keys) == 4
    assert key_of(a=1, b=2) == key_of(b=2, a=1)


# -- texts and sequences ---------------------------------------------------------------------------


def test_stored_sequences_are_cut_like_those_in_memory() -> None:
    whole = Ragged.of([[5, -100, 7], [], [300], [1, 2]])
    stored = StoredRagged(tensor_of(narrowed(whole.flat)), whole.ends)
    assert stored.flat.dtype == torch.int16
    for indices in ([3, 0, 1], [1], []):
        for mine, theirs in zip(
            stored.padded(torch.tensor(indices, dtype=torch.int64), -100),
            whole.padded(torch.tensor(indices, dtype=torch.int64), -100),
            strict=True,
        ):
            assert torch.equal(mine, theirs)
            assert mine.dtype == torch.int64
    assert stored[0].tolist() == [5, -100, 7]
    assert stored[0].dtype == torch.int64


def test_stored_texts_are_a_sequence() -> None:
    texts = ["Zoë", "", "🐸 \n", "end"]
    contents = [text.encode() for text in texts]
    flat = np.frombuffer(b"".join(contents), np.uint8)
    stored = StoredTexts(flat, np.cumsum([len(content) for content in contents]))
    assert list(stored) == texts
    assert stored[-1] == "end"
    assert stored[1:3] == texts[1:3]
    with pytest.raises(IndexError):
        stored[4]


# -- rows in memory --------------------------------------------------------------------------------

KINDS = {
    "classification": (f"data={TINY / 'topics.csv'}", "model.buckets=4096", "max_length=30"),
    "causal": (f"data={TINY / 'topics.csv'}", "task=causal", "max_length=24", "context=8"),
    "tokens": (f"data={TINY / 'tags.conllu'}",),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kept_texts_equal_those_in_memory(tmp_path: Path, kind: str) -> None:
    words = KINDS[kind]
    plain, first, second = (
        built(*words, *extra).material for extra in ((), *[(f"cache={tmp_path}",)] * 2)
    )
    assert not plain.remarks
    for other in (first, second):
        assert_equal(plain.train, other.train)
        assert_equal(plain.valid, other.valid)
    folders = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(folders) == 1
    assert second.remarks[0].startswith("Encoded texts: 0.")
    assert f" MB in {folders[0]}; all that is kept in its folder has 0." in second.remarks[0]


def test_kept_texts_are_not_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*KINDS["classification"], f"cache={tmp_path}")
    task = built(*words).task
    monkeypatch.setattr(type(task), "encode", never)
    built(*words)
    for changed in ("max_length=31", "model.buckets=4097", "held_out=0.3"):
        with pytest.raises(TypeError, match="never"):
            built(*words, changed)


def test_other_data_under_the_same_name_is_encoded(tmp_path: Path) -> None:
    data = tmp_path / "a.jsonl"
    words = (f"data={data}", "task=causal", f"cache={tmp_path / 'cache'}")
    texts = []
    for word in ("one", "two"):
        rows = [json.dumps({"text": f"{word} {number}"}) for number in range(20)]
        data.write_text("\n".join(rows))
        loop = built(*words)
        first = loop.material.train.encoded.ids[0]
        texts.append(bytes(number for number in first.tolist() if number < 256).decode())
    assert [text[:3] for text in texts] == ["one", "two"]


def test_equal_texts_on_other_lines_keep_their_own_places(tmp_path: Path) -> None:
    texts = [f"a longer text {number}" for number in range(30)]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    (tmp_path / "b.csv").write_text("\n".join(["text", *texts]))
    for name in ("a.jsonl", "b.csv"):
        words = (f"data={tmp_path / name}", "task=causal", "max_length=6", "context=0")
        plain = built(*words).material.valid
        assert len(plain) > 15  # windows, whose places are kept with them
        assert_equal(plain, built(*words, f"cache={tmp_path / 'cache'}").material.valid)


def test_small_runs_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built(*KINDS["classification"])
    assert not list(tmp_path.iterdir())


def test_a_task_whose_texts_are_not_kept_is_refused(tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"a {i}", "pair": f"b {i}"}) for i in range(20)]
    data = tmp_path / "a.jsonl"
    data.write_text("\n".join(rows))
    bert = ("model.name=bert", "model.width=16", "model.layers=1", "model.heads=2")
    with pytest.raises(ConfigError) as caught:
        built(f"data={data}", "task=pairs", "model.vocabulary=300", *bert, "cache=auto")
    assert str(caught.value) == (
        "cache: the texts of the task 'pairs' are encoded anew in every run. Leave it out; it is "
        "there for task=classification, multilabel, regression, causal, masked, tokens."
    )


def test_an_entry_says_its_size(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    entry: Entry = cache.entry("key", make)
    (tmp_path / "other").write_bytes(bytes(5_000_000))
    assert cache.remark(entry) == (
        f"Encoded texts: 0.0 MB in {tmp_path / 'key'}; all that is kept in its folder has 5.0 MB, "
        "and may be deleted between runs."
    )
