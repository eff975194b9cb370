"""The verbs check, convert and split, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rondel.cli.main import main
from rondel_detection.data.formats import read, write
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, Status, TableBuilder

COUNT = 20


def photos(folder: Path) -> TableBuilder:
    """Twenty different pictures, every second a cat, every fourth a dog too."""
    folder.mkdir(exist_ok=True)
    builder = TableBuilder(folder, "coco")
    for row in range(COUNT):
        noise = np.random.default_rng(row).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((64, 48), Image.Resampling.BICUBIC)
        picture.save(folder / f"v{row // 4}_{row}.png")
        builder.add_image(f"v{row // 4}_{row}.png", width=64, height=48)
        if row % 2 == 0:
            builder.add_box(row, (5, 5, 30, 30), 0)
        if row % 4 == 0:
            builder.add_box(row, (30, 10, 60, 40), 1)
    return builder


LABELS = LabelMap(("cat", "dog"), (0, 1))


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """The folder of a sound LabelMe set."""
    folder = tmp_path / "photos"
    write(photos(folder).build(LABELS), folder, name="labelme")
    return folder


@pytest.fixture
def defective(tmp_path: Path) -> Path:
    """A COCO file with defects of all severities, and a loss."""
    builder = photos(tmp_path / "photos")
    builder.add_box(1, (50, 20, 40, 30), 0)
    builder.add_box(2, (5, 5, 5, 30), 0)
    builder.add_image("gone.png", width=64, height=48)
    path = tmp_path / "photos/labels.json"
    write(builder.build(LabelMap(("cat", "dog", "\x1b[31memu"))), path, name="coco")
    content = json.loads(path.read_text())
    content["colours"] = [1]
    path.write_text(json.dumps(content))
    return path


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_check_groups_defects_and_ends_with_a_verdict(
    defective: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detection", "check", str(defective)]) == 4
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == f"{defective} (COCO JSON): 21 images, 17 boxes, 3 classes"
    assert lines[1] == "  images: 11 with boxes, 10 empty"
    assert "error         1  no area, dropped in training" in lines
    assert "error         1  image missing" in lines
    assert "warning       1  corners in wrong order, repaired in training" in lines
    assert "note          1  class without boxes" in lines
    place = "labels.json: annotation 17 (image 'v0_2.png'): box [5, 5, 5, 30] has no area: it is"
    assert f"{'':17}{place} 0 x 25 pixels" in lines
    assert "  1 x 'colours' of the whole set is not kept (first: labels.json)" in lines
    assert lines[-1] == "Needs a look before training: 2 errors, 1 warning, 1 note."
    assert "\x1b" not in out


def test_names_of_files_cannot_command_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "photos/\x1b[31m.json"
    write(photos(tmp_path / "photos").build(LABELS), path, name="coco")
    path.write_text(json.dumps({**json.loads(path.read_text()), "colours": [1]}))
    assert main(["detection", "check", str(path)]) == 0
    assert main(["detection", "convert", str(path), str(tmp_path / "o"), "--to", "voc"]) == 0
    out = capsys.readouterr().out
    assert "\N{REPLACEMENT CHARACTER}[31m.json" in out
    assert "\x1b" not in out


def test_check_of_a_sound_set_ends_well(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detection", "check", str(labelled), "--strict"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing is wrong with it."


def test_strict_makes_warnings_and_losses_fail(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for change in ("twin", "loss"):
        path = tmp_path / f"photos/{change}.json"
        builder = photos(tmp_path / "photos")
        if change == "twin":
            builder.add_box(0, (5, 5, 30, 30), 0)
        write(builder.build(LABELS), path, name="coco")
        if change == "loss":
            path.write_text(json.dumps({**json.loads(path.read_text()), "colours": [1]}))
        assert main(["detection", "check", str(path)]) == 0
        assert main(["detection", "check", str(path), "--strict"]) == 4
    assert "Fit for training: 1 warning." in capsys.readouterr().out


def test_check_without_files_looks_at_labels_only(
    defective: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["detection", "check", str(defective), "--no-files"])
    assert "image missing" not in capsys.readouterr().out


def test_check_writes_json_lines_with_everything(
    defective: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detection", "check", str(defective), "--json"]) == 4
    found = rows(capsys.readouterr().out)
    assert found[0]["event"] == "data"
    assert (found[0]["images"], found[0]["boxes"], found[0]["empty"]) == (21, 17, 10)
    kinds = [row["kind"] for row in found if row["event"] == "defect"]
    assert sorted(kinds) == ["corner_order", "missing", "no_area", "unused_class"]
    assert [row["count"] for row in found if row["event"] == "loss"] == [1]
    assert found[-1]["event"] == "verdict"
    assert found[-1]["counts"] == {"error": 2, "warning": 1, "note": 1}
    assert found[-1]["exit_code"] == 4


def test_labels_of_no_known_format_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert main(["detection", "check", str(tmp_path)]) == 4
    assert "holds labels of no format that is known here" in capsys.readouterr().err


def test_a_named_format_must_exist(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detection", "check", str(labelled), "--from", "labelm"]) == 2
    assert "there is no label format 'labelm'. Did you mean 'labelme'?" in capsys.readouterr().err


# -- convert ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["coco", "voc", "yolo", "labelme", "cvat", "scalabel"])
def test_convert_writes_labels_and_images_that_are_read_again(
    labelled: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    arguments = ["detection", "convert", str(labelled), str(target), "--to", name, "--copy-images"]
    assert main(arguments) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith("Wrote ")
    assert f" to {target}, and 20 images. Read back: " in out[-1]
    labelled.rename(tmp_path / "away")
    again = read(target)
    assert len(again.boxes) == 15
    assert len(again.images) == 20
    assert all((again.root / file).is_file() for file in again.images.file)


def test_convert_copies_no_images_unless_asked(labelled: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert main(["detection", "convert", str(labelled), str(target), "--to", "coco"]) == 0
    assert list(target.rglob("*.png")) == []


def test_convert_reads_what_it_wrote(
    labelled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A writer that loses a box without a word is caught."""

    def forgetful(annotations: Annotations, path: Path, *, name: str) -> Any:
        return write(annotations.take_boxes(np.arange(1, len(annotations.boxes))), path, name=name)

    monkeypatch.setattr("rondel_detection.data.conversion.write", forgetful)
    target = tmp_path / "out"
    arguments = ["detection", "convert", str(labelled), str(target), "--to", "coco"]
    assert main(arguments) == 4
    out = capsys.readouterr().out
    assert "read back: 1 x missing box differs (first: " in out
    assert "and no loss explains it" in out
    assert main([*arguments, "--strict", "--force"]) == 4
    assert "something would be lost in COCO JSON, so nothing was written" in capsys.readouterr().err


