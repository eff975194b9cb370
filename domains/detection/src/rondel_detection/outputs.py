"""What becomes of detections: a text, label files that a labelling tool opens, drawn pictures."""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rondel.errors import DataError, UsageError
from rondel_detection.data.formats import FORMATS, write
from rondel_detection.data.images import open_picture
from rondel_detection.data.labels import LabelMap
from rondel_detection.documents import DOCUMENTS, to_annotations
from rondel_detection.drawing import Mark, colour_of, draw
from rondel_detection.inputs import Request
from rondel_detection.prediction import Detections

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
"""Of an ``out`` that is one drawn picture, and of drawn pictures that keep their names."""
LABEL_FILES = {"coco": ".json", "scalabel": ".json", "labelstudio": ".json", "cvat": ".xml"}
"""Label formats that can be one file; all others are folders."""
TEXT_SUFFIXES = {".json": "json", ".jsonl": "jsonl", ".csv": "csv", ".xml": "cvat"}
"""What the suffix of ``out`` says where no format is named."""
LABEL_SUFFIXES = frozenset({".json", ".xml", ".txt", ".yaml", ".yml"})
"""Of files in a folder that a person may have made there."""
DRAWN = "drawn"
STEM = "predictions"


@dataclass
class Output:
    """Takes the detections of one picture after the other, and writes them.

    Args:
        labels: The classes.
        request: What was asked for.
        format: Of the text or the labels; None is none.
        target: Their file or folder; None is stdout.
        drawn: The folder of drawn pictures, or the one drawn picture; None is none.
    """

    labels: LabelMap
    request: Request
    format: str | None = None
    target: Path | None = None
    drawn: Path | None = None
    found: list[Detections] = field(default_factory=list)

    def add(self, found: Detections) -> None:
        """Take the detections of a picture, and draw it.

        Raises:
            DataError: The picture cannot be read again.
            UsageError: The drawn one cannot be written.
        """
        self.found.append(found)
        if self.drawn is None:
            return
        single = is_file(self.drawn, PICTURE_SUFFIXES)
        target = self.drawn if single else self.drawn / self._drawn_name(found.source)
        write_file(target, drawn(found, target.suffix, self.request.options.max_pixels))

    def finish(self) -> str:
        """Write what is written at the end; return text for stdout.

        Raises:
            UsageError: It cannot be written.
        """
        lost: list[str] = []
        if self.format in DOCUMENTS:
            text = DOCUMENTS[self.format].text(self.found)
            if self.target is None:
                return text
            write_file(self.target, text.encode("utf-8", "surrogateescape"))
        elif self.format is not None and self.target is not None and self.found:
            report = write(to_annotations(self.found, self.labels), self.target, name=self.format)
            lost = [f"not in {self.format}: {line}" for line in report]
        places = dict.fromkeys(str(place) for place in (self.target, self.drawn) if place)
        count = f"{counted(sum(map(len, self.found)), 'detection')} in "
        count += counted(len(self.found), "picture")
        return "\n".join([f"{count}: {', '.join(places)}", *lost]) + "\n"

    def _drawn_name(self, source: str) -> Path:
        """Return where a picture goes below the folder of drawn ones: as it lies in its own."""
        places = [Path(path).absolute() for path in self.request.paths]
        root = os.path.commonpath([place.parent for place in places])
        name = Path(source).absolute().relative_to(root)
        kept = name.suffix.lower() in PICTURE_SUFFIXES
        return name if kept else name.with_name(f"{name.name}.png")


def open_output(labels: LabelMap, request: Request, out: Path | None) -> Output:
    """Decide what is written where; nothing is touched yet.

    Without ``out`` there is text on stdout, by default JSON Lines. A file says by its suffix what
    it is. A folder gets the files of the format; or, where none is named, ``predictions.json`` and
    the drawn pictures.

    Raises:
        UsageError: The words contradict each other, or something is there already.
    """
    check_format(request.format)
    if out is None:
        return Output(labels, request, text_format(request))
    if is_file(out, PICTURE_SUFFIXES):
        return Output(labels, request, drawn=single_picture(request, out))
    if is_file(out, TEXT_SUFFIXES):
        return Output(labels, request, file_format(request, out), target=out)
    if out.exists() and not out.is_dir():
        kinds = ", ".join((*TEXT_SUFFIXES, *PICTURE_SUFFIXES))
        raise UsageError(
            "is a file, and no kind of output", where=str(out), hint=f"Known are {kinds}."
        )
    name = request.format
    if name not in (None, *DOCUMENTS) and out.suffix:
        raise UsageError(
            f"{out.suffix!r} makes it look like a file",
            where=str(out),
            hint=f"Give a folder for format={name} without a dot in its name.",
        )
    drawing = request.draw if request.draw is not None else name is None
    target = out
    if name is None or name in DOCUMENTS:
        target = out / f"{STEM}{DOCUMENTS[name or 'json'].suffix}"
    refuse_to_replace(target, request)
    return Output(labels, request, name or "json", target, out / DRAWN if drawing else None)


