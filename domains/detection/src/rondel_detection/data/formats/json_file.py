"""JSON label files: read with the place of what is wrong, recognised by their first keys."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from rondel.errors import DataError
from rondel_detection.data.formats.files import head
from rondel_detection.data.formats.label_file import content, write_bytes
from rondel_detection.data.loss_report import LossReport

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|["{}\[\]:]', re.DOTALL)


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        DataError: It cannot be read, is a .zip, or no JSON; the place names line and column.
    """
    text = content(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"is no JSON: {error.msg}",
            where=f"{path}:{error.lineno}:{error.colno}",
            hint="The file is damaged or cut off: export it again.",
        ) from error
    except UnicodeDecodeError as error:
        before = text[: error.start]
        column = error.start - before.rfind(b"\n")
        raise DataError(
            f"is no JSON: the byte 0x{text[error.start]:02x} is no {error.encoding}",
            where=f"{path}:{before.count(10) + 1}:{column}",
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deep, a number of 5,000 digits
        raise DataError(f"is no JSON that can be read: {error}", where=f"{path}:1:1") from error


def write_json(path: Path, value: Any, *, indent: int | None = None) -> None:
    """Write a JSON file, the same bytes for the same value; a list has a line for each item."""
    # with an indent, json encodes in Python, which takes several times as long
    clean = plain(value)
    if isinstance(clean, list) and indent is None:
        text = "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in clean) + "\n]"
    else:
        text = json.dumps(clean, ensure_ascii=False, indent=indent)
    # a lone surrogate, which JSON can spell and UTF-8 cannot, is left spelled
    write_bytes(path, text.encode("utf-8", "backslashreplace") + b"\n")


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: numpy numbers become numbers, NaN becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def score_of(value: object, losses: LossReport, place: str) -> float:
    """Return a score; NaN if there is none, and listed if it is no number."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not number:
        losses.add("score that is no number was dropped", place)
    return float(value) if number else math.nan  # type: ignore[arg-type]


def first_keys(path: Path) -> tuple[str, frozenset[str]]:
    """Return ``"object"`` or ``"list"``, and the keys of the object, or of the list's first one.

    Only the beginning of the file is looked at: keys behind it are missing. What is no JSON object
    and no list of objects gives ``""``. Never raises.
    """
    text = head(path)
    opening = re.match(r"\s*(?:(\[)\s*)?\{", text)
    if path.suffix.lower() != ".json" or opening is None:
        return "", frozenset()
    keys: set[str] = set()
    depth, last = 1, ""
    for found in _TOKEN.findall(text, opening.end()):
        if found == '"' or not depth:
            break  # the text ends within a string, or the object is over
        if found == ":" and depth == 1:
            keys.add(last)
        last = found[1:-1] if found[0] == '"' else ""
        depth += (found in "{[") - (found in "}]")
    return ("list" if opening[1] else "object"), frozenset(keys)
