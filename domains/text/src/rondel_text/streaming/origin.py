"""Files that are read some rows at a time: which rows there are, and on which side they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondel import DataManifest
from rondel.data_manifest import DataPart, hash_files
from rondel.errors import ConfigError, DataError
from rondel_text.config import TextConfig
from rondel_text.data.chunks import Files
from rondel_text.data.columns import number_of
from rondel_text.data.reading import split_of
from rondel_text.data.rows import Rows
from rondel_text.data.source import MOST_CLASSES, SPLIT, chosen_split, divided_by, named_splits

READING = ("format", "documents", "held_out", "bad_rows")
"""The config keys that say which rows of some files are used."""


@dataclass(frozen=True)
class Origin:
    """Files that are read some rows at a time.

    Args:
        config: How they are read and divided.
        path: Where the config says that the data is.
        data: The files to learn from.
        validation: Those to evaluate on; None if the rows of ``data`` are divided.
    """

    config: TextConfig
    path: Path
    data: Files
    validation: Files | None

    @classmethod
    def of(cls, config: TextConfig) -> Origin:
        """Find the files of a config.

        Raises:
            ConfigError: It names none, or their format is read as a whole.
            DataError: There are none.
        """
        if config.data is None:
            raise ConfigError(
                "the embedded sets are in memory",
                where="streaming",
                hint="Name data of your own, or leave streaming out.",
            )
        others = None if config.validation is None else Files.of(config, config.validation)
        return cls(config, config.data, Files.of(config, config.data), others)

    @property
    def all_files(self) -> list[Files]:
        """The files to learn from, then those to evaluate on, if there are such."""
        return [self.data] if self.validation is None else [self.data, self.validation]

    @property
    def names(self) -> list[str]:
        """The name of every file, by its number."""
        return [str(path) for files in self.all_files for path in files.paths]

    def reading(self) -> dict[str, Any]:
        """Return the settings that say which rows there are."""
        return {key: getattr(self.config, key) for key in READING}

    def stamps(self) -> list[Any]:
        """Return what tells changed files from the same ones, without reading all of them."""
        return [files.stamps() for files in self.all_files]

    def divided(self, overview: Overview) -> Iterator[tuple[int, Rows, Rows]]:
        """Yield all rows, some at a time: number of the file, rows to learn from, others."""
        config = self.config
        for chunk in self.data.chunks(overview.columns):
            if self.validation is not None:
                yield chunk.file, chunk.rows, chunk.rows.take(())
                continue
            chosen, share = overview.chosen, config.held_out
            sides = divided_by(chunk.rows, chosen, held_out=share, column=config.text)
            yield chunk.file, *sides
        if self.validation is not None:
            for chunk in self.validation.chunks(overview.others):
                yield len(self.data.paths) + chunk.file, chunk.rows.take(()), chunk.rows

    def manifest(self, samples: int) -> DataManifest:
        """Hash all files."""
        parts = parts_of(self.data, self.path)
        if self.validation is not None and self.config.validation is not None:
            others = parts_of(self.validation, self.config.validation)
            parts += [DataPart(f"validation/{part.name}", part.bytes, part.hash) for part in others]
        return DataManifest.of(self.path.name, parts, samples=samples)

    def check_unchanged(self, stamps: list[Any]) -> None:
        """Refuse files that were written to while they were read.

        Raises:
            DataError: They were.
        """
        if self.stamps() != stamps:
            raise DataError(
                "was changed while it was read",
                where=str(self.path),
                hint="Start again when it is written.",
            )


def parts_of(files: Files, path: Path) -> list[DataPart]:
    """Hash files, named from the folder that they were found in."""
    return list(hash_files(files.paths, path if path.is_dir() else path.parent).files)


@dataclass(frozen=True)
class Overview:
    """What has to be known of all rows before any of them is used.

    Args:
        columns: All of them, in the order in which they appear.
        others: Those of the files to evaluate on.
        chosen: The named split to evaluate on, if the rows have one.
    """

    columns: tuple[str, ...]
    others: tuple[str, ...]
    chosen: str | None


def overview_of(origin: Origin) -> tuple[Overview, Rows]:
    """Read all rows once; return an example beside, by which their task is told as by all."""
    columns: dict[str, None] = {}
    told: set[str | None] = set()
    labels = LabelCells()
    for chunk in origin.data.chunks():
        columns |= dict.fromkeys(chunk.rows.columns)
        labels.add(chunk.rows.columns.get(origin.config.label, ()))
        told.update(named_splits(chunk.rows) if SPLIT in chunk.rows.columns else ())
    if SPLIT not in columns:
        told.update(split_of(path) for path in origin.data.paths)
    others: dict[str, None] = {}
    for chunk in origin.validation.chunks() if origin.validation is not None else ():
        others |= dict.fromkeys(chunk.rows.columns)
    found = labels.kept()
    example = {
        name: found if name == origin.config.label else [None] * len(found) for name in columns
    }
    overview = Overview(tuple(columns), tuple(others), chosen_split(told))
    return overview, Rows.of(example, name=origin.names[0])


class LabelCells:
    """A few of the cells of a column of labels, by which `task_of_labels` judges as by all."""

    def __init__(self) -> None:
        self._distinct: dict[str, Any] = {}
        self._telling: dict[str, Any] = {}

    def add(self, found: Any) -> None:
        """Look at cells."""
        for cell in found:
            if isinstance(cell, list | tuple):
                self._telling.setdefault("list", cell)
            elif cell not in (None, "") and number_of(cell) is None:
                self._telling.setdefault("word", cell)
            if cell not in (None, "") and len(self._distinct) <= MOST_CLASSES:
                self._distinct.setdefault(str(cell), cell)

    def kept(self) -> list[Any]:
        """Return the cells."""
        return [*self._distinct.values(), *self._telling.values()]
