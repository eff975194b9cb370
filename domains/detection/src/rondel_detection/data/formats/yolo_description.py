"""What a YOLO set says of itself: ``data.yaml``, darknet's ``obj.data``, or only its folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import yaml

from rondel.errors import DataError
from rondel_detection.data.formats.files import exists, head, load_text, split_name
from rondel_detection.data.formats.label_file import content
from rondel_detection.data.formats.yolo_lines import parse_line

LOOKED_AT = 20
"""Label files of a folder that are looked at, at most."""
SPLIT_KEYS = ("train", "val", "valid", "test", "minival")
OTHER_KEYS = frozenset({"path", "names", "nc", "download", "backup", "classes"})
LABEL_FOLDERS = ("labels", "labelTxt")
"""Where labels lie beside ``images``: in YOLO's sets, and in DOTA's."""
SPLIT_FOLDERS = frozenset({"train", "val", "valid", "validation", "test"})
CLASS_FILES = ("classes.txt", "obj.names", "classes.names")
_NAMES = re.compile(r"^[\"']?names[\"']?\s*:", re.MULTILINE)
_SETS = re.compile(r"^[\"']?(train|val|valid|test|path|nc|default)[\"']?\s*:", re.MULTILINE)


@dataclass(frozen=True)
class Description:
    """A set, as it is described.

    Args:
        home: The folder of the description.
        base: The folder that the paths in it are relative to.
        sets: Split and path, as it is written, of folders and lists of images.
        names: Class names by number; empty if they are not known.
        pose_columns: Columns of lines with keypoints; 0 if there are none.
        is_declared: Whether a file says all this; else the folders do.
    """

    home: Path
    base: Path
    sets: tuple[tuple[str, str], ...]
    names: dict[int, str] = field(default_factory=dict)
    pose_columns: int = 0
    is_declared: bool = True


def description_file(path: Path) -> Path | None:
    """Return the file that describes a set, if there is one."""
    if path.is_file():
        return path if _describes(path) else None
    likely = [path / "data.yaml", path / "dataset.yaml", path / "obj.data"]
    others = sorted(file for end in ("*.yaml", "*.yml", "*.data") for file in path.glob(end))
    return next((file for file in (*likely, *others[:LOOKED_AT]) if _describes(file)), None)


def _describes(path: Path) -> bool:
    text = head(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return _NAMES.search(text) is not None and _SETS.search(text) is not None
    return path.suffix == ".data" and {"names", "train"} <= _assignments(text).keys()


def read_description(path: Path) -> Description | None:
    """Return the description of a set; None if it is none.

    Raises:
        DataError: The file that describes it cannot be read.
    """
    file = description_file(path)
    if file is None:
        return _of_folders(path) if path.is_dir() else None
    return _of_darknet(file) if file.suffix == ".data" else _of_yaml(file)


def _of_yaml(file: Path) -> Description:
    try:
        given = yaml.safe_load(content(file))
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise DataError(
            f"is no YAML: {getattr(error, 'problem', None) or error}",
            where=f"{file}:{mark.line + 1}" if mark else str(file),
        ) from error
    if not isinstance(given, dict):
        raise DataError("is no table of 'names', 'train' and 'val'", where=str(file))
    home = Path(os.path.abspath(file.parent))  # noqa: PTH100 - links stay as they are
    sets = [
        (split_name(key), value)
        for key, values in given.items()
        for value in (values if isinstance(values, list) else [values])
        if isinstance(value, str) and _is_set(key, value)
    ]
    keypoints = given.get("kpt_shape")
    posed = isinstance(keypoints, list) and all(type(value) is int for value in keypoints)
    return Description(
        home=home,
        base=_base(home, given.get("path")),
        sets=tuple(sets),
        names=_names(given.get("names"), given.get("nc"), file),
        pose_columns=5 + keypoints[0] * keypoints[-1] if posed and keypoints else 0,
    )


def _is_set(key: object, value: str) -> bool:
    return isinstance(key, str) and (
        key in SPLIT_KEYS or (key not in OTHER_KEYS and value.endswith(".txt"))
    )


def _base(home: Path, given: object) -> Path:
    found = home / given if isinstance(given, str) and given else home
    return Path(os.path.normpath(found)) if found.is_dir() else home


def _names(given: object, count: object, file: Path) -> dict[int, str]:
    if not isinstance(given, list | dict):
        return {index: str(index) for index in range(count)} if type(count) is int else {}
    pairs = dict(enumerate(given) if isinstance(given, list) else given.items())
    for number, name in pairs.items():
        if not str(number).isdecimal() or not isinstance(name, str | int | float):
            raise DataError(
                "'names' is no list of names, and no table of numbers and names", where=str(file)
            )
    return {int(number): str(pairs[number]) for number in sorted(pairs, key=int)}


def _assignments(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _of_darknet(file: Path) -> Description:
    given = _assignments(load_text(file))
    home = Path(os.path.abspath(file.parent))  # noqa: PTH100 - links stay as they are
    places = {"train": "train", "valid": "val", "test": "test"}
    names = next(ends_in(home, given["names"]), home / CLASS_FILES[1])
    return Description(
        home=home,
        base=home,
        sets=tuple((split, given[key]) for key, split in places.items() if key in given),
        names=_listed(names),
    )


def _listed(file: Path) -> dict[int, str]:
    lines = load_text(file).split("\n") if file.is_file() else []
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    return dict(enumerate(names))


def _of_folders(path: Path) -> Description | None:
    """Describe a set that has nothing but folders."""
    home = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
    pairs = [(folder.parent, folder) for name in LABEL_FOLDERS for folder in [home / name]]
    pairs += [
        (folder.parent, folder)
        for name in LABEL_FOLDERS
        for folder in sorted(home.glob(f"*/{name}"))
        if folder.parent.name in SPLIT_FOLDERS
    ]
    sets = [
        ("" if place == home else split_name(place.name), str(place / "images"))
        for place, folder in pairs
        if _has_labels(folder, deep=True)
    ]
    if not sets and _has_labels(home, deep=False):
        sets = [("", str(home))]
    files = (home / name for name in CLASS_FILES)
    names = _listed(next((file for file in files if file.is_file()), home / CLASS_FILES[0]))
    return Description(home, home, tuple(sets), names, is_declared=False) if sets else None


def _has_labels(folder: Path, *, deep: bool) -> bool:
    """Tell whether one of the first text files has a line of numbers as YOLO's have."""
    if not folder.is_dir():
        return False
    found = folder.rglob("*.txt") if deep else folder.glob("*.txt")
    files = islice((file for file in found if file.name not in CLASS_FILES), LOOKED_AT)
    texts = [head(file) for file in files]
    if deep and texts and not any(text.strip() for text in texts):
        return True  # a set of empty images
    return any(map(_starts_with_numbers, texts))


def _starts_with_numbers(text: str) -> bool:
    try:
        shapes = [parse_line(line) for line in text.splitlines()[:4]]
    except DataError:
        return False
    return any(shape is not None for shape in shapes)


def ends_in(home: Path, name: str) -> Iterator[Path]:
    """Yield what exists in a folder of the ends of a path, the longest first.

    Exports carry the folders of the machine they are meant for: ``data/train.txt`` beside which no
    ``data`` lies, ``../train/images`` that lies in this folder.
    """
    parts = [part for part in Path(name).parts if part not in ("..", "/", ".")]
    ends = (home.joinpath(*parts[start:]) for start in range(len(parts)))
    return (end for end in ends if exists(end))
