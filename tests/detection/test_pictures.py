"""Pictures of a table on the canvas: decoding, scaling, cache, masks, and what bad ones are told."""

from __future__ import annotations

import copy
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch import Tensor
from torchvision.ops import masks_to_boxes

from rondel import Stream
from rondel.errors import DataError, UsageError
from rondel.processes import Processes
from rondel.stream import Feed
from rondel_detection.data.cache import PictureCache
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.collate import Collate
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.pictures import Pictures, load, sizes_of, with_sizes
from rondel_detection.data.table import Annotations, Outline, Status, TableBuilder

SIZES = ((64, 48), (96, 64), (48, 64), (128, 96), (64, 48), (80, 60))
"""Width and height of the pictures of a set."""
BOX = (0.25, 0.25, 0.75, 0.5)
"""The red rectangle on every picture, as shares of its sides."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def corners(width: int, height: int) -> tuple[float, float, float, float]:
    return BOX[0] * width, BOX[1] * height, BOX[2] * width, BOX[3] * height


def painted(width: int, height: int, number: int = 0) -> Image.Image:
    """Paint a red rectangle on green."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 1] = 100 + number
    x1, y1, x2, y2 = map(int, corners(width, height))
    pixels[y1:y2, x1:x2] = (255, 0, 0)
    return Image.fromarray(pixels)


def make_set(root: Path, *, known: bool = True, statuses: dict[int, Status] | None = None) -> Any:
    """Write pictures with one box each, and a table of them."""
    builder = TableBuilder(root, "test")
    builder.add_file("labels.json")
    for number, (width, height) in enumerate(SIZES):
        name = f"{number}.png"
        painted(width, height, number).save(root / name)
        row = builder.add_image(
            name,
            width=width if known else 0,
            height=height if known else 0,
            status=(statuses or {}).get(number, Status.LABELLED),
            origin=0,
        )
        builder.add_box(row, corners(width, height), number % 2, origin=0, id=1000 + number)
    return builder.build(LabelMap(("cat", "dog")))


def canvas_of(annotations: Annotations, image_size: int = 64) -> Canvas:
    return Canvas.fit(sizes_of(annotations), stride=32, image_size=image_size)


@pytest.fixture(name="annotations")
def _annotations(tmp_path: Path) -> Annotations:
    made: Annotations = make_set(tmp_path)
    return made


def one_box(
    tmp_path: Path, box: tuple[float, float, float, float], outline: Outline | None = None
) -> Annotations:
    builder = TableBuilder(tmp_path, "test")
    builder.add_file("labels.json")
    painted(64, 48).save(tmp_path / "a.png")
    row = builder.add_image("a.png", width=64, height=48, origin=0)
    builder.add_box(row, box, 0, origin=0, id=7, outline=outline)
    return builder.build(LabelMap(("cat",)))


def batches(data: Any, workers: int = 0, skip: Any = None) -> list[tuple[Any, Tensor]]:
    """Read one pass through a stream, in order."""
    stream = Stream(data, batch_size=2, name="train", shuffle=False, collate=Collate(data.canvas))
    feed = Feed(0, Processes(0, 1, torch.device("cpu")), workers, skip)
    try:
        return list(stream.batches(feed, stream.plan(0, 0), 0))
    finally:
        stream.close()


def pixels(data: Any, workers: int = 0) -> Tensor:
    return torch.cat([batch[0] for batch, _ in batches(data, workers)])


# -- pictures and boxes ----------------------------------------------------------------------------


def test_boxes_are_scaled_with_their_pictures(annotations: Annotations) -> None:
    data = Pictures(annotations, canvas_of(annotations))
    for index in range(len(data)):
        sample = data[index]
        assert max(sample.picture.shape[1:]) <= 64
        x1, y1, x2, y2 = sample.boxes[0].round().int().tolist()
        red = sample.picture[0] > 127
        found = torch.nonzero(red)
        assert found.min(0).values.tolist() == [y1, x1]
        assert (found.max(0).values + 1).tolist() == [y2, x2]


