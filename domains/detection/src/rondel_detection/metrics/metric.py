"""The metric of a detection run: collects columns batch by batch and evaluates them at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from rondel.errors import UsageError
from rondel_detection.data.table import Integers
from rondel_detection.metrics.coco import COCO, Evaluation, evaluate
from rondel_detection.metrics.columns import Detections, GroundTruth, check_columns, rows_of_images
from rondel_detection.metrics.masks import Mask, evaluate_masks
from rondel_detection.metrics.parameters import Parameters


class DetectionMetric:
    """COCO's numbers of the images that were seen, whatever process saw them.

    An image counts once: of two that have the same id the first is kept, so a sampler may fill up
    the share of a process with images of another one. The result depends neither on the order of
    batches nor on the number of processes, because images are evaluated in the order of their ids.

    Args:
        names: The classes by index; a LabelMap's ``names``.
        parameters: Of the evaluation.
        masks: Whether masks are measured as well.
    """

    def __init__(
        self, names: Sequence[str], *, parameters: Parameters = COCO, masks: bool = False
    ) -> None:
        self.names = tuple(names)
        self.parameters = parameters
        self.masks = masks
        self._parts: list[Part] = []
        self._seen: set[int] = set()
        self._evaluations: dict[str, Evaluation] = {}

    def update(
        self,
        image_ids: Tensor | Integers | Sequence[int],
        truth: GroundTruth,
        found: Detections,
        *,
        truth_masks: Sequence[Mask] = (),
        found_masks: Sequence[Mask] = (),
    ) -> Self:
        """Add a batch of B images, those without any box too.

        Args:
            image_ids: (B,) whole numbers that tell images apart, such as rows of the data set.
            truth: What is there; ``image`` is the row in the batch, 0..B-1.
            found: What was detected; likewise.
            truth_masks: A mask for each object, if masks are measured.
            found_masks: A mask for each detection, if masks are measured.

        Raises:
            DataError: An image or class is out of range, or a number is not finite.
            UsageError: Masks are measured and their number is wrong.
        """
        ids = np.asarray(image_ids, dtype=np.int64).reshape(-1)
        check_columns(truth, found, images=len(ids), classes=len(self.names))
        wanted = (len(truth), len(found)) if self.masks else (0, 0)
        given = (len(truth_masks), len(found_masks))
        if given != wanted:
            raise UsageError(
                f"a metric with masks={self.masks} got {given[0]} masks for {len(truth)} objects and "
                f"{given[1]} for {len(found)} detections",
                hint="Give a mask for each row, or make the metric with masks=False and give none.",
            )
        self._add(Part(ids, truth, found, tuple(truth_masks), tuple(found_masks)))
        return self

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add what another process saw; images that are known already are left out."""
        self._add(Part.from_state(state))

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that was seen, as tensors."""
        return self._whole().state_dict()

    def compute(self) -> dict[str, float]:
        """Return the metrics by name; NaN where there is nothing to be found.

        The twelve of `Curves.summary` (``map``, ``map50`` ... ``ar_large``), then ``ap/<class>``
        for each class; with masks the same again behind ``mask_``.
        """
        values: dict[str, float] = {}
        evaluations = {"": self.evaluation}
        if self.masks:
            evaluations["mask_"] = self.mask_evaluation
        for prefix, evaluation in evaluations.items():
            numbers = evaluation.summary() | {
                f"ap/{name}": float(value)
                for name, value in zip(self.names, evaluation.class_precision(), strict=True)
            }
            values |= {f"{prefix}{name}": value for name, value in numbers.items()}
        return values

    @property
    def image_ids(self) -> Integers:
        """(I,) ids of the images, by row of the evaluation."""
        return self._whole().ids

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation of the boxes, for reports."""
        if "boxes" not in self._evaluations:
            part = self._whole()
            self._evaluations["boxes"] = evaluate(
                part.truth,
                part.found,
                images=len(part.ids),
                classes=len(self.names),
                parameters=self.parameters,
            )
        return self._evaluations["boxes"]

    @property
    def mask_evaluation(self) -> Evaluation:
        """The evaluation of the masks.

        Raises:
            UsageError: The metric was made without masks.
        """
        if not self.masks:
            raise UsageError("this metric has no masks", hint="Make it with masks=True.")
        if "masks" not in self._evaluations:
            part = self._whole()
            self._evaluations["masks"] = evaluate_masks(
                part.truth,
                part.truth_masks,
                part.found,
                part.found_masks,
                images=len(part.ids),
                classes=len(self.names),
                parameters=self.parameters,
            )
        return self._evaluations["masks"]

    def _add(self, part: Part) -> None:
        fresh = [row for row, id_ in enumerate(part.ids.tolist()) if self._is_new(id_)]
        if len(fresh) < len(part.ids):
            part = part.take(np.array(fresh, dtype=np.int64))
        self._parts.append(part)
        self._evaluations.clear()

    def _is_new(self, image_id: int) -> bool:
        known = len(self._seen)
        self._seen.add(image_id)
        return len(self._seen) > known

    def _whole(self) -> Part:
        """Return all parts as one, by image id."""
        if len(self._parts) != 1 or not self._parts[0].is_sorted:
            whole = joined(self._parts)
            self._parts = [whole.take(np.argsort(whole.ids))]
        return self._parts[0]


