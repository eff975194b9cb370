"""The streams that the loops draw from, made of the parts of a set."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from rondel import DataManifest, Stream
from rondel_detection.config import AugmentConfig, DetectionConfig
from rondel_detection.data.augment import augmentation
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.collate import Collate, CollateViews, Draws
from rondel_detection.data.defects import Defect
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.pictures import Pictures
from rondel_detection.data.views import two_views


@dataclass(frozen=True)
class Material:
    """What the loops of this package learn from and are measured on.

    A batch of a stream that is learnt from is ``images, targets, draw``; see
    `rondel_detection.data.batch`.

    Args:
        config: Batch sizes and augmentation.
        train: Labelled pictures to learn from.
        valid: Labelled pictures to evaluate on.
        unlooked: Pictures that nobody has looked at, if there are any.
        labels: The classes.
        canvas: What all of them stand on.
        manifest: What the data was.
        defects: What was repaired or dropped.
        losses: What the reader of the labels could not keep.
    """

    config: DetectionConfig
    train: Pictures
    valid: Pictures
    unlooked: Pictures | None
    labels: LabelMap
    canvas: Canvas
    manifest: DataManifest
    defects: tuple[Defect, ...] = ()
    losses: LossReport = field(default_factory=LossReport)

    @cached_property
    def training(self) -> Stream:
        """Labelled pictures, varied by all that the config switches on."""
        return self._stream(self.train, self.config.augment, partners=True)

    @cached_property
    def closing(self) -> Stream:
        """The same without mosaic and mixup, for the last epochs."""
        return self._stream(self.train, self.config.augment, partners=False)

    @cached_property
    def validation(self) -> Stream:
        """The pictures to evaluate on, as they are: batches of ``images, targets``."""
        return self._plain(self.valid, "valid")

    @cached_property
    def plain(self) -> Stream:
        """The pictures to learn from, as they are and in their order: ``images, targets``."""
        return self._plain(self.train, "plain")

    @cached_property
    def unlabelled(self) -> Stream:
        """Two views of unlabelled pictures: ``weak, strong, targets, draw``."""
        assert self.unlooked is not None, "the builder has checked it"
        config = self.config
        return Stream(
            self.unlooked,
            name="unlabelled",
            batch_size=config.teacher.batch_size or config.batch_size,
            augment=two_views(config.augment, self.canvas),
            collate=CollateViews(self.canvas),
            noise=Draws(self.canvas),
        )

    def with_proposals(self, proposals: Tensor | None) -> Stream:
        """Return training pictures with their cached proposals, flipped but not cut.

        A picture that is scaled or cut would need proposals of its own.
        """
        flips = AugmentConfig(
            flip_x=self.config.augment.flip_x,
            flip_y=self.config.augment.flip_y,
            transpose=self.config.augment.transpose,
            colour=self.config.augment.colour,
        )
        pictures = self.train if proposals is None else self.train.with_proposals(proposals)
        return self._stream(pictures, flips, partners=False)

    def _stream(self, pictures: Pictures, augment: AugmentConfig, *, partners: bool) -> Stream:
        steps = augmentation(augment, self.canvas, pictures if partners else None)
        return Stream(
            pictures,
            batch_size=self.config.batch_size,
            augment=steps or None,
            collate=Collate(self.canvas),
            noise=Draws(self.canvas, augment.multi_scale),
        )

    def _plain(self, pictures: Pictures, name: str) -> Stream:
        return Stream(
            pictures,
            name=name,
            batch_size=self.config.batch_size,
            shuffle=False,
            collate=Collate(self.canvas),
        )
