"""The categories of several COCO files as one table of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rondel_detection.data.formats.coco_columns import Annotation, source_id
from rondel_detection.data.labels import LabelMap, SourceId
from rondel_detection.data.loss_report import LossReport


class Classes:
    """Collects categories; a class is known by its name, whatever its id is in each file.

    Args:
        losses: Where what cannot be kept is listed.
    """

    def __init__(self, losses: LossReport) -> None:
        self.losses = losses
        self.index: dict[str, int] = {}  # by name
        self.ids: list[SourceId] = []
        self.groups: dict[int, str] = {}

    def add(
        self, categories: object, annotations: Sequence[Annotation], place: str
    ) -> Mapping[Any, int]:
        """Add the categories of a file and return the index of each source id."""
        if not isinstance(categories, list) or not categories:
            categories = self._made_up(annotations, place)
        rows: dict[Any, int] = {}
        names: set[str] = set()  # of this file
        for category in categories:
            source = source_id(category.get("id")) if isinstance(category, dict) else None
            if source is None or source in rows:
                self.losses.add("category without an id of its own is left out", place)
                continue
            name = str(category.get("name", source))
            if name in names:
                self.losses.add("categories of one name became one class", f"{place}: {name!r}")
            names.add(name)
            rows[source] = self._row(name, source, place)
            group = category.get("supercategory")
            if isinstance(group, str) and group:
                self.groups.setdefault(rows[source], group)
        return rows

    def labels(self) -> LabelMap:
        """Return the table of the classes."""
        return LabelMap(tuple(self.index), tuple(self.ids), self.groups)

    def _made_up(self, annotations: Sequence[Annotation], place: str) -> list[dict[str, Any]]:
        found = {source_id(annotation.get("category_id")) for annotation in annotations}
        if annotations:
            self.losses.add("no categories: classes are named by their id", place)
        known = [value for value in found if value is not None]
        return [
            {"id": value} for value in sorted(known, key=lambda value: (str(type(value)), value))
        ]

    def _row(self, name: str, source: SourceId, place: str) -> int:
        """Return the row of a class, a new one if there is none of that name."""
        if name not in self.index:
            self.index[name] = len(self.ids)
            taken = source in self.ids
            self.ids.append(self._free_id() if taken else source)
            if taken:
                self.losses.add("class id that two files use differently is changed", place)
        elif self.ids[self.index[name]] != source:
            self.losses.add("class id that differs between files is changed", place)
        return self.index[name]

    def _free_id(self) -> int:
        return max((value for value in self.ids if isinstance(value, int)), default=0) + 1
