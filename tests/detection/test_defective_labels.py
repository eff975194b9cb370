"""Files with anything anywhere: a reader makes a table and lists what it dropped, or says why not."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rondel.errors import DataError
from rondel_detection.data.formats.format import FORMATS, Source
from rondel_detection.data.table import Annotations

JUNK: list[Any] = [
    *(None, True, 0, -1, 3.5, 1e308, float("nan"), float("inf"), 10**30, 2**31, 2**63),
    *("", "x", "\ud800", "a\0b", "../..", "/", "C:", "http://[", "/data/local-files/?d=", "%zz"),
    *([], [[]], [1], [None], [256], [[1, 2], [3, 4], [5, 6]], {}, {"a": 1}, [{"a": 1}]),
    *("__ignore__", "LLLL"),
]
TEXT_JUNK = ["", "x", "-1", "1e400", "nan", "9" * 5000, "٣", "1,2", "1,2;", "0", "../../x", "0.5"]

SHAPES = [
    {"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "rectangle", "group_id": 3},
    {"label": "cat", "points": [[1, 2], [3, 4], [5, 9]], "group_id": 3, "flags": {"a": True}},
    {"label": "cat", "points": [[1, 2], [3, 4]], "shape_type": "circle", "attributes": {"k": 1}},
    {"label": "cat", "points": [[1, 2]], "shape_type": "mask", "mask": "iVBORw0KGgo=", "score": 1},
]
SIZE = {"width": 64, "height": 48}
PATHS = [
    {"vertices": [[0, 0], [1, 9], [5, 5], [7, 1]], "types": "LCCC", "closed": True},
    {"vertices": [[0, 0], [1, 9], [5, 5]], "types": "LLL", "closed": True},
]
CATEGORIES = [{"name": "car", "subcategories": [{"name": "van"}]}, {"name": "bus"}]
PERCENT = {"x": 1, "y": 2, "width": 3, "height": 4, "rotation": 10, "rectanglelabels": ["car"]}
ELLIPSE = {"x": 1, "y": 2, "radiusX": 3, "radiusY": 4, "rotation": 0, "ellipselabels": ["car"]}
BRUSH = {"rle": [0, 0, 48, 0, 57, 27, 252, 96, 32], "brushlabels": ["car"]}
ORIGINAL = {"original_width": 64, "original_height": 48, "image_rotation": 0}

DOCUMENTS: dict[str, Any] = {
    "labelme": {
        "version": "5.5.0",
        "flags": {"night": True},
        "shapes": SHAPES,
        "imagePath": "a.jpg",
        "imageData": None,
        "imageHeight": 48,
        "imageWidth": 64,
    },
    "scalabel": {
        "frames": [
            {
                "name": "a.jpg",
                "videoName": "v",
                "size": SIZE,
                "attributes": {"weather": "rain"},
                "labels": [
                    {"id": 1, "category": "car", "box2d": dict(zip(("x1", "y1", "x2", "y2"), range(4), strict=True))},
                    {"id": 2, "category": "car", "poly2d": PATHS, "attributes": {"crowd": True}},
                    {"id": 3, "category": "x", "rle": {"counts": [3, 4, 3065], "size": [48, 64]}},
                ],
            }
        ],
        "config": {"imageSize": SIZE, "categories": CATEGORIES},
    },
    "labelstudio": [
        {
            "id": 1,
            "annotations": [
                {
                    "id": 1,
                    "result": [
                        {**ORIGINAL, "id": "k", "value": PERCENT, "from_name": "label"},
                        {**ORIGINAL, "id": "l", "value": ELLIPSE, "from_name": "label"},
                        {**ORIGINAL, "id": "m", "value": BRUSH, "from_name": "label"},
                        {"id": "k", "from_name": "q", "value": {"choices": ["red"]}},
                    ],
                    "was_cancelled": False,
                    "updated_at": "2026-01-01",
                },
                {"id": 2, "result": []},
            ],
            "data": {"image": "/data/upload/1/abcdef12-x.jpg", "width": 3, "height": 4},
        },
        {"image": "a.jpg", "id": 3, "annotator": 1, "annotation_id": 4, "label": [{**PERCENT, **ORIGINAL}]},
    ],
}  # fmt: skip

XML = """<annotations><meta><task><labels><label><name>car</name><attributes><attribute>
<name>doors</name><input_type>number</input_type></attribute></attributes></label></labels>
<original_size><width>64</width><height>48</height></original_size></task></meta>
<image id="0" name="a.jpg" subset="s" width="64" height="48">
<box label="car" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" rotation="20" z_order="1">
<attribute name="doors">3</attribute></box><tag label="car"/>
<polygon label="car" points="1,2;3,4;5,9"/><ellipse label="car" cx="1" cy="2" rx="3" ry="4"/>
<mask label="car" rle="1, 2, 1" left="0" top="0" width="2" height="2"/>
<skeleton label="car"><points label="head" outside="0" points="1,2;3,4"/></skeleton></image>
<track id="0" label="car" subset="s" task_id="4">
<box frame="3" outside="0" xtl="1" ytl="2" xbr="3" ybr="4"/></track></annotations>"""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield from places(value[key], (*path, key))


def with_junk(document: Any, chance: random.Random) -> bytes:
    """Replace one to three values of a JSON document, whatever they are."""
    made = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        path = chance.choice(list(places(made))[1:] or [()])
        if not path:
            break
        target = made
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = copy.deepcopy(chance.choice(JUNK))
    return json.dumps(made).encode()


def xml_with_junk(_: Any, chance: random.Random) -> bytes:
    """Replace some attribute values and texts of an XML document."""

    def replaced(match: re.Match[str]) -> str:
        text = match[0]
        kept = chance.random() > 0.04
        return text if kept else f"{text[0]}{chance.choice(TEXT_JUNK)}{text[-1]}"

    return re.sub(r'"[^"]*"|>[^<>]+<', replaced, XML).encode()


def is_sound(table: Annotations) -> bool:
    """Tell whether a table holds nothing that would break what comes after a reader."""
    boxes, count = table.boxes, len(table.boxes)
    in_images = count == 0 or 0 <= boxes.image.min() <= boxes.image.max() < len(table.images)
    in_labels = count == 0 or 0 <= boxes.label.min() <= boxes.label.max() < len(table.labels)
    sparse = all(0 <= row < count for row in (*boxes.attributes, *boxes.outline))
    return bool(in_images and in_labels and sparse and np.isfinite(boxes.xyxy).all())


@pytest.mark.parametrize("name", ["labelme", "cvat", "scalabel", "labelstudio"])
def test_anything_anywhere_in_a_file_is_listed_or_an_error_that_names_the_file(
    name: str, tmp_path: Path
) -> None:
    chance = random.Random(name)
    file = tmp_path / ("a.xml" if name == "cvat" else "a.json")
    make: Callable[[Any, random.Random], bytes] = xml_with_junk if name == "cvat" else with_junk
    refused: list[str] = []
    for _ in range(150):
        file.write_bytes(make(DOCUMENTS.get(name), chance))
        FORMATS[name].recognise(file)
        try:
            table = FORMATS[name].read(Source(file))
        except DataError as error:
            refused.append(str(error))
        else:
            assert is_sound(table), file.read_bytes()
            FORMATS[name].write(table, tmp_path / "out")
    assert len(refused) < 50
    assert all(message.startswith(str(file)) for message in refused)
