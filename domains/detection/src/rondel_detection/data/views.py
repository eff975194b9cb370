"""Two views of one picture for a student and its teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from rondel_detection.config import AugmentConfig
from rondel_detection.data.augment import Augmentation, geometry
from rondel_detection.data.canvas import Canvas
from rondel_detection.data.colour import Colour, Erase
from rondel_detection.data.sample import Sample

STRONG = 1.0
"""Strength of the colours of the strong view, if the config asks for less."""
GREY = 0.2
"""Chance of a strong view without colours, as Liu et al. (2021) have it."""


@dataclass(frozen=True)
class TwoViews:
    """A weak view, which is moved only, and a strong one of the same geometry (Liu et al., 2021).

    What a teacher finds on the weak view therefore stands where it is on the strong one. The weak
    view is ``Sample.picture``, the strong one ``Sample.strong``. No step may follow: it would move
    one of them only.

    Args:
        geometry: Changes of the sample, for both.
        strong: Further changes of the pixels of the strong view, (3, h, w) uint8 to the same.
    """

    geometry: Augmentation
    strong: Sequence[Callable[[Tensor], Tensor]]

    def __call__(self, sample: Sample) -> Sample:
        """Make both views."""
        made = self.geometry(sample)
        picture = made.picture
        for change in self.strong:
            picture = change(picture)
        return made._replace(strong=picture)


def two_views(config: AugmentConfig, canvas: Canvas) -> TwoViews:
    """Make the views of a config: its geometry, then colours, some grey, and erased rectangles."""
    colour = Colour(max(config.colour, STRONG), grey=GREY)
    return TwoViews(geometry(config, canvas), (colour.change, Erase().change))
