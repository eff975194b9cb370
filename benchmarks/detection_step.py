"""Claim: a training step of torchvision's detectors is at least as fast behind rondel's protocol.

The reference is the usual step: torchvision's model with its own transform and loss, fused AdamW.
Ours is an update of a run on a copy of the same modules and weights. Both see the same pictures on
the same canvas, one step each in turn; the numbers to read are the ratios of images per second,
round by round. Operations that wait for the device (reading a number, results of unknown length)
are counted in one step of each.

Letters: B images, M boxes of an image, K classes.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torchvision
from ratios import Ratio, print_table, write_json
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from rondel import Loss, OptimizerConfig, Run, RunConfig, UpdateConfig
from rondel_detection.config import ModelConfig
from rondel_detection.data.batch import Targets
from rondel_detection.models.catalogue import make_detector
from rondel_detection.models.detector import Detector

CLASSES, BOXES = 20, 7
WAITING = (
    "aten::_local_scalar_dense",
    "aten::is_nonzero",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "torchvision::nms",
)


@dataclass(frozen=True)
class Side:
    """One of the two: how it computes its loss, and its whole step, which reads the loss."""

    loss: Callable[[], Tensor]
    step: Callable[[], float]


@dataclass(frozen=True)
class Case:
    """A model, the side of its canvas and the images of a step."""

    name: str
    backbone: str | None
    side: int
    images: int

    @property
    def label(self) -> str:
        """What the table shows."""
        backbone = {"ssdlite": "mobilenet_v3_large", "fasterrcnn_slim": "tiny"}.get(self.name)
        return f"{self.name} {self.backbone or backbone}"


CASES = (
    Case("fasterrcnn", "mobilenet_v3_large", 160, 2),
    Case("fasterrcnn", "resnet50", 128, 2),
    Case("fasterrcnn_slim", None, 128, 16),
    Case("maskrcnn", "resnet18", 128, 2),
    Case("retinanet", "resnet18", 160, 4),
    Case("fcos", "resnet18", 160, 4),
    Case("ssdlite", None, 320, 4),
)


@dataclass
class Row:
    """The measurements of one case: seconds of each step, and the waiting operations of a step."""

    case: Case
    reference: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    waits_reference: dict[str, int] = field(default_factory=dict)
    waits_ours: dict[str, int] = field(default_factory=dict)

    @property
    def speed(self) -> Ratio:
        """Images per second over those of the reference."""
        return Ratio.of(self.reference, self.ours)


def main() -> None:
    """Measure, print, store."""
    options = parse_options()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    cases = [case for case in CASES if any(text in case.label for text in options.only or [""])]
    rows = [measured(case, options.rounds, device) for case in cases]
    header = (
        "model",
        "canvas",
        "images",
        "torchvision images/s",
        "ours images/s",
        "ours over torchvision: median (span)",
        "waits, torchvision",
        "waits, ours",
    )
    print_table(header, [cells(row) for row in rows])
    settings = {
        "rounds": options.rounds,
        "device": str(device),
        "threads": 1,
        "torchvision": torchvision.__version__,
    }
    write_json(options.json, settings=settings, rows=rows)


def cells(row: Row) -> tuple[object, ...]:
    """Return the columns of the table."""
    case = row.case
    return (
        case.label,
        case.side,
        case.images,
        f"{case.images / median(row.reference):.2f}",
        f"{case.images / median(row.ours):.2f}",
        row.speed,
        sum(row.waits_reference.values()),
        sum(row.waits_ours.values()),
    )


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    parser.add_argument("--only", action="append", metavar="TEXT", help="cases that contain TEXT")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    return parser.parse_args()


def measured(case: Case, rounds: int, device: torch.device) -> Row:
    """Alternate steps of both, after one of each that is not timed."""
    torch.manual_seed(0)
    config = ModelConfig.model_validate({"name": case.name, "backbone": case.backbone})
    detector = make_detector(config, CLASSES, (case.side, case.side)).to(device)
    row = Row(case)
    with tempfile.TemporaryDirectory() as folder, run_on(device, folder) as run:
        reference = reference_side(detector, case, device)
        ours = our_side(detector, case, device, run)
        row.waits_reference, row.waits_ours = waits(reference), waits(ours)
        for turn in range(rounds):
            pair = [(row.reference, reference), (row.ours, ours)]
            for seconds, side in pair if turn % 2 else reversed(pair):
                seconds.append(timed(side, device))
    return row


def run_on(device: torch.device, folder: str) -> Run:
    """Return a run that writes into a folder."""
    return Run(Path(folder) / "run", settings=RunConfig(device=device.type, precision="fp32"))


def batch(case: Case, device: torch.device) -> tuple[Tensor, Targets, Tensor]:
    """Return pictures of noise with boxes, and masks that fill their upper half."""
    draw = torch.Generator().manual_seed(1)
    shape = (case.images, BOXES, 2)
    extent = (0.1 + 0.3 * torch.rand(shape, generator=draw)) * case.side
    start = torch.rand(shape, generator=draw) * (case.side - extent)
    boxes = torch.cat((start, start + extent), -1)
    labels = torch.randint(CLASSES, shape[:2], generator=draw)
    place = torch.arange(case.side)
    left, top, right, bottom = boxes[..., None].unbind(-2)
    down = (place >= top) & (place < (top + bottom) / 2)
    masks = down[..., :, None] & ((place >= left) & (place < right))[..., None, :]
    size = (case.images, 3, case.side, case.side)
    images = torch.randint(256, size, generator=draw, dtype=torch.uint8)
    targets = Targets(
        boxes=boxes.to(device),
        labels=labels.to(device),
        crowd=torch.zeros(shape[:2], dtype=torch.bool, device=device),
        sizes=torch.full((case.images, 2), float(case.side), device=device),
        rows=torch.arange(case.images, device=device),
        masks=masks.to(device) if case.name == "maskrcnn" else None,
    )
    seeds = torch.randint(2**62, (case.images,), generator=draw)
    return images.to(device), targets, seeds.to(device)


def reference_side(detector: Detector, case: Case, device: torch.device) -> Side:
    """Return the usual step on a copy of torchvision's model, its weights as usual in memory."""
    model: Any = copy.deepcopy(detector.model)
    model = model.to(memory_format=torch.contiguous_format).train()
    transform = model.transform
    transform.min_size, transform.max_size = (case.side,), case.side
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    images, targets, _ = batch(case, device)
    pictures = [image / 255 for image in images]
    background = 0 if case.name in ("retinanet", "fcos") else 1
    described = [
        {"boxes": boxes, "labels": labels + background}
        for boxes, labels in zip(targets.boxes, targets.labels, strict=True)
    ]
    if targets.masks is not None:
        for target, masks in zip(described, targets.masks, strict=True):
            target["masks"] = masks.byte()

    def loss() -> Tensor:
        return torch.stack(list(model(pictures, described).values())).sum()

    def step() -> float:
        value = loss()
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        return value.item()

    return Side(loss, step)


def our_side(detector: Detector, case: Case, device: torch.device, run: Run) -> Side:
    """Return an update of a run."""
    images, targets, seeds = batch(case, device)
    settings = UpdateConfig(optimizer=OptimizerConfig(name="adamw", lr=1e-4))
    detector.train()
    update = run.update("detector", detector, settings)

    def loss(images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        return detector.loss(images, targets, seeds)

    return Side(
        lambda: loss(images, targets, seeds).mean,
        lambda: float(update(loss, images, targets, seeds)),
    )


def timed(side: Side, device: torch.device) -> float:
    """Return CPU seconds of a step; on an accelerator wall seconds, since it does the work."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    started = clock()
    side.step()
    if device.type != "cpu":
        torch.cuda.synchronize(device)
    return clock() - started


def waits(side: Side) -> dict[str, int]:
    """Count the operations of the second loss and its gradient that wait for the device."""
    side.step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        torch.autograd.backward(side.loss())
    counts = Counter(event.name for event in profiled.events())
    return {name: counts[name] for name in WAITING if counts[name]}


if __name__ == "__main__":
    main()