def test_a_sample_says_what_the_table_says(annotations: Annotations) -> None:
    sample = Pictures(annotations, canvas_of(annotations))[3]
    assert (sample.row, sample.labels.tolist(), sample.crowd.tolist()) == (3, [1], [False])
    assert sample.boxes.dtype == torch.float32
    assert sample.labels.dtype == torch.int64
    assert sample.picture.dtype == torch.uint8
    assert sample.proposals is None
    assert sample.masks is None


def test_predictions_come_back_to_the_original_pixels(annotations: Annotations) -> None:
    data = Pictures(annotations, canvas_of(annotations))
    rows = torch.tensor([3, 0, 1])
    boxes = torch.cat([data[index].boxes for index in rows.tolist()])
    expected = torch.from_numpy(annotations.boxes.xyxy[rows.numpy()])
    torch.testing.assert_close(data.original(rows, boxes), expected, atol=1e-4, rtol=0)


def test_pictures_in_memory_are_those_of_files(annotations: Annotations) -> None:
    equal = annotations.take_images([0, 4])
    canvas = canvas_of(equal)
    memory = torch.stack([Pictures(equal, canvas)[index].picture for index in range(2)])
    files, kept = Pictures(equal, canvas), Pictures(equal, canvas, pixels=memory)
    for index in range(2):
        assert torch.equal(files[index].picture, kept[index].picture)
        assert torch.equal(files[index].boxes, kept[index].boxes)


def test_ignored_images_of_a_set_in_memory_keep_the_others_in_their_places(tmp_path: Path) -> None:
    table = make_set(tmp_path, statuses={0: Status.IGNORED}).take_images([0, 4])
    memory = torch.stack([torch.zeros(3, 48, 64), torch.ones(3, 48, 64)]).byte()
    data = Pictures(table, Canvas(64, 64, 64, 2, 32), pixels=memory)
    assert len(data) == 1
    assert data[0].picture.min() == 1


def test_a_changed_sample_changes_nothing_in_the_set(annotations: Annotations) -> None:
    first = annotations.take_images([0])
    canvas = Canvas(64, 64, 64, 2.0, 32)
    memory = torch.ones(1, 3, 48, 64, dtype=torch.uint8)
    for made in (Pictures(first, canvas, cache=10**6), Pictures(first, canvas, pixels=memory)):
        data = made.with_proposals(torch.ones(1, 2, 4))
        columns = ("picture", "boxes", "labels", "crowd", "proposals")
        before = [getattr(data[0], column).clone() for column in columns]
        for _ in range(2):
            sample = data[0]
            for column in columns:
                getattr(sample, column).fill_(9)
        for column, expected in zip(columns, before, strict=True):
            assert torch.equal(getattr(data[0], column), expected)


def test_an_image_without_boxes_is_a_sample_like_any_other(tmp_path: Path) -> None:
    table = one_box(tmp_path, (0, 0, 9, 9)).take_boxes([])
    sample = Pictures(table, canvas_of(table), masks=True)[0]
    assert sample.boxes.shape == (0, 4)
    assert sample.labels.shape == sample.crowd.shape == (0,)
    assert sample.masks is not None
    assert sample.masks.shape == (0, 48, 64)


def test_ignored_images_are_left_out_and_unlabelled_ones_come_on_request(tmp_path: Path) -> None:
    table = make_set(tmp_path, statuses={1: Status.UNLABELLED, 2: Status.IGNORED})
    canvas = canvas_of(table)
    names = [str(name) for name in Pictures(table, canvas).annotations.images.file]
    assert names == ["0.png", "3.png", "4.png", "5.png"]
    unlabelled = Pictures(table, canvas, statuses=[Status.UNLABELLED])
    assert [str(name) for name in unlabelled.annotations.images.file] == ["1.png"]
    assert unlabelled[0].picture[1, 0, 0] == 101


