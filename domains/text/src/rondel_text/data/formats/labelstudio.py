"""Label Studio's JSON: the list of tasks, full or as JSON-MIN.

A task has an annotation for each person who worked on it: one that is marked as ground truth counts
before the others, the one changed last before those changed earlier, a cancelled one never.
Predictions and drafts are no labels. A task without an annotation that counts has None for a label,
one in which nothing was marked an empty list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rondel.errors import DataError
from rondel_text.data.formats.json_text import (
    JsonObject,
    first_keys_of_list,
    names_in,
    objects_of_list,
    text_in,
)
from rondel_text.data.formats.source import Source
from rondel_text.data.rows import Rows
from rondel_text.data.spans import Span, span_of

_PARTS = {"annotations", "completions", "predictions"}
_MIN_PARTS = {"annotation_id", "annotator", "lead_time", "created_at", "updated_at"}
_MIN_KEYS = _MIN_PARTS | {"id", "agreement"}
Control = tuple[str, str]
"""``labels`` or ``spans``, and the name of the control of the interface that gave them."""


def recognise(path: Path, head: str) -> bool:
    """Tell whether a file is a list of Label Studio's tasks."""
    keys = first_keys_of_list(head) if path.suffix.lower() == ".json" else set()
    full = bool(keys & _PARTS) and ("data" in keys or {"id", "annotations"} <= keys)
    return full or ("id" in keys and len(keys & _MIN_PARTS) >= 2)


def read(source: Source) -> Rows:
    """Read tasks: their data, their choices as ``labels`` and their regions as ``spans``.

    Where several controls gave labels, or spans, each has a column: ``labels_topic``.

    Raises:
        DataError: A task has no text, or a region does not fit it.
    """
    path = source.path
    tasks = _joined(objects_of_list(path))
    columns = _columns(tasks)
    unread: Counter[str] = Counter()
    records = [
        (number, _cells(task, columns, unread, f"{path}:{number}")) for number, task in tasks
    ]
    notes = [
        f"{path}: results of type {kind!r} are not read: {count}"
        for kind, count in sorted(unread.items())
    ]
    return Rows.of_records(records, file=str(path), notes=notes)


def _joined(tasks: Iterable[tuple[int, JsonObject]]) -> list[tuple[int, JsonObject]]:
    """Return the tasks; JSON-MIN has a record for each annotation of one."""
    joined: dict[object, tuple[int, JsonObject]] = {}
    for place, (number, task) in enumerate(tasks):
        if "data" in task or task.keys() & _PARTS:
            joined["full", place] = number, task
            continue
        record = _full(task)
        key = ("task", str(task["id"])) if "id" in task else ("record", place)
        joined.setdefault(key, (number, record | {"annotations": []}))[1]["annotations"].extend(
            record["annotations"]
        )
    return list(joined.values())


def _full(record: JsonObject) -> JsonObject:
    """Return a record of JSON-MIN as a task with one annotation.

    A single choice is a plain string there, which nothing tells apart from data: it stays a column.
    """
    data = {name: value for name, value in record.items() if name not in _MIN_KEYS}
    results: list[JsonObject] = []
    for name, value in list(data.items()):
        values = value if isinstance(value, list) else [value]
        if values and all(isinstance(each, dict) for each in values):
            del data[name]
            results += [{"from_name": name, "type": _type(each), "value": each} for each in values]
    annotation = {"result": results, "updated_at": record.get("updated_at")}
    return {"data": data, "annotations": [annotation]}


def _type(value: JsonObject) -> str:
    return next((kind for kind in ("choices", "labels") if kind in value), "other")


def _columns(tasks: Iterable[tuple[int, JsonObject]]) -> dict[Control, str]:
    """Return the column of each control; predictions count, so that theirs are there, with None."""
    controls = dict.fromkeys(
        control
        for _, task in tasks
        for part in sorted(_PARTS)
        for annotation in _objects(task.get(part))
        for result in _objects(annotation.get("result"))
        if (control := _control(result))
    )
    counts = Counter(kind for kind, _ in controls)
    return {
        (kind, name): kind if counts[kind] == 1 else f"{kind}_{name}" for kind, name in controls
    }


def _control(result: JsonObject) -> Control | None:
    """Return what gave a result; None for what is neither of the whole text nor of a stretch."""
    kind, value, name = str(result.get("type")), result.get("value"), str(result.get("from_name"))
    if not isinstance(value, dict) or kind not in value:
        return None
    if kind == "choices" and "start" not in value:
        return "labels", name
    return ("spans", name) if kind == "labels" and "start" in value else None


def _cells(
    task: JsonObject, columns: dict[Control, str], unread: Counter[str], where: str
) -> JsonObject:
    data = task.get("data")
    if not isinstance(data, dict):
        raise DataError(
            "the task has no 'data'", where=where, hint="Export the project again, as JSON."
        )
    key = _text_key(data)
    text = text_in(data, where, key)
    rest = {name: value for name, value in data.items() if name != key}
    chosen = _chosen(task)
    if chosen is None:
        return {"text": text} | rest | dict.fromkeys(columns.values())
    given: dict[str, list[Any]] = {name: [] for name in columns.values()}
    for result in _objects(chosen.get("result")):
        control = _control(result)
        if control is None:
            unread[str(result.get("type"))] += 1
        elif control[0] == "labels":
            given[columns[control]] += names_in(result["value"]["choices"], where)
        else:
            given[columns[control]] += _spans(result["value"], text, where)
    return {"text": text} | rest | given


def _text_key(data: JsonObject) -> str:
    """Return ``text``, or the only key with a string where there is none."""
    strings = [name for name, value in data.items() if isinstance(value, str)]
    return strings[0] if "text" not in data and len(strings) == 1 else "text"


def _chosen(task: JsonObject) -> JsonObject | None:
    annotations = _objects(task.get("annotations", task.get("completions")))
    live = (each for each in annotations if not each.get("was_cancelled"))
    return max(live, key=_rank, default=None)


def _rank(annotation: JsonObject) -> tuple[bool, str]:
    time = annotation.get("updated_at") or annotation.get("created_at") or ""
    return bool(annotation.get("ground_truth")), str(time)


def _spans(value: JsonObject, text: str, where: str) -> Iterator[list[Any]]:
    """Yield the span of a region, for each of its labels."""
    for label in names_in(value["labels"], where):
        span = span_of([value["start"], value.get("end"), label], where)
        yield list(_verified(span, value.get("text"), text, where))


def _verified(span: Span, expected: object, text: str, where: str) -> Span:
    """Return the span in characters; browsers count UTF-16 units, in which an emoji has two."""
    if not isinstance(expected, str):
        return span
    in_units = span._replace(start=_characters(text, span.start), end=_characters(text, span.end))
    for found in (span, in_units):
        if _plain(text[found.start : found.end]) == _plain(expected):
            return found
    raise DataError(
        f"the span {span} was drawn over {expected!r}, but the text has "
        f"{text[span.start : span.end]!r} there",
        where=where,
        hint="The text was changed after it was labelled: label it again, or remove the region.",
    )


def _characters(text: str, units: int) -> int:
    """Return how many characters the first UTF-16 units of a text are."""
    return len(text.encode("utf-16-le")[: 2 * max(units, 0)].decode("utf-16-le", "replace"))


def _plain(text: str) -> str:
    """Return a text with single blanks: line ends are exported as such, or as backslash and n."""
    return " ".join(text.replace("\\n", "\n").split())


def _objects(value: object) -> list[JsonObject]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
