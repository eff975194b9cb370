"""What a third party inherits to prove that its loop keeps rondel's promises.

Example:
    >>> class TestMyLoop(LoopContract):
    ...     domain = "mine"
    ...     overrides = ("epochs=2",)
"""

from rondel.rehearsal import Rehearsal, differences
from rondel.testing.contract import LoopContract
from rondel.testing.probe import GradientProbe, first_gradients

__all__ = ["GradientProbe", "LoopContract", "Rehearsal", "differences", "first_gradients"]