def test_a_set_without_such_images_is_refused(annotations: Annotations) -> None:
    with pytest.raises(DataError, match="none of the 6 images is unlabelled or ignored"):
        Pictures(annotations, canvas_of(annotations), statuses=[Status.UNLABELLED, Status.IGNORED])


def test_unknown_sizes_are_read_from_the_headers(tmp_path: Path) -> None:
    table = with_sizes(make_set(tmp_path, known=False))
    assert [tuple(size) for size in sizes_of(table)[:, ::-1].tolist()] == list(SIZES)
    known = Pictures(make_set(tmp_path), canvas_of(table))
    found = Pictures(make_set(tmp_path, known=False), canvas_of(table))
    assert torch.equal(found[3].boxes, known[3].boxes)


def test_a_picture_for_prediction_is_scaled_like_one_for_training(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=95)
    builder = TableBuilder(tmp_path, "test")
    builder.add_image("a.jpg", width=400, height=300)
    table = builder.build(LabelMap(("cat",)))
    canvas = canvas_of(table)
    picture, full = load(tmp_path / "a.jpg", canvas)
    assert full == (300, 400)
    assert torch.equal(picture, Pictures(table, canvas)[0].picture)


def test_a_picture_is_seen_after_its_exif_rotation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    painted(64, 48).rotate(90, expand=True).save(tmp_path / "a.png", exif=exif)
    builder = TableBuilder(tmp_path, "test")
    builder.add_image("a.png", width=64, height=48)
    builder.add_box(0, corners(64, 48), 0)
    table = builder.build(LabelMap(("cat",)))
    sample = Pictures(table, canvas_of(table))[0]
    x1, y1, x2, y2 = sample.boxes[0].int().tolist()
    assert (sample.picture[0, y1:y2, x1:x2] == 255).all()
    assert (sample.picture[0] == 255).sum() == (x2 - x1) * (y2 - y1)


# -- bad data --------------------------------------------------------------------------------------


def problem(call: Callable[[], Any]) -> str:
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value)


def test_an_unreadable_picture_names_file_label_and_cause(annotations: Annotations) -> None:
    data = Pictures(annotations, canvas_of(annotations))
    (annotations.root / "1.png").write_bytes(b"no picture")
    text = problem(lambda: batches(data))
    assert "labels.json (image '1.png') cannot be read" in text
    assert f"{annotations.root / '1.png'}: is no image of a kind that is read here" in text
    (annotations.root / "1.png").unlink()
    assert "there is no such image file" in problem(lambda: batches(data))


def test_an_unreadable_picture_can_be_skipped(annotations: Annotations) -> None:
    data = Pictures(annotations, canvas_of(annotations))
    (annotations.root / "1.png").unlink()
    skipped: list[Any] = []
    rows = [batch[1].rows.tolist() for batch, _ in batches(data, skip=skipped.extend)]
    assert rows == [[0], [2, 3], [4, 5]]
    assert [bad.index for bad in skipped] == [1]


def test_a_picture_whose_header_is_unreadable_waits_for_its_turn(tmp_path: Path) -> None:
    table = make_set(tmp_path, known=False)
    (tmp_path / "2.png").write_bytes(b"")
    data = Pictures(table, canvas_of(with_sizes(table)), cache=10**6)
    assert data[1].row == 1
    assert "2.png" in problem(lambda: data[2])
    painted(*SIZES[2]).save(tmp_path / "2.png")
    for _ in range(2):
        assert data[2].picture.shape == (3, 64, 48)


def test_a_size_unlike_that_of_the_file_is_named(annotations: Annotations) -> None:
    data = Pictures(annotations, canvas_of(annotations))
    painted(50, 40).save(annotations.root / "0.png")
    text = problem(lambda: data[0])
    assert text.startswith(f"{annotations.root / '0.png'}: the labels say 64 x 48 pixels")
    assert "the picture has 50 x 40" in text
    assert "scaled after it was labelled" in text


