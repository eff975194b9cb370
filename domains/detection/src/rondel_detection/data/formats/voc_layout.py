"""Where the files of a VOC set lie: XML files, images, and the lists of the splits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rondel_detection.data.formats.files import image_names, load_text, plain_name, split_name
from rondel_detection.data.formats.format import Source
from rondel_detection.data.loss_report import LossReport

IMAGE_FOLDERS = ("JPEGImages", "images")
SPLIT_FOLDERS = frozenset({"train", "val", "valid", "validation", "test"})
"""Folders of a set without lists that are its splits, as Roboflow's are."""


@dataclass(frozen=True)
class Devkit:
    """A folder of XML files and what belongs to it.

    Args:
        labels: The folder of the XML files.
        root: The folder that image paths are relative to.
        prefix: The folder of the images below the root; ``""`` is the root itself.
        sets: The folder of the lists of the images of each split.
    """

    labels: Path
    root: Path
    prefix: str = ""
    sets: Path | None = None

    def stem_of(self, file: Path) -> str:
        """Return the id of an XML file: its path below the folder, without suffix."""
        return without_suffix(file.relative_to(self.labels).as_posix())

    def implied_split(self, stem: str) -> str:
        """Return the split that the folder of a file means where there are no lists."""
        folder, _, rest = stem.partition("/")
        implied = rest and self.sets is None and folder in SPLIT_FOLDERS
        return split_name(folder) if implied else ""


def without_suffix(name: str) -> str:
    """Return a path without the suffix of the file."""
    return str(PurePosixPath(name).with_suffix(""))


def devkits(source: Source) -> Iterator[Devkit]:
    """Yield the devkit in a folder, those of several years in it, or the folder as one."""
    path = source.path
    years = [folder.parent for folder in sorted(path.glob("*/Annotations")) if folder.is_dir()]
    if (path / "Annotations").is_dir():
        yield Devkit(path / "Annotations", source.images or _image_folder(path), sets=_sets(path))
    elif years:
        root = source.images or path
        for year in years:
            below = _image_folder(year).relative_to(path).as_posix()
            prefix = below if (root / below).is_dir() else ""
            yield Devkit(year / "Annotations", root, prefix, _sets(year))
    else:
        has_images = source.images is not None or bool(image_names(path))
        beside = path if has_images else _image_folder(path.parent, otherwise=path)
        yield Devkit(path, source.images or beside)


def devkit_of(source: Source) -> Devkit:
    """Return the devkit that a single XML file belongs to."""
    folder = source.path.parent
    root = _image_folder(folder.parent) if folder.name == "Annotations" else folder
    return Devkit(folder, source.images or root)


def _image_folder(path: Path, *, otherwise: Path | None = None) -> Path:
    tried = (path / name for name in IMAGE_FOLDERS)
    return next((folder for folder in tried if folder.is_dir()), otherwise or path)


def _sets(path: Path) -> Path | None:
    tried = (path / "ImageSets" / "Main", path / "ImageSets")
    return next((folder for folder in tried if folder.is_dir()), None)


class ImageFiles:
    """The image files of a devkit, found by whatever their XML file calls them."""

    def __init__(self, kit: Devkit) -> None:
        self.names = image_names(kit.root / kit.prefix)
        self.known = frozenset(self.names)
        self.by_stem: dict[str, str] = {}
        self.by_end: dict[str, str] = {}
        for name in self.names:
            self.by_stem.setdefault(without_suffix(name), name)
            self.by_end.setdefault(PurePosixPath(name).name, name)

    def find(self, stem: str, given: str) -> str:
        """Return an image by the id of its XML file and the name that stands in it.

        The name may lack its suffix, or be that of the file before somebody renamed it. An image
        that is not there is called as the XML file says.
        """
        name = PurePosixPath(plain_name(given)).name
        near = str(PurePosixPath(stem).parent / name) if name else stem
        for found in (near, name, stem):
            if found in self.known:
                return found
        for found in (near, stem):
            if found in self.by_stem:
                return self.by_stem[found]
        return self.by_end.get(name, near)


def splits_of(kit: Devkit, known: frozenset[str], losses: LossReport) -> dict[str, str]:
    """Return the split of each id in the lists of a devkit.

    An image in several lists belongs to the first; ``trainval`` is only the sum of two others and
    counts last.
    """
    splits: dict[str, str] = {}
    files = sorted(kit.sets.glob("*.txt")) if kit.sets else []
    for file in sorted(files, key=lambda file: file.stem == "trainval"):
        for stem in _listed(load_text(file), known):
            if stem not in known:
                losses.add("image of a split is not there", f"{file.name}: {stem}")
            earlier = splits.setdefault(stem, split_name(file.stem))
            if earlier != split_name(file.stem) and file.stem != "trainval":
                losses.add("image stays in the first of its splits", f"{file.name}: {stem}")
    return splits


def _listed(text: str, known: frozenset[str]) -> list[str]:
    """Return the ids in a list; none if it says of one class where it occurs (``2007_000032 -1``)."""
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    first = lines[0] if lines else ""
    name, _, mark = first.strip().rpartition(" ")
    if first not in known and mark in ("-1", "0", "1") and name.strip() in known:
        return []
    return [line if line in known else line.strip() for line in lines]
