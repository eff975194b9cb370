"""The table of formats: how each is recognised and read."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from rondel.errors import UsageError
from rondel_text.data.formats import (
    conll2003,
    conllu,
    csv_file,
    doccano,
    json_file,
    jsonl,
    labelstudio,
    parquet,
    plain_text,
    prodigy,
    squad,
)
from rondel_text.data.formats.source import Read, Recognise, Records
from rondel_text.data.formats.text_file import head


@dataclass(frozen=True)
class Format:
    """A format of text files.

    Args:
        name: On the command line and in the config.
        title: For people.
        suffixes: Of files that are read from a folder when the format is named.
        recognise: Tells whether a file is of the format.
        read: The reader.
        records: The reader that needs no memory for the whole file, where the format allows one.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    recognise: Recognise
    read: Read
    records: Records | None = None


_LINES = (*jsonl.LINES, ".json")
FORMATS: dict[str, Format] = {
    made.name: made
    for made in (
        Format("conllu", "CoNLL-U", (".conllu", ".conll", ".txt"), conllu.recognise, conllu.read),
        Format(
            "conll2003",
            "CoNLL-2003",
            (*conll2003.SUFFIXES, ".txt", ".tsv", ".train", ".testa", ".testb"),
            conll2003.recognise,
            conll2003.read,
        ),
        Format("prodigy", "Prodigy JSONL", _LINES, prodigy.recognise, prodigy.read),
        Format("doccano", "doccano JSONL", _LINES, doccano.recognise, doccano.read),
        Format(
            "labelstudio", "Label Studio JSON", (".json",), labelstudio.recognise, labelstudio.read
        ),
        Format("squad", "SQuAD JSON", (".json",), squad.recognise, squad.read),
        Format("jsonl", "JSON Lines", _LINES, jsonl.recognise, jsonl.read, jsonl.records),
        Format("json", "JSON", (".json",), json_file.recognise, json_file.read),
        Format("csv", "CSV", (".csv",), csv_file.recognise, csv_file.read, csv_file.records),
        Format(
            "tsv",
            "TSV",
            (".tsv", ".tab"),
            csv_file.recognise_tsv,
            csv_file.read_tsv,
            csv_file.records_tsv,
        ),
        Format(
            "parquet",
            "parquet",
            (".parquet", ".pq"),
            parquet.recognise,
            parquet.read,
            parquet.records,
        ),
        Format(
            "text",
            "plain text",
            (".txt", ".text", ".md"),
            plain_text.recognise,
            plain_text.read,
            plain_text.records,
        ),
    )
}
"""All formats in the order in which they are tried: a special case before the general one."""


def format_of(path: Path) -> Format | None:
    """Return the first format that recognises a file, if any does."""
    start = head(path)
    return next((made for made in FORMATS.values() if made.recognise(path, start)), None)


def format_named(name: str) -> Format:
    """Return a format by its name.

    Raises:
        UsageError: There is none of that name.
    """
    if name in FORMATS:
        return FORMATS[name]
    close = difflib.get_close_matches(name, FORMATS, n=1)
    known = f"Known are {', '.join(FORMATS)}."
    raise UsageError(
        f"there is no text format {name!r}",
        hint=f"Did you mean {close[0]!r}? {known}" if close else known,
    )
