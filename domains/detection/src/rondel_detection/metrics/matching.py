"""Which detection takes which object: COCO's greedy matching, for all cells in lockstep.

The rule is sequential in a cell: detections choose one after the other, by falling score, and what
is taken is gone. But cells do not touch each other, and neither do overlap thresholds and ranges of
area. So the k-th choice of all cells is made at once, and all thresholds of a range of area are the
bits of one word: a match at 64 thresholds costs what a match at one does.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rondel_detection.data.table import Flags, Floats, Integers
from rondel_detection.metrics.cells import Pairs, position_in_run, run_starts, stable_order

Words = npt.NDArray[np.uint64]

ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
NONE = np.uint64(0)


@dataclass(frozen=True, eq=False)
class Matches:
    """Who took whom, and at which thresholds; S rows, bit t is the t-th overlap threshold."""

    place: Integers  # (S,) of the detection
    truth: Integers  # (S,) row in the ground truth
    taken: Words  # (S, A)

    def at(self, *, iou: int, area: int) -> tuple[Integers, Integers]:
        """Return the places and the objects that were matched at one threshold."""
        rows = (self.taken[:, area] >> np.uint64(iou)) & np.uint64(1) > 0
        return self.place[rows], self.truth[rows]


@dataclass(frozen=True, eq=False)
class Choices:
    """The order in which pairs are looked at; one row for each look, by round."""

    pair: Integers  # (S,) row in the pairs
    open: Words  # (S, A) thresholds at which this look may match
    bounds: Integers  # start of each round, and the end


def match(pairs: Pairs, *, ignored: Flags, crowd: Flags, needed: Floats) -> Matches:
    """Match detections with objects by falling score.

    A detection takes the free object it overlaps most; one that does not count only if there is
    none that does. A crowd is never used up.

    Args:
        pairs: Overlapping pairs, in the order of choice.
        ignored: (G, A) objects that do not count in a range of area.
        crowd: (G,) objects that are crowds.
        needed: (T,) overlaps that a match needs, ascending.
    """
    choices = plan(pairs, ignored, needed)
    place, truth = pairs.place[choices.pair], pairs.truth[choices.pair]
    # rows of detections and objects that have pairs, so that the states are small
    _, one = np.unique(place, return_inverse=True)
    known, two = np.unique(truth, return_inverse=True)
    areas = ignored.shape[1]
    matched = np.zeros((one.max(initial=-1) + 1, areas), dtype=np.uint64)
    used = np.zeros((len(known), areas), dtype=np.uint64)
    single = words(~crowd[known])[:, None]
    taken = np.zeros_like(choices.open)
    for start, stop in pairwise(choices.bounds.tolist()):
        detection, thing = one[start:stop], two[start:stop]
        now = choices.open[start:stop] & ~(matched[detection] | used[thing])
        matched[detection] |= now
        used[thing] |= now & single[thing]
        taken[start:stop] = now
    rows = taken.any(axis=1)
    return Matches(place[rows], truth[rows], taken[rows])


def plan(pairs: Pairs, ignored: Flags, needed: Floats) -> Choices:
    """Order the looks: each detection first at the objects that count, then at the others.

    A detection with one pair needs one look, because an object either counts or does not.
    """
    count = np.searchsorted(needed, pairs.overlap, side="right").astype(np.uint64)
    passed = ALL >> (np.uint64(64) - count)  # as many bits as thresholds are passed, at least 1
    other = words(ignored)[pairs.truth]
    starts = run_starts(pairs.place)
    lengths = np.diff(np.append(starts, len(pairs.place)))
    several = np.repeat(lengths > 1, lengths)
    twice = np.flatnonzero(several)
    allowed = np.where(several[:, None], ~other, ALL)
    look = np.concatenate([np.arange(len(pairs.place)), twice])
    is_open = np.concatenate([allowed, other[twice]]) & passed[look, None]
    # the first looks of a detection, then its second ones, and then the next detection
    run = np.repeat(np.arange(len(starts)), lengths)
    turn = np.concatenate([2 * run, 2 * run[twice] + 1])
    order = stable_order(turn, 2 * len(starts))
    look, is_open = look[order], is_open[order]
    round_of = position_in_run(pairs.cell[look])
    order = stable_order(round_of, len(look) + 1)
    sizes = np.bincount(round_of)
    return Choices(look[order], is_open[order], np.append(0, np.cumsum(sizes)))


def words(flags: Flags) -> Words:
    """Return a word of ones for each flag that is set, and of zeros for the others."""
    return np.where(flags, ALL, NONE)


def bits(taken: Words, count: int) -> Flags:
    """Return the lowest bits of each word as flags, (count, ...)."""
    shift = np.arange(count, dtype=np.uint64).reshape(-1, *([1] * taken.ndim))
    return (taken[None] >> shift) & np.uint64(1) > 0
