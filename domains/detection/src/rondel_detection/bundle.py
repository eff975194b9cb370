"""The trained detector as a folder: predict, evaluate, export."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from rondel import Bundle, DataManifest
from rondel.errors import DataError, UsageError
from rondel_detection.architecture import architecture_of, build_detector
from rondel_detection.config import DetectionConfig
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.collate import Collate
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.pictures import Pictures
from rondel_detection.data.source import Part, gather, validation_part
from rondel_detection.data.table import Status
from rondel_detection.exporting import PREPROCESSING, export
from rondel_detection.inputs import Request, parse
from rondel_detection.models.detector import Detector
from rondel_detection.outputs import Output, open_output
from rondel_detection.prediction import Detections, Options, Picture, Predictor, device_of

NAMED = 10
"""Unreadable pictures that an error names one by one."""


class DetectionBundle(Bundle):
    """Finds objects in pictures.

    ``facts`` hold the classes and the canvas as plain values; both are there as attributes too.
    """

    domain: ClassVar[str] = "detection"

    @classmethod
    def of(
        cls,
        config: DetectionConfig,
        detector: Detector,
        *,
        labels: LabelMap,
        canvas: Canvas,
        data: DataManifest | None = None,
    ) -> DetectionBundle:
        """Make the bundle of a detector as it is now."""
        return cls(
            config=config.model_dump(mode="json"),
            facts={
                "labels": labels.to_json(),
                "canvas": canvas.to_json(),
                "architecture": architecture_of(detector),
            },
            modules={"detector": detector},
            data=data,
        )

    @classmethod
    def build(cls, config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, nn.Module]:
        """Build the detector, without the weights that it once started from."""
        model = DetectionConfig.model_validate(config).model
        classes = len(LabelMap.from_json(facts["labels"]))
        canvas = Canvas.from_json(facts["canvas"])
        size = (canvas.height, canvas.width)
        return {"detector": build_detector(model, classes, size, facts["architecture"])}

    @property
    def settings(self) -> DetectionConfig:
        """The config that it was trained with."""
        return DetectionConfig.model_validate(self.config)

    @property
    def labels(self) -> LabelMap:
        """The classes."""
        return LabelMap.from_json(self.facts["labels"])

    @property
    def canvas(self) -> Canvas:
        """What the detector sees a picture on."""
        return Canvas.from_json(self.facts["canvas"])

    @property
    def detector(self) -> Detector:
        """The model, in evaluation mode."""
        detector = self.modules["detector"]
        assert isinstance(detector, Detector)
        return detector.eval()

    @property
    def predictor(self) -> Predictor:
        """The model with all it needs to look at pictures of any size."""
        return Predictor(self.detector, self.labels, self.canvas, iou=self.settings.model.nms_iou)

    def predict(
        self,
        inputs: Picture | Sequence[Picture],
        *,
        threshold: float = 0.3,
        tile: int | None = None,
        overlap: float = 0.2,
        batch_size: int = 16,
    ) -> list[Detections]:
        """Find objects in pictures.

            for found in bundle.predict(["a.jpg", "b.jpg"]):
                for box, name, score in zip(found.boxes, found.names, found.scores):
                    ...

        Args:
            inputs: One picture or several: paths, Pillow images, arrays (H, W, 3) or tensors
                (3, H, W) of 8 bits, in red, green and blue.
            threshold: Lowest score that is kept.
            tile: Cut larger pictures into overlapping tiles of this longest side, in pixels; 0 is
                the size of the canvas.
            overlap: Share that neighbouring tiles have in common.
            batch_size: Pictures, or tiles, that are computed together.

        Returns:
            The detections of each picture, also if there is only one.

        Raises:
            DataError: A file cannot be read.
            UsageError: Something is no picture, or a number makes no sense.
        """
        several = isinstance(inputs, list | tuple)
        pictures: Sequence[Picture] = inputs if several else [inputs]  # type: ignore[assignment,list-item]
        options = Options(threshold, tile, overlap, batch_size, max_pixels=self.settings.max_pixels)
        return list(self.predictor.predict(pictures, options))

    def predict_files(self, inputs: Sequence[str], out: Path | None) -> str:
        """Find objects in picture files, folders and patterns, as words say.

        ``threshold=0.3 tile=640|canvas overlap=0.2 batch_size=16 device=cuda draw=yes
        overwrite=yes format=json|jsonl|csv|coco-results`` or the name of a label format. Without
        ``out`` the answer is JSON Lines, one row for each picture.

        Args:
            inputs: Pictures and words.
            out: ``FILE.json``, ``.jsonl``, ``.csv`` or ``.xml``; one drawn ``.png`` or ``.jpg``; or
                a folder.

        Raises:
            DataError: Pictures could not be read; all others have been looked at and written.
            UsageError: A word is not understood, or there is a file already.
        """
        request = parse(inputs, max_pixels=self.settings.max_pixels)
        output = open_output(self.labels, request, out)
        if request.device is not None:
            move(self.detector, request.device)
        try:
            failures = self._look(request, output)
        except BaseException:
            sys.stdout.write(output.finish())  # what was found until an interruption is not lost
            raise
        text = output.finish()
        if failures:
            sys.stdout.write(text)
            raise failed(failures, len(request.paths))
        return text

    def _look(self, request: Request, output: Output) -> list[DataError]:
        """Look at all pictures, and return why some could not be read."""
        predictor, failures = self.predictor, list[DataError]()
        size = 1 if request.options.tile is not None else request.options.batch_size
        with counting(len(request.paths)) as count:
            for start in range(0, len(request.paths), size):
                some = request.paths[start : start + size]
                failures += look(predictor, some, request.options, output)
                count(start + len(some))
        return failures

    def evaluate(self, data: Path | None) -> dict[str, float]:
        """Return the metrics on labelled pictures, or on those that validated in training.

        Classes are matched by name. Labels may be of any format; of data with several splits, all
        are looked at.

        Raises:
            DataError: They cannot be read, hold a class that is unknown here, or are not those
                that the model was trained on.
        """
        # predicting needs no metrics
        from rondel_detection.measurement import measure
        from rondel_detection.metrics.metric import DetectionMetric

        part = self._validation() if data is None else self._labelled(data)
        pictures = Pictures(
            part.annotations,
            self.canvas,
            pixels=part.pictures,
            statuses=tuple(Status),
            max_pixels=self.settings.max_pixels,
        )
        metric, detector = DetectionMetric(self.labels.names), self.detector
        device, collate = device_of(detector), Collate(self.canvas)
        with counting(len(pictures)) as count, torch.no_grad():
            for rows in torch.split(torch.arange(len(pictures)), self.settings.batch_size):
                images, targets = collate([pictures[row] for row in rows.tolist()])
                found = detector.detect(images.to(device), targets.sizes.to(device))
                measure(metric, pictures, rows, found)
                count(int(rows[-1]) + 1)
        return dict(metric.compute())

    def _labelled(self, data: Path) -> Part:
        config = self.settings.model_copy(
            update={"validation": data, "format": None, "images": None}
        )
        return validation_part(config, self.labels)[0]

    def _validation(self) -> Part:
        parts = gather(self.settings)
        changes = [] if self.data is None else self.data.difference(parts.manifest)
        if parts.labels.names != self.labels.names:
            changes.append("its classes: changed")
        if changes:
            raise DataError(
                f"the data is no longer what the model was trained on: {'; '.join(changes[:3])}",
                where=parts.manifest.name,
                hint="Restore it, or name other data: rondel detection evaluate BUNDLE DATA.",
            )
        return parts.valid

    def export(self, out: Path, format: str) -> Path:  # noqa: A002 - the command line's own word
        """Write the detector as ``onnx`` or ``pt2``, once it is found equal to the original.

        Raises:
            UsageError: It cannot be exported like that; the reason is given.
            RondelError: The exported program computes something else.
        """
        labels, model = self.labels, self.settings.model
        facts = {
            "classes": list(labels.names),
            "ids": list(labels.ids),
            "canvas": self.facts["canvas"],
            "preprocessing": PREPROCESSING,
            "score_threshold": model.score_threshold,
        }
        export(self.detector, self.canvas, facts, out, format)
        return out


def look(
    predictor: Predictor, paths: Sequence[str], options: Options, output: Output
) -> list[DataError]:
    """Look at some files, one by one if one of them cannot be read; return why some could not."""
    try:
        found = list(predictor.predict(paths, options))
    except DataError as error:
        if len(paths) == 1:
            return [error]
        return [e for path in paths for e in look(predictor, [path], options, output)]
    failures = []
    for one in found:
        try:
            output.add(one)
        except DataError as error:
            failures.append(error)
    return failures


def failed(failures: Sequence[DataError], count: int) -> DataError:
    """Return one error for all pictures that could not be read."""
    lines = [f"  {error}" for error in failures[:NAMED]]
    if len(failures) > NAMED:
        lines.append(f"  and {len(failures) - NAMED} more")
    return DataError(
        "\n".join([f"{len(failures)} of {count} pictures could not be read:", *lines]),
        hint="The others are done.",
    )


def move(detector: Detector, device: str) -> None:
    """Move a detector to a device.

    Raises:
        UsageError: There is no such device.
    """
    try:
        detector.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device={device!r} cannot be used: {str(error).splitlines()[0]}", hint="Try cpu."
        ) from error


@contextmanager
def counting(
    total: int, *, patience_s: float = 2.0, interval_s: float = 30.0
) -> Iterator[Callable[[int], None]]:
    """Show on stderr how many pictures are done, if it takes long: a bar on a terminal, or lines.

    Args:
        total: All pictures.
        patience_s: Nothing is shown before, on a terminal.
        interval_s: Time between two lines, elsewhere.

    Yields:
        What is told how many are done.
    """
    started = last = time.monotonic()
    with ExitStack() as stack:
        bar: Progress | None = None

        def count(done: int) -> None:
            nonlocal bar, last
            now = time.monotonic()
            if sys.stderr.isatty():
                if bar is None and now - started > patience_s:
                    bar = stack.enter_context(
                        Progress(console=Console(stderr=True), transient=True)
                    )
                    bar.add_task("pictures", total=total)
                if bar is not None:
                    bar.update(bar.task_ids[0], completed=done)
            elif now - last > interval_s:
                last = now
                print(f"{done} of {total} pictures", file=sys.stderr, flush=True)

        yield count
