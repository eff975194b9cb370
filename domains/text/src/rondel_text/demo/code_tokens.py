"""What is each token of a Python function: a call, a parameter, an attribute, a variable ...?

Words are the tokens of short functions and classes of the standard library; tags are their roles,
found by `ast`. The same name has many roles, so that a tagger must read what stands around it, and
remember the head of the function: a name in its body is the use of a parameter or a variable.
"""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rondel_text.data.rows import Rows
from rondel_text.demo import library
from rondel_text.demo.split import split_rows

TAGS = (
    "attribute",
    "call",
    "class",
    "decorator",
    "function",
    "import",
    "keyword",
    "keyword_argument",
    "literal",
    "operator",
    "parameter",
    "parameter_use",
    "punctuation",
    "variable",
)
FEWEST, MOST = 8, 80
"""Tokens of a sequence."""
HELD_OUT = 0.2
TEXT = "'...'"
"""Stands for every string literal: what a string says is no matter of roles."""
KINDS = frozenset({tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING})
PUNCTUATION = frozenset("()[]{},:.;") | {"->"}
Place = tuple[int, int]
"""Line from 1, and character in it from 0."""
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
UNPLACED = ("JoinedStr", "TemplateStr", "Match", "TypeAlias")
"""Syntax whose tokens or places differ between versions of Python."""


class Token(NamedTuple):
    """A token of a file, and where it starts."""

    kind: int
    word: str
    place: Place


@dataclass(frozen=True)
class Snippet:
    """A function or class as tokens, and the role of each."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    file: str
    line: int


def load() -> Rows:
    """Return the columns "words" and "tags", lists of str; the same for one version of Python.

    Raises:
        DataError: This Python was installed without its sources.
    """
    found = read(library.home())
    files = tuple(dict.fromkeys(one.file for one in found))
    numbers = {file: number for number, file in enumerate(files)}
    return Rows(
        columns={
            "words": [list(one.words) for one in found],
            "tags": [list(one.tags) for one in found],
        },
        files=files,
        file=[numbers[one.file] for one in found],
        numbers=[one.line for one in found],
    )


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Return the rows to train on and the fifth that is held out."""
    return split_rows(rows, [" ".join(words) for words in rows["words"]], share=HELD_OUT)


@cache
def read(folder: Path) -> tuple[Snippet, ...]:
    """Return the short functions and classes of a standard library, each once.

    Raises:
        DataError: The folder lacks sources.
    """
    distinct: dict[tuple[str, ...], Snippet] = {}
    for package in library.PACKAGES:
        for source in library.sources(package, folder):
            for snippet in snippets(source):
                distinct.setdefault(snippet.words, snippet)
    return tuple(distinct.values())


def snippets(source: library.Source) -> Iterator[Snippet]:
    """Yield the definitions of a file that are of suitable length; of a longer class, its parts."""
    waiting: list[ast.stmt] = source.tree.body[::-1]
    while waiting:
        node = waiting.pop()
        snippet = tagged(node, source) if isinstance(node, Definition) else None
        if snippet is not None:
            yield snippet
        elif isinstance(node, ast.ClassDef | ast.If | ast.Try):
            waiting.extend(node.body[::-1])


def tagged(node: Definition, source: library.Source) -> Snippet | None:
    """Return a definition with its roles, or None if it is too short, too long or too special."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = source.lines[first - 1 : node.end_lineno]
    tokens = list(islice(tokens_of(lines, first), MOST + 1))
    if not FEWEST <= len(tokens) <= MOST or not all(map(str.isascii, lines)):  # ast counts bytes
        return None
    nodes = list(ast.walk(node))  # outer nodes first
    if any(type(part).__name__ in UNPLACED for part in nodes):
        return None
    words = tuple(TEXT if token.kind == tokenize.STRING else token.word for token in tokens)
    return Snippet(words, tuple(tags_of(tokens, nodes)), source.file, first)


def tokens_of(lines: Iterable[str], first: int) -> Iterator[Token]:
    """Yield the names, operators and literals of lines of which the first has a number."""
    text = io.StringIO("".join(lines))
    for kind, word, (row, column), _, _ in tokenize.generate_tokens(text.readline):
        if kind in KINDS:
            yield Token(kind, word, (row + first - 1, column))


def tags_of(tokens: Iterable[Token], nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Yield the role of each token of a tree whose nodes are given."""
    places = roles(nodes)
    imports = [span(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    before = ""
    for token in tokens:
        imported = any(start <= token.place < end for start, end in imports)
        yield role(token, before, places.get(token.place), imported=imported)
        before = token.word


def role(token: Token, before: str, placed: str | None, *, imported: bool) -> str:
    """Return the role of a token, given the word before and what the tree says of its place."""
    if token.kind in (tokenize.NUMBER, tokenize.STRING) or placed == "literal":
        return "literal"
    if token.kind == tokenize.OP:
        return "punctuation" if token.word in PUNCTUATION else "operator"
    if keyword.iskeyword(token.word):
        return "keyword"
    if imported:
        return "import"
    defined = {"def": "function", "class": "class"}.get(before)
    # names after `global`, `nonlocal` and `as` have no place in the tree
    return defined or placed or "variable"


def roles(nodes: Iterable[ast.AST]) -> dict[Place, str]:
    """Return what nodes say of places; the first to say something is right."""
    found: dict[Place, str] = {}
    for node in nodes:
        for place, said in said_by(node):
            found.setdefault(place, said)
    uses = {place for node in nodes if isinstance(node, Function) for place in uses_of(node)}
    return found | {place: "parameter_use" for place in uses if found[place] == "variable"}


def said_by(node: ast.AST) -> Iterator[tuple[Place, str]]:
    """Yield the places that a node gives a role."""
    match node:
        case ast.Constant():
            yield (node.lineno, node.col_offset), "literal"
        case ast.arg():
            yield (node.lineno, node.col_offset), "parameter"
        case ast.keyword(arg=str()):
            yield (node.lineno, node.col_offset), "keyword_argument"
        case ast.Call(func=ast.Name() | ast.Attribute() as called):
            yield name_place(called), "call"
        case ast.Name():
            yield name_place(node), "variable"
        case ast.Attribute():
            yield name_place(node), "attribute"
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            for decorator in node.decorator_list:
                yield from ((place, "decorator") for place in chain(decorator))


def uses_of(function: Function) -> Iterator[Place]:
    """Yield where the body of a function reads or sets one of its parameters."""
    names = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
    body = function.body if isinstance(function.body, list) else [function.body]
    for node in (node for part in body for node in ast.walk(part)):
        if isinstance(node, ast.Name) and node.id in names:
            yield name_place(node)


def chain(decorator: ast.expr) -> Iterator[Place]:
    """Yield the places of the names of a decorator such as ``functools.wraps(function)``."""
    part = decorator.func if isinstance(decorator, ast.Call) else decorator
    while isinstance(part, ast.Attribute):
        yield name_place(part)
        part = part.value
    if isinstance(part, ast.Name):
        yield name_place(part)


def name_place(node: ast.Name | ast.Attribute) -> Place:
    """Return where a name or the last name of ``value.name`` starts."""
    if isinstance(node, ast.Name):
        return node.lineno, node.col_offset
    assert node.end_lineno is not None and node.end_col_offset is not None  # noqa: PT018
    return node.end_lineno, node.end_col_offset - len(node.attr)


def span(node: ast.stmt) -> tuple[Place, Place]:
    """Return where a statement starts and ends."""
    assert node.end_lineno is not None and node.end_col_offset is not None  # noqa: PT018
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