def test_a_size_that_is_turned_points_to_the_exif_rotation(annotations: Annotations) -> None:
    data = Pictures(annotations, canvas_of(annotations))
    painted(48, 64).save(annotations.root / "0.png")
    text = problem(lambda: data[0])
    assert "the labels say 64 x 48 pixels, the picture has 48 x 64" in text
    assert "without its EXIF rotation" in text


def test_a_file_outside_of_the_folder_is_refused(annotations: Annotations) -> None:
    annotations.images.file[0] = "../../secret.png"
    text = problem(lambda: Pictures(annotations, canvas_of(annotations))[0])
    assert "'../../secret.png' leads out of the folder of the images" in text


@pytest.mark.parametrize(
    "box", [(10, 10, 10, 20), (70, 10, 80, 20), (20, 10, 10, 20), (1, 2, float("nan"), 3)]
)
def test_a_box_without_area_is_named(
    tmp_path: Path, box: tuple[float, float, float, float]
) -> None:
    table = one_box(tmp_path, box)
    text = problem(lambda: Pictures(table, canvas_of(table)))
    assert text.startswith(f"labels.json: annotation 7 (image 'a.png'): box [{box[0]:g}, ")
    assert "has no area inside the picture of 64 x 48 pixels" in text
    assert "rondel detection check" in text


def test_a_box_is_clipped_to_its_picture(tmp_path: Path) -> None:
    table = one_box(tmp_path, (-10, 24, 1000, 1000))
    sample = Pictures(table, Canvas(64, 64, 64, 2, 32))[0]
    assert sample.boxes.tolist() == [[0, 24, 64, 48]]


def test_pictures_that_are_not_one_for_each_image_are_refused(annotations: Annotations) -> None:
    with pytest.raises(UsageError, match="5 pictures for 6 images"):
        Pictures(annotations, canvas_of(annotations), pixels=torch.zeros(5, 3, 8, 8).byte())


# -- cache -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", [3 * 48 * 64 * 2 + 1, 10**7])
def test_the_cache_changes_no_picture(annotations: Annotations, workers: int, cache: int) -> None:
    canvas = canvas_of(annotations)
    expected = pixels(Pictures(annotations, canvas))
    data = Pictures(annotations, canvas, cache=cache)
    for _ in range(2):
        assert torch.equal(pixels(data, workers), expected)


def test_what_one_worker_has_decoded_all_have(annotations: Annotations) -> None:
    data = Pictures(annotations, canvas_of(annotations), cache=10**7)
    expected = pixels(data, workers=2)
    for file in annotations.root.glob("*.png"):
        file.unlink()
    assert torch.equal(pixels(data), expected)
    assert torch.equal(pixels(data, workers=2), expected)


def test_the_cache_holds_no_more_than_its_budget() -> None:
    sizes = np.array([[4, 5], [0, 0], [2, 2], [6, 6]])
    cache = PictureCache(sizes, 3 * (20 + 4))
    for index, (height, width) in enumerate(sizes.tolist()):
        cache.put(index, torch.full((3, height, width), index, dtype=torch.uint8))
    found = [cache.get(index) for index in range(4)]
    assert found[3] is None
    assert found[0] is not None
    assert found[2] is not None
    assert (found[0].shape, found[2].shape) == ((3, 4, 5), (3, 2, 2))
    assert (found[2] == 2).all()


def test_without_a_budget_nothing_is_kept(annotations: Annotations) -> None:
    data = Pictures(annotations, canvas_of(annotations))
    pixels(data)
    (annotations.root / "0.png").unlink()
    with pytest.raises(DataError):
        data[0]


def test_a_cache_that_travels_to_another_process_starts_empty(annotations: Annotations) -> None:
    data = Pictures(annotations, canvas_of(annotations), cache=10**7)
    expected = pixels(data)
    other = copy.deepcopy(data)  # asks for the state as a start of a process does
    for _ in range(2):
        assert torch.equal(pixels(other), expected)
    for file in annotations.root.glob("*.png"):
        file.unlink()
    assert torch.equal(pixels(other), expected)


