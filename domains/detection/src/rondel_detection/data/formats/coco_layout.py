"""Where the files of a COCO set lie: labels, their splits, and the folders of their images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rondel_detection.data.formats.files import head, holds, split_name, tail

LOOKED_AT = 20
"""JSON files of a folder whose beginning is looked at, at most."""
_SET = re.compile(r"(?:instances|image_info|lvis_v[^_]*)_(.+)")


@dataclass(frozen=True)
class LabelFile:
    """One COCO file.

    Args:
        path: Where it is.
        split: The split of all its images.
        folders: Where below the root its images may lie; the first that has one is taken.
    """

    path: Path
    split: str = ""
    folders: tuple[str, ...] = ("",)


def kind_of(path: Path) -> str:
    """Return what a file looks like: 'coco', 'lvis', 'results' (detections without images), ''."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return ""
    start = head(path).lstrip()
    if start.startswith("["):
        first = start[: start.find("}") + 1]
        wanted = ('"image_id"', '"category_id"', '"score"')
        return "results" if all(word in first for word in wanted) else ""
    # in a large file only two of the three lists are seen: one begins it, one ends it
    seen = start + tail(path)
    has_images = '"images"' in seen or '"file_name"' in seen or '"coco_url"' in seen
    has_labels = '"annotations"' in seen or '"categories"' in seen or '"category_id"' in seen
    if not start.startswith("{") or not (has_images and has_labels):
        return ""
    federated = '"neg_category_ids"' in seen or ('"synset"' in seen and '"frequency"' in seen)
    return "lvis" if federated else "coco"


def label_files(folder: Path, kind: str) -> list[LabelFile]:
    """Return the label files of one kind ('coco' or 'lvis') in a folder, in order."""
    if not folder.is_dir():
        return []
    for found in (_annotations_folder(folder), _roboflow_folders(folder), _lone_files(folder)):
        chosen = [made for made in found if kind_of(made.path) == kind]
        if chosen:
            return chosen
    return []


def _annotations_folder(folder: Path) -> list[LabelFile]:
    """Find COCO's own layout; beside ``instances_*`` there lie the files of other tasks."""
    every = sorted((folder / "annotations").glob("*.json"))[:LOOKED_AT]
    named = [path for path in every if _SET.fullmatch(path.stem)]
    named.sort(key=lambda path: path.stem.startswith("image_info"))  # whose images may be far
    return [_in_split(path) for path in named or every]


def _in_split(path: Path) -> LabelFile:
    match = _SET.fullmatch(path.stem)
    name = match[1] if match else path.stem
    split = split_name(name)
    folders = ("", name, split, "images", f"images/{name}", f"images/{split}", f"{split}/images")
    return LabelFile(path, split, tuple(dict.fromkeys(folders)))


def _roboflow_folders(folder: Path) -> list[LabelFile]:
    beside = folder / "_annotations.coco.json"
    if beside.is_file():
        return [LabelFile(beside)]
    return [
        LabelFile(path, split_name(path.parent.name), (path.parent.name,))
        for path in sorted(folder.glob("*/_annotations.coco.json"))
    ]


def _lone_files(folder: Path) -> list[LabelFile]:
    """Find files such as ``labels.json``; several of them are several splits."""
    paths = sorted(folder.glob("*.json"))[:LOOKED_AT]
    chosen = [path for path in paths if kind_of(path) in ("coco", "lvis")]
    if len(chosen) == 1:
        return [LabelFile(chosen[0], "", ("", "images", "data"))]
    return [_in_split(path) for path in chosen]


def image_root(path: Path, names: Sequence[str]) -> Path:
    """Return the folder that image names are relative to: the first that holds one of them."""
    if path.is_dir():
        return path
    near, above = path.parent, path.parent.parent
    match = _SET.fullmatch(path.stem)
    ends = [match[1], split_name(match[1])] if match else [path.stem]
    tried = [near, near / "images", near / "data"]
    for start in (near, near / "images", above, above / "images"):
        tried += [start, *(start / end for end in ends if end)]
    return next((root for root in tried if holds_any(root, names)), near)


def holds_any(root: Path, names: Sequence[str]) -> bool:
    """Tell whether one of the first images is in a folder."""
    return root.is_dir() and any(holds(root, name) for name in names[:5])


def image_folder(root: Path, file: LabelFile, names: Sequence[str]) -> str | None:
    """Return the folder below the root in which the images of a file lie, None if in none."""
    for folder in file.folders:
        if holds_any(root / folder if folder else root, names):
            return folder
    return None
