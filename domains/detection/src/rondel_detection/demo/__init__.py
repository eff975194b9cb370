"""The embedded sets: made on the spot from a seed, without a download."""

from rondel_detection.demo.sets import CANVAS, EmbeddedSet, embedded, write_set

__all__ = ["CANVAS", "EmbeddedSet", "embedded", "write_set"]
