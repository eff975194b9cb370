"""Every defect of a labelled set is found, and sound sets are left in peace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rondel_detection.data.check import check, overlaps
from rondel_detection.data.defects import KINDS, by_kind, severities, verdict
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.misreading import misreadings
from rondel_detection.data.table import Annotations, Floats, Status, TableBuilder

LABELS = LabelMap(("cat", "dog"))
WIDTH, HEIGHT = 640, 480


def kinds(annotations: Annotations, **settings: bool) -> list[str]:
    return [each.kind for each in check(annotations, **settings)]


def plain(count: int = 3) -> TableBuilder:
    builder = TableBuilder(Path("photos"), "coco")
    builder.add_file("labels.json")
    for number in range(count):
        builder.add_image(f"{number}.jpg", width=WIDTH, height=HEIGHT, origin=0, id=number + 1)
        builder.add_box(number, (10, 10, 50, 90), number % 2, origin=0, id=number + 1)
    return builder


def photos(folder: Path, count: int = 3) -> TableBuilder:
    """A set whose images are there, each with a look of its own."""
    folder.mkdir(exist_ok=True)
    builder = TableBuilder(folder, "coco")
    builder.add_file("labels.json")
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize((64, 48), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.png")
        builder.add_image(f"{number}.png", width=64, height=48, origin=0)
        builder.add_box(number, (5, 5, 30, 30), number % 2)
    return builder


def test_a_sound_set_has_no_defects(tmp_path: Path) -> None:
    assert check(photos(tmp_path).build(LABELS)) == []
    assert check(plain().build(LABELS), files=False) == []


def test_defects_of_boxes_say_where_and_what() -> None:
    builder = plain()
    builder.add_box(1, (310, 20, 295, 80), 0, id=1042, origin=0, line=12)
    builder.add_box(1, (600, 20, 700, 80), 0, id=1043, origin=0)
    builder.add_box(2, (10, 10, 11, 90), 0, id=1044, origin=0)
    found = check(builder.build(LABELS), files=False)
    assert [str(each) for each in found] == [
        "labels.json:12: annotation 1042 (image '1.jpg'): box [310, 20, 295, 80] has x2 < x1",
        (
            "labels.json: annotation 1043 (image '1.jpg'): box [600, 20, 700, 80] reaches 60 px "
            "beyond the right border of 640 x 480"
        ),
        "labels.json: annotation 1044 (image '2.jpg'): box of 1 x 80 pixels",
    ]
    assert [each.kind for each in found] == ["corner_order", "partly_outside", "tiny"]
    assert found[2].to_json() == {
        "kind": "tiny",
        "severity": "warning",
        "place": "labels.json: annotation 1044 (image '2.jpg')",
        "reason": "box of 1 x 80 pixels",
        "action": "look",
        "images": [2],
        "boxes": [5],
    }


def test_boxes_that_mark_the_same_object_twice_are_found() -> None:
    builder = plain()
    builder.add_box(0, (10, 10, 50, 91), 0, id=77)  # as the first of all, IoU 80 / 81
    builder.add_box(0, (10, 10, 50, 95), 0, id=78)  # IoU 80 / 85 with it, 81 / 85 with the second
    builder.add_box(0, (10, 10, 50, 90), 1, id=79)  # another class
    builder.add_box(2, (10, 10, 50, 90), 1, id=80)  # another image
    found = check(builder.build(LABELS), files=False)
    assert [(each.kind, each.boxes) for each in found] == [
        ("duplicate_box", (0, 3)),
        ("duplicate_box", (3, 4)),
    ]
    assert found[0].reason == "the same 'cat' as annotation 1: IoU 0.988"


def test_duplicate_boxes_are_those_that_a_full_comparison_finds() -> None:
    random = np.random.default_rng(1)
    builder = TableBuilder(Path(), "coco")
    builder.add_image("a.jpg", width=1000, height=1000)
    first = random.uniform(0, 700, (60, 2))
    boxes = np.concatenate([first, first + random.uniform(20, 300, (60, 2))], axis=1)
    boxes = np.concatenate([boxes, boxes + random.normal(0, 3, boxes.shape)]).clip(0, 1000)
    for box in boxes.tolist():
        builder.add_box(0, tuple(box), int(random.integers(2)))
    annotations = builder.build(LABELS)
    expected = set()
    for one in range(len(boxes)):
        for other in range(one):
            if annotations.boxes.label[one] == annotations.boxes.label[other]:
                iou = overlaps(boxes[[one]], boxes[[other]])[0]
                expected |= {one} if iou > 0.95 else set()
    found = {
        each.boxes[-1] for each in check(annotations, files=False) if each.kind == "duplicate_box"
    }
    assert found == expected
    assert len(expected) > 5


def test_an_id_that_two_annotations_of_a_file_share_is_found() -> None:
    builder = plain()
    builder.add_file("other.json")
    builder.add_box(0, (100, 10, 150, 90), 0, origin=1, id=2)
    assert kinds(builder.build(LABELS), files=False) == []
    builder.add_box(2, (200, 10, 250, 90), 0, origin=0, id=2)
    found = check(builder.build(LABELS), files=False)
    assert [(each.kind, each.reason) for each in found] == [
        ("duplicate_id", "the id 2 has 2 annotations")
    ]


def test_class_names_that_differ_by_case_or_space_are_found() -> None:
    builder = plain()
    for label in range(2, 5):
        builder.add_box(0, (100 + 60 * label, 10, 150 + 60 * label, 90), label, id=50 + label)
    labels = LabelMap(("traffic light", "Traffic_Light ", "dog", "cat", "car"))
    found = check(builder.build(labels), files=False)
    assert [(each.kind, each.reason) for each in found] == [
        (
            "similar_classes",
            "'traffic light', 'Traffic_Light ' differ only in case, spaces or dashes",
        )
    ]


@pytest.mark.parametrize(
    ("rare", "count", "told"),
    [
        ("sevn", 1, ["'sevn' has 1 box; did somebody mean 'seven'?"]),
        ("seven!", 3, ["'seven!' has 3 boxes; did somebody mean 'seven'?"]),
        ("sevn", 4, []),  # too many for a slip
        ("eight", 1, []),  # a name of its own
    ],
)
def test_a_rare_class_named_almost_like_a_frequent_one_may_be_misspelt(
    rare: str, count: int, told: list[str]
) -> None:
    builder = plain(41)
    for number in range(31):
        builder.add_box(number, (100, 10, 150, 90), 0, id=100 + number)
    for number in range(count):
        builder.add_box(number, (200, 10, 250, 90), 2, id=200 + number)
    found = check(builder.build(LabelMap(("seven", "cat", rare))), files=False)
    assert [each.reason for each in found if each.kind == "misspelt_class"] == told


def test_classes_without_boxes_are_a_note() -> None:
    found = check(plain().build(LabelMap(("cat", "dog", "emu", "fox"))), files=False)
    assert [(each.kind, each.severity) for each in found] == [("unused_class", "note")]
    assert found[0].reason == "2 of 4 classes have no box: 'emu', 'fox'"


def test_a_class_that_no_training_image_shows_is_found() -> None:
    builder = TableBuilder(Path(), "coco")
    for number, name in enumerate(("train", "train", "val")):
        builder.add_image(f"{number}.jpg", width=64, height=48, split=name)
        builder.add_box(number, (1, 1, 9, 9), int(name == "val"))
    found = check(builder.build(LABELS), files=False)
    assert [(each.kind, each.reason) for each in found] == [
        ("untrained_class", "'dog' has 1 box in val, none in train")
    ]


def test_a_set_without_any_box_is_an_error() -> None:
    builder = TableBuilder(Path(), "coco")
    builder.add_image("a.jpg", width=9, height=9)
    found = check(builder.build(LABELS), files=False)
    assert [(each.kind, each.reason) for each in found] == [
        ("no_boxes", "none of 1 images has a box")
    ]


def test_images_that_nobody_looked_at_are_notes_and_boxes_on_them_a_warning() -> None:
    builder = plain()
    builder.add_image("new.jpg", width=9, height=9, status=Status.UNLABELLED)
    builder.add_image("odd.jpg", width=9, height=9, status=Status.UNLABELLED)
    builder.add_box(4, (1, 1, 5, 5), 0, id="odd")
    builder.add_image("bad.jpg", width=9, height=9, status=Status.IGNORED)
    builder.add_image("empty.jpg", width=9, height=9)
    builder.add_image("huge.jpg")
    found = check(builder.build(LABELS), files=False)
    assert [(each.kind, each.reason) for each in found] == [
        ("no_size", "1 image is of unknown size: 'huge.jpg'"),
        ("boxes_unseen", "marked as unlabelled, but has 1 box"),
        ("unlabelled", "1 image is unlabelled: nobody looked at 'new.jpg'"),
        ("ignored", "1 image is rejected or skipped in the labelling tool: 'bad.jpg'"),
    ]


def test_an_image_that_is_listed_twice_is_a_leak_if_its_splits_differ() -> None:
    builder = plain()
    builder.add_image("./0.jpg", width=WIDTH, height=HEIGHT)
    found = check(builder.build(LABELS), files=False)
    assert [(each.kind, each.images) for each in found] == [("twice", (0, 3))]
    assert found[0].reason == "'0.jpg' is listed 2 times"
    builder = TableBuilder(Path(), "coco")
    for name in ("train", "val"):
        builder.add_image("a.jpg", width=64, height=48, split=name)
    builder.add_box(0, (1, 1, 9, 9), 0)
    found = check(builder.build(LabelMap(("cat",))), files=False)
    assert [each.kind for each in found] == ["leak"]
    assert found[0].reason == "'a.jpg' is listed 2 times, in the splits train and val"


# -- files -----------------------------------------------------------------------------------------


def test_missing_unreadable_and_escaping_files_are_found(tmp_path: Path) -> None:
    builder = photos(tmp_path / "photos")
    builder.add_image("gone.png", width=64, height=48)
    (tmp_path / "photos/text.png").write_text("no picture")
    builder.add_image("text.png", width=64, height=48)
    builder.add_image("../secret.png", width=64, height=48)
    found = check(builder.build(LABELS))
    assert [(each.kind, each.images) for each in found] == [
        ("escapes", (5,)),
        ("missing", (3,)),
        ("unreadable", (4,)),
    ]
    assert "the file name '../secret.png' leads out of the folder" in found[0].reason
    assert found[1].reason.endswith("gone.png: there is no such image file")
    assert found[2].reason.startswith("is no image of a kind that is read here")


def test_a_truncated_picture_is_found_when_it_is_decoded(tmp_path: Path) -> None:
    annotations = photos(tmp_path).build(LABELS)
    path = tmp_path / "1.png"
    path.write_bytes(path.read_bytes()[:-200])
    found = check(annotations)
    assert [(each.kind, each.images) for each in found] == [("unreadable", (1,))]
    assert [each.kind for each in check(annotations, decode=False)] == ["not_decoded"]


def test_wrong_sizes_are_found(tmp_path: Path) -> None:
    builder = photos(tmp_path)
    Image.open(tmp_path / "0.png").resize((128, 96)).rotate(40).save(tmp_path / "large.png")
    builder.add_image("large.png", width=64, height=48)
    Image.open(tmp_path / "1.png").rotate(50).save(tmp_path / "upright.png")
    builder.add_image("upright.png", width=48, height=64)
    found = check(builder.build(LABELS))
    assert [(each.kind, each.images) for each in found] == [
        ("wrong_size", (3,)),
        ("wrong_size", (4,)),
    ]
    assert found[0].reason == "the labels say 64 x 48, the picture is 128 x 96"


def test_labels_of_the_unturned_picture_are_told_from_those_of_the_turned_one(
    tmp_path: Path,
) -> None:
    builder = photos(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.open(tmp_path / "0.png").rotate(30)
    picture.save(tmp_path / "stored.jpg", exif=exif)
    builder.add_image("stored.jpg", width=64, height=48)
    found = check(builder.build(LABELS))
    assert [(each.kind, each.images, each.severity) for each in found] == [
        ("turned", (3,), "error")
    ]
    assert found[0].reason == (
        "the labels say 64 x 48, the picture is 48 x 64 as a person sees it, turned by EXIF "
        "orientation 6"
    )
    builder = photos(tmp_path)
    builder.add_image("stored.jpg", width=48, height=64)
    found = check(builder.build(LABELS))
    assert [(each.kind, each.severity) for each in found] == [("exif", "note")]
    assert found[0].reason == "1 image is stored turned, and put upright by EXIF: 'stored.jpg'"


def test_unknown_sizes_come_from_the_files(tmp_path: Path) -> None:
    builder = photos(tmp_path)
    Image.open(tmp_path / "0.png").rotate(90).save(tmp_path / "new.png")
    builder.add_image("new.png")
    builder.add_box(3, (60, 0, 70, 20), 0)
    found = check(builder.build(LABELS))
    assert [each.kind for each in found] == ["partly_outside"]
    assert "6 px beyond the right border of 64 x 48" in found[0].reason


def test_equal_images_are_a_leak_across_splits_and_a_warning_within_one(tmp_path: Path) -> None:
    annotations = photos(tmp_path, 4).build(LABELS)
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    found = check(annotations)
    assert [(each.kind, each.reason) for each in found] == [
        ("identical", "'0.png', '1.png' are the same file")
    ]
    annotations.images.split[:] = ["train", "val", "val", "train"]
    found = [each for each in check(annotations) if each.kind == "leak"]
    assert [each.reason for each in found] == [
        "'0.png' (train), '1.png' (val) are the same file, in the splits train and val"
    ]
    annotations.images.status[1] = Status.IGNORED
    assert "leak" not in kinds(annotations)


def test_almost_equal_images_are_a_warning_across_splits_and_a_note_within_one(
    tmp_path: Path,
) -> None:
    annotations = photos(tmp_path, 4).build(LABELS)
    picture = Image.open(tmp_path / "0.png")
    picture.resize((32, 24)).resize((64, 48)).save(tmp_path / "3.png")
    found = check(annotations)
    assert [(each.kind, each.reason) for each in found] == [
        ("near_identical", "1 pair looks almost the same: '0.png', '3.png'")
    ]
    annotations.images.split[:] = ["train", "train", "train", "val"]
    found = [each for each in check(annotations) if each.kind == "near_leak"]
    assert [each.images for each in found] == [(0, 3)]
    assert found[0].reason.endswith("look almost the same, in the splits train and val")


# -- wrong formats ---------------------------------------------------------------------------------


def scene(
    count: int = 400, *, meant: Callable[[Floats, Floats], Floats] | None = None, seed: int = 0
) -> Annotations:
    """Boxes anywhere on images of two sizes; ``meant`` turns them into what a reader made of them."""
    random = np.random.default_rng(seed)
    builder = TableBuilder(Path(), "coco")
    builder.add_file("labels.json")
    sizes = np.where(random.random((count, 1)) < 0.5, [[640, 480]], [[1280, 720]]).astype(float)
    wide = sizes * random.uniform(0.05, 0.5, (count, 2))
    corner = (sizes - wide) * random.random((count, 2))
    xyxy = np.concatenate([corner, corner + wide], axis=1)
    if meant is not None:
        xyxy = meant(xyxy, sizes)
    for number in range(count):
        width, height = sizes[number].astype(int).tolist()
        builder.add_image(f"{number}.jpg", width=width, height=height, origin=0)
        builder.add_box(number, tuple(xyxy[number].tolist()), 0, origin=0)
    return builder.build(LabelMap(("cat",)))


def both(size: Floats) -> Floats:
    return np.concatenate([size, size], axis=1)


def half(b: Floats) -> Floats:
    return np.concatenate([b[:, 2:] - b[:, :2]] * 2, axis=1) / 2


MISREAD: dict[str, Callable[[Floats, Floats], Floats]] = {
    "corners x1 y1 x2 y2, but were read as x y width height": lambda b, _: np.concatenate(
        [b[:, :2], b[:, :2] + b[:, 2:]], axis=1
    ),
    "x y width height, but were read as corners": lambda b, _: np.concatenate(
        [b[:, :2], b[:, 2:] - b[:, :2]], axis=1
    ),
    "the centre was read as the upper left corner": lambda b, _: b + half(b),
    "the upper left corner was read as the centre": lambda b, _: b - half(b),
    "centre x y width height, but were read as corners": lambda b, _: np.concatenate(
        [(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], axis=1
    ),
    "y before x, but were read as x before y": lambda b, _: b[:, [1, 0, 3, 2]],
    "pixels, but were read as shares of the image": lambda b, size: b * both(size),
    "percent of the image, but were read as shares of it": lambda b, size: b * 100,
    "shares of the image from 0 to 1, but were read as pixels": lambda b, size: b / both(size),
    "percent of the image, but were read as pixels": lambda b, size: 100 * b / both(size),
}


@pytest.mark.parametrize("told", MISREAD)
def test_a_misread_format_is_recognised(told: str) -> None:
    found = misreadings(scene(meant=MISREAD[told]))
    assert len(found) == 1
    assert told in found[0].reason
    assert "(first: labels.json: annotation " in found[0].reason
    assert len(found[0].boxes) > 20
    assert found[0].severity == "error"


def test_the_evidence_is_given_in_numbers() -> None:
    annotations = scene(meant=MISREAD["corners x1 y1 x2 y2, but were read as x y width height"])
    reason = misreadings(annotations)[0].reason
    assert reason.startswith(
        "69.5% of 400 boxes have no area or reach far beyond their image; the n"
    )
    assert "then it would be 0.0% (first: labels.json: annotation" in reason


@pytest.mark.parametrize("seed", range(3))
def test_sound_boxes_are_not_suspected(seed: int) -> None:
    assert misreadings(scene(seed=seed)) == []


def careless(b: Floats, size: Floats) -> Floats:
    return b + np.random.default_rng(0).normal(0, 0.01, b.shape) * both(size)


def any_corner(b: Floats, size: Floats) -> Floats:
    random = np.random.default_rng(0)
    flipped = random.random((len(b), 2)) < 0.5
    low = np.where(flipped, b[:, 2:], b[:, :2])
    return np.concatenate([low, np.where(flipped, b[:, :2], b[:, 2:])], axis=1)


def overhanging(b: Floats, size: Floats) -> Floats:
    """Objects that fill the picture, and a tenth of them drawn over its edge."""
    wide = np.random.default_rng(0).uniform(-0.03, 0.1, b.shape) * both(size)
    return np.concatenate([wide[:, :2], size - wide[:, 2:]], axis=1)


@pytest.mark.parametrize("habit", [careless, any_corner, overhanging])
def test_careless_drawing_is_not_taken_for_another_format(
    habit: Callable[[Floats, Floats], Floats],
) -> None:
    assert misreadings(scene(meant=habit)) == []


def test_a_few_wrong_boxes_are_no_wrong_format() -> None:
    swapped = MISREAD["y before x, but were read as x before y"]
    few = scene(meant=lambda b, s: np.where(np.arange(len(b))[:, None] < 30, swapped(b, s), b))
    assert misreadings(few) == []


def test_one_wrong_file_among_several_is_recognised() -> None:
    swapped = MISREAD["y before x, but were read as x before y"]
    builder = TableBuilder(Path(), "coco")
    # in the whole set it would be one box of thirty
    for number, part in enumerate((scene(2000), scene(200, meant=swapped))):
        builder.add_file(f"{number}.json")
        sizes = zip(part.images.width.tolist(), part.images.height.tolist(), strict=True)
        for row, (width, height) in enumerate(sizes):
            image = builder.add_image(f"{number}/{row}.jpg", width=width, height=height)
            builder.add_box(image, tuple(part.boxes.xyxy[row].tolist()), 0, origin=number)
    found = misreadings(builder.build(LabelMap(("cat",))))
    assert len(found) == 1
    assert "(first: 1.json: annotation" in found[0].reason


# -- the whole -------------------------------------------------------------------------------------


def test_every_kind_is_one_of_the_table_and_they_are_ordered() -> None:
    builder = plain()
    builder.add_image("0.jpg", status=Status.UNLABELLED)
    builder.add_box(0, (50, 10, 40, 90), 0)
    builder.add_box(0, (5, 5, 5, 90), 0)
    found = kinds(builder.build(LabelMap(("cat", "dog", "Cat"))), files=False)
    assert found == sorted(found, key=list(KINDS).index)
    assert set(by_kind(check(builder.build(LABELS), files=False))) <= set(KINDS)


def test_the_verdict_says_whether_to_look() -> None:
    builder = plain()
    assert verdict(check(builder.build(LABELS), files=False)) == "Nothing is wrong with it."
    builder.add_box(0, (60, 10, 40, 90), 0, id=9)
    found = check(builder.build(LABELS), files=False)
    assert verdict(found) == "Fit for training: 1 warning."
    builder.add_box(0, (5, 5, 5, 90), 0, id=10)
    builder.add_box(0, (5, 5, 90, 5), 0, id=11)
    found = check(builder.build(LABELS), files=False)
    assert verdict(found) == "Needs a look before training: 2 errors, 1 warning."
    assert severities(found) == {"error": 2, "warning": 1, "note": 0}


def test_a_hundred_thousand_boxes_are_checked() -> None:
    random = np.random.default_rng(0)
    builder = TableBuilder(Path("nowhere"), "coco")
    for number in range(10_000):
        builder.add_image(f"{number}.jpg", width=640, height=480)
    boxes = random.uniform(0, 400, (100_000, 4))
    boxes[:, 2:] += boxes[:, :2]
    images = random.integers(0, 10_000, 100_000)
    for image, box in zip(images.tolist(), boxes.tolist(), strict=True):
        builder.add_box(image, tuple(box), 0)
    annotations = builder.build(LabelMap(("cat",)))
    assert len(check(annotations, files=False)) > 30_000