def test_strict_writes_nothing_when_something_would_be_lost(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    builder = photos(tmp_path / "photos")
    builder.add_image("seen.png", status=Status.IGNORED)
    source = tmp_path / "photos/tasks.json"
    write(builder.build(LABELS), source, name="scalabel")
    arguments = [
        "detection",
        "convert",
        str(tmp_path / "photos/labels.json"),
        str(tmp_path / "out"),
    ]
    write(builder.build(LABELS), tmp_path / "photos/labels.json", name="coco")
    assert main([*arguments, "--to", "voc", "--strict"]) == 4
    error = capsys.readouterr().err
    assert "something would be lost in Pascal VOC XML, so nothing was written:\n  " in error
    assert "Leave --strict out to write it all the same." in error
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--to", "voc"]) == 0
    assert "Not kept:\n  " in capsys.readouterr().out


def test_convert_never_writes_over_anything_unless_forced(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    arguments = ["detection", "convert", str(labelled), str(target), "--to", "coco"]
    assert main(arguments) == 0  # an empty folder is free
    (target / "mine.txt").write_text("mine")
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert main(arguments) == 2
    assert f"{target}: the folder is not empty. Name another, or say --force" in (
        capsys.readouterr().err
    )
    assert {path: path.read_bytes() for path in before} == before
    assert main([*arguments, "--force"]) == 0
    assert (target / "mine.txt").read_text() == "mine"
    single = tmp_path / "labels.json"
    assert main(["detection", "convert", str(labelled), str(single), "--to", "coco"]) == 0
    assert main(["detection", "convert", str(labelled), str(single), "--to", "coco"]) == 2
    assert "labels.json: there is something already" in capsys.readouterr().err


def test_a_failed_conversion_leaves_nothing(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("rondel_detection.data.conversion.read", fails)
    target = tmp_path / "out"
    assert main(["detection", "convert", str(labelled), str(target), "--to", "coco"]) == 1
    assert not target.exists()
    single = tmp_path / "labels.json"
    assert main(["detection", "convert", str(labelled), str(single), "--to", "coco"]) == 1
    assert not single.exists()


def test_a_format_that_is_only_read_is_refused(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detection", "convert", str(labelled), str(tmp_path / "o"), "--to", "lvis"]) == 2
    assert "LVIS JSON can be read, but not written" in capsys.readouterr().err


def test_images_outside_of_their_folder_are_not_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    builder = photos(tmp_path / "photos")
    builder.add_image("../secret.png", width=64, height=48)
    source = tmp_path / "photos/labels.json"
    write(builder.build(LABELS), source, name="coco")
    target = tmp_path / "out"
    arguments = ["detection", "convert", str(source), str(target), "--to", "coco", "--copy-images"]
    assert main(arguments) == 4
    assert "the file name '../secret.png' leads out of the folder" in capsys.readouterr().err
    assert not target.exists()


# -- split -----------------------------------------------------------------------------------------


def test_split_writes_a_set_whose_splits_are_read_again(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    arguments = ["detection", "split", str(labelled), str(target), "--to", "yolo", "--copy-images"]
    assert main([*arguments, "--val", ".3", "--test", ".1"]) == 0
    out = capsys.readouterr().out
    assert "        train  val  test\nimages  12     6    2\n" in out
    again = read(target)
    names, counts = np.unique(again.images.split.astype(str), return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "train": 12,
        "val": 6,
        "test": 2,
    }


def test_split_keeps_names_with_an_equal_match_together(labelled: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    arguments = ["detection", "split", str(labelled), str(target), "--to", "coco"]
    assert main([*arguments, "--group-by", "^v[0-9]+"]) == 0
    again = read(target, images=labelled)
    splits: dict[str, set[str]] = {}
    for file, name in zip(again.images.file, again.images.split, strict=True):
        splits.setdefault(file.split("_")[0], set()).add(name)
    assert [len(names) for names in splits.values()] == [1] * 5


def test_split_keeps_what_there_is_unless_told_otherwise(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    images = ["--images", str(labelled)]
    main(["detection", "split", str(labelled), str(first), "--to", "coco", "--val", ".5"])
    capsys.readouterr()
    assert main(["detection", "split", str(first), str(second), *images]) == 0
    out = capsys.readouterr().out
    assert "20 images had a split before: --reassign would give it up." in out
    assert "images  10     10" in out
    again = [*images, "--force", "--reassign"]
    assert main(["detection", "split", str(first), str(second), *again]) == 0
    assert "images  16     4" in capsys.readouterr().out


def test_split_refuses_a_format_that_forgets_splits(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out"
    assert main(["detection", "split", str(labelled), str(target)]) == 4
    assert (
        f"{target}: LabelMe JSON does not keep the split of 20 images; nothing was written. Choose "
        "another format with --to: coco, voc, yolo and cvat keep it in a folder."
    ) in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--val", "0.7", "--test", "0.3"], "--val 0.7 and --test 0.3 leave 0 to train on"),
        (["--val", "-0.1"], "Both are shares of 1, at least 0, and less than 1 together."),
        (["--group-by", "("], "'(' is no regular expression: "),
        (["--group-by", "video"], "'video' matches none of 20 image names, such as 'v0_0.png'"),
    ],
)
def test_wrong_options_of_split_are_explained(
    labelled: Path,
    tmp_path: Path,
    options: list[str],
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["detection", "split", str(labelled), str(tmp_path / "out"), *options]) == 2
    assert text in capsys.readouterr().err


def test_the_verbs_are_listed_without_heavy_imports() -> None:
    code = (
        "import sys, rondel_detection.commands as c; print([x.name for x in c.COMMANDS], "
        "{'torch', 'numpy', 'PIL', 'pandas', 'rich', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['check', 'convert', 'split', 'demo'] set()"


def test_a_check_needs_no_torch(labelled: Path) -> None:
    code = (
        "import sys; from rondel.cli.main import main; "
        f"main(['detection', 'check', {str(labelled)!r}]); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