@dataclass(frozen=True, eq=False)
class Part:
    """Images with what is on them and what was found; ``image`` columns are rows of ``ids``."""

    ids: Integers  # (I,)
    truth: GroundTruth
    found: Detections
    truth_masks: tuple[Mask, ...] = ()
    found_masks: tuple[Mask, ...] = ()

    @property
    def is_sorted(self) -> bool:
        """Whether the images stand in the order of their ids."""
        return bool((np.diff(self.ids) > 0).all())

    def take(self, rows: Integers) -> Part:
        """Return some images, in that order."""
        images = len(self.ids)
        truth, truth_image = rows_of_images(self.truth.image, rows, images=images)
        found, found_image = rows_of_images(self.found.image, rows, images=images)
        return Part(
            self.ids[rows],
            replace(self.truth.take(truth), image=truth_image),
            replace(self.found.take(found), image=found_image),
            tuple(self.truth_masks[row] for row in truth) if self.truth_masks else (),
            tuple(self.found_masks[row] for row in found) if self.found_masks else (),
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Return the columns as tensors; boxes stay float64, because overlaps must be exact."""
        columns = {"ids": self.ids}
        columns |= {f"truth.{name}": narrowed(column) for name, column in vars(self.truth).items()}
        columns |= {f"found.{name}": narrowed(column) for name, column in vars(self.found).items()}
        state = {name: torch.from_numpy(column.copy()) for name, column in columns.items()}
        return state | packed("truth", self.truth_masks) | packed("found", self.found_masks)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Part:
        """Read what `state_dict` wrote."""
        columns = {name: tensor.cpu().numpy() for name, tensor in state.items()}
        truth = {name: columns[f"truth.{name}"] for name in ("image", "xywh", "label")}
        found = {name: columns[f"found.{name}"] for name in ("image", "xywh", "label", "score")}
        return cls(
            columns["ids"],
            GroundTruth.of(**truth, crowd=columns["truth.crowd"], area=columns["truth.area"]),
            Detections.of(**found),
            unpacked("truth", columns),
            unpacked("found", columns),
        )


def joined(parts: Sequence[Part]) -> Part:
    """Return the images of all parts, in their order."""
    empty = Part(
        np.zeros(0, dtype=np.int64), GroundTruth.of([], [], []), Detections.of([], [], [], [])
    )
    parts = [empty, *parts]
    starts = np.cumsum([0, *(len(part.ids) for part in parts[:-1])])

    def columns(name: str) -> list[Any]:
        """Return each column, over all parts."""
        tables = [getattr(part, name) for part in parts]
        moved = [
            vars(replace(table, image=table.image + start))
            for table, start in zip(tables, starts, strict=True)
        ]
        return [np.concatenate([table[column] for table in moved]) for column in moved[0]]

    return Part(
        np.concatenate([part.ids for part in parts]),
        GroundTruth(*columns("truth")),
        Detections(*columns("found")),
        tuple(mask for part in parts for mask in part.truth_masks),
        tuple(mask for part in parts for mask in part.found_masks),
    )


def narrowed(column: Any) -> Any:
    """Return a column in half the bytes, if no value changes by it."""
    small = {np.dtype(np.int64): np.int32, np.dtype(np.float64): np.float32}.get(column.dtype)
    if small is None:
        return column
    with np.errstate(over="ignore"):
        half = column.astype(small)
    return half if np.array_equal(half, column) else column


def packed(name: str, masks: Sequence[Mask]) -> dict[str, Tensor]:
    """Return masks as tensors: their run lengths one after the other, where they end, and sizes."""
    if not masks:
        return {}
    counts = [mask["counts"] for mask in masks]
    return {
        f"{name}.mask_counts": torch.frombuffer(bytearray(b"".join(counts)), dtype=torch.uint8),
        f"{name}.mask_lengths": torch.tensor([len(count) for count in counts]),
        f"{name}.mask_sizes": torch.tensor([mask["size"] for mask in masks]),
    }


def unpacked(name: str, columns: Mapping[str, Any]) -> tuple[Mask, ...]:
    """Read what `packed` wrote."""
    if f"{name}.mask_counts" not in columns:
        return ()
    ends = np.cumsum(columns[f"{name}.mask_lengths"])
    cut = np.split(columns[f"{name}.mask_counts"], ends[:-1])
    sizes = columns[f"{name}.mask_sizes"].tolist()
    return tuple(
        Mask(size=size, counts=count.tobytes()) for size, count in zip(sizes, cut, strict=True)
    )
