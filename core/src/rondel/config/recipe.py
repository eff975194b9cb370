"""Recipes: TOML files of config values, read with the line of every key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from rondel.config.layer import Layer, dotted, split_key
from rondel.config.layer import Path as KeyPath
from rondel.errors import ConfigError

# strings first, so that brackets and signs inside them are not taken for structure
_VALUE_TOKEN = re.compile(
    r"""
    \"{3} (?: \\. | [^\\] )*? \"{3,5}
    | '{3} .*? '{3,5}
    | " (?: \\. | [^"\\\n] )* "
    | ' [^'\n]* '
    | \#[^\n]*
    | [\[\]{}\n]
    | [^"'\#\[\]{}\n]+
    """,
    re.DOTALL | re.VERBOSE,
)
_LOCATION = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


def read_recipe(path: str | Path) -> Layer:
    """Read a TOML recipe.

    Raises:
        ConfigError: The file is missing, no file, not UTF-8 or not valid TOML.
    """
    name = str(path)
    try:
        # utf-8-sig: editors on Windows put a byte order mark in front
        text = Path(path).read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        values = tomllib.loads(text)
    except FileNotFoundError as error:
        raise ConfigError("no such recipe", where=name, hint="Check the path.") from error
    except IsADirectoryError as error:
        raise ConfigError(
            "this is a directory", where=name, hint="Name the TOML file in it."
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=name) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start : error.start + 1]
        raise ConfigError(
            f"{byte!r} is not UTF-8", where=f"{name}:{line}", hint="Save the file as UTF-8."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(name, text, str(error)) from error
    return Layer(name, values, key_lines(text))


def key_lines(text: str) -> dict[str, int]:
    """Map each dotted key of a valid TOML text to the line on which it is set or opened."""
    lines: dict[str, int] = {}
    lengths: dict[KeyPath, int] = {}  # arrays of tables: how many tables so far
    table: KeyPath = ()
    position, line = 0, 1
    while position < len(text):
        if text[position].isspace():
            line += text[position] == "\n"
            position += 1
            continue
        if text[position] == "[":
            table, position = _header(text, position, lengths)
            lines.setdefault(dotted(table), line)
            if isinstance(table[-1], int):
                lines.setdefault(dotted(table[:-1]), line)
        elif text[position] != "#":
            parts, position = split_key(text, position)
            lines.setdefault(dotted((*table, *parts)), line)
        end = _value_end(text, position)
        line += text.count("\n", position, end)
        position = end
    return lines


def _header(text: str, position: int, lengths: dict[KeyPath, int]) -> tuple[KeyPath, int]:
    """Read ``[a.b]`` or ``[[a.b]]``; names of arrays are followed by the index of their table."""
    is_array = text.startswith("[[", position)
    parts, position = split_key(text, position + 1 + is_array)
    path: KeyPath = ()
    for part in parts[:-1]:
        path = _current((*path, part), lengths)
    path = (*path, parts[-1])
    if is_array:
        lengths[path] = lengths.get(path, 0) + 1
    return _current(path, lengths), position + 1 + is_array


def _current(path: KeyPath, lengths: dict[KeyPath, int]) -> KeyPath:
    return (*path, lengths[path] - 1) if path in lengths else path


def _value_end(text: str, position: int) -> int:
    """Return the end of a value: the first line end outside strings and brackets."""
    depth = 0
    while match := _VALUE_TOKEN.match(text, position):
        piece = match[0]
        if piece == "\n" and depth == 0:
            return position
        depth += (piece in ("[", "{")) - (piece in ("]", "}"))
        position = match.end()
    return len(text)


def _syntax_error(name: str, text: str, message: str) -> ConfigError:
    location = _LOCATION.search(message)
    line = location[1] if location else None
    last_line = text.rstrip("\n").count("\n") + 1
    problem = _LOCATION.sub("", message)
    if problem.startswith("Cannot overwrite a value"):
        problem = "this key is set twice"
    elif problem.startswith("Cannot declare"):
        problem = "this table is opened twice"
    return ConfigError(
        f"not valid TOML: {problem}",
        where=f"{name}:{line or last_line}",
        hint='Texts stand in quotes, as in name = "adamw".' if problem == "Invalid value" else "",
    )