def test_memory_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(UsageError, match="cache: 60 bytes cannot be reserved for pictures"):
        PictureCache(np.array([[4, 5]]), 100)


# -- proposals and masks ---------------------------------------------------------------------------


def test_proposals_come_with_their_pictures_and_share_the_cache(annotations: Annotations) -> None:
    data = Pictures(annotations, canvas_of(annotations), cache=10**7)
    pixels(data)
    for file in annotations.root.glob("*.png"):
        file.unlink()
    proposals = torch.arange(6 * 3 * 4).reshape(6, 3, 4).double()
    made = data.with_proposals(proposals)
    sample = made[2]
    assert sample.proposals is not None
    assert sample.proposals.tolist() == proposals[2].tolist()
    assert sample.proposals.dtype == torch.float32
    assert data[2].proposals is None


@pytest.mark.parametrize("shape", [(5, 3, 4), (6, 3, 5), (6, 4)])
def test_proposals_of_another_shape_are_refused(
    annotations: Annotations, shape: tuple[int, ...]
) -> None:
    data = Pictures(annotations, canvas_of(annotations))
    with pytest.raises(UsageError, match=r"Give a tensor of shape \(6, proposals, 4\)"):
        data.with_proposals(torch.zeros(shape))


def mask_of(tmp_path: Path, outline: Outline | None, canvas: Canvas) -> Tensor:
    table = one_box(tmp_path, (8, 12, 40, 36), outline)
    masks = Pictures(table, canvas, masks=True)[0].masks
    assert masks is not None
    return masks


SMALL = Canvas(32, 32, 32, 2.0, 32)


def test_a_polygon_becomes_a_mask_on_the_canvas(tmp_path: Path) -> None:
    triangle = np.array([(8.0, 12.0), (40.0, 12.0), (8.0, 36.0)])
    mask = mask_of(tmp_path, Outline((triangle,)), SMALL)
    assert mask.shape == (1, 24, 32)
    found = masks_to_boxes(mask)[0] + torch.tensor([0, 0, 1, 1])
    assert (found - torch.tensor([4, 6, 20, 18])).abs().max() <= 1  # the tip fills no pixel
    assert mask.sum().item() == pytest.approx(16 * 12 / 2, abs=10)


def test_several_polygons_are_one_mask(tmp_path: Path) -> None:
    left = np.array([(8.0, 12.0), (16.0, 12.0), (16.0, 36.0), (8.0, 36.0)])
    line = np.array([(0.0, 0.0), (60.0, 40.0)])  # encloses nothing, and is no box either
    mask = mask_of(tmp_path, Outline((line, left, left + np.array([24.0, 0.0]))), SMALL)
    assert mask.sum() == 2 * 4 * 12
    assert not mask[0, :, 9:15].any()


def test_run_lengths_become_a_mask_on_the_canvas(tmp_path: Path) -> None:
    bitmap = np.zeros((48, 64), dtype=bool)
    bitmap[12:36, 8:40] = True
    changes = np.flatnonzero(np.diff(bitmap.ravel(order="F"))) + 1
    counts = np.diff([0, *changes.tolist(), bitmap.size]).tolist()
    mask = mask_of(tmp_path, Outline(counts=tuple(counts)), SMALL)
    assert np.array_equal(mask[0].numpy(), bitmap[::2, ::2])


def test_a_box_without_an_outline_is_filled(tmp_path: Path) -> None:
    mask = mask_of(tmp_path, None, SMALL)
    assert mask.sum() == 16 * 12
    assert mask[0, 6:18, 4:20].all()


def test_run_lengths_of_another_picture_are_named(tmp_path: Path) -> None:
    text = problem(lambda: mask_of(tmp_path, Outline(counts=(10, 20)), SMALL))
    assert "labels.json: annotation 7 (image 'a.png')" in text
    assert "a run-length mask of 30 pixels is not that of a picture of 64 x 48" in text
