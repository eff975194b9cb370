"""The centre detector: its losses against loops, its boxes back from perfect maps, its edges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import batched_nms, box_iou, generalized_box_iou

from rondel.errors import UsageError
from rondel_detection.config import ModelConfig
from rondel_detection.data.batch import PADDING, Targets
from rondel_detection.demo import embedded
from rondel_detection.losses import giou, giou_sum, heat_focal_sum
from rondel_detection.models.assignment import (
    LARGEST,
    REACH,
    SPREAD,
    SPREADS,
    Assignment,
    Grid,
    assign,
    learning_cells,
)
from rondel_detection.models.centre import (
    STRIDES,
    CentreDetector,
    Maps,
    doubles,
    flat,
    grid_of,
    make_centre,
    peaks_of,
)
from rondel_detection.models.tiny_fpn import TinyFpn

CLASSES = 3
Box = tuple[float, float, float, float]


def make_targets(
    boxes: Sequence[Sequence[Box]],
    labels: Sequence[Sequence[int]] | None = None,
    crowd: Sequence[Sequence[bool]] | None = None,
    *,
    rows: int | None = None,
) -> Targets:
    """Pad boxes of images to targets of ``rows`` rows; by default all labels are 0."""
    most = max(len(of) for of in boxes) if rows is None else rows
    made = Targets(
        torch.zeros(len(boxes), most, 4),
        torch.full((len(boxes), most), PADDING),
        torch.zeros(len(boxes), most, dtype=torch.bool),
        torch.tensor([[128.0, 128.0]]).repeat(len(boxes), 1),
        torch.arange(len(boxes)),
    )
    for image, of in enumerate(boxes):
        for row, box in enumerate(of):
            made.boxes[image, row] = torch.tensor(box)
            made.labels[image, row] = labels[image][row] if labels else 0
            made.crowd[image, row] = crowd[image][row] if crowd else False
    return made


def random_targets(seed: int, batch: int, most: int, canvas: tuple[int, int]) -> Targets:
    """Any boxes inside the canvas, some rows of them padding, some crowds."""
    generator = torch.Generator().manual_seed(seed)
    height, width = canvas
    corners = torch.rand(batch, most, 2, 2, generator=generator) * torch.tensor([width, height])
    low, high = corners.amin(2), corners.amax(2)
    labels = torch.randint(-1, CLASSES, (batch, most), generator=generator)
    boxes = torch.cat((low, high), -1) * (labels >= 0)[..., None]
    crowd = (torch.rand(batch, most, generator=generator) < 0.2) & (labels >= 0)
    sizes = torch.tensor([[float(height), float(width)]]).repeat(batch, 1)
    return Targets(boxes, labels, crowd, sizes, torch.arange(batch))


def pictures(rows: slice) -> tuple[Tensor, Targets]:
    """Some of the embedded shapes with their targets."""
    made = embedded("shapes")
    table = made.annotations
    of = table.boxes_of()[rows]
    boxes = [[tuple(table.boxes.xyxy[box].tolist()) for box in image] for image in of]
    labels = [[int(table.boxes.label[box]) for box in image] for image in of]
    return made.pictures[rows], make_targets(boxes, labels)


def no_seeds(images: Tensor) -> Tensor:
    return torch.zeros(len(images), dtype=torch.int64)


# losses


def test_the_heat_loss_is_the_formula_of_the_paper_cell_by_cell() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 20, generator=generator, dtype=torch.float64) * 3
    target = torch.rand(2, 3, 20, generator=generator, dtype=torch.float64)
    target[0, 1, 4] = target[1, 2, 7] = 1
    background = torch.ones(2, 3, 20, dtype=torch.float64)
    background[0, :, 4:9] = 0  # the centre at 4 counts all the same
    expected = 0.0
    for image in range(2):
        for label in range(3):
            for cell in range(20):
                chance = 1 / (1 + math.exp(-float(logits[image, label, cell])))
                heat = float(target[image, label, cell])
                if heat == 1:
                    expected -= (1 - chance) ** 2 * math.log(chance)
                elif background[image, label, cell]:
                    expected -= (1 - heat) ** 4 * chance**2 * math.log(1 - chance)
    assert float(heat_focal_sum(logits, target, background)) == pytest.approx(expected, rel=1e-12)


def test_the_heat_loss_of_certain_answers_is_finite() -> None:
    logits = torch.tensor([[[-500.0, 500.0, -500.0]]], requires_grad=True)
    loss = heat_focal_sum(logits, torch.tensor([[[1.0, 0.0, 0.5]]]), torch.ones(1, 1, 3))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1000.0)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_giou_is_that_of_torchvision() -> None:
    boxes = random_targets(1, 1, 200, (64, 96)).boxes[0].double()
    others = random_targets(2, 1, 200, (64, 96)).boxes[0].double()
    kept = (boxes[:, 2] > boxes[:, 0]) & (others[:, 2] > others[:, 0])
    expected = generalized_box_iou(boxes[kept], others[kept]).diagonal()
    torch.testing.assert_close(giou(boxes[kept], others[kept]), expected, rtol=0, atol=1e-12)


def test_giou_of_boxes_without_an_area_is_finite() -> None:
    points = torch.tensor([[3.0, 3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0]], requires_grad=True)
    loss = giou_sum(points, torch.tensor([[3.0, 3.0, 3.0, 3.0], [9.0, 9.0, 9.0, 9.0]]), 1)  # type: ignore[arg-type]
    loss.backward()
    assert loss.isfinite()
    assert points.grad is not None
    assert points.grad.isfinite().all()


# assignment


def assign_by_loops(targets: Targets, grid: Grid) -> Assignment:
    """What `assign` returns, object by object and cell by cell."""
    height, width = grid.canvas
    places = [
        (stride, row, column)
        for stride in grid.strides
        for row in range(height // stride)
        for column in range(width // stride)
    ]
    batch, most = targets.labels.shape
    heat = torch.zeros(batch, len(places))
    background = torch.ones(batch, len(places))
    learns = torch.zeros(batch, len(places), dtype=torch.bool)
    boxes = torch.zeros(batch, len(places), 4)
    labels = torch.zeros(batch, len(places), dtype=torch.int64)
    for image in range(batch):
        for cell, (stride, row, column) in enumerate(places):
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            hottest = -1.0
            for number in range(most):
                x1, y1, x2, y2 = (float(edge) for edge in targets.boxes[image, number])
                label = int(targets.labels[image, number])
                if label < 0:
                    continue
                if targets.crowd[image, number]:
                    if x1 <= x <= x2 and y1 <= y <= y2:
                        background[image, cell] = 0
                    continue
                longest = max(x2 - x1, y2 - y1)
                fitting = [own for own in grid.strides if longest <= LARGEST * own]
                if stride != (fitting or [grid.strides[-1]])[0]:
                    continue
                across = column - min(int((x1 + x2) / 2 / stride), width // stride - 1)
                down = row - min(int((y1 + y2) / 2 / stride), height // stride - 1)
                spread_x = min(max((x2 - x1) / stride * SPREAD, SPREADS[0]), SPREADS[1])
                spread_y = min(max((y2 - y1) / stride * SPREAD, SPREADS[0]), SPREADS[1])
                here = math.exp(-((across / spread_x) ** 2 + (down / spread_y) ** 2) / 2)
                heat[image, cell] = max(float(heat[image, cell]), here)
                if max(abs(across), abs(down)) <= REACH and here > hottest:
                    hottest, learns[image, cell] = here, True
                    boxes[image, cell] = targets.boxes[image, number]
                    labels[image, cell] = label
    return Assignment(heat, background, learns, boxes, labels)


@pytest.mark.parametrize("canvas", [(64, 96), (128, 128)])
def test_the_assignment_of_a_batch_is_that_of_a_loop_over_objects_and_cells(
    canvas: tuple[int, int],
) -> None:
    targets = random_targets(3, 4, 6, canvas)
    grid = Grid(STRIDES, canvas)
    found, expected = assign(targets, grid), assign_by_loops(targets, grid)
    torch.testing.assert_close(found.heat, expected.heat, rtol=1e-5, atol=1e-7)
    assert torch.equal(found.heat == 1, expected.heat == 1)
    assert torch.equal(found.background, expected.background)
    assert torch.equal(found.learns, expected.learns)
    assert torch.equal(found.boxes[expected.learns], expected.boxes[expected.learns])
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(learning_cells(targets, grid), expected.learns)


def test_an_object_lives_on_the_level_of_its_longest_side() -> None:
    sides = ((10.0, 8), (64.0, 8), (64.5, 16), (128.0, 16), (129.0, 32), (640.0, 32))
    grid = Grid(STRIDES, (640, 640))
    strides = grid.cells(torch.device("cpu")).stride
    for side, stride in sides:
        learns = learning_cells(make_targets([[(0.0, 0.0, side, 5.0)]]), grid)[0]
        assert set(strides[learns].tolist()) == {stride}, side


def test_a_centre_on_the_far_edge_is_in_the_last_cell() -> None:
    targets = make_targets([[(128.0, 128.0, 128.0, 128.0)]])
    heat = assign(targets, Grid(STRIDES, (128, 128))).heat[0]
    assert (heat == 1).nonzero().tolist() == [[16 * 16 - 1]]


def test_a_crowd_is_neither_object_nor_background() -> None:
    model = CentreDetector(CLASSES)
    crowd = make_targets([[(16.0, 16.0, 80.0, 80.0)]], crowd=[[True]])
    grid = Grid(STRIDES, (128, 128))
    images = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    maps = model.raw(images)
    loss = model.loss_of(maps, crowd, grid)
    gradient = torch.autograd.grad(loss.mean, maps.heat[0])[0][0].abs().sum(0)
    assert (gradient[2:10, 2:10] == 0).all()
    assert (gradient[:2] > 0).all()
    assert {int(count) for count in model.counts(images, crowd, no_seeds(images)).values()} == {0}


# the loss as a whole


def test_pieces_of_a_batch_give_the_gradient_of_the_whole() -> None:
    torch.manual_seed(0)
    model = CentreDetector(CLASSES, width=0.35).double()
    images, targets = pictures(slice(0, 6))

    def gradient(cuts: Sequence[slice]) -> list[Tensor]:
        counts = model.counts(images, targets, no_seeds(images))
        model.zero_grad()
        for cut in cuts:
            part = Targets(*(column[cut] for column in targets if column is not None))
            model.loss(images[cut], part, no_seeds(images[cut])).weighed(counts).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    whole = gradient([slice(0, 6)])
    pieces = gradient([slice(0, 1), slice(1, 4), slice(4, 6)])
    assert len(whole) == len(list(model.parameters()))
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-11)


def test_the_counts_are_those_of_the_loss() -> None:
    model = CentreDetector(CLASSES)
    images, targets = pictures(slice(0, 6))
    parts = model.loss(images, targets, no_seeds(images)).part_sums()
    counts = model.counts(images, targets, no_seeds(images))
    assert {name: int(count) for name, (_, count) in parts.items()} == {
        name: int(count) for name, count in counts.items()
    }
    assert int(counts["heat"]) == int((targets.labels >= 0).sum())


@pytest.mark.parametrize("rows", [0, 3])
def test_pictures_without_objects_have_a_finite_loss_and_gradient(rows: int) -> None:
    model = CentreDetector(CLASSES)
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    targets = make_targets([[], []], rows=rows)
    loss = model.loss(images, targets, no_seeds(images))
    loss.mean.backward()
    assert float(loss.part_sums()["box"][0]) == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert {int(c) for c in model.counts(images, targets, no_seeds(images)).values()} == {0}


def test_a_training_step_looks_at_no_value_on_the_host() -> None:
    """On the meta device there are no values to look at: `.item()` and masks as indices raise."""
    model = CentreDetector(CLASSES).to("meta")
    images, targets = pictures(slice(0, 2))
    images = images.to("meta")
    targets = Targets(*(column.to("meta") for column in targets if column is not None))
    loss = model.loss(images, targets, no_seeds(images).to("meta"))
    loss.weighed(model.counts(images, targets, no_seeds(images))).backward()
    with pytest.raises(RuntimeError, match="meta"):
        images[images > 0]


def test_the_loss_under_autocast_is_near_that_in_single_precision() -> None:
    torch.manual_seed(0)
    model = CentreDetector(CLASSES)
    images, targets = pictures(slice(0, 4))
    exact = model.loss(images, targets, no_seeds(images)).mean
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.loss(images, targets, no_seeds(images)).mean
    assert half.dtype == torch.float32
    assert float(half.detach()) == pytest.approx(float(exact.detach()), rel=0.02)
    level = torch.full((1, 4, 2, 2), 3.001)
    assert flat([level.bfloat16()]).dtype == torch.float32
    assert flat([level.double()]).dtype == torch.float64


# detections


def perfect_maps(targets: Targets, grid: Grid) -> Maps:
    """The maps of a detector that knows the answer, and is sure of nothing else."""
    wanted = assign(targets, grid)
    cells = grid.cells(torch.device("cpu"))
    stride = cells.stride[:, None]
    start, end = wanted.boxes[..., :2], wanted.boxes[..., 2:]
    shift = ((start + end) / 2 - cells.centres) / stride
    sides = ((end - start).clamp(min=1e-3) / stride).log()
    heat = torch.logit(wanted.heat * 0.99, eps=1e-6)[:, None]
    classes = functional.one_hot(wanted.labels, CLASSES).transpose(1, 2) * 30.0
    boxes = torch.cat((shift, sides), -1).transpose(1, 2)
    lengths = [rows * columns for rows, columns in grid.shapes]
    return Maps(
        *(
            tuple(
                part.unflatten(-1, shape)
                for part, shape in zip(joined.split(lengths, -1), grid.shapes, strict=True)
            )
            for joined in (heat, classes, boxes)
        )
    )


@pytest.mark.parametrize("canvas", [(128, 128), (640, 448)])
def test_perfect_maps_give_the_boxes_back(canvas: tuple[int, int]) -> None:
    height, width = canvas
    of = [
        [(3.0, 5.0, 13.0, 15.5), (40.0, 30.0, 52.0, 101.0)],
        [(0.0, 0.0, float(width), float(height))],
        [(width - 10.0, height - 11.0, float(width), float(height)), (2.0, 2.0, 60.0, 60.0)],
    ]
    labels = [[0, 2], [1], [2, 2]]
    targets = make_targets(of, labels)._replace(sizes=torch.tensor([list(canvas)] * 3).float())
    found = CentreDetector(CLASSES).decode(
        perfect_maps(targets, Grid(STRIDES, canvas)), targets.sizes
    )
    for image, boxes in enumerate(of):
        sure = found.scores[image] > 0.5
        expected = sorted(zip(labels[image], boxes, strict=True))
        columns = (found.labels[image, sure].tolist(), found.boxes[image, sure].tolist())
        got = sorted(zip(*columns, strict=True))
        assert [label for label, _ in got] == [label for label, _ in expected]
        torch.testing.assert_close(
            torch.tensor([box for _, box in got]),
            torch.tensor([box for _, box in expected]),
            rtol=0,
            atol=1e-3,
        )


def test_only_the_hottest_of_neighbours_is_a_peak() -> None:
    heat = torch.full((1, 1, 4, 6), -9.0)
    heat[0, 0, 1, 1], heat[0, 0, 2, 2], heat[0, 0, 1, 5] = 3.0, 2.0, 1.0
    peaks = peaks_of(heat, torch.zeros(1, 2, 4, 6))[0]
    assert (peaks > 0.1).nonzero().tolist() == [[0, 1, 1], [0, 1, 5], [1, 1, 1], [1, 1, 5]]
    assert float(peaks[0, 1, 1]) == pytest.approx(1 / (1 + math.exp(-3)) / 2)


def test_neighbours_of_two_classes_are_both_peaks() -> None:
    heat = torch.full((1, 1, 2, 2), 3.0)
    classes = torch.zeros(1, 2, 2, 2)
    classes[0, 0, 0, 0] = classes[0, 1, 1, 1] = 9.0
    peaks = peaks_of(heat, classes)[0]
    assert (peaks > 0.9).nonzero().tolist() == [[0, 0, 0], [1, 1, 1]]


def test_boxes_that_overlap_a_better_one_go_as_in_torchvision() -> None:
    boxes = random_targets(5, 3, 60, (128, 128)).boxes
    boxes = boxes + torch.tensor([0.0, 0.0, 4.0, 4.0])
    labels = torch.arange(60).remainder(CLASSES).expand(3, -1)
    removed = doubles(boxes, labels, 0.5)
    scores = torch.linspace(1, 0.1, 60)
    for image in range(3):
        overlap = box_iou(boxes[image], boxes[image]) * (labels[0][:, None] == labels[0])
        first = (overlap > 0.5).tril(-1).any(-1)
        assert torch.equal(removed[image], first)
        kept = batched_nms(boxes[image], scores, labels[image], 0.5)
        assert set((~removed[image]).nonzero().flatten().tolist()) <= set(kept.tolist())
    assert removed.any()


def test_detections_are_inside_their_picture_best_first_and_not_too_many() -> None:
    torch.manual_seed(0)
    model = CentreDetector(CLASSES, score_threshold=0.01, max_detections=7).eval()
    images = torch.randint(0, 256, (3, 3, 128, 128), dtype=torch.uint8)
    sizes = torch.tensor([[128.0, 128.0], [40.0, 100.0], [100.0, 33.0]])
    with torch.no_grad():
        found = model.detect(images, sizes)
    assert torch.equal(found.image, found.image.sort().values)
    assert int(found.image.bincount().max()) <= 7
    for image, (height, width) in enumerate(sizes.tolist()):
        mine = found.of(image)
        assert len(mine.scores) > 0
        assert torch.equal(mine.scores, mine.scores.sort(descending=True).values)
        assert (mine.boxes >= 0).all()
        assert float(mine.boxes[:, 0::2].max()) <= width
        assert float(mine.boxes[:, 1::2].max()) <= height


def test_a_score_threshold_of_one_leaves_nothing() -> None:
    model = CentreDetector(CLASSES, score_threshold=1.0).eval()
    found = model.detect(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), torch.full((2, 2), 64.0))
    assert [len(column) for column in found if column is not None] == [0, 0, 0, 0]


# the network


def test_the_detector_learns_eight_pictures_by_heart() -> None:
    torch.manual_seed(0)
    images, targets = pictures(slice(0, 8))
    model = CentreDetector(CLASSES)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, fused=True)
    for _ in range(70):
        optimizer.zero_grad()
        model.loss(images, targets, no_seeds(images)).mean.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        found = model.detect(images, targets.sizes)
    hits = 0
    for image in range(8):
        mine = found.of(image)
        wanted = targets.labels[image] >= 0
        overlap = box_iou(targets.boxes[image, wanted], mine.boxes[mine.scores > 0.3])
        same = targets.labels[image, wanted][:, None] == mine.labels[mine.scores > 0.3]
        hits += int(((overlap > 0.5) & same).any(1).sum())
    objects = int((targets.labels >= 0).sum())
    assert hits >= objects - 2
    assert int((found.scores > 0.3).sum()) - hits <= 3


def test_floats_and_bytes_give_the_same_maps() -> None:
    model = CentreDetector(CLASSES).eval()
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    for one, other in zip(model.raw(images).heat, model.raw(images.float()).heat, strict=True):
        assert torch.equal(one, other)
    assert [tuple(level.shape[2:]) for level in model.raw(images).boxes] == [
        (8, 12),
        (4, 6),
        (2, 3),
    ]


def test_the_detector_has_about_half_a_million_weights() -> None:
    assert 400_000 < sum(p.numel() for p in CentreDetector(10).parameters()) < 700_000


def test_the_stages_name_every_parameter_once() -> None:
    model = CentreDetector(CLASSES)
    stages = model.stages()
    for name, _ in model.named_parameters():
        owners = [d for d, prefixes in enumerate(stages) if name.startswith(prefixes)]
        assert len(owners) == 1, name
    assert stages[0] == ("object.", "box.")
    assert stages[-1] == ("backbone.stem.",)


def test_no_level_of_the_pyramid_depends_on_the_rest_of_the_batch() -> None:
    backbone = TinyFpn(0.5, levels=(4, 16)).double()
    images = torch.randn(3, 3, 32, 64, dtype=torch.float64)
    whole, alone = backbone(images), backbone(images[1:2])
    assert {name: tuple(level.shape) for name, level in whole.items()} == {
        "4": (3, 64, 8, 16),
        "16": (3, 64, 2, 4),
    }
    for name, level in whole.items():
        torch.testing.assert_close(level[1:2], alone[name], rtol=1e-12, atol=1e-12)


def test_a_canvas_that_is_no_multiple_of_the_stride_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        make_centre(ModelConfig(), 3, (128, 100))
    assert "cannot see a canvas of 100 x 128 pixels" in str(error.value)
    assert "multiples of 32" in str(error.value)


def test_the_detector_is_made_as_configured() -> None:
    config = ModelConfig(width=0.5, score_threshold=0.2, nms_iou=0.7, max_detections=9)
    model = make_centre(config, 4, (64, 96))
    assert isinstance(model, CentreDetector)
    assert (model.score_threshold, model.nms_iou, model.max_detections) == (0.2, 0.7, 9)
    assert model.backbone.stem[0][0].out_channels == 16


def test_the_grid_covers_the_canvas() -> None:
    images = torch.zeros(1, 3, 64, 96)
    cells = grid_of(images).cells(torch.device("cpu"))
    counted = functional.one_hot((cells.stride / 8).long().clamp(max=3)).sum(0).tolist()
    assert counted == [0, 8 * 12, 4 * 6, 2 * 3]
    assert cells.centres[:2].tolist() == [[4.0, 4.0], [12.0, 4.0]]
    assert cells.centres[-1].tolist() == [80.0, 48.0]
