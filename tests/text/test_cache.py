"""Texts that were encoded once are read again as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rondel import keyed
from rondel.batch import leaves
from rondel.config import parse_overrides, resolve
from rondel.errors import ConfigError
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.data.ragged import Ragged
from rondel_text.data.stored import StoredRagged, StoredTexts, narrowed, tensor_of
from rondel_text.data.text_set import TextSet
from rondel_text.loops.text_loop import TextLoop

TINY = Path(__file__).parent / "tiny"


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


# -- texts and sequences ---------------------------------------------------------------------------


def test_numbers_are_kept_in_the_narrowest_type() -> None:
    assert narrowed(torch.tensor([-128, 127])).dtype == np.int8
    assert narrowed(torch.tensor([128])).dtype == np.int16
    assert narrowed(torch.tensor([1 << 31])).dtype == np.int64


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
    assert second.remarks[0].startswith("Encoded: 0.")
    assert f" MB in {folders[0]}; all that is kept in its folder has 0." in second.remarks[0]


def test_kept_texts_are_not_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*KINDS["classification"], f"cache={tmp_path}")
    task = built(*words).task

    def again(*_: object) -> None:
        raise AssertionError("it was made again")

    monkeypatch.setattr(type(task), "encode", again)
    built(*words)
    for changed in ("max_length=31", "model.buckets=4097", "held_out=0.3"):
        with pytest.raises(AssertionError, match="made again"):
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
