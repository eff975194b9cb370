"""Rows from a file or a folder of any known format: the way in to all readers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rondel.errors import DataError, UsageError
from rondel_text.data.formats.format import FORMATS, Format, format_named, format_of
from rondel_text.data.formats.source import Documents, Source
from rondel_text.data.rows import Rows

SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "testa": "valid",  # so in CoNLL-2003
    "test": "test",
    "testb": "test",
}
"""The split that a word in the name of a file means."""
_ABOUT = {"readme", "license", "licence", "copying", "changelog", "citation"}  # not data


def read_rows(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002 - the word that the config has for it
    documents: Documents = "file",
) -> Rows:
    """Read a file, or all files of one format below a folder, in the order of their names.

    Args:
        path: The file or folder. Hidden files, and those named README or LICENSE, are skipped.
        format: The name of a format; by default it is recognised by name and content.
        documents: What a document is in plain text: the file, each line, or what stands between
            blank lines.

    Raises:
        UsageError: There is no such format, or ``documents`` does not fit it.
        DataError: The data cannot be read; the message names file and line.
    """
    files, made = files_of(path, format=format, documents=documents)
    return Rows.join([_read(made, Source(file, documents)) for file in files])


def files_of(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002 - the word that the config has for it
    documents: Documents = "file",
) -> tuple[list[Path], Format]:
    """Return the files that `read_rows` reads, and their format.

    Raises:
        UsageError: There is no such format, or ``documents`` does not fit it.
        DataError: There is no such path, its format is unknown, or a folder holds several.
    """
    files, made = _find(path, None if format is None else format_named(format))
    _check_documents(documents, made)
    return files, made


def recognise(path: Path) -> str:
    """Return the name of the format of a file, or of the files in a folder.

    Raises:
        DataError: There is no such path, its format is unknown, or a folder holds several.
    """
    return _find(path, None)[1].name


def split_of(path: Path) -> str | None:
    """Return the split that a file's name means: train, valid or test.

    ``en_ewt-ud-dev.conllu`` is valid; a name that means none, or several, gives None.

    >>> split_of(Path("data/train-00000-of-00002.parquet"))
    'train'
    """
    words = re.findall(r"[a-z]+", path.name.lower())
    found = {SPLITS[word] for word in words if word in SPLITS}
    return found.pop() if len(found) == 1 else None


def _read(made: Format, source: Source) -> Rows:
    rows = made.read(source)
    if not len(rows):
        why = f" ({'; '.join(rows.notes)})" if rows.notes else ""
        raise DataError(
            f"has no rows{why}",
            where=str(source.path),
            hint=f"It was read as {made.title}: look at how it was exported.",
        )
    return rows


def _find(path: Path, made: Format | None) -> tuple[list[Path], Format]:
    """Return the files of a path and their format."""
    if not path.exists():
        raise DataError("there is no such file or folder", where=str(path), hint=_nearest(path))
    if path.is_dir():
        return _find_below(path, made)
    made = made or format_of(path)
    if made is None:
        raise DataError(
            "is of no format that is known here",
            where=str(path),
            hint=f"Name its format: one of {', '.join(FORMATS)}.",
        )
    return [path], made


def _find_below(folder: Path, made: Format | None) -> tuple[list[Path], Format]:
    files = _files_below(folder)
    if made is not None:
        found = [file for file in files if file.suffix.lower() in made.suffixes]
        if not found:
            raise _nothing(folder, files, f"{made.title} ({', '.join(made.suffixes)})")
        return found, made
    by_format: dict[str, list[Path]] = {}
    for file in files:
        recognised = format_of(file)
        if recognised is not None:
            by_format.setdefault(recognised.name, []).append(file)
    if not by_format:
        raise _nothing(folder, files, "a known format")
    if len(by_format) > 1:
        examples = [
            f"{name} ({len(found)}, like {found[0].name})" for name, found in by_format.items()
        ]
        raise DataError(
            f"holds files of {len(by_format)} formats: {', '.join(examples)}",
            where=str(folder),
            hint="Name the format to read, or one file.",
        )
    name, found = by_format.popitem()
    return found, FORMATS[name]


def _files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and those below it that can be data, in order."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and file.stem.lower() not in _ABOUT
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def _nothing(folder: Path, files: Sequence[Path], what: str) -> DataError:
    names = [str(file.relative_to(folder)) for file in files[:5]]
    there = f"It holds {', '.join(names)}{', ...' if len(files) > 5 else ''}" if names else ""
    return DataError(
        f"holds no file of {what}",
        where=str(folder),
        hint=f"{there or 'It holds no files'}: name a file, or another folder.",
    )


def _nearest(path: Path) -> str:
    """Say what a missing path may have been meant to be."""
    if not path.parent.is_dir():
        return f"There is no folder {str(path.parent)!r} either."
    names = sorted(other.name for other in path.parent.iterdir())
    close = difflib.get_close_matches(path.name, names, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    if not names:
        return "The folder is empty."
    return f"The folder has {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}."


def _check_documents(documents: str, made: Format) -> None:
    known = get_args(Documents)
    if documents not in known:
        raise UsageError(
            f"documents={documents!r} is unknown", hint=f"Known are {', '.join(known)}."
        )
    if documents != "file" and made.name != "text":
        raise UsageError(
            f"documents={documents!r} does not fit {made.title}, which has rows of its own",
            hint="Leave it out, or say format='text'.",
        )
