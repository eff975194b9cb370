"""Data manifests and fingerprints: what a run was trained on, and with."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rondel.data_manifest import DataManifest, hash_arrays, hash_files
from rondel.errors import DataError
from rondel.fingerprint import fingerprint, fingerprint_difference


def three_files(root: Path) -> list[Path]:
    (root / "images é").mkdir()
    paths = [root / "labels.csv", root / "images é" / "1.png", root / "images é" / "2.png"]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 5000)
    return paths


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    paths = three_files(tmp_path)
    manifest = hash_files(paths, tmp_path, name="photos", samples=2)
    assert manifest == hash_files(reversed(paths + paths), tmp_path, name="photos", samples=2)
    assert [part.name for part in manifest.files] == [
        "images é/1.png",
        "images é/2.png",
        "labels.csv",
    ]
    assert (manifest.name, manifest.samples) == ("photos", 2)


def test_the_place_of_the_data_does_not_matter(tmp_path: Path) -> None:
    hashes = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        hashes.append(hash_files(three_files(tmp_path / name), tmp_path / name).hash)
    assert hashes[0] == hashes[1]


def test_one_changed_byte_names_its_file(tmp_path: Path) -> None:
    paths = three_files(tmp_path)
    before = hash_files(paths, tmp_path)
    content = bytearray(paths[1].read_bytes())
    content[4321] ^= 1
    paths[1].write_bytes(content)
    after = hash_files(paths, tmp_path)
    assert before.hash != after.hash
    assert before.difference(after) == ["images é/1.png: changed"]
    assert before.difference(before) == []


def test_a_new_a_missing_and_a_renamed_file_are_named(tmp_path: Path) -> None:
    paths = three_files(tmp_path)
    before = hash_files(paths, tmp_path)
    renamed = paths[0].rename(tmp_path / "targets.csv")
    after = hash_files([renamed, *paths[1:]], tmp_path)
    assert before.hash != after.hash
    assert before.difference(after) == ["labels.csv: missing", "targets.csv: new"]


def test_a_file_that_cannot_be_read_or_lies_outside_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(DataError) as caught:
        hash_files([absent], tmp_path)
    assert str(caught.value) == (
        f"{absent}: cannot be read: No such file or directory. Restore it or its rights."
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="out: lies outside of"):
        hash_files([tmp_path / "out"], tmp_path / "in")


def test_one_changed_value_names_its_block() -> None:
    features = np.arange(4000, dtype="f4").reshape(1000, 4)
    arrays = {"features": features, "labels": np.zeros(1000, "i8")}
    before = hash_arrays(arrays, block_bytes=1600)
    assert before.samples == 1000
    assert len([part for part in before.files if part.name.startswith("features")]) == 10
    features[555, 2] += 1
    after = hash_arrays(arrays, block_bytes=1600)
    assert before.hash != after.hash
    assert before.difference(after) == ["features[500:600]: changed"]


@pytest.mark.parametrize("dtype", ["f4", "i8", "u1", "?", "c8"])
def test_tensors_views_and_byte_orders_hash_like_the_plain_array(dtype: str) -> None:
    plain = (np.arange(60) % 7).reshape(20, 3).astype(dtype)
    wide = np.repeat(plain, 2, axis=1)[:, ::2]
    swapped = plain.astype(plain.dtype.newbyteorder(">"))
    hashes = {
        hash_arrays({"x": array}, block_bytes=50).hash
        for array in (plain, wide, swapped, np.asfortranarray(plain), torch.tensor(plain))
    }
    assert len(hashes) == 1


def test_dtype_shape_and_name_count_as_content() -> None:
    zeros = np.zeros((4, 6), "f4")
    variants: list[dict[str, Any]] = [
        {"x": zeros},
        {"y": zeros},
        {"x": zeros.reshape(6, 4)},
        {"x": zeros.view("i4")},
        {"x": zeros[:0]},
        {"x": zeros[:, :0]},
        {"x": torch.zeros(4, 6, dtype=torch.bfloat16)},
        {"x": np.float32(0)},
        {"x": np.array(["a", "b"])},
    ]
    assert len({hash_arrays(variant).hash for variant in variants}) == len(variants)


def test_an_appended_row_leaves_the_other_blocks_alone() -> None:
    rows = np.arange(25.0)
    longer = np.arange(26.0)
    before, after = (hash_arrays({"x": x}, block_bytes=80) for x in (rows, longer))
    assert before.difference(after) == ["x[20:25]: missing", "x[20:26]: new"]


def test_a_single_strided_value_can_be_hashed() -> None:
    assert (
        hash_arrays({"x": torch.ones(1, 2)[:, ::2]}).hash
        == hash_arrays({"x": np.ones((1, 1), "f4")}).hash
    )


def test_python_objects_are_refused_by_name() -> None:
    with pytest.raises(DataError) as caught:
        hash_arrays({"x": np.array([None])})
    assert str(caught.value) == (
        "x: holds Python objects, which have no content to hash. "
        "Convert it to numbers or fixed-width text."
    )


def test_hashing_needs_little_memory(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(50_000_000))
    array = np.zeros((3_000_000, 4), "f4")
    tracemalloc.start()
    try:
        hash_files([tmp_path / "big"], tmp_path)
        hash_arrays({"x": array.T[:, ::2].T}, block_bytes=1 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_a_manifest_survives_json() -> None:
    manifest = hash_arrays({"x": np.arange(5)}, name="five")
    assert DataManifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


@pytest.mark.parametrize("change", [{"files": [{"name": "x"}]}, {"files": 3}, {"hash": "0"}])
def test_a_damaged_manifest_is_refused(change: dict[str, Any]) -> None:
    content = hash_arrays({"x": np.arange(5)}).to_json() | change
    with pytest.raises(DataError, match="the data manifest is damaged"):
        DataManifest.from_json(content)


def test_a_fingerprint_describes_machine_and_software() -> None:
    found = fingerprint("cpu")
    assert found["torch"] == torch.__version__
    assert found["device"] == "cpu"
    assert found["threads"] == str(torch.get_num_threads())
    assert all(isinstance(value, str) and value for value in found.values())
    assert fingerprint_difference(found, fingerprint("cpu")) == []


def test_a_changed_setting_shows_in_the_fingerprint() -> None:
    saved = fingerprint("cpu")
    torch.use_deterministic_algorithms(True)
    try:
        now = fingerprint("cpu")
    finally:
        torch.use_deterministic_algorithms(False)
    assert fingerprint_difference(saved, now) == ["deterministic: was false, is true"]


def test_keys_that_only_one_side_knows_are_differences() -> None:
    assert fingerprint_difference({"a": "1"}, {"b": "2"}) == [
        "a: was 1, is unknown",
        "b: was unknown, is 2",
    ]
