"""XML label files as a tree that knows its lines, parsed without entities."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, XMLParser

from rondel.errors import DataError
from rondel_detection.data.formats.label_file import content

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold in any spelling."""
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_ESCAPES |= {control: f"&#{ord(control)};" for control in "\t\n\r"}


@dataclass
class Element:
    """An element of an XML file.

    Args:
        tag: Its name.
        attributes: By name.
        line: 1-based line of its opening tag.
        children: Elements in their order.
        text: All text directly within it.
    """

    tag: str
    attributes: dict[str, str]
    line: int = 0
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str) -> Iterator[Element]:
        """Yield the children of a name."""
        return (child for child in self.children if child.tag == tag)

    def below(self, tag: str) -> Iterator[Element]:
        """Yield the elements of a name at any depth, in the order of the file."""
        waiting = self.children[::-1]
        while waiting:
            found = waiting.pop()
            waiting += found.children[::-1]
            if found.tag == tag:
                yield found

    def first(self, *tags: str) -> Element | None:
        """Return the first child, of the first of its kind and so on along ``tags``."""
        found: Element | None = self
        for tag in tags:
            found = next(found.all(tag), None) if found is not None else None
        return found

    def text_of(self, *tags: str) -> str:
        """Return the text of the element found along ``tags``, stripped; ``""`` if none."""
        found = self.first(*tags)
        return found.text.strip() if found is not None else ""


def read_xml(path: Path) -> Element:
    """Parse an XML file; entities and external references are refused.

    Raises:
        DataError: It cannot be read, is a .zip, or no XML; the place names line and column.
    """
    text = content(path)
    builder = _Builder()
    parser = XMLParser(target=builder)
    builder.expat = parser.parser
    try:
        parser.feed(text)
        root = parser.close()
    except ParseError as error:
        line, column = error.position
        raise DataError(
            f"is no XML: {str(error).split(':')[0]}",
            where=f"{path}:{line}:{column + 1}",
            hint="The file is damaged or cut off: export it again.",
        ) from error
    except DefusedXmlException as error:
        raise DataError(
            f"holds what label files need not hold: {type(error).__name__}",
            where=f"{path}:{parser.parser.CurrentLineNumber}",
            hint="Remove the entities: they can make a small file use all memory.",
        ) from error
    except (LookupError, ValueError) as error:  # an encoding that does not exist or is not kept
        raise DataError(f"is no XML that can be read: {error}", where=f"{path}:1:1") from error
    assert isinstance(root, Element)
    return root


def escaped(text: str) -> str:
    """Return text as it stands in an XML file, between quotes as well.

    Characters that XML cannot hold, such as NUL, become U+FFFD; see `is_writable`.
    """
    return "".join(_ESCAPES.get(letter, letter) for letter in _FORBIDDEN.sub("\ufffd", text))


def is_writable(text: str) -> bool:
    """Tell whether XML can hold a text as it is."""
    return _FORBIDDEN.search(text) is None


class _Builder:
    """Builds the tree; the parser calls its methods."""

    def __init__(self) -> None:
        self.expat: Any = None
        self.root: Element | None = None
        self.open: list[Element] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        made = Element(tag, dict(attributes), self.expat.CurrentLineNumber)
        if self.open:
            self.open[-1].children.append(made)
        else:
            self.root = made
        self.open.append(made)

    def end(self, tag: str) -> None:  # noqa: ARG002 - the parser's signature
        self.open.pop()

    def data(self, text: str) -> None:
        self.open[-1].text += text

    def close(self) -> Element | None:
        return self.root
