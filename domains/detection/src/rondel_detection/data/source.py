"""From a config to labelled parts: read, choose classes, repair, split; or the embedded set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from rondel import DataManifest
from rondel.data_manifest import DataPart, hash_arrays, hash_files
from rondel.errors import DataError, UsageError
from rondel_detection.config import DetectionConfig
from rondel_detection.data.defects import Defect
from rondel_detection.data.formats import read
from rondel_detection.data.images import IMAGE_SUFFIXES, inside, read_header
from rondel_detection.data.labels import LabelMap
from rondel_detection.data.loss_report import LossReport
from rondel_detection.data.repair import repair
from rondel_detection.data.split import split
from rondel_detection.data.table import Annotations, Integers, Status, TableBuilder
from rondel_detection.demo import embedded

VALIDATION = ("val", "valid", "validation", "test")
"""Names of splits that are evaluated on; the first that the data has."""
NAMED = 10
"""Files that an error names one by one."""
HASHED_BYTES = 2_000_000_000
"""Image files are hashed by content up to this size of the whole set, beyond it by size."""


@dataclass(frozen=True)
class Part:
    """Some images of a set.

    Args:
        annotations: Their table.
        pictures: (I, 3, H, W) uint8 RGB if they live in memory, in the order of the table.
    """

    annotations: Annotations
    pictures: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.annotations.images)

    def take(self, rows: Integers) -> Part:
        """Return the images in these rows."""
        pictures = None if self.pictures is None else self.pictures[rows]
        return Part(self.annotations.take_images(rows), pictures)


@dataclass(frozen=True)
class Parts:
    """What a loop works on.

    Args:
        train: Labelled images to learn from.
        valid: Labelled images to evaluate on.
        unlabelled: Images that nobody has looked at.
        labels: The classes.
        defects: What was repaired or dropped.
        losses: What the reader could not keep.
        manifest: What the data was.
    """

    train: Part
    valid: Part
    unlabelled: Part
    labels: LabelMap
    defects: tuple[Defect, ...]
    losses: LossReport
    manifest: DataManifest


def open_part(config: DetectionConfig) -> Part:
    """Read the set that a config names as it is, or the embedded one with its pictures.

    Raises:
        DataError: The labels cannot be read.
    """
    if config.data is None:
        made = embedded(config.dataset)
        return Part(made.annotations, made.pictures)
    return Part(read(config.data, name=config.format, images=config.images))


def gather(config: DetectionConfig) -> Parts:
    """Read, choose classes, repair boxes, and tell training from validation.

    Raises:
        DataError: The labels cannot be read or hold nothing to learn from.
    """
    whole = open_part(config)
    annotations = chosen_classes(whole.annotations, config.classes)
    annotations, defects = repair(annotations, config.bad_boxes)
    if config.validation is None:
        annotations = with_split(annotations, config)
        held_out = split_mask(annotations)
        whole = replace(whole, annotations=annotations)
        labelled = annotations.images.status == Status.LABELLED
        train, valid = whole.take(rows(labelled & ~held_out)), whole.take(rows(labelled & held_out))
    else:
        whole = replace(whole, annotations=annotations)
        labelled = annotations.images.status == Status.LABELLED
        train = whole.take(rows(labelled))
        valid, more = validation_part(config, annotations.labels)
        defects = [*defects, *more]
    unlabelled = whole.take(rows(annotations.images.status == Status.UNLABELLED))
    if config.teacher.unlabelled is not None:
        unlabelled = Part(folder_of_pictures(config.teacher.unlabelled, annotations.labels))
    check_learnable(train, valid, config)
    if config.run.bad_samples == "stop":
        check_files([part.annotations for part in (train, valid) if part.pictures is None])
    return Parts(
        train=train,
        valid=valid,
        unlabelled=unlabelled,
        labels=annotations.labels,
        defects=tuple(defects),
        losses=annotations.losses,
        manifest=manifest_of(config, whole, valid),
    )


def rows(mask: np.ndarray) -> Integers:
    """Return the positions at which a mask is true."""
    return np.flatnonzero(mask)


def chosen_classes(annotations: Annotations, names: tuple[str, ...] | None) -> Annotations:
    """Keep the named classes only; images without any of them stay, as empty ones.

    Raises:
        DataError: There is no class of that name; the nearest one is named.
    """
    if names is None:
        return annotations
    labels = annotations.labels.subset(names)
    new = np.full(len(annotations.labels), -1, dtype=np.int64)
    for index, name in enumerate(names):
        new[annotations.labels.index_of_name(name)] = index
    kept = annotations.take_boxes(new[annotations.boxes.label] >= 0)
    boxes = replace(kept.boxes, label=new[kept.boxes.label])
    return replace(kept, boxes=boxes, labels=labels)


def with_split(annotations: Annotations, config: DetectionConfig) -> Annotations:
    """Return the annotations with a split: their own, or a stratified one."""
    if any(name in VALIDATION for name in annotations.images.split):
        return annotations
    shares = {"train": 1 - config.held_out, "val": config.held_out}
    # equal files stay together; almost equal ones are what `rondel detection split` looks for
    return split(annotations, shares, seed=config.run.seed, keep=False, decode=False)


def split_mask(annotations: Annotations) -> np.ndarray:
    """Tell which images are evaluated on: those of the first validation split that there is."""
    names = set(annotations.images.split)
    chosen = next(name for name in VALIDATION if name in names)
    return np.asarray(annotations.images.split == chosen, dtype=bool)


def validation_part(config: DetectionConfig, labels: LabelMap) -> tuple[Part, list[Defect]]:
    """Read the labels to evaluate on; classes are matched by name."""
    assert config.validation is not None
    read_labels = read(config.validation, name=config.format, images=config.images)
    annotations, defects = repair(with_labels(read_labels, labels), config.bad_boxes)
    return Part(annotations.take_images(labelled_rows(annotations))), defects


def labelled_rows(annotations: Annotations) -> Integers:
    """Return the images that somebody has looked at."""
    return rows(annotations.images.status == Status.LABELLED)


def with_labels(annotations: Annotations, labels: LabelMap) -> Annotations:
    """Return annotations under the classes of another map, matched by name.

    Raises:
        DataError: A class that has boxes is not in the map.
    """
    used = sorted(set(annotations.boxes.label.tolist()))
    unknown = [
        annotations.labels.names[i] for i in used if annotations.labels.names[i] not in labels.names
    ]
    if unknown:
        raise DataError(
            f"the classes {', '.join(map(repr, unknown[:5]))} are unknown to the model",
            where=annotations.files[0] if annotations.files else str(annotations.root),
            hint=f"It knows {', '.join(map(repr, labels.names[:20]))}.",
        )
    new = np.full(max(1, len(annotations.labels)), -1, dtype=np.int64)
    for index in used:
        new[index] = labels.names.index(annotations.labels.names[index])
    boxes = replace(annotations.boxes, label=new[annotations.boxes.label])
    return replace(annotations, boxes=boxes, labels=labels)


def folder_of_pictures(folder: Path, labels: LabelMap) -> Annotations:
    """Return the pictures of a folder as images that nobody has looked at.

    Raises:
        DataError: There are none.
    """
    builder = TableBuilder(folder, format="pictures")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            builder.add_image(path.relative_to(folder).as_posix(), status=Status.UNLABELLED)
    made = builder.build(labels)
    if not len(made.images):
        raise DataError(
            "holds no pictures", where=str(folder), hint="teacher.unlabelled names their folder."
        )
    return made


def check_learnable(train: Part, valid: Part, config: DetectionConfig) -> None:
    """Refuse data that nothing can be learnt from.

    Raises:
        DataError: No labelled images, or no boxes.
        UsageError: Nothing is left to evaluate on.
    """
    where = str(config.data or config.dataset)
    if not len(train):
        raise DataError(
            "no labelled image is left to train on",
            where=where,
            hint="'rondel detection check' lists what the labels say of each image.",
        )
    if not len(train.annotations.boxes):
        raise DataError(
            f"the {len(train)} images to train on have no box at all",
            where=where,
            hint="Look at 'classes', and at 'rondel detection check'.",
        )
    if not len(valid):
        raise UsageError(
            "no labelled image is left to evaluate on",
            where=where,
            hint="Raise held_out, or name labels by validation=...",
        )


def check_files(tables: Iterable[Annotations]) -> None:
    """Refuse, before any time is spent, images whose files cannot be opened.

    Raises:
        DataError: Names the first of them, and why each cannot be opened.
    """
    faults = [fault for table in tables for fault in file_faults(table)]
    if not faults:
        return
    more = [f"  and {len(faults) - NAMED} more"] if len(faults) > NAMED else []
    noun = "image file" if len(faults) == 1 else "image files"
    raise DataError(
        "\n".join([f"{len(faults)} {noun} cannot be opened:", *faults[:NAMED], *more]),
        hint="Say where they are by images=DIR; 'rondel detection check' lists everything, "
        "and run.bad_samples=skip leaves such images out.",
    )


def file_faults(table: Annotations) -> Iterator[str]:
    """Yield a line for each image of a table whose file is missing, elsewhere, or no image."""
    for row, file in enumerate(table.images.file):
        try:
            read_header(inside(table.root, file))
        except DataError as error:
            yield f"  {table.image_place(row)}: {error.what}"


def manifest_of(config: DetectionConfig, whole: Part, valid: Part) -> DataManifest:
    """Describe the data by a hash over classes, labels and pictures."""
    name = config.dataset if config.data is None else config.data.name
    columns = label_columns(whole.annotations)
    columns["classes"] = np.array(whole.annotations.labels.names)
    if whole.pictures is not None:
        columns["pictures"] = whole.pictures.numpy()
    if config.validation is not None:
        more = label_columns(valid.annotations)
        columns |= {f"validation {key}": column for key, column in more.items()}
    parts = list(hash_arrays(columns).files)
    if whole.pictures is None:
        parts += picture_parts(whole.annotations)
    return DataManifest.of(name, parts, samples=len(whole))


def label_columns(annotations: Annotations) -> dict[str, np.ndarray]:
    """Return the columns of the labels that training depends on."""
    return {
        "boxes": annotations.boxes.xyxy,
        "image": annotations.boxes.image,
        "label": annotations.boxes.label,
        "status": annotations.images.status,
    }


def picture_parts(annotations: Annotations) -> Iterable[DataPart]:
    """Return one part for each picture file that is there: its content, or its size."""
    paths = []
    for file in annotations.images.file:
        try:
            path = inside(annotations.root, file)
        except DataError:
            continue  # named by the check; such a file is never opened
        if path.is_file():
            paths.append(path)
    if sum(path.stat().st_size for path in paths) <= HASHED_BYTES:
        return hash_files(paths, annotations.root).files
    return [
        DataPart(path.relative_to(annotations.root).as_posix(), path.stat().st_size, "")
        for path in paths
    ]
