"""Splits in which every class is in proportion, and images of the same scene stay together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rondel.errors import DataError, UsageError
from rondel_detection.data.duplicates import equal_rows, image_paths, joined, likeness
from rondel_detection.data.stratification import FREE, Contents, stratify
from rondel_detection.data.table import (
    Annotations,
    Flags,
    Integers,
    Objects,
    Status,
    integers,
    objects,
)

TRAIN = "train"


def split(
    annotations: Annotations,
    shares: Mapping[str, float],
    seed: int,
    *,
    groups: Sequence[Hashable | None] | None = None,
    keep: bool = True,
    files: bool = True,
    decode: bool | None = None,
) -> Annotations:
    """Return the annotations with every labelled image in a split.

    Deterministic in the arguments and in what the image files show. Images that are the same, look
    almost the same or are in one of ``groups`` come into one split. Unlabelled images can only be
    learnt from: they come into 'train', or into none if they look like an image of another split.
    Ignored images come into none.

    Args:
        annotations: The set.
        shares: The share of the labelled images in each split, such as ``{"train": .8, "val": .2}``.
        seed: Decides between what is equally good.
        groups: A key for each image, such as its patient or video; equal keys stay together, None
            is no group.
        keep: Leave images that have a split where they are, and fill up around them. Those of a
            split that ``shares`` does not name count for nothing.
        files: Look into the image files for equal ones.
        decode: See `rondel_detection.data.duplicates.likeness`.

    Raises:
        UsageError: The shares are no division of a whole.
        DataError: A split stays empty: there are too few images, or all have another split already.
    """
    check_shares(shares)
    count = len(annotations.images)
    present = annotations.images.split if keep else objects([""] * count)
    sets = scenes(annotations, groups, files=files, decode=decode)
    given = of_scenes(annotations, sets, present, shares, seed)
    chosen = spread(annotations.images.status, sets, present, given)
    check_filled(annotations, chosen, shares)
    return replace(annotations, images=replace(annotations.images, split=chosen))


def check_shares(shares: Mapping[str, float]) -> None:
    """Refuse what is no division of a whole.

    Raises:
        UsageError: A share is not above 0, or they do not add up to 1.
    """
    for name, share in shares.items():
        if not name or not share > 0:
            raise UsageError(f"the share of the split {name!r} is {share}, but must be above 0")
    if not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6):
        told = " + ".join(f"{name} {share:g}" for name, share in shares.items()) or "nothing"
        raise UsageError(f"the shares of the splits add up to {sum(shares.values()):g}: {told}")


def check_filled(annotations: Annotations, chosen: Objects, shares: Mapping[str, float]) -> None:
    """Refuse a split without a labelled image.

    Raises:
        DataError: There is one.
    """
    images = annotations.images
    labelled = images.status == Status.LABELLED
    for name in shares:
        if (labelled & (chosen == name)).any():
            continue
        free = int((labelled & (images.split == "")).sum())
        raise DataError(
            f"no image is left for the split {name!r}: of {int(labelled.sum())} labelled images "
            f"{free} have no split yet, and equal ones stay together",
            where=str(annotations.root),
            hint="Label more images, or give up their splits: 'rondel detection split --reassign'.",
        )


def scenes(
    annotations: Annotations,
    groups: Sequence[Hashable | None] | None,
    *,
    files: bool,
    decode: bool | None,
) -> Integers:
    """Return the number of the scene of each image, (I,): what must stay together."""
    count = len(annotations.images)
    paths = image_paths(annotations) if files else [None] * count
    sets = likeness(annotations, paths, decode=decode if files else False).sets(count)
    if groups is None:
        return sets
    alike = equal_rows(enumerate(sets.tolist()))
    return joined(count, np.zeros((0, 2), dtype=np.int64), [*alike, *equal_rows(enumerate(groups))])


def of_scenes(
    annotations: Annotations,
    sets: Integers,
    present: Objects,
    shares: Mapping[str, float],
    seed: int,
) -> dict[int, str]:
    """Return the split of each scene that has one or gets one."""
    names = list(shares)
    kept = most_frequent(sets, present)
    fixed = np.full(int(sets.max(initial=-1)) + 1, FREE, dtype=np.int64)
    for scene, name in kept.items():
        if name in shares:
            fixed[scene] = names.index(name)
    elsewhere = [scene for scene, name in kept.items() if name not in shares]
    counted = annotations.images.status == Status.LABELLED
    counted &= ~np.isin(sets, elsewhere)
    random = np.random.default_rng(seed)
    portions = np.array(list(shares.values()))
    dealt = stratify(contents_of(annotations, sets, counted), portions, fixed, random)
    return {**kept, **{int(row): names[dealt[row]] for row in np.flatnonzero(dealt != FREE)}}


def most_frequent(sets: Integers, present: Objects) -> dict[int, str]:
    """Return the split of each scene that has one; the most frequent if it has several."""
    found: dict[int, Counter[str]] = {}
    for scene, name in zip(sets.tolist(), present, strict=True):
        if name:
            found.setdefault(scene, Counter())[name] += 1
    return {
        scene: min(names, key=lambda name: (-names[name], name)) for scene, names in found.items()
    }


def contents_of(annotations: Annotations, sets: Integers, counted: Flags) -> Contents:
    """Return how many of the counted images of each scene show each class, or no object at all."""
    boxes, nothing = annotations.boxes, len(annotations.labels)
    shown = counted[boxes.image] & (boxes.label >= 0)
    pairs = np.unique(np.stack([boxes.image[shown], boxes.label[shown]], axis=1), axis=0)
    empty = np.setdiff1d(np.flatnonzero(counted), pairs[:, 0])
    image = np.concatenate([pairs[:, 0], empty])
    label = np.concatenate([pairs[:, 1], np.full(len(empty), nothing)])
    size = np.bincount(sets[counted], minlength=int(sets.max(initial=-1)) + 1)
    return Contents.of(integers(size.tolist()), sets[image], label)


def spread(status: Integers, sets: Integers, present: Objects, given: Mapping[int, str]) -> Objects:
    """Return the split of each image from that of its scene."""
    chosen = []
    for state, scene, name in zip(status.tolist(), sets.tolist(), present, strict=True):
        if name or state == Status.IGNORED:
            chosen.append(name)
        elif state == Status.LABELLED:
            chosen.append(given[scene])
        else:
            chosen.append(TRAIN if given.get(scene, TRAIN) == TRAIN else "")
    return objects(chosen)
