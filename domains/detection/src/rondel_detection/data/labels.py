"""The classes: one table between training index, source id and name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from rondel.errors import DataError

SourceId = int | str


@dataclass(frozen=True)
class LabelMap:
    """Contiguous training index, source id and name of each class.

    The index of a class is its position, from 0 without gaps; background is no class. Source ids
    are whatever the label files used (COCO's 1 to 90 with gaps, a MID, a name) and are restored on
    output.

    Args:
        names: Names by index, each once.
        ids: Source ids by index, each once; by default 1, 2, 3 ...
        groups: Supercategory by index, where the source has any.

    Raises:
        DataError: A name or an id occurs twice.
    """

    names: tuple[str, ...]
    ids: tuple[SourceId, ...] = ()
    groups: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.ids:
            object.__setattr__(self, "ids", tuple(range(1, len(self.names) + 1)))
        for what, values in (("name", self.names), ("id", self.ids)):
            double = sorted({str(value) for value in values if values.count(value) > 1})
            if double:
                raise DataError(
                    f"the class {what}s {', '.join(map(repr, double))} occur twice",
                    hint="Give every class a name and an id of its own.",
                )
        if len(self.ids) != len(self.names):
            raise DataError(f"{len(self.names)} class names have {len(self.ids)} ids")

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.names)

    @classmethod
    def of(cls, classes: Mapping[SourceId, str]) -> Self:
        """Make a map of ``{source id: name}``, in its order."""
        return cls(tuple(classes.values()), tuple(classes))

    def index_of_name(self, name: str) -> int:
        """Return the training index of a class.

        Raises:
            DataError: There is no class of that name; the nearest one is named.
        """
        try:
            return self.names.index(name)
        except ValueError:
            close = difflib.get_close_matches(name, self.names, n=1)
            known = ", ".join(map(repr, self.names[:20]))
            raise DataError(
                f"there is no class {name!r}",
                hint=f"Did you mean {close[0]!r}?" if close else f"The classes are {known}.",
            ) from None

    def subset(self, names: Iterable[str]) -> Self:
        """Return the map of the named classes alone, in the given order.

        Raises:
            DataError: There is no class of that name.
        """
        chosen = [self.index_of_name(name) for name in names]
        groups = {new: self.groups[old] for new, old in enumerate(chosen) if old in self.groups}
        return type(self)(
            tuple(self.names[i] for i in chosen), tuple(self.ids[i] for i in chosen), groups
        )

    def to_json(self) -> dict[str, Any]:
        """Describe the map as plain values; `from_json` reads it."""
        return {
            "names": list(self.names),
            "ids": list(self.ids),
            "groups": {str(index): group for index, group in self.groups.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        names: Sequence[str] = content["names"]
        groups = {int(index): group for index, group in content.get("groups", {}).items()}
        return cls(tuple(names), tuple(content["ids"]), groups)