def is_file(path: Path, suffixes: Sequence[str] | dict[str, str]) -> bool:
    """Tell whether a path means a file of some kind: by its suffix, unless it is a folder."""
    return path.suffix.lower() in suffixes and not path.is_dir()


def check_format(name: str | None) -> None:
    """Refuse a format that cannot be written.

    Raises:
        UsageError: Names the nearest one.
    """
    known = [*DOCUMENTS, *(made.name for made in FORMATS.values() if made.writable)]
    if name is None or name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    raise UsageError(
        f"format={name!r} cannot be written",
        hint=f"Did you mean {close[0]!r}?" if close else f"Known are {', '.join(known)}.",
    )


def text_format(request: Request) -> str:
    """Return the format for stdout.

    Raises:
        UsageError: It is not text, or pictures are to be drawn.
    """
    if request.draw:
        raise UsageError("drawn pictures need a place", hint="Add --out FOLDER.")
    name = request.format or "jsonl"
    if name not in DOCUMENTS:
        raise UsageError(f"format={name!r} needs a place", hint="Add --out FOLDER.")
    return name


def single_picture(request: Request, out: Path) -> Path:
    """Return the place of the one drawn picture.

    Raises:
        UsageError: There are several, or a format is named.
    """
    if len(request.paths) != 1:
        raise UsageError(
            f"{len(request.paths)} pictures do not go into one",
            where=str(out),
            hint="Give a folder.",
        )
    if request.format is not None or request.draw is False:
        raise UsageError(
            "is a drawn picture", where=str(out), hint="Leave out format= and draw=no."
        )
    refuse_to_replace(out, request)
    return out


def file_format(request: Request, out: Path) -> str:
    """Return the format of one file.

    Raises:
        UsageError: The format is no such file, or pictures are to be drawn beside it.
    """
    suffix = out.suffix.lower()
    name = request.format or TEXT_SUFFIXES[suffix]
    own = DOCUMENTS[name].suffix if name in DOCUMENTS else LABEL_FILES.get(name)
    if own != suffix:
        hint = f"Name it *{own}, or give a folder." if own else "Give a folder."
        raise UsageError(f"format={name!r} is no {suffix} file", where=str(out), hint=hint)
    if request.draw:
        raise UsageError(
            "drawn pictures do not go into this file", where=str(out), hint="Give a folder."
        )
    refuse_to_replace(out, request)
    return name


def refuse_to_replace(target: Path, request: Request) -> None:
    """Refuse to write over a file, or among label files that a person may have made.

    Raises:
        UsageError: Names the first one.
    """
    if any(target.absolute() == Path(path).absolute() for path in request.paths):
        raise UsageError("is the picture itself", where=str(target), hint="Give another --out.")
    if request.overwrite:
        return
    there: Path | None = target if target.is_file() else None
    if target.is_dir():
        files = (file for file in sorted(target.rglob("*")) if DRAWN not in file.parts)
        there = next((file for file in files if file.suffix.lower() in LABEL_SUFFIXES), None)
    if there is not None:
        raise UsageError(
            "is there already",
            where=str(there),
            hint="Give another --out, or add overwrite=yes if it may be replaced.",
        )


def marks_of(found: Detections) -> list[Mark]:
    """Return the boxes of a picture with names and scores, for `rondel_detection.drawing.draw`."""
    rows = zip(found.boxes.tolist(), found.names, found.scores, found.labels, strict=True)
    return [
        Mark((x1, y1, x2, y2), f"{name} {score:.2f}", colour_of(int(label)))
        for (x1, y1, x2, y2), name, score, label in rows
    ]


def drawn(found: Detections, suffix: str, max_pixels: int) -> bytes:
    """Return the picture of some detections with boxes drawn, as PNG or else JPEG.

    Raises:
        DataError: The picture cannot be read, or is too large for a JPEG.
    """
    picture, _ = open_picture(Path(found.source), max_pixels=max_pixels)
    content = io.BytesIO()
    kind = "PNG" if suffix.lower() == ".png" else "JPEG"
    try:
        draw(picture, marks_of(found)).save(content, kind, quality=92)
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot be drawn as {kind}: {error}", where=found.source, hint="Draw it alone, as PNG."
        ) from error
    return content.getvalue()


def counted(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def write_file(target: Path, content: bytes) -> None:
    """Write a file and the folders above it.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(target), hint="Give another --out."
        ) from error
