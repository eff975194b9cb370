"""Where the images of a YOLO set and their label files lie.

An image has its labels where the folder ``images`` in its path is called ``labels``, or beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rondel_detection.data.formats.files import (
    holds,
    image_names,
    is_file,
    load_text,
    plain_name,
    tail_in,
)
from rondel_detection.data.formats.yolo_description import (
    CLASS_FILES,
    LABEL_FOLDERS,
    SPLIT_FOLDERS,
    Description,
    ends_in,
)
from rondel_detection.data.loss_report import LossReport


@dataclass(frozen=True)
class Entry:
    """An image of a set.

    Args:
        file: Relative to the root of the images.
        label: Its label file; None if there is none.
        split: Its split.
    """

    file: str
    label: Path | None
    split: str


class Layout:
    """The images of a set.

    Args:
        description: The set.
        images: The folder of the images, if it was named.
        losses: Where is listed what is not as it is described.
    """

    def __init__(self, description: Description, images: Path | None, losses: LossReport) -> None:
        self.description = description
        self.home = description.home
        self.images = images
        self.losses = losses
        self.entries: list[Entry] = []
        self._lists: set[Path] = set()
        found = [(split, name, self._resolve(name)) for split, name in description.sets]
        self.root = images or self._root([path for _, _, path in found if path])
        for split, name, path in found:
            self._add(split, name, path)
        self._list_orphans([path for _, _, path in found if path and path.is_dir()])

    def _resolve(self, name: str) -> Path | None:
        """Return the folder or list that a description names."""
        plain = plain_name(name)
        direct = [
            Path(os.path.normpath(base / plain)) for base in (self.description.base, self.home)
        ]
        existing = [path for path in direct if path.exists()]
        if plain.startswith(".."):
            # Roboflow's '../train/images' lies in this folder
            existing = [*ends_in(self.home, plain), *existing]
        return next(iter([*existing, *ends_in(self.home, plain)]), None)

    def _root(self, found: list[Path]) -> Path:
        """Return the folder of all images: that of the set, or what holds its folders."""
        base = self.description.base
        folders = [path for path in found if path.is_dir()]
        if all(path.is_relative_to(base) for path in folders):
            return base
        return Path(os.path.commonpath(folders))

    def _add(self, split: str, name: str, path: Path | None) -> None:
        if path is not None and path.is_file():
            self._add_list(path, split)
        elif path is not None:
            self._add_folder(path, path, split)
        elif self.images is not None:
            ends = ends_in(self.images, plain_name(name))
            folder = next((end for end in ends if end.is_dir()), self.images)
            self._add_folder(folder, self.description.base / plain_name(name), split)
        else:
            self.losses.add("folder or list of a split is not there", f"{split}: {name}")

    def _add_folder(self, folder: Path, seen_as: Path, split: str) -> None:
        """Add the images in a folder, as if they lay where the set expects them."""
        for name in image_names(folder):
            first = name.partition("/")[0]
            implied = first if first in SPLIT_FOLDERS and not self.description.is_declared else ""
            self._add_image(seen_as / name, split or implied)

    def _add_list(self, file: Path, split: str) -> None:
        self._lists.add(file)
        for line in load_text(file).split("\n"):
            name = plain_name(line.strip("\r")) if line.strip() else ""
            if name:
                near = line.startswith(("./", ".\\")) or self.description.base == self.home
                base = file.parent if near else self.description.base
                path = Path(os.path.normpath(base / name))
                elsewhere = () if is_file(path) else ends_in(self.home, name)
                self._add_image(next(iter(elsewhere), path), split)

    def _add_image(self, path: Path, split: str) -> None:
        if not path.name:
            return
        file = self._file_of(path)
        places = (place for place in self._labels_of(path, file) if place not in self._lists)
        label = next((place for place in places if is_file(place)), None)
        self.entries.append(Entry(file, label, split))

    def _file_of(self, path: Path) -> str:
        """Return an image's path below the root; one that leads out of it stays absolute."""
        if self.images is None:
            inside = path.is_relative_to(self.root)
            if not inside and path.is_relative_to(self.home):
                found = tail_in(self.root, path.relative_to(self.home).as_posix())
                return found or path.as_posix()
            return path.relative_to(self.root).as_posix() if inside else path.as_posix()
        name = (
            path.relative_to(self.home).as_posix() if path.is_relative_to(self.home) else str(path)
        )
        _, _, below = f"/{name}".partition("/images/")
        if below and holds(self.images, below):
            return below
        return tail_in(self.images, name) or below or name

    def _labels_of(self, path: Path, file: str) -> Iterator[Path]:
        """Yield where the labels of an image may lie, never outside of the set."""
        places = (self.home, self.description.base, self.root)
        if any(path.is_relative_to(place) for place in places):
            yield from _replaced(path)
        name = PurePosixPath(file)
        if not name.is_absolute() and ".." not in name.parts and name.name:
            yield self.home / "labels" / name.with_suffix(".txt")
            yield from _replaced(self.root / file)
        for label in _replaced(path):
            yield from ends_in(self.home, str(label))

    def _list_orphans(self, folders: list[Path]) -> None:
        used = {entry.label for entry in self.entries}
        for folder in folders:
            for place in {label.parent for label in _replaced(folder / "x.jpg")}:
                for file in sorted(place.rglob("*.txt")) if place.is_dir() else ():
                    if file not in used and file.name not in CLASS_FILES:
                        self.losses.add("label file without an image is left out", str(file))


def _replaced(path: Path) -> Iterator[Path]:
    """Yield the label files that belong to the path of an image."""
    label = path.with_suffix(".txt")
    parts = label.parts
    if "images" in parts[:-1]:
        last = len(parts) - 1 - parts[::-1].index("images")
        for folder in LABEL_FOLDERS:
            yield Path(*parts[:last], folder, *parts[last + 1 :])
    yield label
