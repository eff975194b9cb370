"""How good samples are, in numbers that name what they are made of.

A number here means nothing without its protocol: the features, the resize, and how many of each
kind. `quality.SampleQuality` measures images and `quality.ModeQuality` points of a mixture; every
measure has a file of its own. Shapes: features (N, F) in float64, pixels (N, H, W, C) of 8 bits.
"""

from rondel_gan.metrics.frechet import frechet_distance as frechet_distance
from rondel_gan.metrics.modes import covered as covered
from rondel_gan.metrics.neighbours import precision_recall as precision_recall
from rondel_gan.metrics.quality import ModeQuality as ModeQuality
from rondel_gan.metrics.quality import Quality as Quality
from rondel_gan.metrics.quality import SampleQuality as SampleQuality
from rondel_gan.metrics.quality import quality_of as quality_of
