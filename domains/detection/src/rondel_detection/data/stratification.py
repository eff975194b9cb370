"""Dealing groups out to splits so that every label is in proportion everywhere.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011: On the Stratification of
Multi-label Data): the rarest label is dealt out first, each time to the split that lacks it most.
Letters: G groups, L labels, E entries (a label in a group), S splits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rondel_detection.data.table import Floats, Integers

FREE = -1
"""The split of a group that has none yet."""
_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class Contents:
    """What is in each group.

    Args:
        size: (G,) examples; a group without any is never dealt out.
        group: (E,) the group of each entry, ascending.
        label: (E,) its label, from 0; every group with examples has one.
        count: (E,) examples of the group with this label.
    """

    size: Integers
    group: Integers
    label: Integers
    count: Integers

    @classmethod
    def of(cls, size: Integers, group: Integers, label: Integers) -> Contents:
        """Make it from (group, label) pairs, one for each example and label in it."""
        pairs, count = np.unique(np.stack([group, label], axis=1), axis=0, return_counts=True)
        return cls(size, pairs[:, 0], pairs[:, 1], count.astype(np.int64))

    def entries(self, group: int) -> slice:
        """Return the entries of a group."""
        low, high = np.searchsorted(self.group, [group, group + 1])
        return slice(int(low), int(high))


def stratify(
    contents: Contents, shares: Floats, fixed: Integers, random: np.random.Generator
) -> Integers:
    """Return the split of each group, (G,); `FREE` for those without examples.

    Args:
        contents: What is in the groups.
        shares: (S,) of all examples, adding up to 1.
        fixed: (G,) the split of groups that have one already, else `FREE`.
        random: Decides between what is equally good.
    """
    labels = int(contents.label.max(initial=-1)) + 1
    total = np.bincount(contents.label, weights=contents.count, minlength=labels)
    lacking = _Lacking(np.outer(shares, total), shares * contents.size.sum())
    given = fixed.copy()
    for group in np.flatnonzero(fixed != FREE).tolist():
        lacking.give(int(fixed[group]), contents, group)
    free = (fixed == FREE) & (contents.size > 0)
    rank = random.permutation(len(contents.size))
    order = np.lexsort((rank[contents.group], -contents.size[contents.group], contents.label))
    starts = np.searchsorted(contents.label[order], np.arange(labels + 1))
    left = np.bincount(
        contents.label, weights=contents.count * free[contents.group], minlength=labels
    )
    while (left > 0).any():
        label = int(np.where(left > 0, left, np.inf).argmin())
        for group in contents.group[order[starts[label] : starts[label + 1]]].tolist():
            if free[group]:
                given[group] = lacking.neediest(label, random)
                lacking.give(int(given[group]), contents, group)
                free[group] = False
                entries = contents.entries(group)
                left[contents.label[entries]] -= contents.count[entries]
    return _none_empty(given, fixed, contents.size, len(shares))


@dataclass(frozen=True, eq=False)
class _Lacking:
    """What each split still lacks: examples of each label, (S, L), and examples, (S,)."""

    labels: Floats
    examples: Floats

    def give(self, split: int, contents: Contents, group: int) -> None:
        entries = contents.entries(group)
        self.labels[split, contents.label[entries]] -= contents.count[entries]
        self.examples[split] -= contents.size[group]

    def neediest(self, label: int, random: np.random.Generator) -> int:
        """Return the split that lacks a label most, then that which lacks examples most."""
        best = np.arange(len(self.examples))
        for lack in (self.labels[:, label], self.examples):
            best = best[lack[best] >= lack[best].max() - _TIE]
        return int(best[0] if len(best) == 1 else random.choice(best))


def _none_empty(given: Integers, fixed: Integers, size: Integers, splits: int) -> Integers:
    """Give every split a group, if there are enough: the smallest one of the split with most."""
    given = given.copy()
    for split in range(splits):
        counts = np.bincount(given[given != FREE], minlength=splits)
        movable = (fixed == FREE) & (given != FREE) & (counts[given] > 1)
        if counts[split] or not movable.any():
            continue
        donor = np.where(np.isin(np.arange(splits), given[movable]), counts, 0).argmax()
        candidates = np.flatnonzero(movable & (given == donor))
        given[candidates[size[candidates].argmin()]] = split
    return given
