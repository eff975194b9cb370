"""JSON in text files: objects with their lines, from a file of lines or from one list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_text.data.formats.text_file import is_blank, numbered_lines, read_text
from rondel_text.data.spans import span_of

JsonObject = dict[str, Any]
_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|["{}\[\]:]', re.DOTALL)
_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
_LINES = "Each line holds one whole JSON object; a file that is one JSON list has format 'json'."
_LIST = "The file holds one JSON list of objects; one with an object a line has format 'jsonl'."
_OBJECT = "The file holds one JSON object: export or download it again."
_LOOKED_AT = 50


def objects_of_lines(path: Path) -> Iterator[tuple[int, JsonObject]]:
    """Yield the object of each line that is not blank, with the line's number.

    Raises:
        DataError: The file cannot be read, or a line is not one JSON object.
    """
    yield from objects_in(numbered_lines(read_text(path)), path)


def objects_in(lines: Iterable[tuple[int, str]], path: Path) -> Iterator[tuple[int, JsonObject]]:
    """Yield the object of each line of a file that is not blank, with the line's number.

    Raises:
        DataError: A line is not one JSON object.
    """
    for number, line in lines:
        if is_blank(line):
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _refusal(error, where, _LINES) from error
        yield number, _object(value, line, where, _LINES)


def objects_of_list(path: Path) -> Iterator[tuple[int, JsonObject]]:
    """Yield the objects of a file that is one JSON list, each with its first line.

    Raises:
        DataError: The file cannot be read, or is not one list of objects.
    """
    text = read_text(path)
    line, counted = 1, 0
    try:
        for start, end, value in _items(text, path):
            line, counted = line + text.count("\n", counted, start), start
            yield line, _object(value, text[start:end], f"{path}:{line}", _LIST)
    except json.JSONDecodeError as error:
        raise _refusal(error, f"{path}:{error.lineno}", _LIST) from error


def object_of_file(path: Path) -> JsonObject:
    """Return the object that a whole file is.

    Raises:
        DataError: The file cannot be read, or is not one JSON object.
    """
    text = read_text(path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _refusal(error, f"{path}:{error.lineno}", _OBJECT) from error
    except (ValueError, RecursionError) as error:
        raise _refusal(error, str(path), _OBJECT) from error
    return _object(value, text, str(path), _OBJECT)


def text_in(row: JsonObject, where: str, key: str = "text") -> str:
    """Return the text of an object.

    Raises:
        DataError: It has none.
    """
    text = row.get(key)
    if isinstance(text, str):
        return text
    found = f"the {key!r} is {_kind(text)}, not a string" if key in row else f"has no {key!r}"
    raise DataError(
        found, where=where, hint=f"Found are {', '.join(map(repr, row)) or 'no keys at all'}."
    )


def names_in(value: object, where: str) -> list[str]:
    """Return a label, or a list of labels, as a list of strings; numbers become strings.

    Raises:
        DataError: It is neither.
    """
    values = value if isinstance(value, list) else [value]
    for name in values:
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise DataError(
                f"the label {name!r} is {_kind(name)}, not a string",
                where=where,
                hint="A label is a string, several are a list of strings.",
            )
    return [str(name) for name in values]


def spans_in(values: object, keys: tuple[str, str, str], where: str) -> list[list[Any]]:
    """Return spans as lists of start, end and label.

    Args:
        values: Such lists, or objects.
        keys: Of start, end and label in an object.
        where: Where they stand, for a message.

    Raises:
        DataError: They are malformed.
    """
    if not isinstance(values, list):
        raise DataError(
            f"the spans are {_kind(values)}, not a list",
            where=where,
            hint="A text without a span has an empty list.",
        )
    triples = (
        [item.get(key) for key in keys] if isinstance(item, dict) else item for item in values
    )
    return [list(span_of(triple, where)) for triple in triples]


def first_objects(head: str) -> list[JsonObject]:
    """Return those of the first lines of a text that are JSON objects; never raises."""
    found = []
    for line in head.split("\n", _LOOKED_AT)[:_LOOKED_AT]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue  # the last line may be cut off
        if isinstance(value, dict):
            found.append(value)
    return found


def first_keys_of_list(head: str) -> set[str]:
    """Return the keys of the first object of a list, as far as the text goes; never raises."""
    opening = re.match(r"\s*\[\s*\{", head)
    keys: set[str] = set()
    depth, last = 1, ""
    for found in _TOKEN.findall(head, opening.end()) if opening else ():
        if found == '"' or not depth:
            break  # the text ends within a string, or the object is over
        if found == ":" and depth == 1:
            keys.add(last)
        last = found[1:-1] if found[0] == '"' else ""
        depth += (found in "{[") - (found in "}]")
    return keys


def _items(text: str, path: Path) -> Iterator[tuple[int, int, Any]]:
    """Yield start, end and value of each item; json itself does not say where they stand."""
    at = _behind_blanks(text, 0)
    if not text.startswith("[", at):
        value, _ = _decoded(text, at, path)
        raise json.JSONDecodeError(f"it is {_kind(value)}, not a list", text, at)
    at = _behind_blanks(text, at + 1)
    while not text.startswith("]", at):
        value, end = _decoded(text, at, path)
        yield at, end, value
        at = _behind_blanks(text, end)
        if text.startswith("]", at):
            break
        if not text.startswith(",", at):
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _behind_blanks(text, at + 1)
    at = _behind_blanks(text, at + 1)
    if at < len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def _decoded(text: str, at: int, path: Path) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        raise  # it knows its place
    except (ValueError, RecursionError) as error:
        line = text.count("\n", 0, at) + 1
        raise _refusal(error, f"{path}:{line}", _LIST) from error


def _behind_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _object(value: object, text: str, where: str, hint: str) -> JsonObject:
    if not isinstance(value, dict):
        raise DataError(f"is {_kind(value)}, not an object", where=where, hint=hint)
    if "\\ud" in text or "\\uD" in text:
        _refuse_half_characters(value, where)
    return value


def _refuse_half_characters(value: JsonObject, where: str) -> None:
    r"""Refuse a lone half of a character, like "\ud83d", which no tokenizer can take."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"holds half a character, \\u{ord(error.object[error.start]):04x}",
            where=where,
            hint="A text was cut within a character: correct it there.",
        ) from error


def _refusal(error: Exception, where: str, hint: str) -> DataError:
    if isinstance(error, json.JSONDecodeError):
        what = f"is no JSON that can be used: {error.msg} (column {error.colno})"
        return DataError(what, where=where, hint=hint)
    if isinstance(error, RecursionError):
        return DataError(
            "is nested too deep",
            where=where,
            hint="Flatten it: a row holds texts, numbers and lists of them.",
        )
    return DataError(f"cannot be read: {error}", where=where, hint="Write such values as strings.")


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a number")
