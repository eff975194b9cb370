"""What the domain's own verbs do and print: results for people, or as JSON Lines."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rondel.cli.terminal import Terminal, text_table
from rondel.errors import DataError, UsageError
from rondel_detection.data import check as checks
from rondel_detection.data.conversion import Wish, difference_lines, write_checked
from rondel_detection.data.defects import KINDS, Defect, by_kind, severities, verdict
from rondel_detection.data.formats import read
from rondel_detection.data.formats.format import FORMATS, format_named
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.split import split as split_annotations
from rondel_detection.data.survey import summary, survey
from rondel_detection.data.table import Annotations
from rondel_detection.wording import plural, printable

__all__ = ["Dealing", "Wish", "check", "groups_of", "opened", "split", "write"]

PLACES = 3
"""First places that are shown of each kind of defect."""
ACTIONS = {"repair": "repaired in training", "drop": "dropped in training", "look": ""}
MANY_IMAGES = 5_000
"""Images from which on looking at the files takes long enough to say so."""


def opened(terminal: Terminal, path: Path, name: str | None, images: Path | None) -> Annotations:
    """Read labels and say what they are.

    Raises:
        DataError: They cannot be read.
    """
    annotations = read(path, name=name, images=images)
    title = FORMATS[annotations.format].title if annotations.format in FORMATS else "labels"
    _say(terminal, summary(annotations, f"{path} ({title})"))
    whole = survey(annotations).whole
    terminal.row("data", {"path": str(path), "format": annotations.format, **vars(whole)})
    return annotations


def check(
    terminal: Terminal,
    annotations: Annotations,
    *,
    strict: bool,
    files: bool,
    decode: bool | None,
) -> int:
    """Print all defects and a verdict; returns the exit code."""
    if files and len(annotations.images) >= MANY_IMAGES:
        terminal.talk(f"Looking at {plural(len(annotations.images), 'image file')} ...")
    defects = checks.check(annotations, files=files, decode=decode)
    _say(terminal, _table(defects))
    for each in defects:
        terminal.row("defect", each.to_json())
    _tell_losses(terminal, annotations.losses)
    counts = severities(defects)
    lost = bool(annotations.losses)
    is_bad = bool(counts["error"]) or (strict and (bool(counts["warning"]) or lost))
    code = DataError.exit_code if is_bad else 0
    _say(terminal, ["", verdict(defects)])
    terminal.row("verdict", {"text": verdict(defects), "counts": counts, "exit_code": code})
    return code


def write(terminal: Terminal, annotations: Annotations, path: Path, wish: Wish) -> int:
    """Write labels, print what was lost, and returns the exit code.

    Raises:
        DataError: Something would be lost that must not be.
        UsageError: There is something at the path already.
    """
    conversion = write_checked(annotations, path, wish)
    _tell_losses(terminal, conversion.losses)
    explained = sum(map(len, conversion.found.values()))
    same = "the same" if not explained else f"{plural(explained, 'difference')}, all listed above"
    for line in difference_lines(conversion.unexplained):
        terminal.row("difference", {"text": line})
        _say(terminal, [f"read back: {line}, and no loss explains it"])
    copied = f", and {plural(conversion.copied, 'image')}" if wish.copy_images else ""
    missing = f" ({conversion.missing:,} missing)" if conversion.missing else ""
    code = DataError.exit_code if conversion.unexplained else 0
    told = f"Wrote {format_named(wish.format).title} to {conversion.path}{copied}{missing}."
    _say(terminal, [told if code else f"{told} Read back: {same}."])
    values = {"path": str(conversion.path), "format": wish.format, "copied": conversion.copied}
    terminal.row("written", {**values, "missing": conversion.missing, "exit_code": code})
    return code


@dataclass(frozen=True, kw_only=True)
class Dealing:
    """The options of ``rondel detection split`` that say what comes where, named as there."""

    val: float
    test: float
    seed: int
    group_by: str | None
    reassign: bool
    files: bool
    decode: bool | None

    @property
    def shares(self) -> dict[str, float]:
        """The share of each split that is wanted.

        Raises:
            UsageError: Nothing is left to train on.
        """
        rest = round(1.0 - self.val - self.test, 9)  # 1 - 0.7 - 0.3 is not quite nothing
        if min(self.val, self.test) < 0 or rest <= 0:
            raise UsageError(
                f"--val {self.val:g} and --test {self.test:g} leave {rest:g} to train on",
                hint="Both are shares of 1, at least 0, and less than 1 together.",
            )
        wanted = {"train": rest, "val": self.val, "test": self.test}
        return {name: share for name, share in wanted.items() if share > 0}


def split(
    terminal: Terminal, annotations: Annotations, shares: Mapping[str, float], dealing: Dealing
) -> Annotations:
    """Deal images out to splits, and print what came where.

    Raises:
        DataError: A split stays empty.
        UsageError: The pattern of groups is none.
    """
    dealt = split_annotations(
        annotations,
        shares,
        dealing.seed,
        groups=groups_of(annotations, dealing.group_by),
        keep=not dealing.reassign,
        files=dealing.files,
        decode=dealing.decode,
    )
    counts = survey(dealt)
    columns = [each.name or "none" for each in counts.splits]
    rows = [
        ("images", *(f"{each.images:,}" for each in counts.splits)),
        ("boxes", *(f"{each.boxes:,}" for each in counts.splits)),
        *((each.name, *(f"{n:,}" for n in each.of_splits)) for each in counts.classes),
    ]
    kept = 0 if dealing.reassign else int((annotations.images.split != "").sum())
    note = [f"{plural(kept, 'image')} had a split before: --reassign would give it up."]
    _say(terminal, ["", text_table(("", *columns), rows), *(note if kept else [])])
    for each in counts.splits:
        terminal.row("split", vars(each))
    return dealt


def groups_of(annotations: Annotations, pattern: str | None) -> list[str | None] | None:
    """Return what a pattern matches in each image's name; None where it does not match.

    Raises:
        UsageError: The pattern is none, or matches no name.
    """
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{pattern!r} is no regular expression: {error}") from error
    found = [compiled.search(str(name)) for name in annotations.images.file]
    if found and not any(found):
        first = annotations.images.file[0]
        raise UsageError(
            f"{pattern!r} matches none of {plural(len(found), 'image name')}, such as {first!r}",
            hint="An example: '^[^_]+' is everything before the first underscore.",
        )
    return [match[0] if match else None for match in found]


def _table(defects: Sequence[Defect]) -> list[str]:
    lines: list[str] = []
    for kind, found in by_kind(defects).items():
        told = KINDS[kind]
        action = ACTIONS[found[0].action]
        head = f"{told.severity:8}{len(found):>7,}  {told.title}{f', {action}' if action else ''}"
        rest = len(found) - PLACES
        more = [f"and {rest:,} more"] if rest > 0 else []
        places = [str(each) for each in found[:PLACES]]
        lines += ["", head, *(f"{'':17}{line}" for line in [*places, *more, told.advice])]
    return lines


def _tell_losses(terminal: Terminal, losses: LossReport) -> None:
    if losses:
        _say(terminal, ["", "Not kept:", *(f"  {line}" for line in losses)])
    for kind, loss in losses.losses.items():
        terminal.row("loss", {"kind": kind, "count": loss.count, "examples": loss.examples})


def _say(terminal: Terminal, lines: Sequence[str]) -> None:
    for line in "\n".join(lines).split("\n"):
        terminal.result(printable(line))
