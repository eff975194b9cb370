"""Classes of formats that know them by name only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from rondel.errors import DataError
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.table import Annotations, TableBuilder


class ClassNames:
    """Numbers class names in the order in which they are met, and brings them in order at the end.

    Args:
        known: Names whose order is given.
        groups: Supercategories by name.
    """

    def __init__(self, known: Iterable[str] = (), groups: dict[str, str] | None = None) -> None:
        self.known = list(dict.fromkeys(name for name in known if name))
        self.groups = groups or {}
        self.names = list(self.known)
        self._index = {name: index for index, name in enumerate(self.names)}

    def index(self, name: object) -> int:
        """Return the provisional index of a class.

        Raises:
            DataError: It is no text, or empty; its text is the loss to list.
        """
        if not isinstance(name, str) or not name:
            raise DataError("shape without a label was dropped")
        if name not in self._index:
            self._index[name] = len(self.names)
            self.names.append(name)
        return self._index[name]

    def arrange(self, names: Iterable[str]) -> None:
        """Give the order of the classes afterwards; those that are not met become classes too."""
        self.known = list(dict.fromkeys(name for name in names if name))
        for name in self.known:
            self.index(name)

    def build(self, builder: TableBuilder) -> Annotations:
        """Make the table: known classes in their order, then the others by name."""
        names = self.known + sorted(set(self.names) - set(self.known))
        final = {name: index for index, name in enumerate(names)}
        groups = {final[name]: group for name, group in self.groups.items() if name in final}
        table = builder.build(LabelMap(tuple(names), groups=groups))
        order = np.array([final[name] for name in self.names], dtype=np.int64)
        label = order[table.boxes.label] if len(table.boxes) else table.boxes.label
        return replace(table, boxes=replace(table.boxes, label=label))
