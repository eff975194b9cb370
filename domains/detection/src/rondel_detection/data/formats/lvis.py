"""LVIS JSON (Gupta et al., 2019): COCO whose images were searched for some classes only."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from rondel_detection.data.formats.coco import read_files
from rondel_detection.data.formats.coco_columns import Annotation
from rondel_detection.data.formats.coco_layout import kind_of, label_files
from rondel_detection.data.formats.coco_writer import KEPT_FIELDS
from rondel_detection.data.formats.files import plain_name, relative_name
from rondel_detection.data.formats.format import Source
from rondel_detection.data.table import Annotations

FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")


def recognise(path: Path) -> str:
    """Say why a path is LVIS, or nothing."""
    what = "COCO JSON with the classes that each image was searched for, as LVIS has them"
    if path.is_file():
        return what if kind_of(path) == "lvis" else ""
    found = label_files(path, "lvis")
    return f"{relative_name(found[0].path, path)} is {what}" if found else ""


def read(source: Source) -> Annotations:
    """Read an LVIS file, or all of a folder.

    Which classes an image was searched for stays an attribute of the image; that no box of any
    other class means nothing is listed as lost.

    Raises:
        DataError: A file is no LVIS JSON.
    """
    table = read_files(source, "lvis", _file_name, (*KEPT_FIELDS, *FEDERATED))
    for key, meaning in (
        (FEDERATED[0], "classes that are known to be absent"),
        (FEDERATED[1], "classes of which not all objects are labelled"),
    ):
        rows = [row for row, kept in table.images.attributes.items() if kept.get(key)]
        if rows:
            table.losses.add(
                f"{meaning} are only an image attribute ({key})",
                table.image_place(rows[0]),
                count=len(rows),
            )
    return table


def _file_name(image: Annotation) -> str:
    name, url = image.get("file_name"), image.get("coco_url")
    if isinstance(name, str) and name:
        return plain_name(name)
    # .../train2017/000000391895.jpg: LVIS draws on several folders of COCO
    return "/".join(PurePosixPath(url).parts[-2:]) if isinstance(url, str) else ""
