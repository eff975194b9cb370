"""A detector for other runtimes, as ONNX or as a torch program, compared with the original.

What is exported takes pictures on the canvas and returns boxes, scores and labels; scaling and
padding a picture is left to its user, and described in the file. Letters: B images, D detections
of an image, (H, W) the canvas. What is exported exactly is a `rondel_detection.programs.Program`.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rondel.errors import RondelError, UsageError
from rondel.onnx_export import reason_of, require_packages, silence, to_onnx
from rondel.torch_export import to_pt2
from rondel_detection.data.canvas import Canvas, resize
from rondel_detection.models.detector import Detector
from rondel_detection.programs import Outputs, Program, program_of

OUTPUTS = ("boxes", "scores", "labels")
LARGEST_BOX_DIFFERENCE = 0.05
"""Pixels of the canvas."""
LARGEST_SCORE_DIFFERENCE = 1e-3
PREPROCESSING = (
    "RGB, 8 bits. Scale the picture, antialiased, by min(height/H, width/W, longest/max(H, W), "
    "enlarge) of the canvas; put it in the upper left corner, zeros elsewhere. Boxes are x1 y1 x2 "
    "y2 in pixels of the canvas, labels are positions in classes, rows of score 0 are no detection."
)


@dataclass(frozen=True)
class Difference:
    """How far an exported program is from the original.

    Args:
        pictures: That were compared.
        detections: Of the original on them.
        box: Largest difference of a side of a box, in pixels of the canvas.
        score: Largest difference of a score.
    """

    pictures: int
    detections: int
    box: float
    score: float

    def __str__(self) -> str:
        return (
            f"largest difference to the original: {self.box:.2g} pixels, {self.score:.2g} of a "
            f"score, over {self.detections} detections in {self.pictures} pictures"
        )


def export(
    detector: Detector, canvas: Canvas, facts: Mapping[str, Any], out: Path, name: str
) -> Difference:
    """Write a detector in a format, once it was found equal to the original.

    Args:
        detector: It is not changed.
        canvas: What it sees a picture on.
        facts: Described in the file: classes, ids and whatever the user of the file must know.
        out: The file.
        name: 'onnx' or 'pt2'.

    Raises:
        UsageError: There is no such format, the packages for it are missing, or the detector
            cannot be exported; the reason is given.
        RondelError: The exported program computes something else.
    """
    if name not in WRITERS:
        raise UsageError(
            f"detectors are not exported as {name!r}", hint=f"Known are {' and '.join(WRITERS)}."
        )
    if name == "onnx":
        require_packages("rondel-detection")
    original: Any = copy.deepcopy(detector).cpu().eval().to(memory_format=torch.contiguous_format)
    if hasattr(original, "score_threshold"):
        original.score_threshold = 0.0  # whoever runs it chooses one
    program, pictures = program_of(original), sample_pictures(canvas)
    try:
        with silence():
            content, run = WRITERS[name](traced(program, pictures), facts)
    except Exception as error:
        # an exporter that meets what it does not know can raise anything
        raise UsageError(
            f"{type(detector).__name__} cannot be exported as {name} by torch {torch.__version__}: "
            f"{reason_of(error)}",
            hint="The centre detector can, in every format.",
        ) from error
    found = compare(program, run, pictures)
    if found.box > LARGEST_BOX_DIFFERENCE or found.score > LARGEST_SCORE_DIFFERENCE:
        raise RondelError(
            f"the exported program does not compute what the detector does: {found}",
            where=str(out),
            hint="Nothing was written. Another version of torch may do better.",
        )
    write(out, content)
    print(f"{name}: {found}", file=sys.stderr)
    return found


def sample_pictures(canvas: Canvas) -> Tensor:
    """Return two photographs that fill the canvas, (2, 3, H, W) uint8."""
    from sklearn.datasets import load_sample_images

    photos = [torch.tensor(photo).permute(2, 0, 1) for photo in load_sample_images().images]
    return torch.stack([resize(photo, (canvas.height, canvas.width)) for photo in photos])


def traced(program: Program, pictures: Tensor) -> torch.export.ExportedProgram:
    """Return a program as a graph; of any number of pictures, if it can be."""
    with torch.no_grad():
        if program.single:
            return torch.export.export(program, (pictures[:1],), strict=False)
        shapes = ({0: torch.export.Dim("batch", min=1)},)
        return torch.export.export(program, (pictures,), dynamic_shapes=shapes, strict=False)


Run = Callable[[Tensor], Outputs]
"""Runs an exported program on images, (B, 3, H, W) uint8."""
Writer = Callable[[torch.export.ExportedProgram, Mapping[str, Any]], tuple[bytes, Run]]
"""Returns the content of the file, and what reads it and runs it."""


def as_onnx(program: torch.export.ExportedProgram, facts: Mapping[str, Any]) -> tuple[bytes, Run]:
    """Write an ONNX model with metadata, and open it by onnxruntime."""
    content, session = to_onnx(program, inputs=["images"], outputs=list(OUTPUTS), facts=facts)

    def run(images: Tensor) -> Outputs:
        boxes, scores, labels = session.run(list(OUTPUTS), {"images": images.numpy()})
        return torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels)

    return content, run


WRITERS: dict[str, Writer] = {"onnx": as_onnx, "pt2": to_pt2}
"""The formats."""


@torch.no_grad()
def compare(program: Run, exported: Run, pictures: Tensor) -> Difference:
    """Compare an exported program with the original.

    Every detection of one must be among those of the other. Only where the best D end, rounding may
    decide which one is the last.

    Args:
        program: The original.
        exported: Runs the exported one.
        pictures: (B, 3, H, W) uint8.
    """
    count, box, score = 0, 0.0, 0.0
    for image in torch.split(pictures, 1):
        expected, got = program(image), exported(image)
        count += int((expected[1] > 0).sum())
        for one, other in ((expected, got), (got, expected)):
            farthest = distance(one, other)
            box, score = max(box, farthest[0]), max(score, farthest[1])
    return Difference(len(pictures), count, box, score)


def distance(some: Outputs, others: Outputs) -> tuple[float, float]:
    """Return how far each detection of an image is from the nearest one of its class, at most.

    Args:
        some: Detections of one image.
        others: Likewise.

    Returns:
        Pixels and score; infinite if there is no other.
    """
    boxes, scores, labels = (part[0].double().numpy() for part in some)
    their_boxes, their_scores, their_labels = (part[0].double().numpy() for part in others)
    real, present = scores > 0, their_scores > 0
    if not real.any():
        return 0.0, 0.0
    # the last of the best may have lost its place to one of the same score
    counted = real & (scores > scores[real].min() + LARGEST_SCORE_DIFFERENCE)
    counted = counted if counted.any() else real
    away = np.abs(boxes[counted, None] - their_boxes[None]).max(axis=2)
    differ = np.abs(scores[counted, None] - their_scores[None])
    same = (labels[counted, None] == their_labels[None]) & present[None]
    # one pixel weighs as much as the whole range of scores
    total = np.where(same, away + differ, np.inf)
    rows, nearest = np.arange(len(total)), total.argmin(axis=1) if total.size else np.zeros(0, int)
    if not total.size or np.isinf(total[rows, nearest]).any():
        return np.inf, np.inf
    return float(away[rows, nearest].max()), float(differ[rows, nearest].max())


def write(out: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        UsageError: It cannot be written.
    """
    staging = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging.write_bytes(content)
        staging.replace(out)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(out), hint="Give another --out."
        ) from error
